//! Everything about building and testing that cargo alone cannot do, as `cargo xtask COMMAND`.
//!
//! No dependencies: this is the first thing that a fresh clone compiles.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod build;
mod demo;
mod example;
mod kernel;
mod setup;
mod shell;
mod test;
mod tree;
mod vm;
mod wasm;

use std::process::ExitCode;

use crate::shell::Failure;
use crate::tree::Tree;

const HELP: &str = "\
cargo xtask COMMAND

  demo                     from a clean clone to a running pod: sets up, builds, makes an image, runs it
  test                     sets up, builds, runs all tests, looks for leftovers
  setup                    installs the Debian packages and Rust targets that building and testing need
  build                    builds rkt and its other programs into target/rkt
  example                  builds the vendor's flavor of plugins/examples into an image, as its README says
  install --prefix=DIR     builds, then copies target/rkt to DIR (default /usr/local)
  lint                     formatting, clippy, dependency policy
  vm [MACHINE [PROGRAM [FILTER..]]]
                           runs the tests that need a machine of their own: all, a machine's, a program's, some
  crash [FILTER]           kills commands at every system call, and cuts the power at every write; the tests do so at some
  bench [ARGS]             measures rkt against its peers, side by side
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            shell::report(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let tree = Tree::here();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo"] => demo::run(&tree),
        ["test"] => test::run(&tree),
        ["setup"] => setup::for_tests(),
        ["build"] => build::run(&tree),
        ["example"] => example::run(&tree),
        ["install"] => build::install(&tree, "/usr/local"),
        ["install", prefix] if prefix.starts_with("--prefix=") => {
            build::install(&tree, prefix.trim_start_matches("--prefix="))
        }
        ["lint"] => test::lint(&tree),
        ["vm", rest @ ..] => test::in_machines(&tree, rest),
        ["crash", rest @ ..] => test::crash(&tree, rest),
        ["bench", rest @ ..] => test::bench(&tree, rest),
        [] | ["help" | "--help" | "-h"] => {
            shell::say(HELP);
            Ok(())
        }
        [unknown, ..] => Err(Failure::new(format!("there is no command `{unknown}`\n\n{HELP}"))),
    }
}
