//! Frames: the one byte stream between a client and a monitor, and between a monitor and init.
//!
//! A frame is a header of nine bytes and a payload: its kind (one byte), its stream and the length of
//! the payload (four bytes each, least significant first). The first frame of each side is
//! [`Frame::Hello`]. Stream numbers are calls with channels: see [`Stream`].
//!
//! Each stream of data has a window: a sender may have [`WINDOW`] bytes on the way and gets credit
//! back as the receiver hands them on. So a reader that is slow or silent holds up its own stream and
//! nothing else, and nobody has to keep more than a window for anybody.

/// The version of the protocol, the payload of the first frame.
pub const VERSION: u16 = 1;

/// The longest payload in bytes.
pub const LARGEST: usize = 64 * 1024;

/// How many bytes of a stream may be on the way, unless credit says more.
pub const WINDOW: u32 = 64 * 1024;

const HEADER: usize = 9;

/// A numbered sub-stream: one channel of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    /// The call, numbered by who made it: less than 2^30.
    pub call: u32,
    /// Which of the call's streams.
    pub channel: Channel,
}

/// The streams of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Requests and replies.
    Message,
    /// Input of the command.
    Input,
    /// Its output.
    Output,
    /// Its error output.
    Error,
}

impl Stream {
    /// The channel of a call.
    pub fn new(call: u32, channel: Channel) -> Self {
        Self { call: call & (u32::MAX >> 2), channel }
    }

    fn number(self) -> u32 {
        self.call << 2 | self.channel as u32
    }

    fn from_number(number: u32) -> Self {
        let channel = match number & 3 {
            0 => Channel::Message,
            1 => Channel::Input,
            2 => Channel::Output,
            _ => Channel::Error,
        };
        Self { call: number >> 2, channel }
    }
}

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The sender's version of the protocol.
    Hello(u16),
    /// A request or a reply, as JSON.
    Message(Vec<u8>),
    /// Bytes of a stream.
    Data(Vec<u8>),
    /// The stream has ended.
    End,
    /// This many bytes more may be sent on the stream.
    Credit(u32),
}

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The kind is not known.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    /// The payload is larger than allowed.
    #[error("a frame of {0} bytes, more than {LARGEST}")]
    TooLarge(u32),
    /// The payload does not fit the kind.
    #[error("a malformed frame of kind {0}")]
    Malformed(u8),
}

impl Frame {
    /// Appends the frame to `out`. A payload is at most [`LARGEST`] bytes; more is cut off.
    pub fn encode(&self, stream: Stream, out: &mut Vec<u8>) {
        match self {
            Self::Hello(version) => append(out, 0, stream, &version.to_le_bytes()),
            Self::Message(json) => append(out, 1, stream, json),
            Self::Data(bytes) => append(out, 2, stream, bytes),
            Self::End => append(out, 3, stream, &[]),
            Self::Credit(bytes) => append(out, 4, stream, &bytes.to_le_bytes()),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        let malformed = || FrameError::Malformed(kind);
        Ok(match kind {
            0 => Self::Hello(u16::from_le_bytes(payload.try_into().map_err(|_| malformed())?)),
            1 => Self::Message(payload.to_vec()),
            2 => Self::Data(payload.to_vec()),
            3 if payload.is_empty() => Self::End,
            3 => return Err(malformed()),
            4 => Self::Credit(u32::from_le_bytes(payload.try_into().map_err(|_| malformed())?)),
            kind => return Err(FrameError::Kind(kind)),
        })
    }
}

fn append(out: &mut Vec<u8>, kind: u8, stream: Stream, payload: &[u8]) {
    let payload = &payload[..payload.len().min(LARGEST)];
    let length = u32::try_from(payload.len()).expect("it was just cut to less");
    out.push(kind);
    out.extend_from_slice(&stream.number().to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Takes bytes as they come and gives frames. Holds less than one frame.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// How many of them were given out already.
    used: usize,
}

impl Decoder {
    /// Adds bytes that came.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// The bytes are none. There is no going on after that.
    pub fn next_frame(&mut self) -> Result<Option<(Stream, Frame)>, FrameError> {
        let bytes = &self.bytes[self.used..];
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [kind, s0, s1, s2, s3, l0, l1, l2, l3] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let Some(size) = usize::try_from(length).ok().filter(|size| *size <= LARGEST) else {
            return Err(FrameError::TooLarge(length));
        };
        let Some(payload) = rest.get(..size) else {
            return Ok(None);
        };
        let frame = Frame::decode(kind, payload)?;
        self.used += HEADER + size;
        Ok(Some((Stream::from_number(u32::from_le_bytes([s0, s1, s2, s3])), frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<(Stream, Frame)> {
        vec![
            (Stream::new(0, Channel::Message), Frame::Hello(VERSION)),
            (Stream::new(7, Channel::Message), Frame::Message(b"{}".to_vec())),
            (Stream::new(7, Channel::Input), Frame::Data(vec![0; LARGEST])),
            (Stream::new(u32::MAX >> 2, Channel::Error), Frame::End),
            (Stream::new(7, Channel::Output), Frame::Credit(4096)),
        ]
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = Vec::new();
        for (stream, frame) in samples() {
            frame.encode(stream, &mut bytes);
        }
        for size in [1, 7, 4096, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.add(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, samples());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_its_payload_comes() {
        let error = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.add(bytes);
            decoder.next_frame().unwrap_err()
        };
        assert_eq!(error(&[1, 0, 0, 0, 0, 255, 255, 255, 255]), FrameError::TooLarge(u32::MAX));
        assert_eq!(error(&[1, 0, 0, 0, 0, 1, 0, 1, 0]), FrameError::TooLarge(65537));
        assert_eq!(error(&[9, 0, 0, 0, 0, 0, 0, 0, 0]), FrameError::Kind(9));
        assert_eq!(error(&[4, 0, 0, 0, 0, 1, 0, 0, 0, 0]), FrameError::Malformed(4));
        assert_eq!(error(&[3, 0, 0, 0, 0, 1, 0, 0, 0, 0]), FrameError::Malformed(3));
    }

    #[test]
    fn any_bytes_are_frames_or_an_error_and_nothing_is_kept_of_them() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        for _ in 0..2000 {
            let mut decoder = Decoder::default();
            // Small numbers make plausible headers.
            let bytes: Vec<u8> = (0..200).map(|_| if random() < 200 { random() % 5 } else { random() }).collect();
            for chunk in bytes.chunks(17) {
                decoder.add(chunk);
                while let Ok(Some(_)) = decoder.next_frame() {}
                assert!(decoder.bytes.len() - decoder.used <= HEADER + LARGEST);
            }
        }
    }
}
