//! The plugin compiler: a component on standard input, compiled code on standard output. A native
//! library is looked at, and stays as it is.
//!
//! It is the only program of rkt that contains a compiler, is built apart from the others so that none
//! of them does, and runs when a plugin is installed or rkt is built. A component is untrusted and its
//! parser and compiler are large: the program locks itself in before it reads the first byte.
//!
//! Exit code 0: standard output is an artifact (`rkt_planner::artifact`). Exit code 1: it is a refusal
//! in JSON (`rkt_planner::Refusal`).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod compile;
mod inspect;
mod native;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use rkt_planner::cage::{Cage, Loading};
use rkt_planner::{MAX_COMPONENT, Refusal};

/// Room for the compiler's work on the largest component. The time ends what is made to be compiled
/// slowly.
const CAGE: Cage = Cage { address_space: 4 << 30, processor_time: 120, output: 1 << 30, loading: Loading::Nothing };

fn main() -> ExitCode {
    let (output, code) = match artifact() {
        Ok(artifact) => (artifact, ExitCode::SUCCESS),
        Err(refusal) => (serde_json::to_vec(&refusal).expect("a refusal is plain data"), ExitCode::FAILURE),
    };
    match io::stdout().write_all(&output).and_then(|()| io::stdout().flush()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn artifact() -> Result<Vec<u8>, Refusal> {
    CAGE.enter().map_err(|error| Refusal::Cage { why: error.in_one_line() })?;
    let component = read_component()?;
    if native::is_native(&component) {
        return native::artifact(&component);
    }
    let declaration = inspect::inspect(&component)?;
    compile::compile(&component, declaration)
}

/// The whole of standard input, and no more than is allowed.
fn read_component() -> Result<Vec<u8>, Refusal> {
    let mut component = Vec::new();
    let read = io::stdin().lock().take(MAX_COMPONENT + 1).read_to_end(&mut component);
    let length = read.map_err(|cause| Refusal::Invalid { why: cause.to_string() })?;
    if length as u64 > MAX_COMPONENT {
        return Err(Refusal::TooLarge { limit: MAX_COMPONENT });
    }
    Ok(component)
}
