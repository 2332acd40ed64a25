//! One end of a connection: frames in, frames out, never waiting for the other end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rkt_sys::poll::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use serde::Serialize;

use crate::frame::{Channel, Decoder, Frame, FrameError, LARGEST, Stream, VERSION};

/// While more than this many bytes wait to be taken by the other end, nothing is read from it.
const MOST_WAITING: usize = 256 * 1024;

/// A connected stream socket, or a serial line, that speaks frames.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    decoder: Decoder,
    waiting: Vec<u8>,
    greeted: bool,
    ended: bool,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The other end does not speak frames.
    #[error("the other end does not keep to the protocol")]
    Frame(#[source] FrameError),
    /// The other end speaks another version of the protocol.
    #[error("the other end speaks version {0} of the protocol, this one {VERSION}")]
    Version(u16),
    /// Something else came before the version.
    #[error("the other end did not begin with its version")]
    NoHello,
}

impl Link {
    /// Takes over a connected socket or a serial line, and greets. Calls on it do not block from now on.
    ///
    /// # Errors
    /// Where the socket cannot be set to not block.
    pub fn new(socket: OwnedFd) -> Result<Self, LinkError> {
        rustix::io::ioctl_fionbio(&socket, true).map_err(|cause| LinkError::Broken(cause.into()))?;
        let mut link = Self { socket, decoder: Decoder::default(), waiting: Vec::new(), greeted: false, ended: false };
        link.send(Stream::new(0, Channel::Message), &Frame::Hello(VERSION));
        Ok(link)
    }

    /// Puts a frame on the way; [`Link::flush`] sends it.
    pub fn send(&mut self, stream: Stream, frame: &Frame) {
        frame.encode(stream, &mut self.waiting);
    }

    /// Puts a message of a call on the way.
    pub fn send_message(&mut self, call: u32, message: &impl Serialize) {
        let json = serde_json::to_vec(message).expect("messages are plain values with text as keys");
        self.send(Stream::new(call, Channel::Message), &Frame::Message(json));
    }

    /// Sends what the other end takes now.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        let mut sent = 0;
        while sent < self.waiting.len() {
            match self.write(&self.waiting[sent..]) {
                Ok(length) => sent += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(cause) => {
                    // There is no one left to send it to.
                    self.waiting.clear();
                    return Err(LinkError::Broken(cause.into()));
                }
            }
        }
        self.waiting.drain(..sent);
        Ok(())
    }

    /// Serial lines are no sockets, and nobody gets a signal for them.
    fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Err(Errno::NOTSOCK) => rustix::io::write(&self.socket, bytes),
            other => other,
        }
    }

    /// Adds what is waited for: nothing once the other end is gone.
    pub fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.wants_to_receive());
        flags.set(PollFlags::OUT, self.wants_to_send());
        if !self.ended {
            fds.push(PollFd::new(self, flags));
        }
    }

    /// Whether frames wait for the other end to take them.
    pub fn wants_to_send(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether anything more is read now: not while the other end leaves too much lying.
    pub fn wants_to_receive(&self) -> bool {
        !self.ended && self.has_room()
    }

    /// Whether more may be put on the way: not while the other end leaves too much lying.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// Whether the other end has said its version.
    pub fn was_greeted(&self) -> bool {
        self.greeted
    }

    /// Reads what is there, once. Whether there may be more.
    ///
    /// # Errors
    /// The connection broke. That it ended is none: see [`Link::has_ended`].
    pub fn receive(&mut self) -> Result<bool, LinkError> {
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(&self.socket, &mut buffer) {
            Ok(0) | Err(Errno::CONNRESET) => self.ended = true,
            Ok(length) => self.decoder.add(&buffer[..length]),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(cause) => return Err(LinkError::Broken(cause.into())),
        }
        Ok(!self.ended)
    }

    /// The next frame that came, after the greeting.
    ///
    /// # Errors
    /// The other end does not keep to the protocol.
    pub fn next_frame(&mut self) -> Result<Option<(Stream, Frame)>, LinkError> {
        loop {
            match self.decoder.next_frame().map_err(LinkError::Frame)? {
                None => return Ok(None),
                Some((_, Frame::Hello(VERSION))) if !self.greeted => self.greeted = true,
                Some((_, Frame::Hello(version))) => return Err(LinkError::Version(version)),
                Some(_) if !self.greeted => return Err(LinkError::NoHello),
                Some(frame) => return Ok(Some(frame)),
            }
        }
    }

    /// Closes this direction: the other end sees it after what was sent. What comes can still be read.
    pub fn close(&mut self) {
        // What the other end does not take now it does not get.
        let _ = self.flush();
        self.waiting.clear();
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }

    /// Whether the other end has closed the connection.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// How much of `wanted` bytes goes into one frame.
pub fn one_frame(wanted: u32) -> usize {
    usize::try_from(wanted).unwrap_or(LARGEST).min(LARGEST / 4)
}
