//! An app as init has it: what it was started from, its first process, and how it is taken away.

use rkt_executor::process::{self, Pinned, Progress, Starting, Stdio};
use rkt_executor::{Failure, PreparedApp};
use rkt_monitor::frame::{Channel, Frame};
use rkt_monitor::link::Link;
use rkt_sys::pidfd::PidFd;
use rkt_sys::poll::{PollFd, PollFlags};
use rustix::process::{Pid, Signal};

use super::Output;
use super::source::Source;

/// An app, from the start of its first process until it is taken away.
#[derive(Debug)]
pub(crate) struct App {
    prepared: PreparedApp,
    state: State,
    /// What others enter by, and how what it left running is known.
    pinned: Option<Pinned>,
    /// Whether it is being taken away.
    is_leaving: bool,
}

#[derive(Debug)]
enum State {
    Starting(Starting),
    Running { pid: Pid, process: PidFd },
    Ended,
}

/// News of an app's first process.
#[derive(Debug)]
pub(crate) enum News {
    /// It runs its program.
    Up,
    /// It does not get there.
    Failed(Failure),
}

impl App {
    /// Starts its first process.
    pub(crate) fn start(prepared: PreparedApp, stdio: &Stdio) -> Result<Self, Failure> {
        let starting = process::start(&prepared, stdio)?;
        Ok(Self { prepared, state: State::Starting(starting), pinned: None, is_leaving: false })
    }

    /// Lets its first process become its program.
    pub(crate) fn go(&self) {
        if let State::Starting(starting) = &self.state {
            starting.go();
        }
    }

    pub(crate) fn prepared(&self) -> &PreparedApp {
        &self.prepared
    }

    /// The pid of its first process, while there is one.
    pub(crate) fn pid(&self) -> Option<Pid> {
        match &self.state {
            State::Starting(starting) => Some(starting.pid),
            State::Running { pid, .. } => Some(*pid),
            State::Ended => None,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// What commands enter it by: while it runs, and nobody takes it away.
    pub(crate) fn entrance(&self) -> Option<&Pinned> {
        let runs = matches!(self.state, State::Running { .. }) && !self.is_leaving;
        self.pinned.as_ref().filter(|_| runs)
    }

    /// Adds what it waits for.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if let State::Starting(starting) = &self.state {
            fds.push(PollFd::new(starting, PollFlags::IN));
        }
    }

    /// Looks how far it has come.
    pub(crate) fn advance(&mut self) -> Option<News> {
        let State::Starting(starting) = &mut self.state else { return None };
        match starting.progress() {
            Progress::Underway => None,
            Progress::Running(pinned) => {
                let pid = starting.pid;
                let State::Starting(starting) = std::mem::replace(&mut self.state, State::Ended) else { return None };
                self.state = State::Running { pid, process: starting.process };
                self.pinned = pinned;
                Some(News::Up)
            }
            Progress::Failed(failure) => {
                self.state = State::Ended;
                Some(News::Failed(failure))
            }
        }
    }

    /// Its first process was reaped. Whether that is news: not of one that said before why it would end.
    pub(crate) fn ended(&mut self) -> bool {
        matches!(std::mem::replace(&mut self.state, State::Ended), State::Running { .. })
    }

    /// Sends a signal to its first process.
    pub(crate) fn signal(&self, signal: Signal) {
        // One that has just ended is as good as signalled.
        let _ = match &self.state {
            State::Running { process, .. } => process.signal(signal),
            State::Starting(starting) => starting.process.signal(signal),
            State::Ended => Ok(()),
        };
    }

    /// Begins to take it away.
    pub(crate) fn leave(&mut self) {
        self.is_leaving = true;
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Kills all that lives of it. Whether nothing does.
    pub(crate) fn is_gone(&self) -> bool {
        self.signal(Signal::KILL);
        let rest = self.pinned.as_ref().map_or(Ok(false), process::kill_all_of);
        self.has_ended() && matches!(rest, Ok(false))
    }
}

/// The output of an app that has no pipe to the monitor.
#[derive(Debug)]
pub(crate) struct Forwarded {
    sources: [Source; 2],
    is_done: bool,
}

impl Forwarded {
    /// Makes pipes for output, and the app's ends of them.
    pub(crate) fn make() -> Result<(Self, Output), Failure> {
        let ([output, error], theirs) = Output::make()?;
        let sources = [Source::new(Channel::Output, output), Source::new(Channel::Error, error)];
        Ok((Self { sources, is_done: false }, theirs))
    }

    /// Adds what it waits for.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        self.sources.iter().for_each(|source| source.add_to(fds));
    }

    /// A frame from the monitor.
    pub(crate) fn take(&mut self, channel: Channel, frame: &Frame) {
        if let Frame::Credit(more) = frame {
            for source in self.sources.iter_mut().filter(|source| source.channel == channel) {
                source.credit = source.credit.saturating_add(*more);
            }
        }
    }

    /// What was written until now is the last that counts.
    pub(crate) fn finish(&mut self) {
        self.sources.iter_mut().for_each(Source::finish);
    }

    /// Sends what is there.
    pub(crate) fn advance(&mut self, call: u32, link: &mut Link) {
        let mut is_done = true;
        for source in &mut self.sources {
            is_done &= source.advance(call, true, link);
        }
        self.is_done = is_done;
    }

    /// Whether all was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }
}
