//! Running plugins: each in a process of its own that has given up every right before the plugin's
//! code is loaded.
//!
//! [`Planner::start`] starts such a process, [`Planner::plan`] asks it for a plan. The process is the
//! planner program, which does nothing but [`run_caged`]. What comes out is a plan as it was spoken;
//! `rkt-plan` checks it. What must never be here: anything that changes the host, or that believes a
//! plan.
//!
//! [`cage`], [`engine`] and [`artifact`] are shared with the compiler program.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod artifact;
pub mod cage;
mod child;
mod contract;
pub mod engine;
mod error;
mod failure;
mod install;
mod kept;
mod limits;
mod load;
mod message;
mod planner;
mod plugin;
mod process;
mod refusal;
mod run;

pub use child::{run_caged, run_native_caged};
pub use contract::table::{ENTRY, ENTRY_SIZE, PERMISSIONS};
pub use error::{End, Error};
pub use failure::Failure;
pub use install::{InstallError, install, reinstall};
pub use kept::Kept;
pub use limits::Limits;
pub use planner::{Asked, Facts, Planned, Planner};
pub use plugin::{MAX_COMPONENT, Plugin, PluginError};
pub use refusal::{CONTRACT, PACKAGE, Refusal};
