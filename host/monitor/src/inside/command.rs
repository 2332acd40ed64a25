//! A command that entered the pod: its process, and its input and output as streams of frames.

use std::os::fd::{AsFd as _, OwnedFd};

use rkt_executor::process::{self, Pinned, Progress, Starting, Stdio};
use rkt_executor::{Command, Failure, PreparedApp};
use rkt_monitor::frame::{Channel, Frame, Stream, WINDOW};
use rkt_monitor::link::Link;
use rkt_monitor::{Ended, Reply, Terminal, WindowSize};
use rkt_sys::pidfd::PidFd;
use rkt_sys::poll::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};
use rustix::termios::Winsize;

use super::source::Source;

/// A command, from its start until all of its output was sent.
#[derive(Debug)]
pub(crate) struct Entered {
    pid: Pid,
    process: ProcessState,
    input: Input,
    outputs: Vec<Source>,
    terminal: Option<OwnedFd>,
}

#[derive(Debug)]
enum ProcessState {
    Starting(Starting),
    Running(PidFd),
    Ended(Ended),
}

/// What the command reads, and what waits to be written to it.
#[derive(Debug)]
struct Input {
    to: Option<OwnedFd>,
    waiting: Vec<u8>,
    has_ended: bool,
}

impl Entered {
    /// Starts a command in an app.
    pub(crate) fn start(
        app: &PreparedApp,
        pinned: &Pinned,
        command: &Command,
        terminal: Option<&Terminal>,
    ) -> Result<Self, Failure> {
        match terminal {
            Some(terminal) => Self::start_with_terminal(app, pinned, command, terminal),
            None => Self::start_with_pipes(app, pinned, command),
        }
    }

