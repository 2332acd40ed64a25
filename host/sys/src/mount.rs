//! Mounts, by the descriptor-based calls only: make one detached, set its attributes, attach it.
//!
//! A mount is nowhere in the tree until it is attached to a descriptor, so no path of a pod is ever
//! resolved by a mount call. What is mounted where is the caller's affair.
#![allow(unsafe_code, reason = "mount_setattr(2)")]

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::{Error, Result};

pub use rustix::mount::MountAttrFlags as Attributes;

/// Whether a call is about one mount or about those below it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The one mount.
    One,
    /// With all mounts below it.
    Recursive,
}

/// Where mounts and unmounts made below a mount are seen as well (`mount_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Propagation {
    /// Among all its peers, both ways.
    Shared = libc::MS_SHARED,
    /// From its peers here, not back.
    Slave = libc::MS_SLAVE,
    /// Nowhere else.
    Private = libc::MS_PRIVATE,
    /// Nowhere else, and it cannot be cloned.
    Unbindable = libc::MS_UNBINDABLE,
}

/// A file system that is being configured (`fsopen(2)`).
///
/// Errors carry what the kernel's file system said in its log for this context, where it said
/// anything.
#[derive(Debug)]
pub struct FileSystem {
    context: OwnedFd,
    kind: String,
}

impl FileSystem {
    /// Begins a file system of a kind: `tmpfs`, `proc`, `overlay`, …
    ///
    /// # Errors
    /// `ENODEV` where the kernel has no such kind, `EPERM` without permission.
    pub fn new(kind: &str) -> Result<Self> {
        let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(Error::on("fsopen", kind))?;
        Ok(Self { context, kind: kind.to_owned() })
    }

    /// Sets an option to a value of at most 255 bytes.
    ///
    /// # Errors
    /// Where the file system does not know the option or refuses the value.
    pub fn option(self, name: &str, value: &str) -> Result<Self> {
        rustix::mount::fsconfig_set_string(&self.context, name, value)
            .map_err(|cause| self.failed("fsconfig", &format_args!("{name}={value}"), cause))?;
        Ok(self)
    }

    /// Sets an option that has no value.
    ///
    /// # Errors
    /// Where the file system does not know the option.
    pub fn flag(self, name: &str) -> Result<Self> {
        rustix::mount::fsconfig_set_flag(&self.context, name).map_err(|cause| self.failed("fsconfig", &name, cause))?;
        Ok(self)
    }

    /// Makes the file system and a mount of it that is attached nowhere.
    ///
    /// # Errors
    /// Where the file system refuses its options together, or its source.
    pub fn mount(self, attributes: Attributes) -> Result<OwnedFd> {
        rustix::mount::fsconfig_create(&self.context).map_err(|cause| self.failed("fsconfig", &"create", cause))?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        rustix::mount::fsmount(&self.context, flags, attributes)
            .map_err(|cause| self.failed("fsmount", &"the new file system", cause))
    }

    fn failed(&self, call: &'static str, what: &dyn Display, cause: Errno) -> Error {
        let kind = &self.kind;
        match self.kernel_log() {
            log if log.is_empty() => Error::new(call, format_args!("{kind}: {what}"), cause),
            log => Error::new(call, format_args!("{kind}: {what} ({log})"), cause),
        }
    }

    /// Messages that wait in the context, one a read, each after a letter of severity and a space.
    fn kernel_log(&self) -> String {
        let mut messages = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = rustix::io::read(&self.context, &mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let text = text.trim_end();
            messages.push(text.get(2..).unwrap_or(text).to_owned());
        }
        messages.join("; ")
    }
}

/// An overlay to be mounted: layers seen as one tree.
///
/// Layers are named to the kernel by `/proc/self/fd`, so procfs has to be mounted, and no character
/// of a path can be taken for an option.
#[derive(Debug)]
pub struct Overlay<'a> {
    /// What tables of mounts show as its source.
    pub name: &'a str,
    /// Layers that are never written, topmost first; at least one.
    pub lower: &'a [BorrowedFd<'a>],
    /// What takes changes; without it the overlay is read-only.
    pub upper: Option<Upper<'a>>,
    /// Options without a value, as "volatile".
    pub flags: &'a [&'a str],
}

/// The writable side of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Upper<'a> {
    /// The directory that takes changes.
    pub directory: BorrowedFd<'a>,
    /// An empty directory on the same file system, for the kernel's use.
    pub work: BorrowedFd<'a>,
}

impl Overlay<'_> {
    /// Makes the overlay and a mount of it that is attached nowhere.
    ///
    /// # Errors
    /// Where the kernel refuses a layer or an option.
    pub fn mount(&self, attributes: Attributes) -> Result<OwnedFd> {
        let first = match self.layer_by_layer(attributes) {
            // Linux before 6.5 does not know the option, and says so at the end only.
            Err(error) if error.errno() == Some(Errno::INVAL) => error,
            other => return other,
        };
        match self.all_layers_at_once(attributes) {
            Err(error) if error.errno() == Some(Errno::INVAL) => Err(first),
            other => other,
        }
    }

    fn layer_by_layer(&self, attributes: Attributes) -> Result<OwnedFd> {
        let mut overlay = FileSystem::new("overlay")?;
        for layer in self.lower {
            overlay = overlay.option("lowerdir+", &by_descriptor(*layer))?;
        }
        self.finish(overlay, attributes)
    }

    /// The names of all layers together take no more than 255 bytes: about 14 layers.
    fn all_layers_at_once(&self, attributes: Attributes) -> Result<OwnedFd> {
        let layers: Vec<_> = self.lower.iter().map(|layer| by_descriptor(*layer)).collect();
        let overlay = FileSystem::new("overlay")?.option("lowerdir", &layers.join(":"))?;
        self.finish(overlay, attributes)
    }

    fn finish(&self, mut overlay: FileSystem, attributes: Attributes) -> Result<OwnedFd> {
        overlay = overlay.option("source", self.name)?;
        if let Some(upper) = self.upper {
            overlay = overlay
                .option("upperdir", &by_descriptor(upper.directory))?
                .option("workdir", &by_descriptor(upper.work))?;
        }
        for flag in self.flags {
            overlay = overlay.flag(flag)?;
        }
        overlay.mount(attributes)
    }
}

