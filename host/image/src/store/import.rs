//! Taking an image file into the store.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rkt_appc::ImageId;

use super::source::Source;
use super::staging::{IMPORT, Staging};
use super::{Image, Info, Origin, Store, StoreError};
use crate::archive::aci::{self, Manifest};
use crate::archive::pipeline::{self, Copy, Progress};
use crate::extract::Extraction;
use crate::{ArchiveError, Policy, SignatureRequired, Verification, Verified};

/// Why an image file was not taken into the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
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
    /// It cannot be read, holds what is refused, or cannot be unpacked.
    #[error("cannot import image file {file:?}")]
    Archive {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        cause: ArchiveError,
    },
    /// It was written to while it was read.
    #[error("image file {0:?} changed while it was imported")]
    Changed(PathBuf),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Takes an ACI file into the store, and returns it as it is there. Where the same file was taken
    /// in before and has not changed since, it is not read again.
    ///
    /// The file is read once: copied as it came, decompressed, hashed and unpacked as it is read.
    /// Nothing of it can be seen in the store before all of it is there for good, and nothing is left
    /// where it fails.
    ///
    /// # Errors
    /// Where a signature is required, which is said before the file is opened; where the file cannot
    /// be read or breaks a rule; and where the data directory cannot be written.
    pub fn import(
        &self,
        file: &Path,
        verification: Verification,
        policy: &Policy,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image, ImportError> {
        let verified = verification.of_file(file)?;
        let opened = SystemTime::now();
        let unopened = |cause| ImportError::Open { file: file.to_owned(), cause };
        let source = Source::open(file).map_err(unopened)?;
        if let Some(image) = self.recall(&source)? {
            image.mark_imported();
            return Ok(image);
        }
        self.make_directories()?;
        let failed = |cause| StoreError::io("import into", &self.staging(), cause);
        let staging = Staging::create(&self.staging(), IMPORT).map_err(failed)?;
        let archived = |cause| ImportError::Archive { file: file.to_owned(), cause };
        let taken = take_in(&source, staging.path(), policy, progress).map_err(archived)?;
        if !source.is_unchanged().map_err(unopened)? {
            return Err(ImportError::Changed(file.to_owned()));
        }
        let id = taken.unpacked.id.clone();
        write_records(staging.path(), taken, origin(file), verified).map_err(failed)?;
        staging.publish(&self.images().join(id.key().as_str())).map_err(failed)?;
        self.remember(&source, opened, &id);
        let image = self.get_exact(&id)?;
        image.mark_imported();
        Ok(image)
    }

    pub(super) fn make_directories(&self) -> Result<(), StoreError> {
        for path in [self.images(), self.rendered(), self.staging(), self.seen()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|cause| StoreError::io("make directory", &path, cause))?;
        }
        Ok(())
    }
}

struct Taken {
    unpacked: Unpacked,
    archive_bytes: u64,
    archive_crc: u32,
}

/// Copies an archive into `staging`, and unpacks it there.
fn take_in(
    source: &Source,
    staging: &Path,
    policy: &Policy,
    progress: &mut dyn FnMut(Progress),
) -> Result<Taken, ArchiveError> {
    let path = &staging.join("archive");
    let copying = |cause| ArchiveError::Copy { path: path.clone(), cause };
    let mut copy = Copy::new(File::create_new(path).map_err(copying)?, path);
    let unpacked = unpack(&source.file, Some(&mut copy), staging, policy, progress)?;
    let archive_bytes = path.metadata().map_err(copying)?.len();
    Ok(Taken { unpacked, archive_bytes, archive_crc: copy.crc() })
}

/// What was in an archive.
pub(super) struct Unpacked {
    pub(super) id: ImageId,
    pub(super) manifest: Manifest,
    /// Bytes of its files.
    pub(super) rootfs_bytes: u64,
}

/// Unpacks an archive into `rootfs`, made for it in `directory`.
pub(super) fn unpack(
    archive: &File,
    copy: Option<&mut Copy<'_>>,
    directory: &Path,
    policy: &Policy,
    progress: &mut dyn FnMut(Progress),
) -> Result<Unpacked, ArchiveError> {
    let mut rootfs_bytes = 0;
    let (manifest, id) = pipeline::run(archive, copy, &policy.limits, progress, |archive| {
        let mut extraction = new_rootfs(directory)?;
        let manifest = aci::read(archive, policy, &mut extraction)?;
        rootfs_bytes = extraction.finish().map_err(unpacking)?;
        Ok(manifest)
    })?;
    Ok(Unpacked { id, manifest, rootfs_bytes })
}

fn new_rootfs(directory: &Path) -> Result<Extraction, ArchiveError> {
    let rootfs = directory.join("rootfs");
    let made = DirBuilder::new().mode(0o700).create(&rootfs);
    made.and_then(|()| Extraction::new(&rootfs)).map_err(unpacking)
}

fn unpacking(cause: io::Error) -> ArchiveError {
    let entry = crate::EntryName(b"rootfs".to_vec());
    ArchiveError::Unpack { entry, cause }
}

fn origin(file: &Path) -> Origin {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Origin::File(absolute.to_string_lossy().into_owned())
}

fn write_records(staging: &Path, taken: Taken, origin: Origin, verified: Verified) -> io::Result<()> {
    let Taken { unpacked, archive_bytes, archive_crc } = taken;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let info = Info {
        id: unpacked.id,
        name: unpacked.manifest.parsed.name,
        labels: unpacked.manifest.parsed.labels,
        imported: u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX),
        archive_bytes,
        archive_crc: Some(archive_crc),
        rootfs_bytes: unpacked.rootfs_bytes,
        origin,
        verified,
    };
    let info = serde_json::to_vec(&info).expect("what the store knows has only text keys");
    for (name, content) in [("manifest", &unpacked.manifest.json), ("info", &info), ("used", &Vec::new())] {
        File::create_new(staging.join(name))?.write_all(content)?;
    }
    Ok(())
}
