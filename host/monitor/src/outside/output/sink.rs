//! The monitor's own standard output or error: written to only when it takes something, since it may
//! be anything, shared with anybody, and is not to be made non-blocking behind their backs.

use std::os::fd::{AsFd, BorrowedFd};

use rkt_sys::poll::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

/// What a pipe takes without blocking when it takes anything: PIPE_BUF (pipe(7)).
const AT_ONCE: usize = 4096;

/// While more waits, nothing is read from apps.
const MOST_WAITING: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Sink {
    to: BorrowedFd<'static>,
    waiting: Vec<u8>,
    is_terminal: bool,
    is_pipe: bool,
    /// Nobody reads any more: what comes is dropped.
    is_broken: bool,
}

impl Sink {
    pub(crate) fn new(to: BorrowedFd<'static>) -> Self {
        let kind = rustix::fs::fstat(to).map(|stat| FileType::from_raw_mode(stat.st_mode));
        Self {
            to,
            waiting: Vec::new(),
            is_terminal: rustix::termios::isatty(to),
            is_pipe: kind == Ok(FileType::Fifo),
            is_broken: kind.is_err(),
        }
    }

    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self { is_broken: true, is_pipe: false, ..Self::new(rustix::stdio::stdout()) }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether bytes may be moved to it from a pipe without being looked at.
    pub(crate) fn takes_splices(&self) -> bool {
        self.is_pipe && !self.is_broken && self.waiting.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Where bytes are put for it.
    pub(crate) fn waiting(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Writes what it takes now.
    pub(crate) fn advance(&mut self) {
        let mut written = 0;
        while written < self.waiting.len() && !self.is_broken {
            let mut fds = [PollFd::new(self, PollFlags::OUT)];
            if !matches!(poll(&mut fds, Some(std::time::Duration::ZERO)), Ok(1)) {
                break;
            }
            let end = self.waiting.len().min(written + AT_ONCE);
            match rustix::io::write(self.to, &self.waiting[written..end]) {
                Ok(length) => written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.is_broken = true,
            }
        }
        if self.is_broken {
            self.waiting.clear();
        } else {
            self.waiting.drain(..written);
        }
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.to
    }
}