fn by_descriptor(directory: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", directory.as_raw_fd())
}

/// A new mount, attached nowhere, of what is at `object` (`open_tree(2)`): a file or directory, which
/// an `O_PATH` descriptor may name.
///
/// # Errors
/// Where the mount cannot be cloned: unbindable, or of another mount namespace.
pub fn clone_tree(object: BorrowedFd<'_>, depth: Depth) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if depth == Depth::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(object, c"", flags).map_err(Error::on("open_tree", "a mount to clone"))
}

/// Attaches a mount to `target`, over what is there (`move_mount(2)`).
///
/// # Errors
/// Where one is a directory and the other is not, or `target` is in another mount namespace.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target, c"", flags).map_err(Error::on("move_mount", "a mount to its target"))
}

/// A change of what a mount is like (`mount_setattr(2)`).
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Attributes to set. Of the access times one can be set, after clearing them all.
    pub set: Attributes,
    /// Attributes to clear.
    pub clear: Attributes,
    /// The new propagation.
    pub propagation: Option<Propagation>,
    /// A user namespace whose map the mount's owners go through (`MOUNT_ATTR_IDMAP`); for a mount
    /// that is attached nowhere.
    pub id_map: Option<BorrowedFd<'a>>,
}

impl Default for Change<'_> {
    fn default() -> Self {
        Self { set: Attributes::empty(), clear: Attributes::empty(), propagation: None, id_map: None }
    }
}

impl Display for Change<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.set.iter_names().map(|(name, _)| format!("+{name}")));
        parts.extend(self.clear.iter_names().map(|(name, _)| format!("-{name}")));
        parts.extend(self.propagation.map(|propagation| format!("{propagation:?}")));
        parts.extend(self.id_map.map(|_| "an id map".to_owned()));
        out.write_str(&parts.join(" "))
    }
}

/// `struct mount_attr` of linux/mount.h, in its first size.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes a mount, or it and those below, all or none. `mount` is a descriptor of its root.
///
/// # Errors
/// Where an attribute is locked, no change is possible now (a writer, for read-only), or `mount` is
/// not the root of a mount.
pub fn change(mount: BorrowedFd<'_>, change: Change<'_>, depth: Depth) -> Result<()> {
    let id_map = match change.id_map {
        Some(_) => Attributes::MOUNT_ATTR_IDMAP,
        None => Attributes::empty(),
    };
    let attributes = MountAttr {
        attr_set: u64::from((change.set | id_map).bits()),
        attr_clr: u64::from(change.clear.bits()),
        propagation: change.propagation.map_or(0, |propagation| propagation as u64),
        userns_fd: change.id_map.map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    let recursive = match depth {
        Depth::One => 0,
        Depth::Recursive => libc::AT_RECURSIVE,
    };
    // SAFETY: the empty path with AT_EMPTY_PATH names the descriptor; `attributes` has the layout and
    // size that are passed and outlives the call, which only reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let cause = io::Error::last_os_error();
    Err(Error::new("mount_setattr", change, cause))
}

/// Sets the propagation of every mount of this mount namespace.
///
/// # Errors
/// Where the root directory of this process is not the root of a mount.
pub fn set_propagation_of_all(propagation: Propagation) -> Result<()> {
    let root = open_root()?;
    let everything = Change { propagation: Some(propagation), ..Change::default() };
    change(root.as_fd(), everything, Depth::Recursive)
}

/// Makes the mount at `new_root` the root of this mount namespace and of the calling process, which
/// stands in it afterwards, and lets go of the old root with all that was mounted there
/// (`pivot_root(2)`, with the old root stacked over the new and then detached).
///
/// # Errors
/// Where `new_root` is not the root of a mount in this namespace, or it or its parent is shared.
pub fn pivot_root(new_root: BorrowedFd<'_>) -> Result<()> {
    exchange_roots(new_root, Path::new("."))?;
    unmount_detached(Path::new("."))?;
    enter_root()
}

/// The same, but the old root stays, at the directory `old` of the new one, until it is unmounted.
///
/// # Errors
/// As for [`pivot_root`], or where there is no such directory.
pub fn pivot_root_keeping(new_root: BorrowedFd<'_>, old: &Path) -> Result<()> {
    exchange_roots(new_root, old)?;
    enter_root()
}

fn exchange_roots(new_root: BorrowedFd<'_>, old: &Path) -> Result<()> {
    rustix::process::fchdir(new_root).map_err(Error::on("fchdir", "the new root"))?;
    rustix::process::pivot_root(c".", old).map_err(Error::on("pivot_root", "the new root"))
}

fn enter_root() -> Result<()> {
    rustix::process::chdir(c"/").map_err(Error::on("chdir", "the new root"))
}

/// Takes the topmost mount at `path` out of the tree with all below it; it ends with its last user.
/// A symbolic link as last component is not followed.
///
/// # Errors
/// Where nothing is mounted there.
pub fn unmount_detached(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(Error::on("umount", path.display()))
}

fn open_root() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(c"/", flags, Mode::empty()).map_err(Error::on("open", "/"))
}

#[cfg(test)]
mod tests;
