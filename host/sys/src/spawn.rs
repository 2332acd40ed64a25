//! Making a process: `clone3(2)` with namespaces, a pidfd and a cgroup from the first instant; `clone(2)` for
//! one that only becomes a program.
//!
//! What the child does is a closure of the caller's. Namespaces, pidfd and cgroup come with the one
//! call; all else the child does itself. A child that only becomes a program has a way of its own.
#![allow(unsafe_code, reason = "clone3(2), clone(2)")]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use rustix::process::Pid;
use syscalls::{Sysno, syscall};

use crate::namespace::Namespaces;
use crate::pidfd::PidFd;
use crate::{Error, Result};

// linux/sched.h; libc has it for one C library only.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The exit code of a program of Rust's that panicked.
const PANICKED: i32 = 101;

/// The exit code of a process that could not become its program, as shells have it.
pub const NO_PROGRAM: u8 = 127;

/// What a new process is born with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spawn<'a> {
    /// New namespaces; the others are the parent's.
    pub namespaces: Namespaces,
    /// The cgroup it starts in: a directory of a version 2 hierarchy (`CLONE_INTO_CGROUP`).
    /// `None`: the parent's.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// A child that was made.
#[derive(Debug)]
pub struct Child {
    /// Its pid in the parent's pid namespace.
    pub pid: Pid,
    /// The child, pinned.
    pub process: PidFd,
}

impl Spawn<'_> {
    /// Makes a process that runs `body` on a copy of the caller's memory and exits with what it
    /// returns, or with 101 where it panics. Destructors of what the caller holds, exit handlers and
    /// buffers of standard output are not run in it.
    ///
    /// The child has all of the parent's descriptors, signal mask and handlers. Its end is told to
    /// the parent by SIGCHLD. It must not call `abort` or `raise`: musl signals the thread id that it
    /// remembers from before, which is the parent's.
    ///
    /// # Errors
    /// Where the calling process has a second thread: a copy of locks which that thread holds would
    /// never be released in the child. Where the kernel refuses: permission, a limit, no such
    /// namespace.
    pub fn run(self, body: impl FnOnce() -> i32) -> Result<Child> {
        check_single_thread()?;
        // SAFETY: there is one thread, so no lock in the child's copy is held by one that is not there.
        match unsafe { self.clone3() }? {
            Some(child) => Ok(child),
            None => child_main(body),
        }
    }

    /// None in the child.
    ///
    /// # Safety
    /// Where the process has other threads, the child may only do what a signal handler may
    /// (`signal-safety(7)`).
    unsafe fn clone3(self) -> Result<Option<Child>> {
        let mut pidfd: libc::c_int = -1;
        let mut flags = u64::from(self.namespaces.bits()) | libc::CLONE_PIDFD as u64;
        let mut cgroup = 0;
        if let Some(directory) = self.cgroup {
            flags |= CLONE_INTO_CGROUP;
            cgroup = u64::from(directory.as_raw_fd().cast_unsigned());
        }
        // SAFETY: all zero is a valid `clone_args`: each field is a number that may be absent.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = flags;
        arguments.pidfd = &raw mut pidfd as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.cgroup = cgroup;
        // SAFETY: without CLONE_VM and with no stack given this is fork(2): the child goes on in a
        // copy of this stack, as the caller answers for. `arguments` and `pidfd` outlive the call.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
        if pid < 0 {
            return Err(self.failed());
        }
        Ok(i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| {
            // SAFETY: the kernel stored a new descriptor there before it returned in the parent; it is
            // close-on-exec and nobody else knows its number.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Child { pid, process: PidFd::from_fd(pidfd) }
        }))
    }

    fn failed(self) -> Error {
        let cause = std::io::Error::last_os_error();
        let object = if self.namespaces.is_empty() {
            "a process".to_owned()
        } else {
            format!("a process with new namespaces {}", self.namespaces)
        };
        Error::new("clone3", object, cause)
    }
}

/// Bytes of stack that a child needs to become a program.
const STACK: usize = 16 << 10;

/// What a child knows that becomes a program.
struct Birth {
    file: RawFd,
    name: CString,
    stdio: [RawFd; 3],
}

/// Starts the program that is open as `file` with these descriptors, each above 2, as 0, 1 and 2 and no
/// others, no environment and no arguments but this name. Does not wait until it runs: where it cannot, it
/// ends with [`NO_PROGRAM`].
///
/// Until it runs the child is in this process's memory, which takes a third of the time that a copy takes. It
/// has a stack of its own there, which is never given back: nobody is told when the child has left it.
/// (`vfork(2)` and `posix_spawn(3)` keep the caller waiting until then.)
///
/// # Errors
/// Where the kernel refuses another process.
pub fn program(file: BorrowedFd<'_>, name: &CStr, stdio: [BorrowedFd<'_>; 3]) -> Result<Child> {
    let stdio = stdio.map(|given| given.as_raw_fd());
    let birth = Box::leak(Box::new(Birth { file: file.as_raw_fd(), name: name.to_owned(), stdio }));
    let stack = Box::leak(Box::<[u8]>::new_uninit_slice(STACK));
    let mut pidfd: libc::c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_PIDFD | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: the child has a stack of its own, which grows down from there, and reads nothing else but what
    // nobody writes to or frees. It makes system calls only. `pidfd` outlives the call.
    let pid = unsafe { libc::clone(become_program, top, flags, ptr::from_mut(birth).cast(), &raw mut pidfd) };
    let failed = || Error::new("clone", "a process for a program", std::io::Error::last_os_error());
    let pid = if pid > 0 { Pid::from_raw(pid) } else { None }.ok_or_else(failed)?;
    // SAFETY: the kernel stored a new descriptor there before it returned; it is close-on-exec and nobody else
    // knows its number.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, process: PidFd::from_fd(pidfd) })
}

