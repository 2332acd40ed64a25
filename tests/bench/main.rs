//! `rkt-bench`: how long a start takes and what a pod costs, beside other programs that do the like.
//!
//! Whole processes, from the command line to the exit code, on the same root file system with the same
//! `/bin/true`; a round runs each contestant once, so that all of them meet the same machine. Every run
//! has to succeed: one that fails quickly is no contestant. Budgets are ratios within one invocation.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "to report is what it is for")]

mod contestants;
mod guests;
mod plugins;
mod pods;
mod report;
mod runner;
mod thousand;

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::process::ExitCode;

use contestants::{Contestant, Stage};
use report::{Report, Times};
use runner::{Runner, Surroundings};

/// What can go wrong: a tool is missing, or a contestant fails.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: rkt-bench [--rounds=N] [--json]";
/// Enough for medians that stay, in about a minute.
const ROUNDS: usize = 200;
/// The most rounds of guests, each of which takes seconds.
const ROUNDS_OF_GUESTS: usize = 7;
/// What warms up caches and is not counted.
const WARM_UP: usize = 5;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["runner", surroundings] => runner::serve(surroundings),
        words => Options::parse(words).and_then(|options| bench(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rkt-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    rounds: usize,
    json: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { rounds: ROUNDS, json: false };
        for word in words {
            match word.split_once('=') {
                None if *word == "--json" => options.json = true,
                Some(("--rounds", number)) => options.rounds = number.parse()?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}

fn bench(options: &Options) -> Result<()> {
    let stage = Stage::set()?;
    let mut times = race(&stage.contestants(), options.rounds, WARM_UP)?;
    // Guests take seconds.
    times.extend(race(&guests::contestants(&stage)?, options.rounds.min(ROUNDS_OF_GUESTS), 1)?);
    let report = Report {
        rounds: options.rounds,
        place: stage.place()?,
        times,
        plugins: plugins::shares(&stage, options.rounds)?,
        crowds: pods::crowds(&stage)?,
        costs: pods::costs(&stage)?,
        thousand: thousand::thousand(&stage)?,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    stage.clear()
}

/// Runs all contestants in turn, round by round, after rounds that are not counted.
fn race(contestants: &[Contestant], rounds: usize, warm_up: usize) -> Result<BTreeMap<&'static str, Times>> {
    let mut host = Runner::start(Surroundings::Host)?;
    let mut unified = Runner::start(Surroundings::UnifiedControlGroups)?;
    let mut times: BTreeMap<&'static str, Times> = BTreeMap::new();
    for round in 0..warm_up + rounds {
        for contestant in contestants {
            let runner = match contestant.surroundings {
                Surroundings::Host => &mut host,
                Surroundings::UnifiedControlGroups => &mut unified,
            };
            let run = runner.measure(&contestant.words).map_err(|error| format!("{}: {error}", contestant.name))?;
            if round >= warm_up {
                times.entry(contestant.name).or_default().add(&run);
            }
        }
    }
    Ok(times)
}
