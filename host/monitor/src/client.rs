//! The client's side of a pod's control socket.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::socket;
use rustix::io::Errno;

use crate::frame::{Channel, Frame, Stream, WINDOW};
use crate::link::{Link, LinkError, one_frame};
use crate::message::{Ended, Enter, Reply, Request, Status, WindowSize};
use crate::parcel::Outgoing;

/// The socket's name in a pod's directory.
pub const SOCKET: &str = "control";

/// The one call at a time of this client.
const CALL: u32 = 1;

/// A connection to the monitor of a running pod.
#[derive(Debug)]
pub struct Control {
    link: Link,
}

/// Why a monitor was not spoken to, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens: the pod does not run, or this is not allowed.
    #[error("connect to the pod's monitor")]
    Connect(#[source] rkt_sys::Error),
    /// The connection is of no more use.
    #[error("speak to the pod's monitor")]
    Link(#[source] LinkError),
    /// The pod ended before the answer came.
    #[error("the pod has ended")]
    Ended,
    /// The monitor refused.
    #[error("{0}")]
    Refused(String),
    /// The monitor answered something else than what was asked.
    #[error("the pod's monitor gave an answer that is none")]
    Answer,
    /// The caller's own input or output failed.
    #[error("hand on input or output")]
    Stdio(#[source] io::Error),
}

/// The caller's own input and output, for a command in a pod.
#[derive(Debug, Clone, Copy)]
pub struct Stdio<'a> {
    /// What the command reads.
    pub input: BorrowedFd<'a>,
    /// Where its output goes.
    pub output: BorrowedFd<'a>,
    /// Where its error output goes; unused where the command has a terminal.
    pub error: BorrowedFd<'a>,
    /// With a terminal: a descriptor that is readable when its size may have changed, and a way to
    /// learn it.
    pub resized: Option<&'a dyn Resized>,
}

/// News of the size of the caller's terminal.
pub trait Resized: std::fmt::Debug {
    /// Readable for poll(2) when there is news.
    fn news(&self) -> BorrowedFd<'_>;
    /// Takes the news: the size now.
    fn size(&self) -> Option<WindowSize>;
}

impl ControlError {
    /// Whether nobody listens any more: the monitor has ended, however it did.
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Connect(error) if error.errno() == Some(Errno::CONNREFUSED))
    }
}

impl Control {
    /// Connects to the monitor of the pod in this directory.
    ///
    /// # Errors
    /// [`ControlError::Connect`] where nobody listens.
    pub fn connect(pod: BorrowedFd<'_>) -> Result<Self, ControlError> {
        let stream = socket::connect(pod, OsStr::new(SOCKET)).map_err(ControlError::Connect)?;
        let link = Link::new(OwnedFd::from(stream)).map_err(ControlError::Link)?;
        Ok(Self { link })
    }

    /// What the pod does.
    ///
    /// # Errors
    /// The pod has ended, or the connection failed.
    pub fn status(mut self) -> Result<Status, ControlError> {
        match self.ask(&Request::Status {})? {
            Reply::Status(status) => Ok(status),
            other => Err(unexpected(other)),
        }
    }

