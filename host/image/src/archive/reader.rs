//! The one strict parser of tar archives.
//!
//! What readers of archives are known to take in different ways is refused with the reason, so that
//! an archive has one meaning: what was looked at elsewhere, by another reader, is what is unpacked
//! here. It knows tar and nothing of ACI.

use std::ffi::CString;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use rkt_appc::UnixId;

use super::header::{BLOCK, Header};
use super::pax::{self, Records};
use super::{ArchiveError, EntryName, path};
use crate::Limits;

/// One entry of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As the archive has it.
    pub(crate) name: EntryName,
    /// The same without what says nothing; never absolute, without `..`.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// Permissions, at most `0o7777`.
    pub(crate) mode: u32,
    pub(crate) uid: UnixId,
    pub(crate) gid: UnixId,
    /// Seconds since 1970 and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Extended attributes that may be kept.
    pub(crate) attributes: Vec<(CString, Vec<u8>)>,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// A regular file with this many bytes.
    File(u64),
    /// A symbolic link with this text.
    Symlink(Vec<u8>),
    /// Another name of the entry with this path.
    HardLink(PathBuf),
    Fifo,
    /// A block or character device.
    Device,
}

impl Entry {
    /// An error about this entry.
    pub(crate) fn refused(&self, reason: &'static str) -> ArchiveError {
        ArchiveError::Refused { entry: self.name.clone(), reason }
    }
}

/// Reads the entries of an archive, one after the other.
pub(crate) struct Reader<'l, R> {
    input: R,
    limits: &'l Limits,
    /// Where the next byte of the input stands in the archive.
    offset: u64,
    /// Bytes of the current entry that were not read.
    content: u64,
    /// Bytes that fill its last block.
    padding: u64,
    entries: u64,
}

/// What headers said of the entry after them.
#[derive(Default)]
struct Announced {
    records: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<'l, R: BufRead> Reader<'l, R> {
    pub(crate) fn new(input: R, limits: &'l Limits) -> Self {
        Self { input, limits, offset: 0, content: 0, padding: 0, entries: 0 }
    }

    /// The next entry. What of the content of the last one was not read is passed over. After the
    /// last entry the input has been read to its end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.pass_over_content()?;
        let mut announced = Announced::default();
        loop {
            let at = self.offset;
            let malformed = |reason| ArchiveError::Malformed { offset: at, reason };
            let block = self.read_block()?;
            if block == [0; BLOCK] {
                if !announced.is_empty() {
                    return Err(malformed("the archive ends where an entry was announced"));
                }
                return self.end(at).map(|()| None);
            }
            self.count()?;
            let header = Header::parse(&block).map_err(malformed)?;
            match header.kind {
                b'x' => {
                    let data = self.read_data(header.size)?;
                    let records = Records::parse(&data, self.limits.attribute_bytes);
                    announce(&mut announced.records, records.map_err(malformed)?)
                }
                b'L' => {
                    let data = self.read_data(header.size)?;
                    announce(&mut announced.long_name, without_nul(data))
                }
                b'K' => {
                    let data = self.read_data(header.size)?;
                    announce(&mut announced.long_link, without_nul(data))
                }
                b'g' => {
                    let data = self.read_data(header.size)?;
                    let reason = "a global extended header changes all entries after it";
                    pax::is_only_comment(&data).then_some(()).ok_or(reason)
                }
                _ => return self.entry(header, announced, at).map(Some),
            }
            .map_err(malformed)?;
        }
    }

    /// The content of the current entry, where it is a regular file.
    pub(crate) fn content(&mut self) -> Content<'_, 'l, R> {
        Content(self)
    }

    fn entry(&mut self, header: Header, announced: Announced, at: u64) -> Result<Entry, ArchiveError> {
        let malformed = |reason| ArchiveError::Malformed { offset: at, reason };
        let Announced { records, long_name, long_link } = announced;
        let records = records.unwrap_or_default();
        let name = one_of(records.path, long_name, header.name).map_err(malformed)?;
        let link = one_of(records.link, long_link, header.link).map_err(malformed)?;
        let name = EntryName(name);
        let refused = |reason| ArchiveError::Refused { entry: name.clone(), reason };

        let path = path::clean(&name.0, self.limits).map_err(refused)?;
        let size = size(header.size, records.size).map_err(refused)?;
        let kind = self.kind(header.kind, size, link).map_err(refused)?;
        if name.0.ends_with(b"/") && kind != Kind::Directory {
            return Err(refused("its name ends in / but it is no directory"));
        }
        let id = |header, record: Option<u64>| {
            let id = i64::try_from(record.unwrap_or(header)).unwrap_or(i64::MAX);
            let reason = "its owner is no user or group ID (0 to 2147483646)";
            UnixId::try_from(id).map_err(|_| refused(reason))
        };
        let (uid, gid) = (id(header.uid, records.uid)?, id(header.gid, records.gid)?);
        self.content = size;
        self.padding = padding(size);
        Ok(Entry {
            path,
            kind,
            mode: u32::try_from(header.mode & 0o7777).expect("twelve bits"),
            uid,
            gid,
            mtime: records.mtime.unwrap_or((header.mtime, 0)),
            attributes: records.attributes,
            name,
        })
    }

