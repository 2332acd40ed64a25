//! Safe wrappers over the kernel, one call each: paths that cannot leave a tree, mounts, namespaces,
//! processes, cgroups, locks.
//!
//! Nothing here decides. There is no policy, no default, no global state and no knowledge of pods or
//! plans; a wrapper takes what it needs as arguments and says what failed. Every descriptor that
//! leaves this crate is close-on-exec. `unsafe` code of the project's host side lives here, and only
//! in the modules that say so.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod allocator;
pub mod capability;
pub mod cgroup;
pub mod error;
pub mod landlock;
pub mod lock;
pub mod memfd;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod own_file;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod pty;
pub mod remove;
pub mod root;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod spawn;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::{Error, Result};
