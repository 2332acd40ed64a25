//! The agent of the flavor bubble: one static program for each process of the flavor's own.
//!
//! ```text
//! agent inside SOCKET -- WORDS…   in the sandbox, as its first process: starts the app, serves the socket
//! agent ask SOCKET run WORDS…     beside the sandbox, for `rkt enter`: has the words run in it
//! agent ask SOCKET stop           likewise, for `rkt stop`: has the app asked to end
//! agent watch FILE                the helper: holds a lease, and ends when the file is gone
//! ```

mod ask;
mod inside;
mod message;
mod watch;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The code of this program's own failures, which no app's is likely to be.
const FAILED: u8 = 125;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&words) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Where nobody reads, nothing is lost.
            let _ = writeln!(std::io::stderr(), "agent: {failure}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(words: &[OsString]) -> Result<u8, String> {
    let text: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    match text.as_slice() {
        ["inside", _, "--", _, ..] => inside::run(Path::new(&words[1]), &words[3..]),
        ["ask", _, "run", _, ..] => ask::run(Path::new(&words[1]), &words[3..]),
        ["ask", _, "stop"] => ask::stop(Path::new(&words[1])),
        ["watch", _] => watch::run(Path::new(&words[1])),
        _ => Err("usage: agent inside SOCKET -- WORDS… | ask SOCKET run WORDS… | ask SOCKET stop | watch FILE".into()),
    }
}

/// A failure with what was tried.
fn when<E: std::fmt::Display>(tried: impl std::fmt::Display) -> impl FnOnce(E) -> String {
    move |cause| format!("cannot {tried}: {cause}")
}
