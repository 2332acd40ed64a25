//! The planner program: runs one plugin for one pod, in a cage, and ends.
//!
//! A program of its own, small and static, because one is started for every pod: that takes a third
//! less time than starting rkt, of which it needs nothing. rkt never runs the engine.
#![forbid(unsafe_code)]

use rkt_sys::allocator::Allocator;

/// The C library of static programs allocates slowly, and an engine that starts does little else.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

fn main() {
    rkt_planner::run_caged()
}
