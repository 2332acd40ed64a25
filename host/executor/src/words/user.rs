//! `user` and `own-user`: the ids of a process.

use rkt_plan::{Credentials, User};
use rkt_sys::process;
use rustix::process::{Gid, Uid, getpid};

use crate::failure::Failure;

/// The first of the users that programs have for themselves. The pod's monitor has a pid below 2²² that
/// nobody else has, and a pod has at most [`MOST`] programs: together 2²⁶ users, in a range of which no
/// distribution gives out any (systemd's end at 0x6fff_ffff).
const FIRST: u32 = 0x7800_0000;

/// How many programs of a pod may have users of their own.
const MOST: u32 = 16;

/// The ids that are meant, of the program of the pod with this number. Called in the monitor.
pub(crate) fn ids(user: &User, number: usize) -> Result<Credentials, Failure> {
    match user {
        User::Ids(ids) => Ok(ids.clone()),
        User::Own => {
            let number = u32::try_from(number).ok().filter(|number| *number < MOST);
            let number = number.ok_or_else(|| Failure::new(format!("a pod has at most {MOST} programs")))?;
            let gid = own_group();
            Ok(Credentials { uid: gid + number, gid, groups: Vec::new() })
        }
    }
}

/// The group of all programs of this monitor's pod.
pub(crate) fn own_group() -> u32 {
    FIRST + getpid().as_raw_nonzero().get().unsigned_abs() * MOST
}

/// Becomes the user, groups first: afterwards nothing may set them.
pub(crate) fn become_user(user: &Credentials) -> Result<(), Failure> {
    let groups: Vec<_> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    process::set_groups(&groups)
        .and_then(|()| process::set_gid(Gid::from_raw(user.gid)))
        .and_then(|()| process::set_uid(Uid::from_raw(user.uid)))
        .map_err(Failure::of(|| format!("become user {} of group {}", user.uid, user.gid)))
}
