//! Running programs in the open: each command is shown before it runs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to whoever builds rkt")]

use std::fmt;
use std::process::Command;
use std::time::Instant;

/// Why a step did not work, for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// For `map_err`: what was tried, then the error.
    pub(crate) fn when<E: fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints a failure, once.
pub(crate) fn report(failure: &Failure) {
    eprintln!("xtask: {failure}");
}

/// Prints text.
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Announces a step and says afterwards how long it took.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    println!("\n==> {what}");
    let start = Instant::now();
    let result = work();
    println!("    {:.0} s", start.elapsed().as_secs_f64());
    result
}

/// Runs a command that has to succeed.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let shown = show(command);
    println!("    $ {shown}");
    let status = command.status().map_err(Failure::when(format!("cannot run `{shown}`")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{shown}` failed: {status}"))) }
}

/// Runs a command that has to succeed, for what it prints.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let shown = show(command);
    let output = command.output().map_err(Failure::when(format!("cannot run `{shown}`")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("`{shown}` failed: {}\n{said}", output.status)))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
