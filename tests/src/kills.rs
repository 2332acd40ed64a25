//! Killing at every system call: a program is run again and again, and killed at another call each time.
//!
//! What runs in every test run is a spread of calls, the same ones each time; with `RKT_CRASH=all` it is every call
//! (`cargo xtask crash`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::{fs, thread};

use serde::{Deserialize, Serialize};

use crate::{Output, Rkt, wait_until};

/// How many calls of a program are tried where not all of them are.
const SPREAD: u64 = 12;

/// Who is killed at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The first process, whose calls alone count.
    First,
    /// Whoever makes the call, of all that the first process comes to start.
    Caller,
    /// All of them at once, whoever makes the call.
    All,
}

impl Whom {
    fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Caller => "caller",
            Self::All => "all",
        }
    }
}

impl FromStr for Whom {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = [Self::First, Self::Caller, Self::All];
        all.into_iter().find(|whom| whom.word() == word).ok_or_else(|| format!("nobody is called {word:?}"))
    }
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The calls until the kill, or until the end.
    pub calls: u64,
    /// At which call of whom; none where there were fewer.
    pub killed: Option<String>,
    /// The first process's exit code; none where it was killed.
    pub code: Option<i32>,
}

/// `killer`, about to be run.
#[derive(Debug)]
pub struct Killer<'r> {
    rkt: &'r Rkt,
    program: &'static str,
    whom: Whom,
}

impl<'r> Killer<'r> {
    /// `program` is the path of the program `killer`, which tests have from cargo.
    pub fn new(rkt: &'r Rkt, program: &'static str, whom: Whom) -> Self {
        Self { rkt, program, whom }
    }

    /// `rkt` with these words, killed at its Nth call.
    ///
    /// # Panics
    /// It was not killed and has not ended in time.
    pub fn run(&self, at: u64, words: &[&str]) -> (Report, Output) {
        let report = self.report();
        let mut command = self.command(&report, at);
        command.args(self.rkt.words(words)).stdin(Stdio::null()).current_dir(self.rkt.home());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = Output::of(&mut command).succeeds();
        (read(&report), output)
    }

    /// Takes a process that runs, and all below it but apps; whoever makes the Nth call from now on is killed, or
    /// with whom else.
    pub fn attach(&self, at: u64, pid: u32) -> Attached {
        let report = self.report();
        let mut command = self.command(&report, at);
        let child = command.arg(pid.to_string()).stdin(Stdio::null()).spawn().expect("the program was built");
        wait_until("the killer to count", || report.exists());
        Attached { child, report }
    }

    fn report(&self) -> PathBuf {
        let file = tempfile::Builder::new().prefix("kill-").tempdir_in(self.rkt.home());
        file.expect("home is ours").keep().join("report")
    }

    fn command(&self, report: &Path, at: u64) -> Command {
        let mut command = Command::new(self.program);
        command.args([report.as_os_str(), self.whom.word().as_ref(), &OsString::from(at.to_string())]);
        command
    }
}

/// A killer that waits for its call.
#[derive(Debug)]
pub struct Attached {
    child: Child,
    report: PathBuf,
}

impl Attached {
    /// Waits until the first process has ended.
    ///
    /// # Panics
    /// It does not end.
    pub fn wait(mut self) -> Report {
        wait_until("the first process to end", || {
            self.child.try_wait().expect("it is our child").is_some_and(|status| {
                assert!(status.success(), "the killer: {status}");
                true
            })
        });
        read(&self.report)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(report: &PathBuf) -> Report {
    let json = fs::read_to_string(report).expect("the killer has written it");
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json:?}"))
}

/// Tries a verb with a kill at every call, or at a spread of them. `attempt` is told at which, prepares, kills, looks
/// whether all is sound, and cleans up. Says how many there were.
///
/// # Panics
/// No attempt was killed; or what `attempt` panics with.
#[allow(clippy::print_stderr, reason = "the figures are for whoever looks")]
pub fn at_each_call(what: &str, mut attempt: impl FnMut(u64) -> Report) {
    let calls = attempt(u64::MAX).calls;
    let mut killed = 0;
    for at in numbers(calls) {
        let told = Told(what, at);
        let report = attempt(at);
        drop(told);
        if report.killed.is_none() && is_all() {
            break;
        }
        killed += u32::from(report.killed.is_some());
    }
    assert!(killed > 0, "{what} was never killed");
    eprintln!("{what}: {calls} calls, killed at {killed}");
}

/// Whether every call is tried.
pub fn is_all() -> bool {
    std::env::var_os("RKT_CRASH").is_some_and(|value| value == "all")
}

/// The numbers of the calls at which to kill, of so many; all go on beyond, since runs differ a little.
fn numbers(calls: u64) -> Box<dyn Iterator<Item = u64>> {
    if is_all() { Box::new(1..) } else { Box::new(spread(calls, SPREAD)) }
}

/// So many of the numbers from 1, evenly, or all where there are no more.
pub fn spread(of: u64, number: u64) -> impl Iterator<Item = u64> {
    let number = number.min(of);
    (0..number).map(move |index| 1 + index * of / number)
}

/// Says where it was when a test fails.
struct Told<'a>(&'a str, u64);

impl Drop for Told<'_> {
    #[allow(clippy::print_stderr, reason = "it is for whoever looks for the reason")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}: that was with a kill at call {}", self.0, self.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_even_and_of_what_there_is() {
        assert_eq!(spread(100, 4).collect::<Vec<_>>(), [1, 26, 51, 76]);
        assert_eq!(spread(3, 4).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(spread(0, 4).count(), 0);
    }
}
