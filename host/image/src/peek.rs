//! Looking into an ACI without a store and without privileges, for plans that are only shown.

use std::io::{self, BufRead, Read as _};
use std::path::{Path, PathBuf};

use rkt_appc::{ImageId, ImageManifest};

use crate::archive::aci::{self, Visitor};
use crate::archive::pipeline;
use crate::archive::reader::{Content, Entry, Kind};
use crate::store::source::Source;
use crate::{ArchiveError, Policy, SignatureRequired, Verification};

/// What a pod needs to know of an image to be planned.
#[derive(Debug)]
pub struct Peek {
    /// What the image would be called in the store.
    pub id: ImageId,
    /// What it says of itself.
    pub manifest: ImageManifest,
    /// Its `/etc/passwd`; `None` where there is none, or where it is not a plain file in the archive: a
    /// link is followed only in an image that is unpacked.
    pub passwd: Option<Vec<u8>>,
    /// Its `/etc/group`, likewise.
    pub group: Option<Vec<u8>>,
}

/// Why a file cannot be looked into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeekError {
    /// It has no signature.
    #[error(transparent)]
    SignatureRequired(#[from] SignatureRequired),
    /// It cannot be opened, or is no regular file.
    #[error("cannot open image file {file:?}")]
    Open {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is no archive that may be unpacked.
    #[error("cannot read image file {file:?}")]
    Archive {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        cause: ArchiveError,
    },
}

/// Reads an ACI file to its end, held to the same rules as an import but for those that only
/// unpacking can tell (paths that stand twice).
///
/// # Errors
/// Where the file may not be used, cannot be read, or breaks the rules.
pub fn peek(file: &Path, verification: Verification, policy: &Policy) -> Result<Peek, PeekError> {
    verification.of_file(file)?;
    let source = Source::open(file).map_err(|cause| PeekError::Open { file: file.to_owned(), cause })?;
    let mut found = Found::default();
    let limits = &policy.limits;
    let read = pipeline::run(&source.file, None, limits, &mut |_| {}, |archive| aci::read(archive, policy, &mut found));
    let (manifest, id) = read.map_err(|cause| PeekError::Archive { file: file.to_owned(), cause })?;
    let Found { passwd, group } = found;
    Ok(Peek { id, manifest: manifest.parsed, passwd, group })
}

/// The files that are looked for.
#[derive(Default)]
struct Found {
    passwd: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
}

impl Found {
    /// Bytes of a file that is kept; larger ones are left alone, like those that are missing.
    const LARGEST: u64 = 4 << 20;
}

impl Visitor for Found {
    fn visit<R: BufRead>(
        &mut self,
        path: &Path,
        entry: &Entry,
        mut content: Content<'_, '_, R>,
    ) -> Result<(), ArchiveError> {
        let slot = match path.to_str() {
            Some("etc/passwd") => &mut self.passwd,
            Some("etc/group") => &mut self.group,
            _ => return Ok(()),
        };
        if let Kind::File(size) = entry.kind
            && size <= Self::LARGEST
        {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(ArchiveError::from_read)?;
            if slot.replace(bytes).is_some() {
                return Err(entry.refused("the archive holds this path already"));
            }
        }
        Ok(())
    }
}
