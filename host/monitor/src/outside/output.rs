//! The output of apps and programs, on its way to the monitor's own: as lines that say whose they are, or as it comes.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rkt_executor::process::failed;
use rkt_executor::{Failure, Prepared};
use rkt_monitor::frame::{Channel, Frame, Stream, WINDOW};
use rkt_monitor::link::Link;
use rkt_plan::Stdio;
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::signal::Signals;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::inside;

pub(crate) use self::lines::Lines;
use self::sink::Sink;

mod lines;
mod sink;

/// What is moved at a time.
const CHUNK: usize = 16 * 1024;

/// The output of all apps and programs, and where it leads.
#[derive(Debug)]
pub(crate) struct Outputs {
    sources: Vec<Source>,
    /// How many have, or had, output.
    voices: usize,
    /// Standard output and standard error.
    sinks: [Sink; 2],
}

/// The output, or the error output, of an app or a program.
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
    /// As frames from init on this stream: what came and was not handed on, and how much more init may send.
    Frames { stream: Stream, came: Vec<u8>, window: u32, has_ended: bool },
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
        let first = self.voices;
        let mut theirs = Vec::new();
        for app in prepared.apps() {
            let (ours, output) = inside::Output::make()?;
            for (to, pipe) in ours.into_iter().enumerate() {
                self.sources.push(Source::new(self.voices, to, From::Pipe(pipe), app.plan().stdio));
            }
            self.voices += 1;
            theirs.push(output);
        }
        Ok((first, theirs))
    }

    /// An app comes whose output init forwards on this call; its number.
    pub(crate) fn add_forwarded(&mut self, call: u32, stdio: Stdio) -> usize {
        for (to, channel) in [Channel::Output, Channel::Error].into_iter().enumerate() {
            let stream = Stream::new(call, channel);
            let from = From::Frames { stream, came: Vec::new(), window: WINDOW, has_ended: false };
            self.sources.push(Source::new(self.voices, to, from, stdio));
        }
        self.voices += 1;
        self.voices - 1
    }

    /// A frame of an app's output from init, which is not believed: more than it may send is an error. What comes of
    /// an app that is gone, or whose output has ended, is dropped.
    pub(crate) fn take(&mut self, stream: Stream, frame: Frame) -> Result<(), Failure> {
        let ours = |source: &&mut Source| matches!(&source.from, From::Frames { stream: own, .. } if *own == stream);
        let source = self.sources.iter_mut().find(ours).map(|source| &mut source.from);
        let Some(From::Frames { came, window, has_ended, .. }) = source else { return Ok(()) };
        if *has_ended {
            return Ok(());
        }
        match frame {
            Frame::Data(bytes) => {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                *window = window.checked_sub(length).ok_or_else(|| Failure::new("init sends more than it may"))?;
                came.extend_from_slice(&bytes);
                Ok(())
            }
            Frame::End => {
                *has_ended = true;
                Ok(())
            }
            Frame::Hello(_) | Frame::Message(_) | Frame::Credit(_) => {
                Err(Failure::new("init sends something else than output"))
            }
        }
    }

    /// An app has come to nothing: nobody waits for its output.
    pub(crate) fn remove(&mut self, voice: usize) {
        self.sources.retain(|source| source.voice != voice);
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

    /// Moves what can be moved now, and lets init send as much again.
    pub(crate) fn advance(&mut self, init: &mut Link) {
        loop {
            for source in self.sources.iter_mut().filter(|source| source.is_ready) {
                source.advance(&mut self.sinks[source.to], init);
            }
            for sink in &mut self.sinks {
                sink.advance();
            }
            // Nobody tells later that there is room for what waits here.
            if !self.sources.iter().any(|source| source.has_waiting() && self.sinks[source.to].has_room()) {
                break;
            }
        }
        self.sources.retain(|source| !matches!(source.from, From::Nothing));
    }

    /// After the end of the pod, when nobody writes any more: hands on all that is left, until it is
    /// read, the time is over or a signal comes.
    pub(crate) fn finish(&mut self, init: &mut Link, signals: &Signals, time: Option<Duration>) -> Result<(), Failure> {
        let deadline = time.map(|time| Instant::now() + time);
        for source in &mut self.sources {
            source.is_ready = true;
            if let From::Frames { has_ended, .. } = &mut source.from {
                *has_ended = true;
            }
        }
        loop {
            self.advance(init);
            let is_done = self.sources.is_empty();
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
    fn new(voice: usize, to: usize, from: From, stdio: Stdio) -> Self {
        let lines = match stdio {
            Stdio::Raw => None,
            Stdio::Log => Some(Lines::default()),
        };
        Self { voice, to, from, lines, is_ready: false }
    }

    /// Whether something is here that nobody will tell of.
    fn has_waiting(&self) -> bool {
        self.is_ready && matches!(&self.from, From::Frames { came, .. } if !came.is_empty())
    }

    fn advance(&mut self, sink: &mut Sink, init: &mut Link) {
        if !sink.has_room() {
            return;
        }
        match &mut self.from {
            From::Nothing => {}
            From::Pipe(pipe) => {
                if Self::advance_pipe(pipe, self.lines.as_mut(), sink) {
                    self.end(sink);
                }
            }
            From::Frames { stream, came, window, has_ended } => {
                let came = std::mem::take(came);
                let length = u32::try_from(came.len()).unwrap_or(WINDOW);
                if length > 0 {
                    *window = window.saturating_add(length);
                    init.send(*stream, &Frame::Credit(length));
                }
                let has_ended = *has_ended;
                put(&came, self.lines.as_mut(), sink);
                if has_ended {
                    self.end(sink);
                }
            }
        }
    }

    fn end(&mut self, sink: &mut Sink) {
        self.from = From::Nothing;
        if let Some(lines) = &mut self.lines {
            lines.finish(sink.waiting());
        }
    }

    /// Whether the pipe has ended.
    fn advance_pipe(pipe: &OwnedFd, lines: Option<&mut Lines>, sink: &mut Sink) -> bool {
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
}

fn put(bytes: &[u8], lines: Option<&mut Lines>, sink: &mut Sink) {
    match lines {
        Some(lines) => lines.add(bytes, sink.waiting()),
        None => sink.waiting().extend_from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: u32 = 7;

    impl From {
        fn length(&self) -> usize {
            match self {
                Self::Frames { came, .. } => came.len(),
                Self::Pipe(_) | Self::Nothing => 0,
            }
        }
    }

    /// Outputs of one app, and both ends of a connection to init.
    fn outputs(stdio: Stdio) -> (Outputs, Link, OwnedFd) {
        let (ours, inits) = rkt_sys::socket::pair().unwrap();
        let mut outputs = Outputs { sinks: [Sink::nowhere(), Sink::nowhere()], ..Outputs::new() };
        outputs.add_forwarded(CALL, stdio);
        (outputs, Link::new(ours).unwrap(), inits)
    }

    #[test]
    fn init_sends_no_more_than_it_may_and_nothing_is_kept_of_apps_that_are_none() {
        let (mut outputs, _link, _inits) = outputs(Stdio::Raw);
        let mut take = |call, channel, frame| outputs.take(Stream::new(call, channel), frame);
        let full = || Frame::Data(vec![b'x'; WINDOW as usize]);
        take(CALL - 1, Channel::Output, full()).unwrap();
        take(CALL, Channel::Output, full()).unwrap();
        assert!(take(CALL, Channel::Output, Frame::Data(vec![b'x'])).is_err());
        take(CALL, Channel::Error, full()).unwrap();
        for frame in [Frame::Credit(u32::MAX), Frame::Message(vec![]), Frame::Hello(1)] {
            assert!(take(CALL, Channel::Output, frame).is_err());
        }
        take(CALL, Channel::Output, Frame::End).unwrap();
        for channel in [Channel::Input, Channel::Message, Channel::Output] {
            take(CALL, channel, full()).unwrap();
        }
        let kept: usize = outputs.sources.iter().map(|source| source.from.length()).sum();
        assert_eq!(kept, 2 * WINDOW as usize, "what comes of no app, and after the end, is dropped");
    }

    #[test]
    fn nothing_is_handed_on_before_it_is_known_whose_it_is_and_credit_comes_with_the_handing_on() {
        let (mut outputs, mut link, _inits) = outputs(Stdio::Log);
        let stream = |channel| Stream::new(CALL, channel);
        outputs.take(stream(Channel::Output), Frame::Data(b"half a l".to_vec())).unwrap();
        link.flush().unwrap();
        outputs.advance(&mut link);
        assert!(!link.wants_to_send());
        outputs.name(0, "a", 7);
        outputs.advance(&mut link);
        assert!(link.wants_to_send(), "init may send as much again");
        outputs.take(stream(Channel::Output), Frame::End).unwrap();
        outputs.take(stream(Channel::Error), Frame::End).unwrap();
        outputs.advance(&mut link);
        assert!(outputs.sources.is_empty());
    }
}
