//! Capabilities of the calling thread (`capabilities(7)`): reading, setting, giving up.
//!
//! Which ones a process keeps is the caller's affair.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::{Error, Result};

pub use rustix::thread::CapabilitySet as Capabilities;

/// The capability with the kernel's name, as `CAP_CHOWN`; `None` where this program knows none.
pub fn parse(name: &str) -> Option<Capabilities> {
    // `from_name` takes names of single capabilities only.
    Capabilities::from_name(name.strip_prefix("CAP_")?)
}

/// The kernel's names of the capabilities in `set`, in the kernel's order.
pub fn names(set: Capabilities) -> impl Iterator<Item = String> {
    set.iter_names().map(|(name, _)| format!("CAP_{name}"))
}

/// The sets of the calling thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What counts when the kernel asks.
    pub effective: Capabilities,
    /// What may be made effective.
    pub permitted: Capabilities,
    /// What a program with fitting file capabilities inherits.
    pub inheritable: Capabilities,
    /// What any program inherits.
    pub ambient: Capabilities,
    /// What a program's file can give at most.
    pub bounding: Capabilities,
}

/// Reads all five sets.
///
/// # Errors
/// Where the kernel refuses, which it has no reason to.
pub fn held() -> Result<Held> {
    let sets = rustix::thread::capabilities(None).map_err(Error::on("capget", "this thread"))?;
    Ok(Held {
        effective: sets.effective,
        permitted: sets.permitted,
        inheritable: sets.inheritable,
        ambient: collect("PR_CAP_AMBIENT", rustix::thread::capability_is_in_ambient_set)?,
        bounding: collect("PR_CAPBSET_READ", rustix::thread::capability_is_in_bounding_set)?,
    })
}

/// Drops from the bounding set all that is not in `kept`, also capabilities that this program has no
/// name for.
///
/// # Errors
/// Without `CAP_SETPCAP`.
pub fn limit_bounding_to(kept: Capabilities) -> Result<()> {
    for capability in known_to_the_kernel() {
        if kept.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // One past the last that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(cause) => return Err(Error::new("prctl", "PR_CAPBSET_DROP", cause)),
        }
    }
    Ok(())
}

/// Sets effective, permitted and inheritable (`capset(2)`). The kernel takes out of the ambient set
/// what is no longer both permitted and inheritable.
///
/// # Errors
/// Where more is asked than is permitted, or inheritable goes beyond the bounding set.
pub fn set(effective: Capabilities, permitted: Capabilities, inheritable: Capabilities) -> Result<()> {
    let sets = CapabilitySets { effective, permitted, inheritable };
    rustix::thread::set_capabilities(None, sets).map_err(Error::on("capset", "this thread"))
}

/// Empties the ambient set.
///
/// # Errors
/// Where the kernel lacks it.
pub fn clear_ambient() -> Result<()> {
    rustix::thread::clear_ambient_capability_set().map_err(Error::on("prctl", "PR_CAP_AMBIENT_CLEAR_ALL"))
}

/// Adds to the ambient set what has to be permitted and inheritable already: a program run without
/// uid 0 keeps it.
///
/// # Errors
/// Where a capability is not permitted or not inheritable.
pub fn raise_ambient(capabilities: Capabilities) -> Result<()> {
    for capability in each(capabilities) {
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .map_err(|cause| Error::new("prctl", format!("PR_CAP_AMBIENT {capability:?}"), cause))?;
    }
    Ok(())
}

/// Whether the permitted set outlives the change from uid 0 to another (`PR_SET_KEEPCAPS`); the
/// effective one is empty after it in any case. `exec` resets this.
///
/// # Errors
/// Where the securebits forbid it.
pub fn keep_across_set_uid(keep: bool) -> Result<()> {
    rustix::thread::set_keep_capabilities(keep).map_err(Error::on("prctl", "PR_SET_KEEPCAPS"))
}

fn collect(what: &str, is_in: fn(Capabilities) -> rustix::io::Result<bool>) -> Result<Capabilities> {
    let mut set = Capabilities::empty();
    for capability in known_to_the_kernel() {
        match is_in(capability) {
            Ok(true) => set |= capability,
            Ok(false) => {}
            Err(Errno::INVAL) => break,
            Err(cause) => return Err(Error::new("prctl", what, cause)),
        }
    }
    Ok(set)
}

/// One by one, all that any kernel can have; callers stop at the first that theirs refuses.
fn known_to_the_kernel() -> impl Iterator<Item = Capabilities> {
    (0..64).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

fn each(set: Capabilities) -> impl Iterator<Item = Capabilities> {
    known_to_the_kernel().filter(move |capability| set.contains(*capability))
}

#[cfg(test)]
mod tests {
    use rustix::process::Uid;

    use super::*;
    use crate::process::{set_no_new_privileges, set_uid};
    use crate::testing::in_child;

    #[test]
    fn names_are_the_kernels_and_nothing_else() {
        assert_eq!(parse("CAP_NET_BIND_SERVICE"), Some(Capabilities::NET_BIND_SERVICE));
        for name in ["CHOWN", "cap_chown", "CAP_", "", "CAP_NOTHING", "CAP_CHOWN "] {
            assert_eq!(parse(name), None, "{name:?}");
        }
        let set = Capabilities::KILL | Capabilities::CHOWN;
        assert_eq!(names(set).collect::<Vec<_>>(), ["CAP_CHOWN", "CAP_KILL"]);
        for name in names(Capabilities::from_bits_retain((1 << 41) - 1)) {
            assert!(parse(&name).is_some(), "{name}");
        }
        assert_eq!(names(Capabilities::from_bits_retain((1 << 41) - 1)).count(), 41);
    }

    #[test]
    fn what_is_dropped_is_gone_from_every_set() {
        in_child(|| {
            let kept = Capabilities::CHOWN | Capabilities::KILL;
            limit_bounding_to(kept).unwrap();
            clear_ambient().unwrap();
            set(kept, kept, Capabilities::empty()).unwrap();
            let expected = Held {
                effective: kept,
                permitted: kept,
                inheritable: Capabilities::empty(),
                ambient: Capabilities::empty(),
                bounding: kept,
            };
            assert_eq!(held().unwrap(), expected);
            let all = Capabilities::all();
            assert!(set(all, all, all).is_err());
        });
    }

    #[test]
    fn permitted_capabilities_outlive_a_change_of_uid_when_asked() {
        in_child(|| {
            let kept = Capabilities::NET_BIND_SERVICE;
            keep_across_set_uid(true).unwrap();
            set_uid(Uid::from_raw(65534)).unwrap();
            assert!(held().unwrap().effective.is_empty());
            set(kept, kept, kept).unwrap();
            raise_ambient(kept).unwrap();
            assert_eq!(held().unwrap().ambient, kept);
            set_no_new_privileges().unwrap();
        });
    }

    #[test]
    fn without_keeping_a_change_of_uid_drops_everything() {
        in_child(|| {
            set_uid(Uid::from_raw(65534)).unwrap();
            let held = held().unwrap();
            assert!(held.effective.is_empty() && held.permitted.is_empty());
        });
    }
}
