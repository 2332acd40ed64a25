//! A process that is not trusted: started with nothing, spoken to until a point in time, and always
//! seen to its end.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rkt_sys::pidfd::{Exit, PidFd};
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::spawn;
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;

use crate::error::End;

/// A child that is killed where it is dropped before its end.
#[derive(Debug)]
pub(crate) struct Process {
    /// None once it was waited for.
    child: Option<PidFd>,
}

impl Process {
    /// Starts a program without arguments and environment, with these two descriptors, and no other
    /// but one for errors that leads nowhere.
    pub(crate) fn start(program: &Path, input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> io::Result<Self> {
        let name = CString::new(program.as_os_str().as_bytes())?;
        let program = rustix::fs::open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let child = spawn::program(program.as_fd(), &name, [input, output, null.as_fd()])?;
        Ok(Self { child: Some(child.process) })
    }

    /// How the process ended; where it does not end in time, it is killed.
    pub(crate) fn end(&mut self, deadline: Instant) -> Result<Exit, Late> {
        let child = self.child.take().ok_or(Late)?;
        let mut ended = [PollFd::new(&child, PollFlags::IN)];
        if poll(&mut ended, Some(time_left(deadline))).is_ok_and(|ready| ready > 0) {
            return child.wait().map_err(|_| Late);
        }
        kill(&child);
        Err(Late)
    }
}

/// A process had to be killed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Late;

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            kill(&child);
        }
    }
}

/// Ends a process and waits for it. It is our child, so both can only fail where it is gone.
fn kill(child: &PidFd) {
    let _ = child.signal(Signal::KILL);
    let _ = child.wait();
}

/// What an end that came, or did not, says about a process that owed us something.
pub(crate) fn unexpected(end: Result<Exit, Late>, limit: Duration) -> End {
    match end {
        Ok(Exit::Code(code)) => End::Code(code),
        Ok(Exit::Signal(signal)) => End::Signal(signal),
        Err(Late) => End::Hang { limit },
    }
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A pair of sockets: ours, which never waits by itself, and one for a process.
pub(crate) fn sockets() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

/// Our socket, read and written until a point in time, however slowly the other side drips.
pub(crate) struct Until<'s> {
    pub(crate) socket: &'s UnixStream,
    pub(crate) deadline: Instant,
}

impl Until<'_> {
    /// Does what would wait, as soon as it does not.
    fn when(&self, flags: PollFlags, mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let mut sockets = [PollFd::from_borrowed_fd(self.socket.as_fd(), flags)];
            if poll(&mut sockets, Some(time_left(self.deadline)))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match act() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        self.when(PollFlags::IN, || socket.read(buffer))
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        self.when(PollFlags::OUT, || socket.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
