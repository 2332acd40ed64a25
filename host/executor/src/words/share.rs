//! `share`: which namespaces are made for a pod.

use std::collections::BTreeSet;

use rkt_plan::Namespace;
use rkt_sys::namespace::{Namespace as Kind, Namespaces};

/// Those that init is born into, of a pod with these of its own; a mount namespace where init has mounts of its
/// own. The cgroup namespace is made by each app's process, when it is in its group: its root is the group in
/// which it is made.
pub(crate) fn of(own: &BTreeSet<Namespace>, own_mounts: bool) -> Namespaces {
    let own = own.iter().filter_map(|namespace| match namespace {
        Namespace::Pid => Some(Kind::Pid),
        Namespace::Network => Some(Kind::Network),
        Namespace::Ipc => Some(Kind::Ipc),
        Namespace::Uts => Some(Kind::Uts),
        Namespace::User => Some(Kind::User),
        Namespace::Cgroup => None,
    });
    own.chain(own_mounts.then_some(Kind::Mount)).collect()
}
