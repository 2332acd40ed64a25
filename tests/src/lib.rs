//! What the tests of the whole program stand on: the real `rkt` in directories of its own, images made
//! on the spot, a probe to run in pods, and a look at what is left on the host. No test is in here.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod aci;
pub mod apps;
pub mod disk;
pub mod elf;
pub mod guest;
pub mod images;
pub mod kills;
pub mod leftovers;
mod output;
pub mod process;
mod rkt;
mod wait;

use std::path::Path;

pub use output::Output;
pub use rkt::{FLAVORS, FLAVORS_AND_NSPAWN, PREFIX, Rkt, Running, binary, built, companions};
pub use wait::{DEADLINE, wait_for, wait_for_within, wait_until};

/// The root of the workspace.
///
/// # Panics
/// Never: this crate is a directory of it.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is in the workspace")
}
