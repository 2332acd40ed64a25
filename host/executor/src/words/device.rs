//! `device`: a device node like the host's, offered under the same path.
//!
//! The node is one of the pod's own, so that what an app does to its mode or owner is not done to the
//! host's. It lies in init's file system and is bound to its path: every other file system that an app
//! can write to is mounted without devices, so a node that an app makes itself opens nothing, whatever
//! its capabilities.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rkt_plan::{CleanPath, Credentials, Mount};
use rkt_sys::mount::{self, Attributes, Change, Depth};
use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};

use crate::failure::Failure;
use crate::target::{self, Kind};

/// A device node, made.
#[derive(Debug)]
pub(crate) struct Device {
    path: CleanPath,
    /// Where the node is in init's file system.
    node: PathBuf,
}

/// Makes a node like the one at this path of the host, under a name of its own in `nodes`. Where it has
/// an owner, it is theirs alone.
pub(crate) fn prepare(
    path: &CleanPath,
    nodes: &Root,
    name: &str,
    owner: Option<&Credentials>,
) -> Result<Device, Failure> {
    let failed = || format!("offer device {path}");
    let host = rustix::fs::open(path.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .and_then(rustix::fs::fstat)
        .map_err(Failure::of(failed))?;
    let kind = FileType::from_raw_mode(host.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Failure::new("it is no device").within(failed()));
    }
    let node = PathBuf::from(name);
    let (owner, mode) = match owner {
        Some(ids) => ((ids.uid, ids.gid), 0o600),
        None => ((host.st_uid, host.st_gid), host.st_mode & 0o777),
    };
    make(&host, kind, nodes, &node, owner, Mode::from_raw_mode(mode)).map_err(Failure::of(failed))?;
    Ok(Device { path: path.clone(), node })
}

fn make(
    host: &Stat,
    kind: FileType,
    nodes: &Root,
    node: &Path,
    (uid, gid): (u32, u32),
    mode: Mode,
) -> rkt_sys::Result<()> {
    nodes.mknod(node, kind, mode, host.st_rdev)?;
    let failed = |cause| rkt_sys::Error::new("mknod", node.display(), cause);
    let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(nodes, node, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    // The mode that mknod(2) was given went through the umask.
    rustix::fs::chmodat(nodes, node, mode, AtFlags::empty()).map_err(failed)
}

/// Binds the node to its path. `nodes` is where it was made, as this mount namespace has it.
pub(crate) fn enact(root: &Root, device: &Device, nodes: &Root, all: &[Mount]) -> Result<(), Failure> {
    let path = &device.path;
    let bound = target::open(root, path, Kind::File, all).and_then(|target| {
        let node = nodes.open_path_nofollow(&device.node).map_err(Failure::of(|| "find its node"))?;
        let mount = mount::clone_tree(node.as_fd(), Depth::One).map_err(Failure::of(|| "bind its node"))?;
        let set = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
        let change = Change { set, clear: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
        mount::change(mount.as_fd(), change, Depth::One).map_err(Failure::of(|| "bind its node"))?;
        mount::attach(mount.as_fd(), target.as_fd()).map_err(Failure::of(|| "bind its node"))
    });
    bound.map_err(|cause| cause.within(format!("offer device {path}")))
}
