//! `device`: a device node like the host's, offered under the same path.
//!
//! The node is one of the pod's own, so that what an app does to its mode or owner is not done to the
//! host's. It lies in init's file system and is bound to its path: every other file system that an app
//! can write to is mounted without devices, so a node that an app makes itself opens nothing, whatever
//! its capabilities.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_plan::{CleanPath, Credentials, Mount};
use rkt_sys::mount::{self, Attributes, Change, Depth};
use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};

use crate::failure::Failure;
use crate::target::{self, Kind};

/// What the host has at a device's path.
#[derive(Debug)]
pub(crate) struct Model {
    path: CleanPath,
    kind: FileType,
    stat: Stat,
}

/// A device node of the pod's own, made.
#[derive(Debug)]
pub(crate) struct Device {
    path: CleanPath,
    node: Node,
}

#[derive(Debug)]
enum Node {
    /// In the directory of nodes in init's file system, under this name.
    Named(PathBuf),
    /// A mount of it that is attached nowhere.
    Mount(OwnedFd),
}

/// Looks at the device at this path of the host.
pub(crate) fn look(path: &CleanPath) -> Result<Model, Failure> {
    let failed = || format!("offer device {path}");
    let stat = rustix::fs::open(path.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .and_then(rustix::fs::fstat)
        .map_err(Failure::of(failed))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Failure::new("it is no device").within(failed()));
    }
    Ok(Model { path: path.clone(), kind, stat })
}

impl Model {
    /// Makes a node like it, under a name of its own in `nodes`, the scaffold's directory. Where it has an owner,
    /// it is theirs alone.
    pub(crate) fn make(&self, nodes: &Root, name: &str, owner: Option<&Credentials>) -> Result<Device, Failure> {
        self.make_at(nodes, Path::new(name), owner).map_err(Failure::of(|| format!("offer device {}", self.path)))?;
        Ok(Device::named(&self.path, name.to_owned()))
    }

    /// Makes a node like it somewhere.
    pub(crate) fn make_at(&self, root: &Root, node: &Path, owner: Option<&Credentials>) -> rkt_sys::Result<()> {
        let (owner, mode) = match owner {
            Some(ids) => ((ids.uid, ids.gid), 0o600),
            None => ((self.stat.st_uid, self.stat.st_gid), self.stat.st_mode & 0o777),
        };
        make(&self.stat, self.kind, root, node, owner, Mode::from_raw_mode(mode))
    }
}

impl Device {
    /// The device for this path of an app, by a node that somebody made.
    pub(crate) fn of_node(path: &CleanPath, node: &OwnedFd) -> Result<Self, Failure> {
        let mount = mount::clone_tree(node.as_fd(), Depth::One)
            .map_err(Failure::of(|| format!("take the node of device {path}")))?;
        Ok(Self { path: path.clone(), node: Node::Mount(mount) })
    }

    /// The device for this path of an app, by a node of this name in init's file system.
    pub(crate) fn named(path: &CleanPath, name: String) -> Self {
        Self { path: path.clone(), node: Node::Named(name.into()) }
    }

    /// The descriptor in it, where it has one.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.node {
            Node::Named(_) => None,
            Node::Mount(mount) => Some(mount.as_fd()),
        }
    }
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

/// Binds the node to its path. `nodes` is the scaffold's directory, as this mount namespace has it.
pub(crate) fn enact(root: &Root, device: &Device, nodes: &Root, all: &[Mount]) -> Result<(), Failure> {
    let path = &device.path;
    let bound = target::open(root, path, Kind::File, all).and_then(|target| {
        let made;
        let mount = match &device.node {
            Node::Mount(mount) => mount,
            Node::Named(name) => {
                let node = nodes.open_path_nofollow(name).map_err(Failure::of(|| "find its node"))?;
                made = mount::clone_tree(node.as_fd(), Depth::One).map_err(Failure::of(|| "bind its node"))?;
                &made
            }
        };
        let set = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
        let change = Change { set, clear: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
        mount::change(mount.as_fd(), change, Depth::One).map_err(Failure::of(|| "bind its node"))?;
        mount::attach(mount.as_fd(), target.as_fd()).map_err(Failure::of(|| "bind its node"))
    });
    bound.map_err(|cause| cause.within(format!("offer device {path}")))
}
