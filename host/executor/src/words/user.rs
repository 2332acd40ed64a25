//! `user`: the ids of a process.

use rkt_plan::Credentials;
use rkt_sys::process;
use rustix::process::{Gid, Uid};

use crate::failure::Failure;

/// Becomes the user, groups first: afterwards nothing may set them.
pub(crate) fn become_user(user: &Credentials) -> Result<(), Failure> {
    let groups: Vec<_> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    process::set_groups(&groups)
        .and_then(|()| process::set_gid(Gid::from_raw(user.gid)))
        .and_then(|()| process::set_uid(Uid::from_raw(user.uid)))
        .map_err(Failure::of(|| format!("become user {} of group {}", user.uid, user.gid)))
}
