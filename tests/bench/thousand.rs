//! A thousand pods: how long it takes to list them, and to collect them.
//!
//! One pod runs to its end, and its directory is copied. By hand, in the same run: their manifests read by `cat`, and
//! a second copy of them removed by `rm`, since what a removal takes is mostly the file system's affair.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::Result;
use crate::contestants::Stage;
use crate::report::{milliseconds, verdict};
use crate::runner::{Runner, Surroundings, must};

/// How many there are.
const PODS: u32 = 1000;
/// How often they are listed.
const LISTS: usize = 11;
/// What listing and collecting them may take, in milliseconds.
const LIST: f64 = 20.0;
const COLLECT: f64 = 1000.0;

/// Milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Thousand {
    list: f64,
    read_by_hand: f64,
    collect: f64,
    remove_by_hand: f64,
}

pub(crate) fn thousand(stage: &Stage) -> Result<Thousand> {
    let mut runner = Runner::start(Surroundings::Host)?;
    let rkt = |words: &[&str]| {
        let mut all = vec![rkt_tests::binary().display().to_string()];
        all.extend(stage.options());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    runner.measure(&rkt(&["gc", "--grace-period=0s"]))?;
    runner.measure(&stage.rkt("container", &[]))?;
    let run = stage.data().join("pods/run");
    let by_hand = stage.home().join("by-hand-pods");
    multiply(&run)?;
    must(Command::new("cp").arg("-a").args([&run, &by_hand]))?;
    must(&mut Command::new("sync"))?;
    let mut of = |words: &[String]| Ok::<_, Box<dyn std::error::Error>>(milliseconds(runner.measure(words)?.wall));
    let mut median = |words: &[String]| {
        let mut walls = (0..LISTS).map(|_| of(words)).collect::<Result<Vec<_>>>()?;
        walls.sort_unstable_by(f64::total_cmp);
        Ok::<_, Box<dyn std::error::Error>>(walls[LISTS / 2])
    };
    let list = median(&rkt(&["list"]))?;
    let read_by_hand = median(&words(&["sh", "-c", &format!("cat {}/*/pod", run.display())]))?;
    let remove_by_hand = of(&words(&["rm", "-rf", &by_hand.display().to_string()]))?;
    let collect = of(&rkt(&["gc", "--grace-period=0s"]))?;
    Ok(Thousand { list, read_by_hand, collect, remove_by_hand })
}

/// Makes the one pod in a directory so many.
fn multiply(run: &Path) -> Result<()> {
    let one = fs::read_dir(run)?.next().ok_or("no pod has run")??.path();
    for number in 1..PODS {
        let uuid = format!("{number:08x}-0000-4000-8000-000000000000");
        must(Command::new("cp").arg("-a").arg(&one).arg(run.join(uuid)))?;
    }
    Ok(())
}

impl std::fmt::Display for Thousand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { list, read_by_hand, collect, remove_by_hand } = self;
        write!(
            f,
            "list of {PODS} pods: {list:.1} ms of {LIST}, {:.1} of cat{}",
            list / read_by_hand,
            verdict(*list <= LIST)
        )?;
        let kept = verdict(*collect <= COLLECT);
        write!(f, "\ngc of {PODS} pods: {collect:.0} ms of {COLLECT}, {:.1} of rm -rf{kept}", collect / remove_by_hand)
    }
}
