//! The plugins' share of a start: what `rkt run` does and waits for before it has a verdict, as its own
//! clock tells (`--debug`). What the plugin's process does while rkt does other things is not in it.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Serialize;

use crate::Result;
use crate::contestants::Stage;

/// What rkt calls the steps that there would not be without plugins.
const STEPS: [&str; 3] = ["start a plugin's process", "ask the plugin for a plan", "wait for the plan and check it"];

/// Medians, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Share {
    /// Until the plugin's process has been started.
    pub(crate) start: f64,
    /// Until it has been told which pod it is to plan.
    pub(crate) ask: f64,
    /// From when there is nothing else to do, until there is a verdict.
    pub(crate) wait: f64,
    /// All of it.
    pub(crate) whole: f64,
}

pub(crate) fn shares(stage: &Stage, rounds: usize) -> Result<BTreeMap<&'static str, Share>> {
    ["container", "fly"].into_iter().map(|flavor| Ok((flavor, share(stage, flavor, rounds)?))).collect()
}

fn share(stage: &Stage, flavor: &str, rounds: usize) -> Result<Share> {
    let mut words = stage.rkt(flavor, &[]);
    words.insert(1, "--debug".to_owned());
    let runs = (0..rounds).map(|_| steps_of(&words)).collect::<Result<Vec<_>>>()?;
    let median = |part: fn(&[f64; 3]) -> f64| {
        let mut parts: Vec<f64> = runs.iter().map(part).collect();
        parts.sort_by(f64::total_cmp);
        parts[parts.len() / 2] / 1e3
    };
    Ok(Share {
        start: median(|steps| steps[0]),
        ask: median(|steps| steps[1]),
        wait: median(|steps| steps[2]),
        whole: median(|steps| steps.iter().sum()),
    })
}

/// Microseconds of each of the steps, in one start.
fn steps_of(words: &[String]) -> Result<[f64; 3]> {
    let output = Command::new(&words[0]).args(&words[1..]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let time = |step: &str| {
        let line = said.lines().find_map(|line| line.split_once(step)).map(|(_, rest)| rest);
        let number = line.and_then(|rest| rest.split(['(', ' ']).find_map(|word| word.parse().ok()));
        number.ok_or_else(|| format!("rkt does not tell how long it took to {step}: {said}"))
    };
    Ok([time(STEPS[0])?, time(STEPS[1])?, time(STEPS[2])?])
}