/// The child's whole life before it is a program.
extern "C" fn become_program(birth: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it is what `program` leaked.
    let birth = unsafe { &*birth.cast::<Birth>() };
    let arguments = [birth.name.as_ptr(), ptr::null()];
    let environment: [*const libc::c_char; 1] = [ptr::null()];
    // SAFETY: numbers, texts that end in NUL, and arrays of such that end in a null pointer. The calls are the
    // bare ones: `errno` is the parent's.
    unsafe {
        for (number, given) in (0..).zip(birth.stdio) {
            if syscall!(Sysno::dup3, given, number, 0).is_err() {
                libc::_exit(NO_PROGRAM.into());
            }
        }
        let _ = syscall!(Sysno::close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        let (arguments, environment) = (arguments.as_ptr(), environment.as_ptr());
        let _ = syscall!(Sysno::execveat, birth.file, c"".as_ptr(), arguments, environment, libc::AT_EMPTY_PATH);
        libc::_exit(NO_PROGRAM.into())
    }
}

fn child_main(body: impl FnOnce() -> i32) -> ! {
    // Unwinding out of here would run the parent's frames a second time.
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(PANICKED);
    // SAFETY: ends the process without the parent's exit handlers, which are not this one's to run.
    unsafe { libc::_exit(code) }
}

/// The link count of this directory is two and one for each thread: one call, however many.
fn check_single_thread() -> Result<()> {
    let threads = match rustix::fs::stat("/proc/self/task") {
        Ok(stat) => stat.st_nlink.saturating_sub(2),
        Err(cause) => return Err(Error::new("stat", "/proc/self/task", cause)),
    };
    if threads == 1 {
        return Ok(());
    }
    let reason = format!("the process has {threads} threads, and may have one");
    Err(Error::refused("clone3", "a process", reason))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use rustix::io::Errno;

    use super::*;
    use crate::namespace::Namespace;
    use crate::pidfd::Exit;
    use crate::testing::in_child;

    #[test]
    fn a_process_with_threads_may_not_spawn() {
        let error = Spawn::default().run(|| 0).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_code_that_the_body_returns_is_the_exit_code() {
        in_child(|| {
            let child = Spawn::default().run(|| 42).unwrap();
            assert_eq!(child.process.wait().unwrap(), Exit::Code(42));
            let error = child.process.wait().unwrap_err();
            assert_eq!(error.errno(), Some(Errno::CHILD));
        });
    }

    #[test]
    fn a_signal_ends_a_child_and_is_what_is_reported() {
        in_child(|| {
            let child = Spawn::default()
                .run(|| {
                    loop {
                        std::thread::park();
                    }
                })
                .unwrap();
            assert_eq!(child.process.try_wait().unwrap(), None);
            child.process.signal(rustix::process::Signal::KILL).unwrap();
            assert_eq!(child.process.wait().unwrap(), Exit::Signal(libc::SIGKILL));
        });
    }

    #[test]
    fn a_program_gets_three_descriptors_and_nothing_else_from_a_process_with_threads() {
        let (ours, theirs) = crate::socket::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let env = std::fs::File::open("/usr/bin/env").unwrap();
        let stdio = [null.as_fd(), theirs.as_fd(), theirs.as_fd()];
        let child = program(env.as_fd(), c"env", stdio).unwrap();
        drop(theirs);
        assert_eq!(child.process.wait().unwrap(), Exit::Code(0));
        let mut said = String::new();
        std::fs::File::from(ours).read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "no environment");
    }

    #[test]
    fn what_is_no_program_ends_as_that() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let child = program(null.as_fd(), c"null", [null.as_fd(); 3]).unwrap();
        assert_eq!(child.process.wait().unwrap(), Exit::Code(NO_PROGRAM.into()));
    }

    #[test]
    fn a_panic_in_the_child_never_reaches_the_parents_frames() {
        in_child(|| {
            let child = Spawn::default()
                .run(|| {
                    std::panic::set_hook(Box::new(|_| {}));
                    panic!("on purpose")
                })
                .unwrap();
            assert_eq!(child.process.wait().unwrap(), Exit::Code(PANICKED));
        });
    }

    #[test]
    fn the_first_process_of_a_pid_namespace_is_number_one() {
        in_child(|| {
            let spec = Spawn { namespaces: Namespaces::NONE.with(Namespace::Pid), cgroup: None };
            let child = spec.run(|| i32::from(rustix::process::getpid().as_raw_pid() != 1)).unwrap();
            assert_eq!(child.process.wait().unwrap(), Exit::Code(0));
        });
    }
}
