//! Processes by descriptor: no pid that may be somebody else's by now.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
};

use crate::{Error, Result};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// This signal, by number, ended it.
    Signal(i32),
}

impl Exit {
    fn from_status(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => unreachable!("waitid was asked for ended processes only"),
        }
    }
}

/// A process, pinned (`pidfd_open(2)`). Readable for `poll(2)` once the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Pins the process that has this pid now. It is the one meant only where the caller knows that
    /// the pid was not reused: its own child not yet waited for, or by a look after this call.
    ///
    /// # Errors
    /// `ESRCH` where there is none.
    pub fn open(pid: Pid) -> Result<Self> {
        pidfd_open(pid, PidfdFlags::empty()).map(Self).map_err(Error::on("pidfd_open", pid))
    }

    /// Takes over a descriptor that was made or received as a pidfd.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Waits for the end of this child and reaps it.
    ///
    /// # Errors
    /// `ECHILD` where it is no child of the caller or was reaped before.
    pub fn wait(&self) -> Result<Exit> {
        loop {
            match waitid(WaitId::PidFd(self.0.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => return Ok(Exit::from_status(&status)),
                Ok(None) | Err(Errno::INTR) => {}
                Err(cause) => return Err(Error::new("waitid", "a child", cause)),
            }
        }
    }

    /// Reaps this child if it has ended.
    ///
    /// # Errors
    /// As [`PidFd::wait`].
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        waitid(WaitId::PidFd(self.0.as_fd()), options)
            .map(|status| status.as_ref().map(Exit::from_status))
            .map_err(Error::on("waitid", "a child"))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `ESRCH` where the process has ended and was reaped, `EPERM` without permission.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.0, signal)
            .map_err(|cause| Error::new("pidfd_send_signal", format!("{signal:?}"), cause))
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<PidFd> for OwnedFd {
    fn from(process: PidFd) -> Self {
        process.0
    }
}

/// Reaps any one child that has ended, as a parent of orphans must; `None` where all still live or
/// there are none.
///
/// # Errors
/// Where the kernel refuses.
pub fn reap_any() -> Result<Option<(Pid, Exit)>> {
    loop {
        return match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::CHILD) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(cause) => Err(Error::new("wait", "any child", cause)),
            Ok(Some((pid, status))) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ok(Some((pid, Exit::Code(code)))),
                (None, Some(signal)) => Ok(Some((pid, Exit::Signal(signal)))),
                (None, None) => unreachable!("wait was asked for ended processes only"),
            },
        };
    }
}
