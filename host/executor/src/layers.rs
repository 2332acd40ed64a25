//! Layers as one tree, to be read by rkt itself when nobody writes to them any more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rkt_sys::mount::{Attributes, Overlay};
use rkt_sys::root::Root;

use crate::failure::Failure;

/// What an app has changed over the trees of its image, topmost first, as one. It is attached nowhere and cannot be
/// written to; nothing in it can be run or is a device.
///
/// # Errors
/// A tree is not there, or the kernel refuses to put them together.
pub fn to_read(changes: impl AsFd, trees: &[PathBuf]) -> Result<OwnedFd, Failure> {
    let trees: Vec<Root> = trees
        .iter()
        .map(|tree| Root::open(tree))
        .collect::<Result<_, _>>()
        .map_err(Failure::of(|| "open the trees of its image"))?;
    let lower: Vec<BorrowedFd<'_>> = std::iter::once(changes.as_fd()).chain(trees.iter().map(Root::as_fd)).collect();
    let overlay = Overlay { name: "rkt-export", lower: &lower, upper: None, flags: &[] };
    let attributes = Attributes::MOUNT_ATTR_RDONLY
        | Attributes::MOUNT_ATTR_NODEV
        | Attributes::MOUNT_ATTR_NOSUID
        | Attributes::MOUNT_ATTR_NOEXEC;
    overlay.mount(attributes).map_err(Failure::of(|| "mount the layers"))
}
