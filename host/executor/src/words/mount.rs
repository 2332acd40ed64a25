//! `mount`: a file system that the kernel makes, of the namespaces of the process that asks for it.

use std::os::fd::{AsFd as _, OwnedFd};

use rkt_plan::{CleanPath, FileSystem, Mount, MountOptions};
use rkt_sys::mount::{self, Attributes};
use rkt_sys::root::Root;

use crate::failure::Failure;
use crate::target::{self, Kind};

/// Makes it and puts it in its place.
pub(crate) fn enact(
    root: &Root,
    kind: FileSystem,
    at: &CleanPath,
    options: &MountOptions,
    all: &[Mount],
) -> Result<(), Failure> {
    let target = target::open(root, at, Kind::Directory, all)?;
    let mount = make(kind, options).map_err(Failure::of(|| "make the file system"))?;
    mount::attach(mount.as_fd(), target.as_fd()).map_err(Failure::of(|| "attach it"))
}

fn make(kind: FileSystem, options: &MountOptions) -> rkt_sys::Result<OwnedFd> {
    let mut attributes = Attributes::MOUNT_ATTR_NOSUID;
    attributes.set(Attributes::MOUNT_ATTR_RDONLY, options.read_only);
    attributes.set(Attributes::MOUNT_ATTR_NOEXEC, options.no_exec);
    // The plan's devices are bound, so that nodes that an app makes on a tmpfs work nowhere.
    attributes.set(Attributes::MOUNT_ATTR_NODEV, kind != FileSystem::Devpts);
    let mut file_system = mount::FileSystem::new(kind.name())?;
    for (name, value) in &options.parameters {
        file_system = file_system.option(name, value)?;
    }
    file_system.mount(attributes)
}
