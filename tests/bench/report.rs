//! Times, ratios and budgets, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::guests;
use crate::plugins::Share;
use crate::pods::{Cost, Crowd};
use crate::runner::Run;
use crate::thousand::Thousand;

/// A ratio that must not be exceeded: medians of the first by the second.
const BUDGETS: [(&str, &str, f64); 5] = [
    ("rkt fly", "bubblewrap", 1.0),
    ("rkt fly", "by hand", 3.0),
    ("rkt container", "crun", 1.0),
    ("rkt nspawn", "systemd-nspawn", 1.1),
    (guests::OURS, guests::BY_HAND, 1.1),
];
/// What a plugin may take on the critical path, in milliseconds.
const PLUGIN: f64 = 1.0;
/// What monitor and init may take together, in kibibytes.
const RESIDENT: u64 = 1024;

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) rounds: usize,
    pub(crate) place: Place,
    #[serde(serialize_with = "summaries")]
    pub(crate) times: BTreeMap<&'static str, Times>,
    pub(crate) plugins: BTreeMap<&'static str, Share>,
    pub(crate) crowds: BTreeMap<&'static str, Crowd>,
    pub(crate) costs: BTreeMap<&'static str, Cost>,
    pub(crate) thousand: Thousand,
}

/// Where root file systems and pods are. What rkt, and whoever mounts an overlay, does beside starting a
/// program is mostly to make files and directories.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) file_system: String,
    /// How long making a directory takes there, in milliseconds: on ext4 much longer where many files
    /// were removed lately.
    pub(crate) directory: f64,
}

/// The runs of one contestant.
#[derive(Debug, Default)]
pub(crate) struct Times {
    walls: Vec<u64>,
    ticks: u64,
}

/// Milliseconds of a run.
#[derive(Debug, Clone, Copy, Serialize)]
struct Summary {
    least: f64,
    median: f64,
    ninetieth: f64,
    processor: f64,
}

impl Times {
    pub(crate) fn add(&mut self, run: &Run) {
        self.walls.push(run.wall);
        self.ticks += run.ticks;
    }

    fn summary(&self) -> Summary {
        let mut walls = self.walls.clone();
        walls.sort_unstable();
        let at = |share: usize| walls.get(walls.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
        Summary {
            least: milliseconds(at(0)),
            median: milliseconds(at(50)),
            ninetieth: milliseconds(at(90)),
            processor: milliseconds(self.ticks * 10_000_000 / walls.len().max(1) as u64),
        }
    }
}

pub(crate) fn milliseconds(nanoseconds: u64) -> f64 {
    // Microseconds are exact enough, and what is lost of them is nothing.
    f64::from(u32::try_from(nanoseconds / 1000).unwrap_or(u32::MAX)) / 1e3
}

fn summaries<S: serde::Serializer>(times: &BTreeMap<&'static str, Times>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(times.iter().map(|(name, times)| (name, times.summary())))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "/bin/true, whole process, {} interleaved rounds (few of guests), milliseconds", self.rounds)?;
        let Place { file_system, directory } = &self.place;
        writeln!(f, "on {file_system}, where making a directory takes {directory:.3}\n")?;
        writeln!(f, "{:<16}{:>9}{:>9}{:>9}{:>11}", "", "least", "median", "90 %", "processor")?;
        let mut order: Vec<_> = self.times.iter().map(|(name, times)| (*name, times.summary())).collect();
        order.sort_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
        for (name, of) in order {
            let Summary { least, median, ninetieth, processor } = of;
            writeln!(f, "{name:<16}{least:>9.2}{median:>9.2}{ninetieth:>9.2}{processor:>11.2}")?;
        }
        writeln!(f, "\nBudgets, as ratios of medians (and of least times)")?;
        for (ours, theirs, budget) in BUDGETS {
            let (Some(a), Some(b)) = (self.times.get(ours), self.times.get(theirs)) else { continue };
            let (a, b) = (a.summary(), b.summary());
            let ratio = a.median / b.median;
            let line = format!("{ours} / {theirs}");
            writeln!(f, "{line:<28}{ratio:>6.2} ({:.2}) of {budget}{}", a.least / b.least, verdict(ratio <= budget))?;
        }
        for (flavor, Share { start, ask, wait, whole }) in &self.plugins {
            write!(f, "\nplugin {flavor}, in the way of a start: {whole:.2} ms ")?;
            write!(f, "({start:.2} start, {ask:.2} ask, {wait:.2} wait) of {PLUGIN}{}", verdict(*whole <= PLUGIN))?;
        }
        for (flavor, crowd) in &self.crowds {
            let Crowd { starts, failures, wall, processor } = crowd;
            write!(f, "\n{starts} starts of {flavor} at once: {wall:.0} ms, {processor:.2} ms of processor each, ")?;
            write!(f, "{failures} failures{}", verdict(*failures == 0))?;
        }
        for (flavor, Cost { monitor, init }) in &self.costs {
            let all = monitor + init;
            write!(f, "\nresident beside an idle app of {flavor}: {all} kB PSS ({monitor} monitor, {init} init) ")?;
            write!(f, "of {RESIDENT}{}", verdict(all <= RESIDENT))?;
        }
        writeln!(f, "\n{}", self.thousand)
    }
}

pub(crate) fn verdict(kept: bool) -> &'static str {
    if kept { "" } else { "  <- missed" }
}
