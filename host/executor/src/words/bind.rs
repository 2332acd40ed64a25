//! `bind`: something that is elsewhere, seen in an app.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rkt_plan::{Access, CleanPath, Mount, Reach, Source};
use rkt_sys::mount::{self, Attributes, Change, Depth, Propagation};
use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{root, user};
use crate::failure::Failure;
use crate::launch::Launch;
use crate::target::{self, Kind};

/// A mount of the source, attached nowhere yet.
#[derive(Debug)]
pub(crate) struct Bind {
    mount: OwnedFd,
    kind: Kind,
}

/// Clones the source with the access that the plan gives. Mounts that are made below it on the host
/// later appear in the pod too; those that the pod makes do not appear on the host.
pub(crate) fn prepare(
    source: &Source,
    access: Access,
    reach: Reach,
    launch: &Launch,
    writer: Writer,
) -> Result<Bind, Failure> {
    let failed = || format!("bind {}", describe(source));
    let depth = depth(reach);
    let mount = if let Source::RootOf(app) = source {
        root::of_app(launch, app)?
    } else {
        let opened = open(source, launch, writer)?;
        mount::clone_tree(opened.as_fd(), depth).map_err(Failure::of(failed))?
    };
    let stat = rustix::fs::fstat(&mount).map_err(Failure::of(failed))?;
    let mut set = match source {
        Source::Host(_) => Attributes::empty(),
        // The user named this very device, and a mount of it shows no other.
        Source::Volume(_) if is_device(&stat) => Attributes::MOUNT_ATTR_NOSUID,
        // Programs of the payload and of rkt are executed by descriptor or from here.
        Source::Volume(_) | Source::Empty(_) | Source::RootOf(_) | Source::Payload(_) | Source::Artifact(_) => {
            Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV
        }
    };
    set.set(Attributes::MOUNT_ATTR_RDONLY, access == Access::ReadOnly);
    let change = Change { set, propagation: Some(Propagation::Slave), ..Change::default() };
    mount::change(mount.as_fd(), change, depth).map_err(Failure::of(failed))?;
    Ok(Bind { mount, kind: Kind::of(&stat) })
}

fn is_device(stat: &Stat) -> bool {
    matches!(FileType::from_raw_mode(stat.st_mode), FileType::CharacterDevice | FileType::BlockDevice)
}

impl Bind {
    /// The same of a mount that somebody prepared, and of which this is a copy of one's own.
    pub(crate) fn of_mount(place: &OwnedFd, reach: Reach) -> Result<Self, Failure> {
        let failed = || "take a bind from its place";
        let stat = rustix::fs::fstat(place).map_err(Failure::of(failed))?;
        let mount = mount::clone_tree(place.as_fd(), depth(reach)).map_err(Failure::of(failed))?;
        Ok(Self { mount, kind: Kind::of(&stat) })
    }

    /// The same of a mount that was handed over, attached nowhere.
    pub(crate) fn of_handed(mount: OwnedFd) -> Result<Self, Failure> {
        let stat = rustix::fs::fstat(&mount).map_err(Failure::of(|| "take a bind that was handed over"))?;
        Ok(Self { mount, kind: Kind::of(&stat) })
    }

    /// Whether it is a directory or not.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The mount.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// The mount itself, attached nowhere.
    pub(crate) fn into_mount(self) -> OwnedFd {
        self.mount
    }

    /// Puts it in its place.
    pub(crate) fn attach(&self, root: &Root, at: &CleanPath, all: &[Mount]) -> Result<(), Failure> {
        let target = target::open(root, at, self.kind, all)?;
        mount::attach(self.mount.as_fd(), target.as_fd()).map_err(Failure::of(|| "attach it"))
    }
}

/// Opens what a program gets as a descriptor.
pub(crate) fn open_for(source: &Source, access: Access, launch: &Launch, writer: Writer) -> Result<OwnedFd, Failure> {
    let failed = || format!("open {}", describe(source));
    let opened = match source {
        Source::RootOf(app) => root::of_app(launch, app)?,
        source => open(source, launch, writer)?,
    };
    let flags = match access {
        Access::ReadOnly => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
    };
    let stat = rustix::fs::fstat(&opened).map_err(Failure::of(failed))?;
    let flags = if Kind::of(&stat) == Kind::Directory { OFlags::RDONLY | OFlags::DIRECTORY } else { flags };
    // Through the descriptor: whatever is at the path by now, this is what was looked at.
    let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&opened));
    rustix::fs::open(own, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).map_err(Failure::of(failed))
}

fn depth(reach: Reach) -> Depth {
    match reach {
        Reach::Single => Depth::One,
        Reach::Recursive => Depth::Recursive,
    }
}

fn open(source: &Source, launch: &Launch, writer: Writer) -> Result<OwnedFd, Failure> {
    let failed = || format!("open {}", describe(source));
    let places = &launch.places;
    let missing = || Failure::new(format!("the launch has no {}", describe(source)));
    let path = match source {
        Source::Volume(name) => places.volumes.get(name).ok_or_else(missing)?.clone(),
        Source::Host(path) => path.as_str().into(),
        Source::Empty(name) => return open_empty(&places.empty, name, writer).map_err(Failure::of(failed)),
        Source::Payload(path) => {
            let Some(root) = &places.payload else {
                return Err(Failure::new("the plugin did not come in an image, so it has no payload").within(failed()));
            };
            let opened = Root::open(root).and_then(|root| root.open_path(Path::new(path.as_str())));
            return opened.map_err(Failure::of(failed));
        }
        Source::Artifact(artifact) => {
            let made = places.artifacts.iter().find(|made| made.artifact == *artifact);
            made.ok_or_else(missing)?.path.clone()
        }
        Source::RootOf(_) => return Err(missing()),
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).map_err(Failure::of(|| format!("open {}", path.display())))
}

/// Who writes to an empty place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Whoever the place's owner, root, lets write.
    Root,
    /// The group of the pod's programs.
    Programs,
}

/// An empty place is made when it is first used, as is the directory of them all; those that name the same
/// one share it.
fn open_empty(directory: &Path, name: &str, writer: Writer) -> rkt_sys::Result<OwnedFd> {
    match rustix::fs::mkdir(directory, Mode::from_raw_mode(0o750)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(cause) => return Err(rkt_sys::Error::new("mkdir", directory.display(), cause)),
    }
    let directory = Root::open(directory)?;
    match directory.create_dir(name.as_ref(), Mode::from_raw_mode(0o755)) {
        Err(error) if error.errno() != Some(Errno::EXIST) => return Err(error),
        _ => {}
    }
    if writer == Writer::Programs {
        let failed = |cause| rkt_sys::Error::new("chown", name, cause);
        let group = Some(rustix::fs::Gid::from_raw(user::own_group()));
        rustix::fs::chownat(&directory, name, None, group, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        rustix::fs::chmodat(&directory, name, Mode::from_raw_mode(0o775), AtFlags::empty()).map_err(failed)?;
    }
    directory.open_path_nofollow(name.as_ref())
}

/// What it is, for messages.
pub(crate) fn describe(source: &Source) -> String {
    match source {
        Source::Volume(name) => format!("volume {name}"),
        Source::Empty(name) => format!("empty place {name}"),
        Source::Host(path) => path.to_string(),
        Source::Payload(path) => format!("{path} of the payload"),
        Source::RootOf(app) => format!("root of app {app}"),
        Source::Artifact(artifact) => format!("artifact {}", artifact.kind().name()),
    }
}
