//! Loading compiled code: the planner's only unsafe code.

#![allow(unsafe_code, reason = "compiled code is run as it is")]

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// Loads code that the compiler program made.
///
/// The engine checks that it was made for this engine with these settings, and nothing else.
pub(crate) fn component(engine: &Engine, code: &[u8]) -> Result<Component> {
    // SAFETY: the code is the compiler program's own output. It reached us inside rkt, or from a
    // directory that only its owner, who could as well change rkt, can write, with its digest
    // checked; see `artifact`. It runs caged whatever it does.
    unsafe { Component::deserialize(engine, code) }
}
