//! Pods in number, and what one costs while it does nothing.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rkt_tests::{process, wait_for};
use serde::Serialize;

use crate::Result;
use crate::contestants::Stage;
use crate::runner::ticks_of_children;

/// How many starts a crowd has.
const STARTS: u32 = 64;
/// When monitor and init have let go of what they needed to start the pod: they do a second after the last
/// thing has happened.
const SETTLED: Duration = Duration::from_secs(2);
const FLAVORS: [&str; 2] = ["fly", "container"];

/// Many starts at once.
#[derive(Debug, Serialize)]
pub(crate) struct Crowd {
    pub(crate) starts: u32,
    pub(crate) failures: u32,
    /// From the first start to the last end, in milliseconds.
    pub(crate) wall: f64,
    /// Processor time, per start, in milliseconds.
    pub(crate) processor: f64,
}

/// What a sleeping pod takes beside its app, in kibibytes of proportional set size.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) monitor: u64,
    pub(crate) init: u64,
}

pub(crate) fn crowds(stage: &Stage) -> Result<BTreeMap<&'static str, Crowd>> {
    FLAVORS.into_iter().map(|flavor| Ok((flavor, crowd(stage, flavor)?))).collect()
}

fn crowd(stage: &Stage, flavor: &str) -> Result<Crowd> {
    let used = ticks_of_children()?;
    let start = Instant::now();
    let pods = (0..STARTS).map(|_| spawn(&stage.rkt(flavor, &[]))).collect::<Result<Vec<_>>>()?;
    let mut failures = 0;
    for mut pod in pods {
        failures += u32::from(!pod.wait()?.success());
    }
    let wall = start.elapsed().as_secs_f64() * 1e3;
    let ticks = ticks_of_children()? - used;
    let processor = f64::from(u32::try_from(ticks)?) * 10.0 / f64::from(STARTS);
    Ok(Crowd { starts: STARTS, failures, wall, processor })
}

pub(crate) fn costs(stage: &Stage) -> Result<BTreeMap<&'static str, Cost>> {
    FLAVORS.into_iter().map(|flavor| Ok((flavor, cost(stage, flavor)?))).collect()
}

fn cost(stage: &Stage, flavor: &str) -> Result<Cost> {
    let mut pod = spawn(&stage.rkt(flavor, &["--exec=/bin/sleep", "--", "600"]))?;
    // The only pod whose recorded process is the one just started.
    let init = wait_for("the pod to be ready", || {
        let pods = fs::read_dir(stage.data().join("pods/run")).ok()?;
        pods.flatten().find_map(|entry| {
            let read = |name: &str| fs::read_to_string(entry.path().join(name)).ok()?.trim().parse::<u32>().ok();
            fs::read_link(entry.path().join("stage1/rootfs/rkt/supervisor-status")).ok()?;
            (read("ppid")? == pod.id()).then(|| read("pid"))?
        })
    });
    thread::sleep(SETTLED);
    let cost = Cost { monitor: process::proportional_size(pod.id()), init: process::proportional_size(init) };
    pod.kill()?;
    pod.wait()?;
    Ok(cost)
}

fn spawn(words: &[String]) -> Result<Child> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?)
}
