//! `bind`: something that is elsewhere, seen in an app.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rkt_plan::{Access, CleanPath, Mount, Reach, Source};
use rkt_sys::mount::{self, Attributes, Change, Depth, Propagation};
use rkt_sys::root::Root;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::failure::Failure;
use crate::launch::Places;
use crate::target::{self, Kind};

/// A mount of the source, attached nowhere yet.
#[derive(Debug)]
pub(crate) struct Bind {
    mount: OwnedFd,
    kind: Kind,
}

/// Clones the source with the access that the plan gives. Mounts that are made below it on the host
/// later appear in the pod too; those that the pod makes do not appear on the host.
pub(crate) fn prepare(source: &Source, access: Access, reach: Reach, places: &Places) -> Result<Bind, Failure> {
    let opened = open(source, places)?;
    let failed = || format!("bind {}", describe(source));
    let stat = rustix::fs::fstat(&opened).map_err(Failure::of(failed))?;
    let depth = match reach {
        Reach::Single => Depth::One,
        Reach::Recursive => Depth::Recursive,
    };
    let mount = mount::clone_tree(opened.as_fd(), depth).map_err(Failure::of(failed))?;
    let mut set = match source {
        Source::Host(_) => Attributes::empty(),
        Source::Volume(_) | Source::Empty(_) => Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV,
    };
    set.set(Attributes::MOUNT_ATTR_RDONLY, access == Access::ReadOnly);
    let change = Change { set, propagation: Some(Propagation::Slave), ..Change::default() };
    mount::change(mount.as_fd(), change, depth).map_err(Failure::of(failed))?;
    Ok(Bind { mount, kind: Kind::of(&stat) })
}

impl Bind {
    /// The mount.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Puts it in its place.
    pub(crate) fn attach(&self, root: &Root, at: &CleanPath, all: &[Mount]) -> Result<(), Failure> {
        let target = target::open(root, at, self.kind, all)?;
        mount::attach(self.mount.as_fd(), target.as_fd()).map_err(Failure::of(|| "attach it"))
    }
}

fn open(source: &Source, places: &Places) -> Result<OwnedFd, Failure> {
    let failed = || format!("open {}", describe(source));
    let path = match source {
        Source::Volume(name) => {
            let unknown = || Failure::new(format!("the launch has no volume {name}"));
            places.volumes.get(name).ok_or_else(unknown)?.clone()
        }
        Source::Host(path) => path.as_str().into(),
        Source::Empty(name) => return open_empty(&places.empty, name).map_err(Failure::of(failed)),
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).map_err(Failure::of(|| format!("open {}", path.display())))
}

/// An empty place is made when it is first used; apps that name the same one share it.
fn open_empty(directory: &Path, name: &str) -> rkt_sys::Result<OwnedFd> {
    let directory = Root::open(directory)?;
    match directory.create_dir(name.as_ref(), Mode::from_raw_mode(0o755)) {
        Err(error) if error.errno() != Some(Errno::EXIST) => return Err(error),
        _ => {}
    }
    directory.open_path_nofollow(name.as_ref())
}

fn describe(source: &Source) -> String {
    match source {
        Source::Volume(name) => format!("volume {name}"),
        Source::Empty(name) => format!("empty place {name}"),
        Source::Host(path) => path.to_string(),
    }
}
