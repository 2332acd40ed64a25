//! `read-only`: something that is there already, for reading from now on.

use std::os::fd::AsFd as _;
use std::path::Path;

use rkt_plan::CleanPath;
use rkt_sys::mount::{self, Attributes, Change, Depth};
use rkt_sys::root::Root;
use rustix::io::Errno;

use crate::failure::Failure;

/// Covers what is at the path with itself, read-only, with all mounts below it. Nothing happens
/// where the path does not exist.
pub(crate) fn enact(root: &Root, path: &CleanPath) -> Result<(), Failure> {
    cover(root, Path::new(path.as_str())).map_err(Failure::of(|| format!("make {path} read-only")))
}

fn cover(root: &Root, path: &Path) -> rkt_sys::Result<()> {
    let place = match root.open_path(path) {
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NOTDIR)) => return Ok(()),
        other => other?,
    };
    let cover = mount::clone_tree(place.as_fd(), Depth::Recursive)?;
    let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
    mount::change(cover.as_fd(), change, Depth::Recursive)?;
    mount::attach(cover.as_fd(), place.as_fd())
}