    /// Ends the pod, and returns when it has ended. Forced: without asking its apps first.
    ///
    /// # Errors
    /// The connection failed. That the pod has ended already is none.
    pub fn stop(mut self, force: bool) -> Result<(), ControlError> {
        match self.ask(&Request::Stop { force, patience: None }) {
            Ok(Reply::Done {}) => {}
            Ok(other) => return Err(unexpected(other)),
            Err(ControlError::Ended) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.wait()
    }

    /// Asks for the end of the pod and waits for no answer, which a monitor that does not run cannot give. Apps have
    /// the time of `patience` where they are asked; none: as long as the monitor gives them.
    ///
    /// # Errors
    /// The connection failed. That the pod has ended already is none.
    pub fn ask_to_stop(&mut self, force: bool, patience: Option<Duration>) -> Result<(), ControlError> {
        let patience = patience.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.link.send_message(CALL, &Request::Stop { force, patience });
        match self.link.flush() {
            Err(LinkError::Broken(cause)) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(ControlError::Link),
        }
    }

    /// Returns when the pod has ended.
    ///
    /// # Errors
    /// The connection failed.
    pub fn wait(mut self) -> Result<(), ControlError> {
        loop {
            match self.reply() {
                Ok(_) => {}
                Err(ControlError::Ended) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs a command in an app, connected to the caller's input and output, and says how it ended.
    /// Of a terminal the caller sets its own mode.
    ///
    /// # Errors
    /// The monitor refused, the pod ended, or the connection or the caller's own output failed.
    pub fn enter(mut self, enter: &Enter, stdio: Stdio<'_>) -> Result<Ended, ControlError> {
        self.link.send_message(CALL, &Request::Enter(enter.clone()));
        let mut command = Relay { stdio, may_send: WINDOW, input_ended: false };
        loop {
            command.wait(&mut self.link)?;
            while let Some((stream, frame)) = self.link.next_frame().map_err(ControlError::Link)? {
                if let Some(ended) = command.take(&mut self.link, stream, frame)? {
                    return Ok(ended);
                }
            }
            if self.link.has_ended() {
                return Err(ControlError::Ended);
            }
        }
    }

    /// Makes the pod another one: the launch, as JSON, is of the pod as it is to be. Returns when that is so.
    ///
    /// # Errors
    /// The monitor refused, and the pod is as it was; or the pod ended, or the connection failed.
    pub fn change(mut self, launch: Vec<u8>) -> Result<(), ControlError> {
        self.link.send_message(CALL, &Request::Change {});
        let mut parcel = Outgoing::new(Stream::new(CALL, Channel::Input), launch);
        loop {
            parcel.advance(&mut self.link);
            exchange(&mut self.link, [])?;
            while let Some((_, frame)) = self.link.next_frame().map_err(ControlError::Link)? {
                match frame {
                    Frame::Credit(more) => parcel.allow(more),
                    Frame::Message(json) => {
                        return match parse(&json)? {
                            Reply::Done {} => Ok(()),
                            other => Err(unexpected(other)),
                        };
                    }
                    _ => {}
                }
            }
            if self.link.has_ended() {
                return Err(ControlError::Ended);
            }
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, ControlError> {
        self.link.send_message(CALL, request);
        self.reply()
    }

    fn reply(&mut self) -> Result<Reply, ControlError> {
        loop {
            match self.link.next_frame().map_err(ControlError::Link)? {
                Some((_, Frame::Message(json))) => return parse(&json),
                Some(_) => {}
                None if self.link.has_ended() => return Err(ControlError::Ended),
                None => {
                    exchange(&mut self.link, [])?;
                }
            }
        }
    }
}

/// Waits until something can be sent, received, or one of `others` can be read, and sends and
/// receives. Says which of the others can.
fn exchange<const N: usize>(link: &mut Link, others: [Option<BorrowedFd<'_>>; N]) -> Result<[bool; N], ControlError> {
    let mut flags = PollFlags::IN;
    flags.set(PollFlags::OUT, link.wants_to_send());
    let mut fds = vec![PollFd::new(&*link, flags)];
    fds.extend(others.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
    poll(&mut fds, None).map_err(|error| ControlError::Link(LinkError::Broken(error.into())))?;
    let mut ready = fds.iter().map(PollFd::revents);
    let ours = ready.next().unwrap_or(PollFlags::empty());
    let readable = others.map(|fd| fd.is_some() && ready.next().is_some_and(|flags| !flags.is_empty()));
    if ours.contains(PollFlags::OUT) {
        // Where the other end is gone, what it said before that is still to be read.
        let _ = link.flush();
    }
    if ours.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
        link.receive().map_err(ControlError::Link)?;
    }
    Ok(readable)
}

/// The caller's side of a command that runs.
struct Relay<'a> {
    stdio: Stdio<'a>,
    may_send: u32,
    input_ended: bool,
}

impl Relay<'_> {
    fn wait(&mut self, link: &mut Link) -> Result<(), ControlError> {
        let reads = !self.input_ended && self.may_send > 0;
        let input = reads.then_some(self.stdio.input);
        let [input, resized] = exchange(link, [input, self.stdio.resized.map(Resized::news)])?;
        if input {
            self.send_input(link)?;
        }
        if resized && let Some(size) = self.stdio.resized.and_then(Resized::size) {
            link.send_message(CALL, &Request::Resize(size));
        }
        Ok(())
    }

    fn send_input(&mut self, link: &mut Link) -> Result<(), ControlError> {
        let stream = Stream::new(CALL, Channel::Input);
        let mut buffer = vec![0; one_frame(self.may_send)];
        match rustix::io::read(self.stdio.input, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => {
                self.input_ended = true;
                link.send(stream, &Frame::End);
            }
            Ok(length) => {
                buffer.truncate(length);
                self.may_send -= u32::try_from(length).expect("a frame is smaller");
                link.send(stream, &Frame::Data(buffer));
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(cause) => return Err(ControlError::Stdio(cause.into())),
        }
        Ok(())
    }

    fn take(&mut self, link: &mut Link, stream: Stream, frame: Frame) -> Result<Option<Ended>, ControlError> {
        match (stream.channel, frame) {
            (Channel::Message, Frame::Message(json)) => match parse(&json)? {
                Reply::Exited(ended) => return Ok(Some(ended)),
                Reply::Started {} => {}
                other => return Err(unexpected(other)),
            },
            (Channel::Input, Frame::Credit(more)) => self.may_send = self.may_send.saturating_add(more),
            (Channel::Output | Channel::Error, Frame::Data(bytes)) => {
                let to = if stream.channel == Channel::Output { self.stdio.output } else { self.stdio.error };
                write_all(to, &bytes).map_err(ControlError::Stdio)?;
                link.send(stream, &Frame::Credit(u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
            }
            _ => {}
        }
        Ok(None)
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                poll(&mut fds, None)?;
            }
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(())
}

fn parse(json: &[u8]) -> Result<Reply, ControlError> {
    serde_json::from_slice(json).map_err(|_| ControlError::Answer)
}

fn unexpected(reply: Reply) -> ControlError {
    match reply {
        Reply::Failed { message } => ControlError::Refused(message),
        _ => ControlError::Answer,
    }
}
