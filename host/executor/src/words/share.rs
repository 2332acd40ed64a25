//! `share`: which namespaces are made for a pod.

use std::collections::BTreeSet;

use rkt_plan::Namespace;
use rkt_sys::namespace::{Namespace as Kind, Namespaces};

/// Those that init is born into, of a pod with these of its own. The mount namespace is always one; the
/// cgroup namespace is made by each app's process, when it is in its group: its root is the group in
/// which it is made.
pub(crate) fn of(own: &BTreeSet<Namespace>) -> Namespaces {
    let own = own.iter().filter_map(|namespace| match namespace {
        Namespace::Pid => Some(Kind::Pid),
        Namespace::Network => Some(Kind::Network),
        Namespace::Ipc => Some(Kind::Ipc),
        Namespace::Uts => Some(Kind::Uts),
        Namespace::User => Some(Kind::User),
        Namespace::Cgroup => None,
    });
    own.chain([Kind::Mount]).collect()
}
