//! The static program with plans made by hand, on the real kernel.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod change;
mod enter;
mod guests;
mod hostile;
mod isolated;
mod life;
mod limits;
mod outside;
mod pod;
mod programs;
mod shared;
mod volumes;
