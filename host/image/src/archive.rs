//! Reading the archive of an ACI: from the bytes of a file to entries that are safe to act on.
//!
//! Nothing here touches a file system beyond reading its one input and copying it as it came.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rkt_appc::ManifestError;

pub(crate) mod aci;
mod decompress;
mod header;
mod numbers;
mod path;
mod pax;
pub(crate) mod pipeline;
pub(crate) mod reader;
mod write;

pub(crate) use self::pax::is_kept;
pub use self::write::write_aci;

pub(crate) use pax::is_kept as is_attribute_kept;

/// Why an archive is refused or cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The bytes cannot be read or decompressed, or are too many.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The file is neither a tar archive nor compressed in a known way.
    #[error("not an ACI: neither a tar archive nor one compressed by gzip, bzip2, xz or zstd")]
    Format,
    /// A header is not what tar archives have.
    #[error("the archive is malformed at byte {offset} (uncompressed): {reason}")]
    Malformed {
        /// Where its header begins.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry is of a kind or shape that is refused.
    #[error("entry {entry} is refused: {reason}")]
    Refused {
        /// Which.
        entry: EntryName,
        /// Why.
        reason: &'static str,
    },
    /// The archive holds more than is allowed.
    #[error("the archive exceeds the limit of {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// There is no manifest.
    #[error("no image manifest found in the archive")]
    NoManifest,
    /// There is no root filesystem.
    #[error("no rootfs found in the archive")]
    NoRootfs,
    /// The manifest breaks the specification.
    #[error("image manifest validation failed")]
    Manifest(#[source] ManifestError),
    /// The host cannot make what the entry is.
    #[error("cannot unpack entry {entry}")]
    Unpack {
        /// Which.
        entry: EntryName,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The copy of the archive cannot be written.
    #[error("cannot copy the archive to {path:?}")]
    Copy {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl ArchiveError {
    /// The error that reading the archive met: ours, where one was passed through a reader.
    pub(crate) fn from_read(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Read)
    }
}

/// The name of an entry as the archive has it: bytes that need not be text. `Display` quotes it and
/// escapes whatever could act on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryName(pub(crate) Vec<u8>);

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(OsStr::from_bytes(&self.0), f)
    }
}
