//! One pass over an archive: one thread reads it once, copies it as it came and decompresses it; a
//! second hashes it; the caller's takes it apart.
//!
//! Knows nothing of tar. The limits on bytes are held here, where bytes are counted.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use flate2::Crc;
use rkt_appc::ImageId;
use sha2::{Digest as _, Sha512};

use super::ArchiveError;
use super::decompress::decompress;
use crate::Limits;

/// Bytes that threads hand over at once: so many that handing over costs nothing, so few that they
/// stay in the processor's cache.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait for each of the two takers; bounds the memory to a few MiB.
const WAITING: usize = 8;

/// How far the reading of an archive is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Bytes of the file that were read.
    pub read: u64,
    /// Bytes that it has.
    pub total: u64,
}

/// A copy of the archive, as it came.
pub(crate) struct Copy<'a> {
    file: File,
    path: &'a Path,
    crc: Crc,
}

impl<'a> Copy<'a> {
    /// One that goes to a file, whose path is for messages.
    pub(crate) fn new(file: File, path: &'a Path) -> Self {
        Self { file, path, crc: Crc::new() }
    }

    /// The CRC-32 of what was copied.
    pub(crate) fn crc(&self) -> u32 {
        self.crc.sum()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.crc.update(bytes);
        self.file.write_all(bytes).map_err(|cause| ArchiveError::Copy { path: self.path.to_owned(), cause })
    }
}

/// Reads the archive `source`, gives its uncompressed bytes to `take_apart`, which must read them to
/// the end, and returns what that returns, with the ID of the image.
pub(crate) fn run<T>(
    source: &File,
    copy: Option<&mut Copy<'_>>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
    take_apart: impl FnOnce(&mut Chunks<'_>) -> Result<T, ArchiveError>,
) -> Result<(T, ImageId), ArchiveError> {
    let total = source.metadata().map_err(ArchiveError::Read)?.len();
    let (to_hash, hashed) = sync_channel(WAITING);
    let (to_caller, arriving) = sync_channel(WAITING);
    thread::scope(|scope| {
        let hashing = scope.spawn(move || hash(&hashed));
        scope.spawn(move || {
            if let Err(error) = read(source, copy, limits, &to_hash, &to_caller) {
                // Where the caller gave up there is nobody to tell.
                let _ = to_caller.send(Err(error));
            }
        });
        let mut chunks = Chunks { arriving, current: None, at: 0, progress, total };
        let taken = take_apart(&mut chunks);
        // Where the caller gave up, this ends the threads.
        drop(chunks);
        let id = hashing.join().expect("hashing does not panic");
        taken.map(|value| (value, id))
    })
}

/// Some uncompressed bytes of the archive. Its memory is used again when both takers are done.
struct Chunk {
    bytes: Vec<u8>,
    /// Bytes of the file that were read to get here.
    read: u64,
    done: Sender<Vec<u8>>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // Once the reader has ended there is no use for it.
        let _ = self.done.send(std::mem::take(&mut self.bytes));
    }
}

fn read(
    source: &File,
    copy: Option<&mut Copy<'_>>,
    limits: &Limits,
    to_hash: &SyncSender<Arc<Chunk>>,
    to_caller: &SyncSender<Result<Arc<Chunk>, ArchiveError>>,
) -> Result<(), ArchiveError> {
    let read = Cell::new(0);
    let tee = Tee { source, copy, read: &read };
    let mut archive = decompress(BufReader::with_capacity(CHUNK, tee))?;
    let (done, used) = channel();
    let mut unpacked = 0;
    loop {
        let mut bytes = used.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
        let length = fill(&mut archive, &mut bytes).map_err(ArchiveError::from_read)?;
        if length == 0 {
            return Ok(());
        }
        bytes.truncate(length);
        unpacked += length as u64;
        check(limits, read.get(), unpacked)?;
        let chunk = Arc::new(Chunk { bytes, read: read.get(), done: done.clone() });
        let hashing = to_hash.send(Arc::clone(&chunk)).is_ok();
        if !hashing || to_caller.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}

/// Fills the buffer, all of it but at the end of the input.
fn fill(input: &mut dyn Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.resize(CHUNK, 0);
    let mut length = 0;
    while length < CHUNK {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn check(limits: &Limits, read: u64, unpacked: u64) -> Result<(), ArchiveError> {
    if unpacked > limits.unpacked_bytes {
        let limit = limits.unpacked_bytes;
        return Err(ArchiveError::Limit { what: "uncompressed bytes", limit });
    }
    if unpacked > Limits::RATIO_GRACE && unpacked / read.max(1) > limits.ratio {
        let what = "uncompressed bytes for each compressed one";
        return Err(ArchiveError::Limit { what, limit: limits.ratio });
    }
    Ok(())
}

fn hash(chunks: &Receiver<Arc<Chunk>>) -> ImageId {
    let mut digest = Sha512::new();
    for chunk in chunks {
        digest.update(&chunk.bytes);
    }
    ImageId::from_sha512(&digest.finalize().into())
}

/// Reads a file, copies what it reads and counts it.
struct Tee<'a, 'c> {
    source: &'a File,
    copy: Option<&'a mut Copy<'c>>,
    read: &'a Cell<u64>,
}

impl Read for Tee<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.read.set(self.read.get() + length as u64);
        if let Some(copy) = &mut self.copy {
            copy.write(&buffer[..length]).map_err(io::Error::other)?;
        }
        Ok(length)
    }
}

/// The uncompressed bytes of the archive, as they arrive.
pub(crate) struct Chunks<'a> {
    arriving: Receiver<Result<Arc<Chunk>, ArchiveError>>,
    current: Option<Arc<Chunk>>,
    /// Bytes of the current chunk that were consumed.
    at: usize,
    progress: &'a mut dyn FnMut(Progress),
    total: u64,
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let is_used_up = |chunk: &Arc<Chunk>| self.at == chunk.bytes.len();
        if self.current.as_ref().is_none_or(is_used_up) {
            // The sender goes when the archive has ended; what went wrong it has sent before.
            self.current = self.arriving.recv().ok().transpose().map_err(io::Error::other)?;
            self.at = 0;
            if let Some(chunk) = &self.current {
                (self.progress)(Progress { read: chunk.read, total: self.total });
            }
        }
        let bytes = self.current.as_ref().map(|chunk| &chunk.bytes[self.at..]);
        Ok(bytes.unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
