//! Proves that the tests left nothing on the host.
//!
//! `leftovers save FILE` writes down what there is; `leftovers compare FILE` names what came since and
//! has not gone, and then fails.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "to tell is what it is for")]

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rkt_tests::leftovers::Snapshot;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["save", file] => save(file),
        ["compare", file] => compare(file),
        _ => Err("usage: leftovers save|compare FILE".into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("leftovers: {error}");
        ExitCode::from(2)
    })
}

fn save(file: &str) -> Result<ExitCode, Box<dyn Error>> {
    fs::write(file, serde_json::to_string_pretty(&Snapshot::take())?)?;
    Ok(ExitCode::SUCCESS)
}

fn compare(file: &str) -> Result<ExitCode, Box<dyn Error>> {
    let before: Snapshot = serde_json::from_str(&fs::read_to_string(file)?)?;
    let left = what_stays(&before);
    if left.is_empty() {
        println!("nothing is left on the host: no mount, link, control group, process, namespace or directory");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("left on the host:");
    for thing in left {
        eprintln!("  {thing}");
    }
    Ok(ExitCode::FAILURE)
}

/// What is there in the end. The kernel takes namespaces down some time after their last process.
fn what_stays(before: &Snapshot) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = before.left_in(&Snapshot::take());
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(100));
    }
}
