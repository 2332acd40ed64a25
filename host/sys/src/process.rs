//! What a process sets on itself, and `exec`.
//!
//! Made for a process with one thread: ids, names and the death signal are the calling thread's.
#![allow(unsafe_code, reason = "execve(2), execveat(2), close_range(2), inherited descriptors")]

use std::convert::Infallible;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::process::{DumpableBehavior, Gid, Pid, Resource, Rlimit, Signal, Uid};

use crate::{Error, Result};

/// Asks for `signal` when the parent thread ends (`PR_SET_PDEATHSIG`). Cleared by the kernel when a
/// set-user-ID program is run or ids change. A parent that ended before this call sends nothing: look
/// at the parent, or at a pipe from it, afterwards.
///
/// # Errors
/// Where the kernel refuses the signal.
pub fn set_parent_death_signal(signal: Option<Signal>) -> Result<()> {
    rustix::process::set_parent_process_death_signal(signal).map_err(Error::on("prctl", "PR_SET_PDEATHSIG"))
}

/// Makes this process the parent of every descendant whose own parent ends
/// (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// Where the kernel lacks it.
pub fn become_child_subreaper() -> Result<()> {
    // The kernel takes any number but zero as "yes".
    rustix::process::set_child_subreaper(Some(Pid::INIT)).map_err(Error::on("prctl", "PR_SET_CHILD_SUBREAPER"))
}

/// Says whether core dumps and other processes' looks into this one are allowed (`PR_SET_DUMPABLE`).
/// The kernel resets it at `exec` and when ids change.
///
/// # Errors
/// Where the kernel refuses.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    let behavior = if dumpable { DumpableBehavior::Dumpable } else { DumpableBehavior::NotDumpable };
    rustix::process::set_dumpable_behavior(behavior).map_err(Error::on("prctl", "PR_SET_DUMPABLE"))
}

/// No program that this process runs gains privileges from its file, for good
/// (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// Where the kernel lacks it.
pub fn set_no_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(Error::on("prctl", "PR_SET_NO_NEW_PRIVS"))
}

/// The name that `ps` shows; the kernel keeps its first 15 bytes (`PR_SET_NAME`).
///
/// # Errors
/// Where the kernel refuses.
pub fn set_name(name: &CStr) -> Result<()> {
    rustix::thread::set_name(name)
        .map_err(|cause| Error::new("prctl", format!("PR_SET_NAME {}", name.to_string_lossy()), cause))
}

/// Sets the supplementary groups (`setgroups(2)`).
///
/// # Errors
/// Without `CAP_SETGID`, or with more groups than the kernel takes.
pub fn set_groups(groups: &[Gid]) -> Result<()> {
    rustix::thread::set_thread_groups(groups)
        .map_err(|cause| Error::new("setgroups", format!("{} groups", groups.len()), cause))
}

/// Sets real, effective and saved group id (`setresgid(2)`).
///
/// # Errors
/// Without `CAP_SETGID`, or where the user namespace maps no such id.
pub fn set_gid(gid: Gid) -> Result<()> {
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(Error::on("setresgid", gid))
}

/// Sets real, effective and saved user id (`setresuid(2)`). Leaving id 0 drops capabilities, unless
/// [`crate::capability::keep_across_set_uid`] was called.
///
/// # Errors
/// Without `CAP_SETUID`, or where the user namespace maps no such id.
pub fn set_uid(uid: Uid) -> Result<()> {
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(Error::on("setresuid", uid))
}

/// Sets one resource limit of this process (`setrlimit(2)`); `None` is unlimited. The unit is the
/// resource's.
///
/// # Errors
/// Where soft exceeds hard, or hard is raised without `CAP_SYS_RESOURCE`.
pub fn set_rlimit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> Result<()> {
    let limit = Rlimit { current: soft, maximum: hard };
    rustix::process::setrlimit(resource, limit).map_err(|cause| Error::new("setrlimit", format!("{resource:?}"), cause))
}

/// Takes over a descriptor that this process was started with, by its number, and marks it
/// close-on-exec. For the first lines of a program, once for each number that its starter named.
///
/// # Errors
/// `EBADF` where none is open with that number; 0, 1 and 2 are refused: they are everybody's.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    if number <= 2 {
        return Err(Error::refused("take over", format_args!("descriptor {number}"), "it is standard input or output"));
    }
    // SAFETY: fcntl(2) takes any number, and fails for one that is not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(Error::new("fcntl F_SETFD", format_args!("descriptor {number}"), io::Error::last_os_error()));
    }
    // SAFETY: it is open, as was just seen, and came from the starter of this program: nothing in it
    // owns it yet, by the contract of this function.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Marks every descriptor from `first` on as close-on-exec (`close_range(2)`): the program that this
