//! The planner program for plugins in native code: runs one of them for one pod, in a cage, and ends.
//!
//! A program of its own, because it has to be dynamic to load a library, and because its cage lets it do
//! that.
#![forbid(unsafe_code)]

fn main() {
    rkt_planner::run_native_caged()
}
