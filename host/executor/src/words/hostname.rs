//! `hostname`: the name of the pod's uts namespace.

use crate::failure::Failure;

pub(crate) fn set(name: &str) -> Result<(), Failure> {
    rustix::system::sethostname(name.as_bytes()).map_err(Failure::of(|| format!("set the host name {name}")))
}
