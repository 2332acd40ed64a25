//! How an app's root is put together: its files, and the end of all that was the host's.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rkt_plan::{Access, Mount};
use rkt_sys::mount as sys_mount;
use rkt_sys::root::Root;
use rustix::fs::FsWord;

use crate::failure::Failure;
use crate::order::PreparedApp;
use crate::scaffold;
use crate::words::{bind, device, file, link, mask, mount, read_only, root};

/// Builds an app's root in this process's mount namespace and makes it the only one there. Returns the
/// app's terminals, where the plan gives it any. Of a program outside of its jail it builds the tree.
pub(crate) fn assemble(app: &PreparedApp) -> Result<Option<OwnedFd>, Failure> {
    if let Some(outside) = &app.outside {
        return outside.assemble(app).map(|()| None);
    }
    let (place, scaffold) = app.base.open()?;
    let scaffold = || scaffold.as_ref().ok_or_else(scaffold::missing);
    let root = root::attach(app.root.as_fd(), place)?;
    file::make_all(&root, &app.plan)?;
    enact_mounts(&root, app)?;
    for device in &app.devices {
        device::enact(&root, device, &scaffold()?.nodes, &app.plan.mounts)?;
    }
    for link in &app.plan.links {
        link::enact(&root, link)?;
    }
    for path in &app.plan.read_only {
        read_only::enact(&root, path)?;
    }
    for path in &app.plan.masked {
        mask::enact(&root, path, scaffold()?)?;
    }
    match app.plan.root {
        rkt_plan::Root::Image(access) => root::finish(&root, access)?,
        rkt_plan::Root::Bare => root::finish(&root, Access::ReadOnly)?,
    }
    let devpts = find_terminals(&root);
    sys_mount::pivot_root(root.as_fd()).map_err(Failure::of(|| "make the image the root"))?;
    Ok(devpts)
}

/// Mounts what the plan has, in the order of its paths.
pub(crate) fn enact_mounts(root: &Root, app: &PreparedApp) -> Result<(), Failure> {
    let all = &app.plan.mounts;
    all.iter().zip(&app.binds).try_for_each(|(planned, bound)| enact_mount(root, planned, bound.as_ref(), all))
}

fn enact_mount(root: &Root, planned: &Mount, bound: Option<&bind::Bind>, all: &[Mount]) -> Result<(), Failure> {
    match (planned, bound) {
        (Mount::FileSystem { kind, target, options }, _) => mount::enact(root, *kind, target, options, all)
            .map_err(|cause| cause.within(format!("mount {} on {target}", kind.name()))),
        (Mount::Bind { source, target, .. }, Some(bound)) => bound
            .attach(root, target, all)
            .map_err(|cause| cause.within(format!("bind {} on {target}", bind::describe(source)))),
        (Mount::Bind { .. }, None) => unreachable!("every bind of a plan is prepared with it"),
    }
}

/// The devpts that programs of the app look for, before any of them could have put something else there.
fn find_terminals(root: &Root) -> Option<OwnedFd> {
    // DEVPTS_SUPER_MAGIC of linux/magic.h.
    const DEVPTS: FsWord = 0x1cd1;
    let directory = root.open_path(Path::new("/dev/pts")).ok()?;
    let stat = rustix::fs::fstatfs(&directory).ok()?;
    (stat.f_type == DEVPTS).then_some(directory)
}
