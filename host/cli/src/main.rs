//! `rkt`, the program: arguments, output and exit codes. It decides nothing; what it does is in the
//! libraries.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod arguments;
mod commands;
mod debug;
mod doctor;
mod escape;
mod file;
mod flavor;
mod images;
mod insecure;
mod install;
mod invocation;
mod later;
mod new_file;
mod plugin;
mod report;
mod request;
mod table;
mod time;
mod values;

use std::process::ExitCode;

use invocation::Stop;
use report::{FAILURE, Report, print, say};

/// The C library of static programs allocates slowly, and most commands do little else.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let early = plugin::start_early(&words);
    match invocation::understand(&words) {
        Ok(invocation) => commands::execute(invocation, early),
        Err(stop) => stopped(&stop),
    }
}

/// Says why there is nothing to be done.
fn stopped(stop: &Stop) -> ExitCode {
    let (said, code) = match stop {
        Stop::Help(text) => (print(text), ExitCode::SUCCESS),
        Stop::NoCommand(help) => {
            say("rkt: missing command");
            (print(help), ExitCode::from(2))
        }
        Stop::Usage(text) => (print(text), ExitCode::from(FAILURE)),
        Stop::Bad { command, message } => {
            Report::new(command.as_str(), false).line(message);
            (Ok(()), ExitCode::from(FAILURE))
        }
    };
    match said {
        Ok(()) => code,
        Err(failure) => {
            Report::new("rkt", false).failure(&failure);
            ExitCode::from(FAILURE)
        }
    }
}
