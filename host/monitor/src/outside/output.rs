//! The output of apps and programs, on its way to the monitor's own: as lines that say whose they are, or as it comes.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rkt_executor::process::failed;
use rkt_executor::{Failure, Prepared};
use rkt_monitor::frame::{Channel, Frame, WINDOW};
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
    from: From,
    /// None: bytes as they come.
    lines: Option<Lines>,
    is_ready: bool,
}

/// How output comes here.
#[derive(Debug)]
enum From {
    /// By a pipe.
    Pipe(OwnedFd),
    /// As frames from a guest: what came and was not handed on, and how much more the guest may send.
    Frames { came: Vec<u8>, window: u32, has_ended: bool },
    /// It has ended, and all was handed on.
    Nothing,
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
                self.sources.push(Source { voice: self.voices, to, from: From::Pipe(pipe), lines, is_ready: false });
            }
            self.voices += 1;
            theirs.push(inside::Output { output: their_output, error: their_error });
        }
        Ok((first, theirs))
    }

    /// Makes room for an app of a guest, which sends its output as frames; its number.
    pub(crate) fn add_frames(&mut self, stdio: Stdio) -> usize {
        for to in 0..self.sinks.len() {
            let lines = match stdio {
                Stdio::Raw => None,
                Stdio::Log => Some(Lines::default()),
            };
            let from = From::Frames { came: Vec::new(), window: WINDOW, has_ended: false };
            self.sources.push(Source { voice: self.voices, to, from, lines, is_ready: false });
        }
        self.voices += 1;
        self.voices - 1
    }

    /// A frame of output from a guest, which is not believed: more than it may send is an error.
    pub(crate) fn take(&mut self, voice: usize, channel: Channel, frame: Frame) -> Result<(), Failure> {
        let to = usize::from(channel == Channel::Error);
        let ours = |source: &&mut Source| source.voice == voice && source.to == to;
        let source = self.sources.iter_mut().find(ours).map(|source| &mut source.from);
        let Some(From::Frames { came, window, has_ended }) = source else {
            return Ok(());
        };
        match (channel, frame) {
            (Channel::Output | Channel::Error, Frame::Data(bytes)) if !*has_ended => {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let left =
                    window.checked_sub(length).ok_or_else(|| Failure::new("the guest sends more than it may"))?;
                *window = left;
                came.extend_from_slice(&bytes);
                Ok(())
            }
            (Channel::Output | Channel::Error, Frame::End) => {
                *has_ended = true;
                Ok(())
            }
            _ => Err(Failure::new("the guest sends something else than output")),
        }
    }

    /// How much of the guest's output was handed on since this was asked last, by number and channel.
    pub(crate) fn take_credit(&mut self) -> Vec<(usize, Channel, u32)> {
        let mut credit = Vec::new();
        for source in &mut self.sources {
            if let From::Frames { came, window, has_ended: false } = &mut source.from {
                let waiting = u32::try_from(came.len()).unwrap_or(WINDOW);
                let free = WINDOW - waiting - *window;
                if free > 0 {
                    *window += free;
                    let channel = if source.to == 0 { Channel::Output } else { Channel::Error };
                    credit.push((source.voice, channel, free));
                }
            }
        }
        credit
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
        sources.filter_map(|source| match &source.from {
            From::Pipe(pipe) => Some(pipe.as_fd()),
            From::Frames { .. } | From::Nothing => None,
        })
    }

    /// Moves what can be moved now.
    pub(crate) fn advance(&mut self) {
        loop {
            for source in self.sources.iter_mut().filter(|source| source.is_ready) {
                source.advance(&mut self.sinks[source.to]);
            }
            for sink in &mut self.sinks {
                sink.advance();
            }
            // Nobody tells later that there is room for what waits here.
            if !self.sources.iter().any(|source| source.has_waiting() && self.sinks[source.to].has_room()) {
                return;
            }
        }
    }

    /// After the end of the pod, when nobody writes any more: hands on all that is left, until it is
    /// read, the time is over or a signal comes.
    pub(crate) fn finish(&mut self, signals: &Signals, time: Option<Duration>) -> Result<(), Failure> {
        let deadline = time.map(|time| Instant::now() + time);
        for source in &mut self.sources {
            source.is_ready = true;
            if let From::Frames { has_ended, .. } = &mut source.from {
                *has_ended = true;
            }
        }
        loop {
            self.advance();
            let is_done = self.sources.iter().all(|source| matches!(source.from, From::Nothing));
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
    /// Whether something is here that nobody will tell of.
    fn has_waiting(&self) -> bool {
        self.is_ready && matches!(&self.from, From::Frames { came, .. } if !came.is_empty())
    }

    fn advance(&mut self, sink: &mut Sink) {
        if !sink.has_room() {
            return;
        }
        let has_ended = match &mut self.from {
            From::Nothing => return,
            From::Pipe(pipe) => move_on(pipe, self.lines.as_mut(), sink),
            From::Frames { came, has_ended, .. } => {
                put(&std::mem::take(came), self.lines.as_mut(), sink);
                *has_ended
            }
        };
        if has_ended {
            self.from = From::Nothing;
            if let Some(lines) = &mut self.lines {
                lines.finish(sink.waiting());
            }
        }
    }
}

/// Moves what is in a pipe; whether it has ended.
fn move_on(pipe: &OwnedFd, lines: Option<&mut Lines>, sink: &mut Sink) -> bool {
    if lines.is_none() && sink.takes_splices() {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(pipe, None, sink.as_fd(), None, CHUNK, flags) {
            Ok(0) => return true,
            Ok(_) => return false,
            // The pipe is empty, or the sink full or of another kind: reading tells which.
            Err(_) => {}
        }
    }
    let mut buffer = [0; CHUNK];
    match rustix::io::read(pipe, &mut buffer) {
        Ok(0) => return true,
        Ok(length) => put(&buffer[..length], lines, sink),
        Err(Errno::AGAIN | Errno::INTR) => {}
        Err(_) => return true,
    }
    false
}

fn put(bytes: &[u8], lines: Option<&mut Lines>, sink: &mut Sink) {
    match lines {
        Some(lines) => lines.add(bytes, sink.waiting()),
        None => sink.waiting().extend_from_slice(bytes),
    }
}
