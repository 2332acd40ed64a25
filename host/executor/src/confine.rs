//! The last step of a process on its way to its program: it gives up, in this order, what the plan does not give.

use std::convert::Infallible;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rkt_sys::capability::Capabilities;
use rkt_sys::root::Root;
use rkt_sys::{capability, process, signal};
use rustix::fs::{Mode, OFlags};

use crate::failure::Failure;
use crate::launch::Command;
use crate::order::PreparedApp;
use crate::outside;
use crate::program::Program;
use crate::words::{capabilities, user};

/// Gives up everything that the plan does not give, and becomes the command. `status` is the only open
/// descriptor beside 0, 1, 2 and `handles`, and closes with success; it may get another number.
pub(crate) fn confine(
    app: &PreparedApp,
    command: &Command,
    handles: &[OwnedFd],
    status: &mut ManuallyDrop<OwnedFd>,
) -> Result<Infallible, Failure> {
    if app.outside.is_some() {
        return outside::run(app, command, handles, status);
    }
    let file = keep_descriptors(app, command, handles, status)?;
    let planned = capabilities::available(app.plan.capabilities)?;
    capabilities::limit(planned)?;
    let kept = if app.user.uid == 0 { planned } else { Capabilities::empty() };
    // Without no-new-privileges only this capability lets a filter be installed; a program that is
    // run loses it by the kernel's rules, since neither its user nor the bounding set has it.
    let for_filter = match &app.filter {
        Some(_) if !app.plan.no_new_privileges => Capabilities::SYS_ADMIN,
        _ => Capabilities::empty(),
    };
    capability::keep_across_set_uid(true).map_err(Failure::of(|| "keep capabilities"))?;
    user::become_user(&app.user)?;
    capabilities::keep(kept | for_filter)?;
    enter_working_directory(&command.working_directory)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let program = Program::find(command, file).map_err(Failure::of_program)?;
    signal::reset().map_err(Failure::of(|| "reset signals"))?;
    if app.plan.no_new_privileges {
        process::set_no_new_privileges().map_err(Failure::of(|| "give up new privileges"))?;
    }
    if let Some(filter) = &app.filter {
        filter.install().map_err(Failure::of(|| "filter system calls"))?;
    }
    Err(program.run().of_program())
}

/// Closes all descriptors but those that the command gets, gives these their numbers, and returns the file
/// that is executed, where the plan names one.
pub(crate) fn keep_descriptors(
    app: &PreparedApp,
    command: &Command,
    handles: &[OwnedFd],
    status: &mut ManuallyDrop<OwnedFd>,
) -> Result<Option<ManuallyDrop<OwnedFd>>, Failure> {
    let failed = || "number its descriptors";
    let missing = || Failure::new("the launch names a program that the plan does not");
    let file = command.file.as_ref().map(|role| app.file(role).ok_or_else(missing)).transpose()?;
    let given: Vec<BorrowedFd<'_>> = handles.iter().map(OwnedFd::as_fd).collect();
    let kept: Vec<BorrowedFd<'_>> = [status.as_fd()].into_iter().chain(file.map(OwnedFd::as_fd)).collect();
    process::close_all_but(&[&given[..], &kept[..]].concat()).map_err(Failure::of(|| "close descriptors"))?;
    // Numbers that are owned elsewhere in this process are no longer theirs, so nothing here is dropped.
    let mut kept = process::number_descriptors(&given, &kept).map_err(Failure::of(failed))?.into_iter();
    *status = ManuallyDrop::new(kept.next().ok_or_else(|| Failure::new(failed()))?);
    Ok(kept.next().map(ManuallyDrop::new))
}

/// As the app's user, and through no magic link of procfs, which could lead out of the root
/// (CVE-2024-21626).
fn enter_working_directory(path: &str) -> Result<(), Failure> {
    let failed = || format!("enter the working directory {path}");
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    Root::open(Path::new("/"))
        .and_then(|root| root.open_path(Path::new(path)))
        .map_err(Failure::of(failed))
        .and_then(|directory| {
            rustix::fs::openat(&directory, c".", flags, Mode::empty()).map_err(Failure::of(failed))?;
            rustix::process::fchdir(&directory).map_err(Failure::of(failed))
        })
        .map_err(Failure::of_program)
}
