//! The static program's contract with the rest of rkt: how it is started and how a running one is
//! spoken to.
//!
//! What it does, as monitor outside a pod and as init inside, is in the program itself.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod client;
pub mod frame;
pub mod link;
pub mod message;
pub mod parcel;
pub mod start;

pub use client::{Control, ControlError, Resized, Stdio};
pub use message::{AppState, AppStatus, Ended, Enter, Reply, Request, Status, Terminal, WindowSize};
pub use start::{Start, StartError, exec};
