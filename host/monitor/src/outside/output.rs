//! The output of apps and programs, on its way to the monitor's own: as lines that say whose they are, or as it comes.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rkt_executor::process::failed;
use rkt_executor::{Failure, Prepared};
use rkt_plan::Stdio;
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::signal::Signals;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use crate::inside;

pub(crate) use self::lines::Lines;
use self::sink::Sink;

mod lines;
mod sink;

/// What is moved at a time.
const CHUNK: usize = 16 * 1024;

/// The pipes of all apps and programs, and where they lead.
#[derive(Debug)]
pub(crate) struct Outputs {
    sources: Vec<Source>,
    /// How many have output.
    voices: usize,
    /// Standard output and standard error.
    sinks: [Sink; 2],
}

/// One pipe of an app or a program.
#[derive(Debug)]
struct Source {
    /// Whose it is.
    voice: usize,
    /// 0 for output, 1 for error output: which sink is its own.
    to: usize,
    /// None after its end.
    pipe: Option<OwnedFd>,
    /// None: bytes as they come.
    lines: Option<Lines>,
    is_ready: bool,
}

impl Outputs {
    /// Nobody's yet.
    pub(crate) fn new() -> Self {
        Self {
            sources: Vec::new(),
            voices: 0,
            sinks: [Sink::new(rustix::stdio::stdout()), Sink::new(rustix::stdio::stderr())],
        }
    }

    /// Makes pipes for all that was prepared. Their ends come in that order, and the number of the first;
    /// the others' numbers follow.
    pub(crate) fn add(&mut self, prepared: &Prepared) -> Result<(usize, Vec<inside::Output>), Failure> {
        const WHAT: &str = "make a pipe for output";
        let first = self.voices;
        let mut theirs = Vec::new();
        for app in prepared.apps() {
            let (output, their_output) = pipe_with(PipeFlags::CLOEXEC).map_err(failed(WHAT))?;
            let (error, their_error) = pipe_with(PipeFlags::CLOEXEC).map_err(failed(WHAT))?;
            for (to, pipe) in [output, error].into_iter().enumerate() {
                rustix::io::ioctl_fionbio(&pipe, true).map_err(failed(WHAT))?;
                let lines = match app.plan().stdio {
                    Stdio::Raw => None,
                    Stdio::Log => Some(Lines::default()),
                };
                self.sources.push(Source { voice: self.voices, to, pipe: Some(pipe), lines, is_ready: false });
            }
            self.voices += 1;
            theirs.push(inside::Output { output: their_output, error: their_error });
        }
        Ok((first, theirs))
    }

    /// Whose the lines of a number are. Nothing of it is read before this is known.
    pub(crate) fn name(&mut self, voice: usize, name: &str, pid: u32) {
        for source in self.sources.iter_mut().filter(|source| source.voice == voice) {
            source.is_ready = true;
            if let Some(lines) = &mut source.lines {
                *lines = Lines::of(format!("{name}[{pid}]"), self.sinks[source.to].is_terminal());
            }
        }
    }

    /// Adds what is waited for: pipes whose output can be taken, and sinks that have not taken all.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.extend(self.readable().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
        for sink in self.sinks.iter().filter(|sink| sink.has_waiting()) {
            fds.push(PollFd::new(sink, PollFlags::OUT));
        }
    }

    fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let sources = self.sources.iter().filter(|source| source.is_ready && self.sinks[source.to].has_room());
        sources.filter_map(|source| source.pipe.as_ref()).map(|pipe| pipe.as_fd())
    }

    /// Moves what can be moved now.
    pub(crate) fn advance(&mut self) {
        for source in self.sources.iter_mut().filter(|source| source.is_ready) {
            source.advance(&mut self.sinks[source.to]);
        }
        for sink in &mut self.sinks {
            sink.advance();
        }
    }

    /// After the end of the pod, when nobody writes any more: hands on all that is left, until it is
    /// read, the time is over or a signal comes.
    pub(crate) fn finish(&mut self, signals: &Signals, time: Option<Duration>) -> Result<(), Failure> {
        let deadline = time.map(|time| Instant::now() + time);
        for source in &mut self.sources {
            source.is_ready = true;
        }
        loop {
            self.advance();
            let is_done = self.sources.iter().all(|source| source.pipe.is_none());
            if (is_done && self.sinks.iter().all(|sink| !sink.has_waiting())) || matches!(signals.read(), Ok(Some(_))) {
                return Ok(());
            }
            let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
            self.add_to(&mut fds);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if poll(&mut fds, left).map_err(failed("hand on the last output"))? == 0 {
                return Ok(());
            }
        }
    }
}

impl Source {
    fn advance(&mut self, sink: &mut Sink) {
        let Some(pipe) = &self.pipe else { return };
        if !sink.has_room() {
            return;
        }
        if self.lines.is_none() && sink.takes_splices() {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match splice(pipe, None, sink.as_fd(), None, CHUNK, flags) {
                Ok(0) => return self.pipe = None,
                Ok(_) => return,
                // The pipe is empty, or the sink full or of another kind: reading tells which.
                Err(_) => {}
            }
        }
        let mut buffer = [0; CHUNK];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => {
                self.pipe = None;
                if let Some(lines) = &mut self.lines {
                    lines.finish(sink.waiting());
                }
            }
            Ok(length) => match &mut self.lines {
                Some(lines) => lines.add(&buffer[..length], sink.waiting()),
                None => sink.waiting().extend_from_slice(&buffer[..length]),
            },
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.pipe = None,
        }
    }
}
