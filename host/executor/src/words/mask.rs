//! `mask`: something that is there, unreadable.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rkt_plan::CleanPath;
use rkt_sys::mount::{self, Attributes, Change, Depth};
use rkt_sys::root::Root;
use rustix::io::Errno;

use crate::failure::Failure;
use crate::scaffold::Scaffold;
use crate::target::Kind;

/// Covers a file with the null device and a directory with an empty one, both the scaffold's own,
/// never the image's (CVE-2025-31133). Nothing happens where the path does not exist.
pub(crate) fn enact(root: &Root, path: &CleanPath, scaffold: &Scaffold) -> Result<(), Failure> {
    cover(root, Path::new(path.as_str()), scaffold).map_err(Failure::of(|| format!("mask {path}")))
}

fn cover(root: &Root, path: &Path, scaffold: &Scaffold) -> rkt_sys::Result<()> {
    let place = match root.open_path(path) {
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NOTDIR)) => return Ok(()),
        other => other?,
    };
    let stat = rustix::fs::fstat(&place).map_err(|cause| rkt_sys::Error::new("fstat", path.display(), cause))?;
    let (cover, nodev) = match Kind::of(&stat) {
        Kind::Directory => (clone(&scaffold.empty)?, Attributes::MOUNT_ATTR_NODEV),
        Kind::File => (clone(&scaffold.null)?, Attributes::empty()),
    };
    let set = Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC | nodev;
    mount::change(cover.as_fd(), Change { set, ..Change::default() }, Depth::One)?;
    mount::attach(cover.as_fd(), place.as_fd())
}

fn clone(object: &OwnedFd) -> rkt_sys::Result<OwnedFd> {
    mount::clone_tree(object.as_fd(), Depth::One)
}
