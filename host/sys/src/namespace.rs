//! Namespaces: naming, making, entering and telling them apart.
//!
//! Which namespaces a process gets is the caller's affair. Making one together with a process is in
//! [`crate::spawn`].
#![allow(unsafe_code, reason = "unshare(2)")]

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use crate::{Error, Result};

/// A kind of namespace (`namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Namespace {
    /// The table of mounts.
    Mount = libc::CLONE_NEWNS.cast_unsigned(),
    /// Root of the cgroup tree that is seen.
    Cgroup = libc::CLONE_NEWCGROUP.cast_unsigned(),
    /// Host and domain name.
    Uts = libc::CLONE_NEWUTS.cast_unsigned(),
    /// System V objects and POSIX message queues.
    Ipc = libc::CLONE_NEWIPC.cast_unsigned(),
    /// Users, groups and capabilities.
    User = libc::CLONE_NEWUSER.cast_unsigned(),
    /// Process ids.
    Pid = libc::CLONE_NEWPID.cast_unsigned(),
    /// Links, addresses, routes, rules, abstract sockets.
    Network = libc::CLONE_NEWNET.cast_unsigned(),
    /// Boot and monotonic clocks.
    Time = libc::CLONE_NEWTIME.cast_unsigned(),
}

impl Namespace {
    /// Every kind.
    pub const ALL: [Namespace; 8] = [
        Namespace::Mount,
        Namespace::Cgroup,
        Namespace::Uts,
        Namespace::Ipc,
        Namespace::User,
        Namespace::Pid,
        Namespace::Network,
        Namespace::Time,
    ];

    /// The kernel's name of it: the file in `/proc/PID/ns`.
    pub fn name(self) -> &'static str {
        match self {
            Namespace::Mount => "mnt",
            Namespace::Cgroup => "cgroup",
            Namespace::Uts => "uts",
            Namespace::Ipc => "ipc",
            Namespace::User => "user",
            Namespace::Pid => "pid",
            Namespace::Network => "net",
            Namespace::Time => "time",
        }
    }
}

/// A set of kinds of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Namespaces(u32);

impl Namespaces {
    /// No kind.
    pub const NONE: Namespaces = Namespaces(0);

    /// This set and `kind`.
    #[must_use]
    pub fn with(self, kind: Namespace) -> Self {
        Self(self.0 | kind as u32)
    }

    /// Whether `kind` is in the set.
    pub fn contains(self, kind: Namespace) -> bool {
        self.0 & kind as u32 != 0
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// As `clone(2)`, `unshare(2)` and `setns(2)` take it.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

impl FromIterator<Namespace> for Namespaces {
    fn from_iter<T: IntoIterator<Item = Namespace>>(kinds: T) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

impl std::fmt::Display for Namespaces {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.iter().map(Namespace::name).collect();
        out.write_str(&names.join(","))
    }
}

/// Moves the calling thread into new namespaces (`unshare(2)`); children, for a pid or time namespace.
///
/// # Errors
/// Where the kernel refuses: no permission, a limit on namespaces, or a kind it was built without.
pub fn unshare(kinds: Namespaces) -> Result<()> {
    // SAFETY: the call is unsafe for CLONE_FILES only, which parts threads that share descriptors; a
    // `Namespaces` holds CLONE_NEW* bits and nothing else.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::from_bits_retain(kinds.bits())) }
        .map_err(Error::on("unshare", kinds))
}

/// Moves the calling thread into one namespace (`setns(2)`), which must be of that kind.
///
/// # Errors
/// Where the descriptor is of another kind or the kernel refuses.
pub fn enter(namespace: BorrowedFd<'_>, kind: Namespace) -> Result<()> {
    // With a descriptor of a namespace, the flag is the kind that it has to be.
    let bits = ThreadNameSpaceType::from_bits_retain(kind as u32);
    rustix::thread::move_into_thread_name_spaces(namespace, bits).map_err(Error::on("setns", kind.name()))
}

/// A descriptor of the calling process's own namespace. It keeps the namespace alive.
///
/// # Errors
/// Where procfs is not mounted or the kernel lacks the kind.
pub fn open_own(kind: Namespace) -> Result<OwnedFd> {
    open(&format!("/proc/self/ns/{}", kind.name()))
}

/// The number that tells this namespace from all others alive of its kind: the inode.
///
/// # Errors
/// Where the descriptor cannot be looked at.
pub fn identity(namespace: BorrowedFd<'_>) -> Result<u64> {
    let stat = rustix::fs::fstat(namespace).map_err(Error::on("fstat", "a namespace"))?;
    Ok(stat.st_ino)
}

fn open(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(Error::on("open", path))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::testing::in_child;

    fn own(kind: Namespace) -> u64 {
        identity(open_own(kind).unwrap().as_fd()).unwrap()
    }

    #[test]
    fn unshared_namespaces_are_new_and_the_others_stay() {
        in_child(|| {
            let before = Namespace::ALL.map(own);
            let chosen = [Namespace::Uts, Namespace::Ipc, Namespace::Mount];
            unshare(chosen.into_iter().collect()).unwrap();
            for (kind, old) in Namespace::ALL.into_iter().zip(before) {
                assert_eq!(own(kind) != old, chosen.contains(&kind), "{kind:?}");
            }
        });
    }

    #[test]
    fn a_namespace_can_be_entered_again_by_its_descriptor_only_as_its_kind() {
        in_child(|| {
            let first = open_own(Namespace::Uts).unwrap();
            unshare(Namespaces::NONE.with(Namespace::Uts)).unwrap();
            let error = enter(first.as_fd(), Namespace::Ipc).unwrap_err();
            assert_eq!(error.errno(), Some(rustix::io::Errno::INVAL));
            enter(first.as_fd(), Namespace::Uts).unwrap();
            assert_eq!(own(Namespace::Uts), identity(first.as_fd()).unwrap());
        });
    }

    #[test]
    fn a_set_lists_what_it_holds() {
        let set: Namespaces = [Namespace::Network, Namespace::Pid].into_iter().collect();
        assert_eq!(set.to_string(), "pid,net");
        assert!(!set.contains(Namespace::User));
        assert!(Namespaces::NONE.is_empty());
    }
}
