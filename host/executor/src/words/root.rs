//! `root`: an app's image as its root file system.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_plan::Access;
use rkt_sys::mount::{self, Attributes, Change, Depth, FileSystem, Overlay, Propagation, Upper};
use rkt_sys::root::Root;

use crate::failure::Failure;
use crate::launch::{self, Changes, Launch};

/// The root of an app, by its name, for the app itself or for a program that runs it.
pub(crate) fn of_app(launch: &Launch, app: &str) -> Result<OwnedFd, Failure> {
    let missing = || Failure::new(format!("the launch has no root of app {app}"));
    prepare(launch.places.roots.get(app).ok_or_else(missing)?, &name(&launch.pod.uuid))
}

/// The name of the root file systems of a pod's apps, by which their processes are known.
pub(crate) fn name(uuid: &str) -> String {
    format!("rkt:{uuid}")
}

/// An app's root, attached nowhere.
fn prepare(root: &launch::Root, name: &str) -> Result<OwnedFd, Failure> {
    match &root.changes {
        Changes::Layer { upper, work } => layered(&root.lower, upper, work, name),
        Changes::Copy { copy } => copied(copy),
    }
}

/// The overlay of an app's layers, with a name that tells whose it is.
///
/// It is writable also for an app that may only read: mount points are made in it. Changes live no
/// longer than the pod, so the kernel need not write them out when it ends (`volatile`).
fn layered(lower: &[PathBuf], upper: &Path, work: &Path, name: &str) -> Result<OwnedFd, Failure> {
    let open = |path: &Path| Root::open(path).map_err(Failure::of(|| "open a layer"));
    let lower = lower.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = (open(upper)?, open(work)?);
    let overlay = Overlay {
        name,
        lower: &lower.iter().map(Root::as_fd).collect::<Vec<_>>(),
        upper: Some(Upper { directory: upper.as_fd(), work: work.as_fd() }),
        flags: &["volatile"],
    };
    // Device nodes are the plan's to give, not the image's.
    overlay.mount(Attributes::MOUNT_ATTR_NODEV).map_err(Failure::of(|| "mount the layers"))
}

/// An app's own copy. Whose it is its path tells, which has the pod's name in it.
fn copied(copy: &Path) -> Result<OwnedFd, Failure> {
    let mounted = Root::open(copy).and_then(|copy| {
        let mount = mount::clone_tree(copy.as_fd(), Depth::One)?;
        let set = Attributes::MOUNT_ATTR_NODEV;
        let change = Change { set, propagation: Some(Propagation::Private), ..Change::default() };
        mount::change(mount.as_fd(), change, Depth::One)?;
        Ok(mount)
    });
    mounted.map_err(Failure::of(|| "mount the copy of the image"))
}

/// A root with nothing in it but what is planned, attached nowhere.
pub(crate) fn bare() -> Result<OwnedFd, Failure> {
    let made = FileSystem::new("tmpfs").and_then(|tmpfs| {
        tmpfs
            .option("mode", "0755")?
            .option("size", "16m")?
            .mount(Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOSUID)
    });
    made.map_err(Failure::of(|| "make an empty root"))
}

/// The root, attached in this mount namespace at `place`.
pub(crate) fn attach(mount: BorrowedFd<'_>, place: &Path) -> Result<Root, Failure> {
    let failed = || "attach the root";
    let place = Root::open(place).map_err(Failure::of(failed))?;
    mount::attach(mount, place.as_fd()).map_err(Failure::of(failed))?;
    let root = mount.try_clone_to_owned().map_err(Failure::of(failed))?;
    Root::from_fd(root).map_err(Failure::of(failed))
}

/// The access that the plan gives, once everything is in place.
pub(crate) fn finish(root: &Root, access: Access) -> Result<(), Failure> {
    if access == Access::ReadWrite {
        return Ok(());
    }
    let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
    mount::change(root.as_fd(), change, Depth::One).map_err(Failure::of(|| "make the root read-only"))
}
