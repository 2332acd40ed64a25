//! The plugins' share: from the bytes of a compiled plugin to a verdict, in the process that `rkt run` is.
//!
//! `rkt` starts the plugin's process before it looks for images, so that much of this passes meanwhile:
//! what is measured here, one step after the other, is the most that a start can wait for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rkt_plan::{App, Asked, Credentials, Origin, Pod};
use rkt_planner::{Facts, Limits, Planner, Plugin};
use rkt_tests::{built, companions};
use serde::Serialize;

use crate::Result;
use crate::report::milliseconds;

/// Medians, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Share {
    /// Until the plugin's process has been started.
    pub(crate) start: f64,
    /// Until its plan is there and the process has ended.
    pub(crate) plan: f64,
    /// Until the plan has been judged.
    pub(crate) check: f64,
    /// All of it.
    pub(crate) whole: f64,
}

struct NoFacts;

impl Facts for NoFacts {
    fn fact(&self, _name: &str) -> Option<String> {
        None
    }
}

pub(crate) fn shares(rounds: usize) -> Result<BTreeMap<&'static str, Share>> {
    ["fly", "container"].into_iter().map(|flavor| Ok((flavor, share(flavor, rounds)?))).collect()
}

fn share(flavor: &str, rounds: usize) -> Result<Share> {
    // Compiled plugins are a part of the program, and there for as long as it is.
    let artifact = fs::read(built(&format!("rkt/flavors/{flavor}.artifact")))?.leak();
    let program = companions().join("planner");
    let pod = pod();
    let runs = (0..rounds).map(|_| run(flavor, artifact, &program, &pod)).collect::<Result<Vec<_>>>()?;
    let median = |part: fn(&[Duration; 3]) -> Duration| {
        let mut parts: Vec<Duration> = runs.iter().map(part).collect();
        parts.sort_unstable();
        milliseconds(u64::try_from(parts[parts.len() / 2].as_nanos()).unwrap_or(u64::MAX))
    };
    Ok(Share {
        start: median(|run| run[0]),
        plan: median(|run| run[1]),
        check: median(|run| run[2]),
        whole: median(|run| run.iter().sum()),
    })
}

/// Once: how long starting, planning and judging took.
fn run(flavor: &str, artifact: &'static [u8], program: &Path, pod: &Pod) -> Result<[Duration; 3]> {
    let mut clock = Instant::now();
    let mut lap = || {
        let now = Instant::now();
        now - std::mem::replace(&mut clock, now)
    };
    let plugin = Plugin::embedded(flavor, artifact)?;
    let process = Planner::start(program, &plugin, Limits::default())?;
    let start = lap();
    let planned = process.plan(pod, &NoFacts)?;
    let plan = lap();
    rkt_plan::check(pod, &planned.plan, plugin.permissions(), plugin.permissions())?;
    Ok([start, plan, lap()])
}

/// A pod whose one app asks for nothing but to run as root.
fn pod() -> Pod {
    let app = App {
        name: "bench".to_owned(),
        user: Asked { value: Credentials { uid: 0, gid: 0, groups: Vec::new() }, by: Origin::Image },
        read_only_root: None,
        volumes: Vec::new(),
        limits: BTreeMap::new(),
        capabilities: None,
        seccomp: None,
        no_new_privileges: None,
        oom_score: None,
    };
    let uuid = "b8a9a9d2-6d0e-4f0f-8a2f-1b2c3d4e5f60".to_owned();
    Pod { uuid, hostname: None, apps: vec![app], settings: BTreeMap::new() }
}