/// process becomes has those below `first` and no other.
///
/// # Errors
/// Where the kernel lacks the call.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor above 2 but those of `keep`.
///
/// For the first lines of a child made by [`crate::spawn::Spawn::run`]. Owners of the other
/// descriptors, which lie in the parent's frames and are never run again in the child, must not be
/// used or dropped after this; what the child's body uses is in `keep`.
///
/// # Errors
/// Where the kernel lacks the call.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<()> {
    let mut kept: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    kept.sort_unstable();
    let mut next = 3;
    for number in kept {
        if number > next {
            close_range(next, number - 1, 0)?;
        }
        next = next.max(number + 1);
    }
    close_range(next, u32::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: u32) -> Result<()> {
    // SAFETY: takes numbers only. What becomes of owners of closed descriptors is the contract of
    // `close_all_but`; with CLOSE_RANGE_CLOEXEC nothing is closed.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 {
        return Ok(());
    }
    let object = format!("descriptors {first} to {last}");
    Err(Error::new("close_range", object, io::Error::last_os_error()))
}

/// Gives the program that this process is about to become the descriptors `given` as 3, 4 and so on, and
/// keeps others open for this process until then, which are returned.
///
/// Whatever had these numbers is closed: owners of such descriptors must not be used or dropped after
/// this, as in [`close_all_but`].
///
/// # Errors
/// Descriptors ran out.
pub fn number_descriptors(given: &[BorrowedFd<'_>], kept: &[BorrowedFd<'_>]) -> Result<Vec<OwnedFd>> {
    let failed = |cause| Error::new("dup", "a descriptor", cause);
    let end = 3 + i32::try_from(given.len()).map_err(|_| failed(rustix::io::Errno::MFILE))?;
    let above = |fd: &BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, end).map_err(failed);
    let copies = given.iter().map(above).collect::<Result<Vec<_>>>()?;
    let kept = kept.iter().map(above).collect::<Result<Vec<_>>>()?;
    for (number, copy) in (3..end).zip(&copies) {
        // SAFETY: takes numbers only. What becomes of owners of what had the number is the contract of
        // this function.
        if unsafe { libc::dup2(copy.as_raw_fd(), number) } < 0 {
            return Err(Error::new("dup2", format_args!("descriptor {number}"), io::Error::last_os_error()));
        }
    }
    Ok(kept)
}

/// Becomes the program at `path`, resolved in this process's root and working directory
/// (`execve(2)`). Returns only to say why not.
///
/// # Errors
/// Whatever `execve(2)` lists; a missing interpreter of a script or program too is `ENOENT`.
pub fn exec(path: &CStr, arguments: &[&CStr], environment: &[&CStr]) -> Result<Infallible> {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: the path ends in NUL; both arrays are of pointers to NUL-terminated strings that
    // outlive the call, and end in a null pointer.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    let cause = io::Error::last_os_error();
    Err(Error::new("execve", path.to_string_lossy(), cause))
}

/// Becomes the program that is open at `program`, which may be `O_PATH` (`execveat(2)`). Returns only
/// to say why not. A script cannot be run so from a close-on-exec descriptor: its interpreter could
/// not open it.
///
/// # Errors
/// Whatever `execveat(2)` lists.
pub fn exec_fd(program: BorrowedFd<'_>, arguments: &[&CStr], environment: &[&CStr]) -> Result<Infallible> {
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: as in `exec`; the empty path with AT_EMPTY_PATH names the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    let cause = io::Error::last_os_error();
    let name = arguments.first().copied().unwrap_or(c"a program");
    Err(Error::new("execveat", name.to_string_lossy(), cause))
}

/// Ends this process at once (`_exit(2)`): nothing runs that was to run at its end.
pub fn leave(code: u8) -> ! {
    // SAFETY: ends the process; no memory of it is looked at again.
    unsafe { libc::_exit(code.into()) }
}

/// A C array of strings: pointers, and a null pointer at the end.
fn pointers(strings: &[&CStr]) -> Vec<*const libc::c_char> {
    let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
    pointers.push(std::ptr::null());
    pointers
}

#[cfg(test)]
mod tests;
