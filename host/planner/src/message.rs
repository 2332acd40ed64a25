//! What planner and rkt say to one another over a socket: frames of JSON, each with its length before
//! it (four bytes, little endian).

use std::io::{self, Read, Write};

use rkt_plan::{Plan, Pod};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::limits::Limits;

/// The longest frame that a planner may send: a plan of the largest size, with each byte escaped.
pub(crate) const LONGEST_REPLY: usize = 8 << 20;

/// The longest frame that rkt sends: a pod of hundreds of apps is far below.
pub(crate) const LONGEST_REQUEST: usize = 64 << 20;

/// To the planner, first of all.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) limits: Limits,
    /// Where in its file the plugin's code is; none: it is all of a memory file.
    pub(crate) part: Option<Part>,
}

/// A part of a file, in bytes from its start.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// To the planner, once it is known which pod is to be planned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request(pub(crate) Pod);

/// To the planner, for each [`Reply::Fact`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FactAnswer(pub(crate) Option<String>);

/// From the planner: questions, then one last reply.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Fact { name: String },
    Last(LastReply),
}

/// How a plugin's life came out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LastReply {
    Planned(Plan),
    Problem { message: String, hint: Option<String> },
    Failed(Failure),
}

pub(crate) fn write(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&frame)
}

pub(crate) fn read<T: DeserializeOwned>(mut from: impl Read, longest: usize) -> Result<T, ReadError> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > longest {
        return Err(ReadError::TooLong { length, longest });
    }
    // Beyond this the memory grows with what really comes, whatever length was announced.
    let mut frame = Vec::with_capacity(length.min(64 << 10));
    from.take(length as u64).read_to_end(&mut frame)?;
    if frame.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(serde_json::from_slice(&frame)?)
}

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("no message came")]
    Io(#[from] io::Error),
    #[error("a message of {length} bytes, of at most {longest}")]
    TooLong { length: usize, longest: usize },
    #[error("a message that is malformed")]
    Malformed(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_as_written() {
        let mut frame = Vec::new();
        write(&mut frame, &FactAnswer(Some("6.18".to_owned()))).unwrap();
        assert_eq!(read::<FactAnswer>(frame.as_slice(), 64).unwrap().0.as_deref(), Some("6.18"));
    }

    #[test]
    fn what_is_no_message_is_refused_without_waiting_or_allocating_for_it() {
        assert!(matches!(read::<Reply>(&u32::MAX.to_le_bytes()[..], LONGEST_REPLY), Err(ReadError::TooLong { .. })));
        assert!(matches!(read::<Reply>(&b"\x09\0\0\0{}"[..], 64), Err(ReadError::Io(_))));
        assert!(matches!(read::<Reply>(&b"\x02\0\0\0{}"[..], 64), Err(ReadError::Malformed(_))));
        assert!(matches!(read::<Reply>(&b""[..], 64), Err(ReadError::Io(_))));
    }
}
