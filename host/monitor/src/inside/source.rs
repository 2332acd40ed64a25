//! Something that a process of the pod writes, on its way to the monitor as frames of a stream.

use std::os::fd::OwnedFd;

use rkt_monitor::frame::{Channel, Frame, Stream, WINDOW};
use rkt_monitor::link::{Link, one_frame};
use rkt_sys::poll::{PollFd, PollFlags};
use rustix::io::Errno;

/// The reading end, and what may be sent of it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) channel: Channel,
    /// None after its end.
    from: Option<OwnedFd>,
    /// How much the other end takes.
    pub(crate) credit: u32,
}

impl Source {
    /// What can be read here, without blocking.
    pub(crate) fn new(channel: Channel, from: OwnedFd) -> Self {
        Self { channel, from: Some(from), credit: WINDOW }
    }

    /// Adds what is waited for.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if let Some(from) = self.from.as_ref().filter(|_| self.credit > 0) {
            fds.push(PollFd::new(from, PollFlags::IN));
        }
    }

    /// Sends what is there. True when nothing more is to come: at the end, and, where the reader `may_wait`
    /// no more, when nothing is there now, since others may hold the other end for ever.
    pub(crate) fn advance(&mut self, call: u32, may_wait: bool, link: &mut Link) -> bool {
        let stream = Stream::new(call, self.channel);
        while let Some(from) = &self.from {
            if self.credit == 0 || !link.has_room() {
                return false;
            }
            let mut buffer = vec![0; one_frame(self.credit)];
            match rustix::io::read(from, &mut buffer) {
                Ok(0) | Err(Errno::IO) => {
                    self.from = None;
                    link.send(stream, &Frame::End);
                }
                Ok(length) => {
                    buffer.truncate(length);
                    self.credit -= u32::try_from(length).unwrap_or(self.credit);
                    link.send(stream, &Frame::Data(buffer));
                }
                Err(Errno::INTR) => {}
                Err(_) => return !may_wait,
            }
        }
        true
    }
}
