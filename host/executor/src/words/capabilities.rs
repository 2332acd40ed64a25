//! `capabilities`: what a process may do at most, and what it may do at once.

use rkt_plan::CapabilitySet;
use rkt_sys::capability::{self, Capabilities};

use crate::failure::Failure;

/// The plan's set as the kernel takes it, without what this process does not have to give.
pub(crate) fn available(planned: CapabilitySet) -> Result<Capabilities, Failure> {
    let own = rustix::thread::capabilities(None).map_err(Failure::of(|| "read capabilities"))?;
    Ok(Capabilities::from_bits_retain(planned.bits()) & own.permitted)
}

/// Limits what any program can gain.
pub(crate) fn limit(bounding: Capabilities) -> Result<(), Failure> {
    capability::limit_bounding_to(bounding)
        .and_then(|()| capability::clear_ambient())
        .map_err(Failure::of(|| "limit capabilities"))
}

/// What the process has from now on; nothing is inherited by what it runs except by the kernel's
/// rules for root.
pub(crate) fn keep(capabilities: Capabilities) -> Result<(), Failure> {
    capability::set(capabilities, capabilities, Capabilities::empty()).map_err(Failure::of(|| "drop capabilities"))
}