    fn start_with_pipes(app: &PreparedApp, pinned: &Pinned, command: &Command) -> Result<Self, Failure> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(process::failed("make a pipe"));
        let ((input, to), (from_output, output), (from_error, error)) = (pipe()?, pipe()?, pipe()?);
        for ours in [&to, &from_output, &from_error] {
            rustix::io::ioctl_fionbio(ours, true).map_err(process::failed("make a pipe"))?;
        }
        let stdio = Stdio::Files { input: Some(input), output, error };
        let starting = process::enter(app, pinned, command, &stdio)?;
        let outputs = vec![Source::new(Channel::Output, from_output), Source::new(Channel::Error, from_error)];
        Ok(Self::new(starting, to, outputs, None))
    }

    fn start_with_terminal(
        app: &PreparedApp,
        pinned: &Pinned,
        command: &Command,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        const WHAT: &str = "make a terminal";
        let pty = process::open_terminal(pinned)?;
        rustix::io::ioctl_fionbio(&pty.controller, true).map_err(process::failed(WHAT))?;
        let copy = || pty.controller.try_clone().map_err(process::failed(WHAT));
        let (to, from, controller) = (copy()?, copy()?, copy()?);
        set_size(&controller, terminal.size).map_err(process::failed(WHAT))?;
        let starting = process::enter(app, pinned, command, &Stdio::Terminal(pty.terminal))?;
        Ok(Self::new(starting, to, vec![Source::new(Channel::Output, from)], Some(controller)))
    }

    fn new(starting: Starting, to: OwnedFd, outputs: Vec<Source>, terminal: Option<OwnedFd>) -> Self {
        let input = Input { to: Some(to), waiting: Vec::new(), has_ended: false };
        Self { pid: starting.pid, process: ProcessState::Starting(starting), input, outputs, terminal }
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Its process was reaped.
    pub(crate) fn has_ended(&mut self, ended: Ended) {
        // A process that could not be started says why before it ends, and what it said is still read.
        if let ProcessState::Running(_) = self.process {
            self.process = ProcessState::Ended(ended);
        } else if let ProcessState::Starting(starting) = &mut self.process
            && let Progress::Running(_) = starting.progress()
        {
            self.process = ProcessState::Ended(ended);
        }
    }

    /// Gives its terminal a new size.
    pub(crate) fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.terminal {
            // A terminal that nobody holds any more has no size that matters.
            let _ = set_size(terminal, size);
        }
    }

    /// Adds what it waits for.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if let ProcessState::Starting(starting) = &self.process {
            fds.push(PollFd::new(starting, PollFlags::IN));
        }
        if let Some(to) = &self.input.to
            && !self.input.waiting.is_empty()
        {
            fds.push(PollFd::new(to, PollFlags::OUT));
        }
        for source in &self.outputs {
            source.add_to(fds);
        }
    }

    /// A frame from the client.
    pub(crate) fn take(&mut self, channel: Channel, frame: Frame) {
        match (channel, frame) {
            (Channel::Input, Frame::Data(bytes)) => {
                let room = (WINDOW as usize).saturating_sub(self.input.waiting.len());
                // The monitor holds clients to their window.
                self.input.waiting.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            (Channel::Input, Frame::End) => self.input.has_ended = true,
            (Channel::Message, Frame::End) => self.hang_up(),
            (Channel::Output | Channel::Error, Frame::Credit(more)) => {
                for source in self.outputs.iter_mut().filter(|source| source.channel == channel) {
                    source.credit = source.credit.saturating_add(more);
                }
            }
            _ => {}
        }
    }

    /// The client is gone.
    fn hang_up(&mut self) {
        self.input = Input { to: None, waiting: Vec::new(), has_ended: true };
        self.outputs.clear();
        self.terminal = None;
        let _ = match &self.process {
            ProcessState::Starting(starting) => starting.process.signal(Signal::HUP),
            ProcessState::Running(process) => process.signal(Signal::HUP),
            ProcessState::Ended(_) => Ok(()),
        };
    }

    /// Moves what can be moved. False when it has ended and all was said.
    pub(crate) fn advance(&mut self, call: u32, link: &mut Link) -> bool {
        if let ProcessState::Starting(starting) = &mut self.process {
            match starting.progress() {
                Progress::Underway => {}
                Progress::Running(_) => {
                    link.send_message(call, &Reply::Started {});
                    self.run();
                }
                Progress::Failed(failure) => {
                    let message = rkt_executor::failure::on_one_line(&failure);
                    link.send_message(call, &Reply::Failed { message });
                    return false;
                }
            }
        }
        self.input.advance(Stream::new(call, Channel::Input), self.terminal.is_some(), link);
        let may_wait = !matches!(self.process, ProcessState::Ended(_));
        let mut all_sent = true;
        for source in &mut self.outputs {
            all_sent &= source.advance(call, may_wait, link);
        }
        match self.process {
            ProcessState::Ended(ended) if all_sent => {
                link.send_message(call, &Reply::Exited(ended));
                false
            }
            _ => true,
        }
    }

    fn run(&mut self) {
        let ended = ProcessState::Ended(Ended::Code(0));
        self.process = match std::mem::replace(&mut self.process, ended) {
            ProcessState::Starting(starting) => ProcessState::Running(starting.process),
            other => other,
        };
    }
}

impl Input {
    fn advance(&mut self, stream: Stream, is_terminal: bool, link: &mut Link) {
        let Some(to) = &self.to else { return };
        if !self.waiting.is_empty() {
            match rustix::io::write(to, &self.waiting) {
                Ok(written) => {
                    self.waiting.drain(..written);
                    let credit = u32::try_from(written).unwrap_or(WINDOW);
                    link.send(stream, &Frame::Credit(credit));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Nobody reads any more: what comes is taken and dropped.
                Err(_) => {
                    let credit = u32::try_from(self.waiting.len()).unwrap_or(WINDOW);
                    link.send(stream, &Frame::Credit(credit));
                    self.waiting.clear();
                }
            }
        }
        // A terminal's input has no end of its own; closing the last copy would hang it up.
        if self.has_ended && self.waiting.is_empty() && !is_terminal {
            self.to = None;
        }
    }
}

fn set_size(terminal: &OwnedFd, size: WindowSize) -> rustix::io::Result<()> {
    let WindowSize { rows, columns } = size;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal.as_fd(), size)
}
