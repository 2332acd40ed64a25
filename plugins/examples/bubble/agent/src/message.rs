//! What goes over the socket: one request, with descriptors where it has any, and one answer.
//!
//! A request is its kind, a byte; then for `run` a length, four bytes, the lowest first, and the words, each
//! ended by a zero byte. The three descriptors come with the first byte. The answer to `run` is the exit
//! code, a byte; whoever asked is still there as long as its end is open. `stop` has no answer.

use std::ffi::{OsStr, OsString};
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::when;

/// The most bytes that words take.
const MOST: u32 = 1 << 20;

/// Input, output and errors.
const STREAMS: usize = 3;

const RUN: u8 = b'r';
const STOP: u8 = b's';

/// What is asked of the agent inside.
#[derive(Debug)]
pub(crate) enum Request {
    /// Runs words, with these streams as its own.
    Run { words: Vec<OsString>, streams: [OwnedFd; STREAMS] },
    /// Asks the app to end.
    Stop,
}

/// Asks that words are run.
pub(crate) fn ask_to_run(
    stream: &mut UnixStream,
    words: &[OsString],
    streams: [BorrowedFd<'_>; STREAMS],
) -> Result<(), String> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(&streams));
    sendmsg(&*stream, &[IoSlice::new(&[RUN])], &mut rights, SendFlags::empty()).map_err(when("ask"))?;
    let mut text = Vec::new();
    for word in words {
        text.extend_from_slice(word.as_bytes());
        text.push(0);
    }
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= MOST);
    let length = length.ok_or_else(|| format!("the words have more than {MOST} bytes"))?;
    stream.write_all(&length.to_le_bytes()).and_then(|()| stream.write_all(&text)).map_err(when("ask"))
}

/// Asks that the app ends.
pub(crate) fn ask_to_stop(stream: &mut UnixStream) -> Result<(), String> {
    stream.write_all(&[STOP]).map_err(when("ask"))
}

/// Reads what is asked. Whoever asks is not believed to know the form.
pub(crate) fn read(stream: &mut UnixStream) -> Result<Request, String> {
    let mut kind = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(&*stream, &mut [IoSliceMut::new(&mut kind)], &mut rights, flags).map_err(when("read a request"))?;
    let mut streams = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            streams.extend(descriptors);
        }
    }
    match (kind, <[OwnedFd; STREAMS]>::try_from(streams)) {
        ([RUN], Ok(streams)) => Ok(Request::Run { words: read_words(stream)?, streams }),
        ([STOP], Err(_)) => Ok(Request::Stop),
        _ => Err("a request that is none".to_owned()),
    }
}

fn read_words(stream: &mut UnixStream) -> Result<Vec<OsString>, String> {
    let (mut length, mut text) = ([0; 4], Vec::new());
    stream.read_exact(&mut length).map_err(when("read words"))?;
    let length = u32::from_le_bytes(length).min(MOST);
    stream.take(length.into()).read_to_end(&mut text).map_err(when("read words"))?;
    let words: Vec<OsString> = text
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|word| word.strip_suffix(&[0]))
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect();
    if words.is_empty() { Err("a command without words".to_owned()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn words_and_streams_arrive_as_they_were_sent() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let words: Vec<OsString> = ["a b", "", "*"].map(OsString::from).into();
        ask_to_run(&mut ours, &words, [file.as_fd(); STREAMS]).unwrap();
        let Request::Run { words: received, .. } = read(&mut theirs).unwrap() else { panic!("a command") };
        assert_eq!(received, words);
        ask_to_stop(&mut ours).unwrap();
        assert!(matches!(read(&mut theirs), Ok(Request::Stop)));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [&b""[..], b"x", b"r", b"r\x02\0\0\0a\0"] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            ours.write_all(bytes).unwrap();
            drop(ours);
            assert!(read(&mut theirs).is_err(), "{bytes:?}");
        }
    }
}
