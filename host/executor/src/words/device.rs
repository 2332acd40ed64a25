//! `device`: a device node of the host, offered under its own path.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rkt_plan::{CheckedApp, CleanPath, FileSystem, Mount};
use rkt_sys::mount::{self, Depth};
use rkt_sys::root::Root;
use rustix::fs::{AtFlags, Dev, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::failure::Failure;
use crate::target::{self, Kind};

/// A device node, looked at on the host.
#[derive(Debug)]
pub(crate) struct Device {
    path: CleanPath,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// A node of its own, like the host's, on a file system that the plan made.
    Node { kind: FileType, number: Dev, mode: Mode, owner: Uid, group: Gid },
    /// The host's own node: an image's file system has no nodes.
    Bind(OwnedFd),
}

impl Device {
    /// The mount, where it is one.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.form {
            Form::Bind(mount) => Some(mount.as_fd()),
            Form::Node { .. } => None,
        }
    }
}

pub(crate) fn prepare(app: &CheckedApp, path: &CleanPath) -> Result<Device, Failure> {
    let failed = || format!("offer device {path}");
    let node =
        rustix::fs::open(path.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(Failure::of(failed))?;
    let stat = rustix::fs::fstat(&node).map_err(Failure::of(failed))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Failure::new("it is no device").within(failed()));
    }
    let form = if is_on_tmpfs(app, path) {
        Form::Node {
            kind,
            number: stat.st_rdev,
            mode: Mode::from_raw_mode(stat.st_mode & 0o777),
            owner: Uid::from_raw(stat.st_uid),
            group: Gid::from_raw(stat.st_gid),
        }
    } else {
        Form::Bind(mount::clone_tree(node.as_fd(), Depth::One).map_err(Failure::of(failed))?)
    };
    Ok(Device { path: path.clone(), form })
}

/// Whether the nearest mount above the path is a tmpfs; the check has let devices work on it.
fn is_on_tmpfs(app: &CheckedApp, path: &CleanPath) -> bool {
    let above = app.mounts.iter().rfind(|mount| mount.target().holds(path));
    matches!(above, Some(Mount::FileSystem { kind: FileSystem::Tmpfs, .. }))
}

pub(crate) fn enact(root: &Root, device: &Device, all: &[Mount]) -> Result<(), Failure> {
    let path = &device.path;
    let offered = match &device.form {
        Form::Bind(mount) => target::open(root, path, Kind::File, all)
            .and_then(|target| mount::attach(mount.as_fd(), target.as_fd()).map_err(Failure::of(|| "attach it"))),
        Form::Node { kind, number, mode, owner, group } => {
            make_node(root, path, *kind, *number, *mode, *owner, *group).map_err(Failure::of(|| "make a node"))
        }
    };
    offered.map_err(|cause| cause.within(format!("offer device {path}")))
}

fn make_node(
    root: &Root,
    path: &CleanPath,
    kind: FileType,
    number: Dev,
    mode: Mode,
    owner: Uid,
    group: Gid,
) -> rkt_sys::Result<()> {
    let path = Path::new(path.as_str());
    if let Err(error) = root.mknod(path, kind, mode, number) {
        if error.errno() != Some(Errno::NOENT) {
            return Err(error);
        }
        if let Some(parent) = path.parent() {
            root.create_dir_all(parent, Mode::from_raw_mode(0o755))?;
        }
        root.mknod(path, kind, mode, number)?;
    }
    if owner.is_root() && group.is_root() {
        return Ok(());
    }
    let (parent, name) = root.open_parent(path)?;
    rustix::fs::chownat(parent, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|cause| rkt_sys::Error::new("chown", path.display(), cause))
}
