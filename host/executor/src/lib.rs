//! Applies checked plans to the kernel and undoes what outlives them.
//!
//! Nothing here decides what a pod gets: that is the plan, and the check that it passed. Nothing here
//! knows a flavor, runs a plugin's code, or prints.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod artifacts;
pub mod failure;
pub mod groups;
pub mod handover;
pub mod launch;
pub mod layers;
pub mod order;
pub mod outside;
pub mod places;
pub mod process;
pub mod ready;
pub mod trial;

mod assemble;
mod confine;
mod hold;
mod journal;
mod program;
mod scaffold;
mod systemd;
mod target;
mod undo;
mod words;

pub use failure::Failure;
pub use hold::Hold;
pub use launch::{Changes, Command, Launch, Made, Places, Root};
pub use order::{Jailed, Prepared, PreparedApp};
pub use undo::{undo, undo_after_the_last, undo_apps_but};
