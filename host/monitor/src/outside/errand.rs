//! A process of the monitor's own that does one thing, which may take its time, and says what came of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rkt_executor::Failure;
use rkt_executor::process::failed;
use rkt_sys::pidfd::PidFd;
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::spawn::Spawn;
use rkt_sys::{process, socket};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most that it says, in bytes.
const LONGEST: usize = 64 * 1024;

/// The process.
#[derive(Debug)]
pub(crate) struct Errand {
    process: PidFd,
    status: OwnedFd,
    said: Vec<u8>,
}

impl Errand {
    /// Makes a process that has `kept` of this one's descriptors, beside standard output and error, and dies with
    /// this one.
    pub(crate) fn start<T: Serialize>(
        kept: &[BorrowedFd<'_>],
        body: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<Self, Failure> {
        const WHAT: &str = "make a process for it";
        let (status, theirs) = socket::pair().map_err(failed(WHAT))?;
        let monitor = rustix::process::getpid();
        let child = Spawn::default()
            .run(|| {
                let kept: Vec<_> = kept.iter().copied().chain([theirs.as_fd()]).collect();
                let done = prepare(&kept, monitor).and_then(|()| body());
                let words = serde_json::to_vec(&done).unwrap_or_default();
                let _ = write_all(&theirs, &words);
                0
            })
            .map_err(failed(WHAT))?;
        rustix::io::ioctl_fionbio(&status, true).map_err(failed(WHAT))?;
        Ok(Self { process: child.process, status, said: Vec::new() })
    }

    /// What came of it; none while it is at it.
    pub(crate) fn result<T: DeserializeOwned>(&mut self) -> Option<Result<T, Failure>> {
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.status, &mut buffer) {
                Ok(0) => break,
                Ok(length) if self.said.len() < LONGEST => self.said.extend_from_slice(&buffer[..length]),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                Err(_) => break,
            }
        }
        // It says nothing after this, and ends.
        let _ = self.process.wait();
        let unsaid = || Failure::new("the process for it ended without a word");
        Some(serde_json::from_slice(&self.said).unwrap_or_else(|_| Err(unsaid())))
    }

    /// Ends it wherever it is, and waits for that, but not for ever.
    pub(crate) fn end(&self, patience: Duration) {
        let _ = self.process.signal(Signal::KILL);
        if let Ok(1) = poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(patience)) {
            let _ = self.process.wait();
        }
    }
}

impl AsFd for Errand {
    /// Readable when there is news.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }
}

fn prepare(kept: &[BorrowedFd<'_>], monitor: Pid) -> Result<(), Failure> {
    process::close_all_but(kept).map_err(failed("close descriptors"))?;
    process::set_parent_death_signal(Some(Signal::KILL)).map_err(failed("die with the monitor"))?;
    if rustix::process::getppid() == Some(monitor) {
        return Ok(());
    }
    Err(Failure::new("the monitor is gone"))
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}
