//! Signals as something to read, and the state of signals that a program starts with.
#![allow(unsafe_code, reason = "signalfd(2), sigprocmask(2), signal(2)")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

use crate::{Error, Result};

pub use rustix::process::Signal;

/// The highest signal number of Linux on every architecture that this project is built for.
const LAST: i32 = 64;

/// The size of the kernel's signal set.
const SIGSET_BYTES: usize = 8;

/// The signal with this number: 1 to 64, without those that C libraries keep for themselves.
pub fn from_number(number: i32) -> Option<Signal> {
    if let Some(signal) = Signal::from_named_raw(number) {
        return Some(signal);
    }
    if !(libc::SIGRTMIN()..=LAST).contains(&number) {
        return None;
    }
    // SAFETY: the number is one of the real-time signals that the C library leaves to programs.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

/// One signal as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub number: i32,
    /// The process that sent it, where one did, in this pid namespace; 0 otherwise.
    pub sender: u32,
}

/// Signals that are blocked and read from a descriptor (`signalfd(2)`), readable for `poll(2)` when
/// one waits. Children inherit the block: [`reset`] it in them before `exec`.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks these signals for the calling thread and those it makes, so that they wait to be read.
    ///
    /// # Errors
    /// Where descriptors ran out.
    pub fn block(signals: &[Signal]) -> Result<Self> {
        let mask = mask_of(signals);
        // SAFETY: `mask` is initialised and outlives both calls, which only read it.
        let fd = unsafe {
            let result = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, std::ptr::null_mut());
            if result != 0 {
                let cause = io::Error::from_raw_os_error(result);
                return Err(Error::new("sigprocmask", format!("{signals:?}"), cause));
            }
            libc::signalfd(-1, &raw const mask, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            let cause = io::Error::last_os_error();
            return Err(Error::new("signalfd", format!("{signals:?}"), cause));
        }
        // SAFETY: a new descriptor that nobody else knows.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that waits, or `None`. Several of one number may arrive as one.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn read(&self) -> Result<Option<Received>> {
        let mut buffer = [0; size_of::<libc::signalfd_siginfo>()];
        loop {
            match rustix::io::read(&self.0, &mut buffer) {
                Ok(_) => break,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(cause) => return Err(Error::new("read", "a signalfd", cause)),
            }
        }
        // SAFETY: the kernel fills whole structures only; any bytes are a valid one, all numbers.
        let info: libc::signalfd_siginfo = unsafe { std::ptr::read_unaligned(buffer.as_ptr().cast()) };
        Ok(Some(Received { number: info.ssi_signo.cast_signed(), sender: info.ssi_pid }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives every signal its default disposition and unblocks all, as a program expects to be started:
/// for the last moments of a process before `exec`.
/// (Rust ignores SIGPIPE, and `exec` hands on what is ignored or blocked.)
///
/// # Errors
/// Where the kernel refuses to unblock, which it has no reason to.
pub fn reset() -> Result<()> {
    // All zero is a kernel `sigaction` with SIG_DFL, no flags and an empty mask, on every architecture
    // of this project. The call is made past the C library, which refuses its own two signals, though
    // its posix_spawn leaves them ignored in programs.
    let default = [0_u64; 4];
    for number in 1..=LAST {
        // SAFETY: `default` is at least as large as the structure, outlives the call and is only
        // read; SIG_DFL runs no code. SIGKILL and SIGSTOP are refused, which changes nothing.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), std::ptr::null_mut::<u64>(), SIGSET_BYTES)
        };
    }
    let mask = mask_of(&[]);
    // SAFETY: `mask` is initialised and outlives the call, which only reads it.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut()) };
    if result == 0 {
        return Ok(());
    }
    Err(Error::new("sigprocmask", "no signal", io::Error::from_raw_os_error(result)))
}

fn mask_of(signals: &[Signal]) -> libc::sigset_t {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set before anything reads it; sigaddset is given
    // valid numbers, by the type.
    unsafe {
        libc::sigemptyset(mask.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(mask.as_mut_ptr(), signal.as_raw());
        }
        mask.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_child;

    fn send_to_self(signal: Signal) {
        rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
    }

    fn status_line(name: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    }

    #[test]
    fn a_blocked_signal_waits_to_be_read_and_says_who_sent_it() {
        in_child(|| {
            let real_time = from_number(LAST).unwrap();
            let signals = Signals::block(&[Signal::TERM, real_time]).unwrap();
            assert_eq!(signals.read().unwrap(), None);
            send_to_self(Signal::TERM);
            send_to_self(real_time);
            for number in [libc::SIGTERM, LAST] {
                let received = signals.read().unwrap().unwrap();
                assert_eq!(received.number, number);
                assert_eq!(received.sender, std::process::id());
            }
            assert_eq!(signals.read().unwrap(), None);
        });
    }

    #[test]
    fn after_a_reset_nothing_is_blocked_or_ignored() {
        in_child(|| {
            let _signals = Signals::block(&[Signal::TERM]).unwrap();
            assert_ne!(status_line("SigIgn:"), 0, "Rust ignores SIGPIPE");
            assert_ne!(status_line("SigBlk:"), 0);
            reset().unwrap();
            assert_eq!(status_line("SigIgn:"), 0);
            assert_eq!(status_line("SigBlk:"), 0);
            assert_eq!(status_line("SigCgt:"), 0);
        });
    }

    #[test]
    fn numbers_outside_of_what_programs_may_use_are_no_signals() {
        for number in [-1, 0, 32, 65, i32::MAX] {
            assert!(from_number(number).is_none(), "{number}");
        }
        assert_eq!(from_number(15), Some(Signal::TERM));
    }
}
