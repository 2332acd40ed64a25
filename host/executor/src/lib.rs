//! Applies checked plans to the kernel and undoes what outlives them.
//!
//! Nothing here decides what a pod gets: that is the plan, and the check that it passed. Nothing here
//! knows a flavor, runs a plugin's code, or prints.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod launch;

pub use launch::{Command, Launch, Places, Root};
