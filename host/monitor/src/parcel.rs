//! Something larger than a frame, on its way over one stream: its bytes, then the stream's end.

use crate::frame::{Frame, Stream, WINDOW};
use crate::link::{Link, one_frame};

/// The largest that is taken, in bytes: several times the largest launch that a plan within its limits, with
/// a command as long as the kernel takes, can make.
pub const LARGEST: usize = 16 << 20;

/// Something that is being sent.
#[derive(Debug)]
pub struct Outgoing {
    stream: Stream,
    bytes: Vec<u8>,
    sent: usize,
    credit: u32,
    has_ended: bool,
}

impl Outgoing {
    /// Something to be sent on this stream.
    pub fn new(stream: Stream, bytes: Vec<u8>) -> Self {
        Self { stream, bytes, sent: 0, credit: WINDOW, has_ended: false }
    }

    /// The other end takes more.
    pub fn allow(&mut self, more: u32) {
        self.credit = self.credit.saturating_add(more);
    }

    /// Puts on the way what the other end takes now. Whether that was the last of it.
    pub fn advance(&mut self, link: &mut Link) -> bool {
        while self.credit > 0 && self.sent < self.bytes.len() {
            let end = self.bytes.len().min(self.sent + one_frame(self.credit));
            let chunk = self.bytes[self.sent..end].to_vec();
            self.credit -= u32::try_from(chunk.len()).unwrap_or(self.credit);
            self.sent = end;
            link.send(self.stream, &Frame::Data(chunk));
        }
        if self.sent == self.bytes.len() && !self.has_ended {
            self.has_ended = true;
            link.send(self.stream, &Frame::End);
        }
        self.has_ended
    }
}

/// Something that is being received.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
}

/// More came than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {LARGEST} bytes came")]
pub struct TooLarge;

impl Incoming {
    /// Takes a frame of the stream, and gives credit for it. The whole, once it is there; the next frame begins
    /// another.
    ///
    /// # Errors
    /// More came than is taken; what came is let go.
    pub fn take(&mut self, stream: Stream, frame: &Frame, link: &mut Link) -> Result<Option<Vec<u8>>, TooLarge> {
        match frame {
            Frame::Data(bytes) if self.bytes.len() + bytes.len() > LARGEST => {
                self.bytes = Vec::new();
                Err(TooLarge)
            }
            Frame::Data(bytes) => {
                self.bytes.extend_from_slice(bytes);
                link.send(stream, &Frame::Credit(u32::try_from(bytes.len()).unwrap_or(WINDOW)));
                Ok(None)
            }
            Frame::End => Ok(Some(std::mem::take(&mut self.bytes))),
            Frame::Hello(_) | Frame::Message(_) | Frame::Credit(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Channel;

    fn links() -> (Link, Link) {
        let (one, other) = rkt_sys::socket::pair().unwrap();
        (Link::new(one).unwrap(), Link::new(other).unwrap())
    }

    #[test]
    fn what_is_larger_than_a_window_arrives_as_credit_comes() {
        let (mut ours, mut theirs) = links();
        let stream = Stream::new(3, Channel::Input);
        let bytes: Vec<u8> = (0..3 * WINDOW + 5).map(|number| number.to_le_bytes()[0]).collect();
        let mut outgoing = Outgoing::new(stream, bytes.clone());
        let mut incoming = Incoming::default();
        assert!(!outgoing.advance(&mut ours), "it is more than a window");
        let whole = loop {
            ours.flush().unwrap();
            theirs.receive().unwrap();
            let mut whole = None;
            while let Some((stream, frame)) = theirs.next_frame().unwrap() {
                whole = whole.or(incoming.take(stream, &frame, &mut theirs).unwrap());
            }
            if let Some(whole) = whole {
                break whole;
            }
            theirs.flush().unwrap();
            ours.receive().unwrap();
            while let Some((_, frame)) = ours.next_frame().unwrap() {
                if let Frame::Credit(more) = frame {
                    outgoing.allow(more);
                }
            }
            outgoing.advance(&mut ours);
        };
        assert_eq!(whole, bytes);
        assert!(outgoing.advance(&mut ours));
    }

    #[test]
    fn nothing_is_kept_of_what_is_too_large() {
        let (mut link, _other) = links();
        let stream = Stream::new(1, Channel::Input);
        let frame = Frame::Data(vec![0; 1 << 16]);
        let mut incoming = Incoming::default();
        let taken = (0..=LARGEST >> 16).map(|_| incoming.take(stream, &frame, &mut link));
        assert_eq!(taken.last(), Some(Err(TooLarge)));
        assert!(incoming.bytes.is_empty());
    }
}
