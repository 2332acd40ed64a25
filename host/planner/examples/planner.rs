//! A program that is nothing but a planner, as rkt is one where it is called by the planner's name.
//! Tests start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    rkt_planner::run_caged()
}
