//! The static program: the monitor outside a pod, and, made by it, init inside; that same init where a program
//! makes the pod's namespaces; and the first process of a guest, which starts that init there.
//!
//! `rkt run` becomes it, so its pid, exit code and signals are the caller's. The only program of the
//! pod's that has rights on the host while the pod runs is this one, and it takes no decision: what
//! to do is the plan, which it checks again.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

use std::process::ExitCode;

use rkt_monitor::start::Arguments;
use rkt_sys::allocator::Allocator;

mod between;
mod guest;
mod idle;
mod inside;
mod met;
mod outside;

/// The monitor's own failure, as opposed to an app's code.
const FAILURE: u8 = 254;

/// The C library of static programs asks the kernel for each few pages and gives them back.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args_os().skip(1)) else {
        if let Some(socket) = met::socket(std::env::args_os().skip(1)) {
            let code = met::run(&socket);
            return ExitCode::from(u8::try_from(code).unwrap_or(FAILURE));
        }
        if guest::is_here() {
            return guest::run();
        }
        outside::say("this program is started by rkt");
        return ExitCode::from(FAILURE);
    };
    match outside::run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            outside::say(&rkt_executor::failure::on_one_line(&failure));
            ExitCode::from(FAILURE)
        }
    }
}