    fn kind(&self, kind: u8, size: u64, link: Vec<u8>) -> Result<Kind, &'static str> {
        let kind = match kind {
            b'0' | 0 => return Ok(Kind::File(size)),
            b'1' => {
                let target = path::clean(&link, self.limits);
                Kind::HardLink(target.map_err(|_| "it is a hard link to no path in the archive")?)
            }
            b'2' if link.is_empty() || link.contains(&0) => {
                return Err("it is a symbolic link to nothing");
            }
            b'2' if link.len() > self.limits.path_bytes => {
                return Err("its target is longer than allowed");
            }
            b'2' => Kind::Symlink(link),
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => return Err("it is a sparse file, which readers of archives do not agree on"),
            _ => return Err("it is of a kind that is not known"),
        };
        // Some readers pass over such content, others read it as headers.
        if size != 0 { Err("it has content, but is no regular file") } else { Ok(kind) }
    }

    fn count(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::Limit { what: "entries", limit: self.limits.entries });
        }
        Ok(())
    }

    /// The data of a header that is about another entry.
    fn read_data(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > self.limits.header_bytes {
            let limit = self.limits.header_bytes;
            return Err(ArchiveError::Limit { what: "bytes in one extended header", limit });
        }
        let mut data = vec![0; usize::try_from(size).expect("it is below the limit")];
        self.read_exact(&mut data)?;
        self.content = 0;
        self.padding = padding(size);
        self.pass_over_content()?;
        Ok(data)
    }

    fn read_block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        Ok(block)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.input.read_exact(buffer).map_err(truncated)?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    fn pass_over_content(&mut self) -> Result<(), ArchiveError> {
        let mut left = self.content + self.padding;
        (self.content, self.padding) = (0, 0);
        while left > 0 {
            let available = self.input.fill_buf().map_err(ArchiveError::from_read)?.len();
            if available == 0 {
                return Err(ArchiveError::Read(ended_early()));
            }
            let passed = available.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.input.consume(passed);
            self.offset += passed as u64;
            left -= passed as u64;
        }
        Ok(())
    }

    /// After one block of zeros there must be another, and then nothing but zeros.
    fn end(&mut self, at: u64) -> Result<(), ArchiveError> {
        let malformed = |reason| ArchiveError::Malformed { offset: at, reason };
        if self.read_block()? != [0; BLOCK] {
            return Err(malformed("one block of zeros stands where two end an archive"));
        }
        loop {
            let rest = self.input.fill_buf().map_err(ArchiveError::from_read)?;
            if rest.is_empty() {
                return Ok(());
            }
            if rest.iter().any(|byte| *byte != 0) {
                return Err(malformed("something follows the end of the archive"));
            }
            let length = rest.len();
            self.input.consume(length);
        }
    }
}

impl Announced {
    fn is_empty(&self) -> bool {
        self.records.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

/// The content of an entry, to be read once.
pub(crate) struct Content<'a, 'l, R>(&'a mut Reader<'l, R>);

impl<R: BufRead> BufRead for Content<'_, '_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = usize::try_from(self.0.content).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(&[]);
        }
        let available = self.0.input.fill_buf()?;
        if available.is_empty() {
            return Err(ended_early());
        }
        Ok(&available[..available.len().min(left)])
    }

    fn consume(&mut self, amount: usize) {
        self.0.input.consume(amount);
        self.0.offset += amount as u64;
        self.0.content -= amount as u64;
    }
}

impl<R: BufRead> Read for Content<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

fn announce<T>(announced: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match announced.replace(value) {
        None => Ok(()),
        Some(_) => Err("two headers announce the same thing of one entry"),
    }
}

/// GNU's long names end in a NUL, which is not part of them.
fn without_nul(mut data: Vec<u8>) -> Vec<u8> {
    if data.last() == Some(&0) {
        data.pop();
    }
    data
}

/// A name, of which the extended header and GNU's long name are two ways to say one thing.
fn one_of(record: Option<Vec<u8>>, long: Option<Vec<u8>>, header: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    match (record, long) {
        (Some(_), Some(_)) => Err("an entry has both an extended header's and a GNU long name"),
        (Some(name), None) | (None, Some(name)) => Ok(name),
        (None, None) => Ok(header),
    }
}

/// A size of an extended header is for what does not fit in the header. Where both could say it and
/// say different things, readers do not agree on where the next entry begins.
fn size(header: u64, record: Option<u64>) -> Result<u64, &'static str> {
    const LARGEST_IN_HEADER: u64 = 0o777_7777_7777;
    match record {
        Some(size) if size != header && size <= LARGEST_IN_HEADER => Err("its two headers give it different sizes"),
        Some(size) => Ok(size),
        None => Ok(header),
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

fn truncated(error: io::Error) -> ArchiveError {
    let ended = error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none();
    ArchiveError::from_read(if ended { ended_early() } else { error })
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends before its last entry does")
}
