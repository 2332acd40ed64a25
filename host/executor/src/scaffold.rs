//! Init's own file system: a few fixed things in a small tmpfs, from which the apps' roots are built.
//!
//! No path of the host and no file of an image is in it. An init that sees the host's processes, and so could
//! see the host's files by way of them, stays among the host's mounts, and has none until an app comes later
//! ([`part_from_host`]): [`Base`].

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rkt_sys::mount::{self, Attributes, Change, Depth, FileSystem, Propagation};
use rkt_sys::namespace::{self, Namespace, Namespaces};
use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev};

use crate::failure::Failure;

/// Where a procfs of the pod's pid namespace is.
pub(crate) const PROC: &str = "/proc";

/// Where an app's process attaches the app's root, in a mount namespace of its own.
pub(crate) const APP: &str = "/app";

/// Where parts of apps are put that init did not inherit: see [`crate::places`].
pub(crate) const APPS: &str = "/apps";

/// Where nodes of the plan's devices are.
const NODES: &str = "/devices";

/// Where the host's mounts are until they are let go of.
const HOST: &str = "/host";

/// The null device in it.
pub(crate) const NULL: &str = "/null";

/// The host's.
pub(crate) const HOSTS_NULL: &str = "/dev/null";

const EMPTY: &str = "/empty";

/// Where an app's first process begins, in a mount namespace of its own.
#[derive(Debug)]
pub(crate) enum Base {
    /// In a copy of init's file system.
    Init,
    /// Among copies of the host's mounts. Where its plan has devices or masks there is such a file system for it
    /// alone, attached nowhere.
    Host(Option<OwnedFd>),
}

/// Its parts, open.
#[derive(Debug)]
pub(crate) struct Scaffold {
    /// A null device.
    pub(crate) null: OwnedFd,
    /// An empty directory.
    pub(crate) empty: OwnedFd,
    /// The directory of the nodes of the plan's devices.
    pub(crate) nodes: Root,
}

/// Makes it, attached nowhere, and the directory in it where nodes of devices go.
pub(crate) fn prepare() -> Result<(OwnedFd, Root), Failure> {
    make().map_err(Failure::of(|| "make init's file system"))
}

fn make() -> rkt_sys::Result<(OwnedFd, Root)> {
    let tmpfs = FileSystem::new("tmpfs")?.option("mode", "0755")?.option("size", "1m")?;
    let mount = tmpfs.mount(Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC)?;
    // Nobody else can have reached into it: plain names lead where they say.
    let failed = |call, path: &'static str| move |cause| rkt_sys::Error::new(call, path, cause);
    for directory in [PROC, APP, APPS, EMPTY, NODES, HOST] {
        let mode = Mode::from_raw_mode(0o555);
        rustix::fs::mkdirat(&mount, name(directory), mode).map_err(failed("mkdir", directory))?;
    }
    let (kind, mode) = (FileType::CharacterDevice, Mode::from_raw_mode(0o666));
    rustix::fs::mknodat(&mount, name(NULL), kind, mode, makedev(1, 3)).map_err(failed("mknod", NULL))?;
    // The mode that mknod(2) was given went through the umask.
    rustix::fs::chmodat(&mount, name(NULL), mode, AtFlags::empty()).map_err(failed("chmod", NULL))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let nodes = rustix::fs::openat(&mount, name(NODES), flags, Mode::empty()).map_err(failed("open", NODES))?;
    Ok((mount, Root::from_fd(nodes)?))
}

/// A place in it, from its root.
fn name(place: &'static str) -> &'static str {
    place.trim_start_matches('/')
}

/// Makes it the root of init, which is this process, and of its mount namespace. The host's mounts are below it
/// until [`leave_host`].
pub(crate) fn enter(mount: &OwnedFd) -> Result<(), Failure> {
    pivot(mount).and_then(|()| finish(mount)).map_err(Failure::of(LEAVE))
}

const LEAVE: fn() -> &'static str = || "leave the host's file systems";

fn pivot(mount: &OwnedFd) -> rkt_sys::Result<()> {
    mount::set_propagation_of_all(Propagation::Private)?;
    let host = Root::open(Path::new("/"))?;
    mount::attach(mount.as_fd(), host.as_fd())?;
    drop(host);
    mount::pivot_root_keeping(mount.as_fd(), Path::new(name(HOST)))
}

fn finish(mount: &OwnedFd) -> rkt_sys::Result<()> {
    let read_only = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
    mount::change(mount.as_fd(), read_only, Depth::One)?;
    let kernels = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC;
    let proc = FileSystem::new("proc")?.mount(kernels)?;
    mount::attach(proc.as_fd(), Root::open(Path::new(PROC))?.as_fd())
}

/// Lets go of the host's mounts. The kernel waits there until no other processor walks them.
pub(crate) fn leave_host() -> Result<(), Failure> {
    mount::unmount_detached(Path::new(HOST)).map_err(Failure::of(|| "let go of the host's file systems"))
}

/// Gives init, which is this process and among the host's mounts, a mount namespace and a file system of its own.
pub(crate) fn part_from_host() -> Result<(), Failure> {
    namespace::unshare(Namespaces::NONE.with(Namespace::Mount)).map_err(Failure::of(LEAVE))?;
    enter(&prepare()?.0)?;
    leave_host()
}

impl Base {
    /// Where the app's root is to be attached, and what is in reach for making it.
    pub(crate) fn open(&self) -> Result<(&'static Path, Option<Scaffold>), Failure> {
        let open = || Scaffold::open().map_err(Failure::of(|| "open init's file system"));
        match self {
            Self::Init => Ok((Path::new(APP), Some(open()?))),
            Self::Host(Some(mount)) => {
                pivot(mount).map_err(Failure::of(LEAVE))?;
                Ok((Path::new(APP), Some(open()?)))
            }
            Self::Host(None) => {
                mount::set_propagation_of_all(Propagation::Private).map_err(Failure::of(LEAVE))?;
                Ok((Path::new("/"), None))
            }
        }
    }

    /// The null device, before [`Base::open`].
    pub(crate) fn null(&self) -> &'static str {
        match self {
            Self::Init => NULL,
            Self::Host(_) => HOSTS_NULL,
        }
    }
}

/// A plan that needs such a file system is not enacted without.
pub(crate) fn missing() -> Failure {
    Failure::new("there is no file system of init's to take it from")
}

impl Scaffold {
    /// Its parts, as seen in this process's mount namespace.
    fn open() -> rkt_sys::Result<Self> {
        let root = Root::open(Path::new("/"))?;
        Ok(Self {
            null: root.open_path(Path::new(NULL))?,
            empty: root.open_path(Path::new(EMPTY))?,
            nodes: root.open_path(Path::new(NODES)).and_then(Root::from_fd)?,
        })
    }
}

/// The null device at this place, open for reading and writing.
pub(crate) fn open_null(place: &'static str) -> Result<OwnedFd, Failure> {
    rustix::fs::open(place, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(Failure::of(|| format!("open the null device {place}")))
}
