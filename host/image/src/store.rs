//! The store: images as directories, each named by the content that it came from.
//!
//! ```text
//! DATA/cas/image/KEY/manifest   the image manifest, as it stands in the archive
//!                    info       what the store knows of the image besides (JSON)
//!                    archive    the image file as it came, compressed as it was
//!                    rootfs/    its files; lower layer of its pods' roots, so never written to
//!                    used       an empty file: its time is when the image was last used
//! DATA/cas/tmp/                 images on their way in and out, each locked by its process
//! DATA/cas/seen/                which files were imported already; hints that may be lost
//! ```
//!
//! An image is published by one rename, after it was made durable, and is never changed from then
//! on. There is no index and no lock of the store as a whole. Directories are only root's: the files
//! in them have the owners and set-user-ID bits that the images give them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rkt_appc::{AcIdentifier, ImageId, ImageKey, ImageManifest, Labels, ManifestError};
use rkt_sys::lock::Lock;
use serde::{Deserialize, Serialize};

use crate::Verified;

mod import;
mod lookup;
mod seen;
pub(crate) mod source;
mod staging;

pub use import::ImportError;

/// The images of a data directory.
#[derive(Debug, Clone)]
pub struct Store {
    cas: PathBuf,
}

impl Store {
    /// The store in this data directory. It need not exist yet: what reads finds no images, and the
    /// first import makes it.
    pub fn at(data: &Path) -> Self {
        Self { cas: data.join("cas") }
    }

    fn images(&self) -> PathBuf {
        self.cas.join("image")
    }

    fn staging(&self) -> PathBuf {
        self.cas.join("tmp")
    }

    fn seen(&self) -> PathBuf {
        self.cas.join("seen")
    }
}

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Image {
    /// What it says of itself.
    pub manifest: ImageManifest,
    /// What the store knows of it besides.
    pub info: Info,
    directory: PathBuf,
}

/// What the store knows of an image besides what the image says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The whole ID.
    pub id: ImageId,
    /// Its name, as in the manifest.
    pub name: AcIdentifier,
    /// Its labels, as in the manifest.
    pub labels: Labels,
    /// When it was imported, in nanoseconds since 1970.
    pub imported: u64,
    /// Bytes of the archive, as it came.
    pub archive_bytes: u64,
    /// Bytes of its files.
    pub rootfs_bytes: u64,
    /// Where it came from.
    pub origin: Origin,
    /// Who vouched for it.
    pub verified: Verified,
}

/// Where an image came from, for people: nothing is ever read from there again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Origin {
    /// A file of this path, absolute, characters that are no text replaced.
    File(String),
}

impl Image {
    /// What it is called in the store.
    pub fn key(&self) -> ImageKey {
        self.info.id.key()
    }

    /// The directory with its files, to be read only.
    pub fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// The file that it came as.
    pub fn archive(&self) -> PathBuf {
        self.directory.join("archive")
    }

    /// When it was last used, or imported where that is not known.
    pub fn last_used(&self) -> SystemTime {
        let used = fs::metadata(self.directory.join("used")).and_then(|used| used.modified());
        used.unwrap_or_else(|_| SystemTime::UNIX_EPOCH + Duration::from_nanos(self.info.imported))
    }

    /// Notes that it is used now. Whether that works changes nothing but which images go first when
    /// there is no room.
    pub fn mark_used(&self) {
        let path = self.directory.join("used");
        let used = File::options().write(true).open(path);
        if let Err(error) = used.and_then(|used| used.set_modified(SystemTime::now())) {
            tracing::debug!(key = self.key().as_str(), %error, "cannot note that the image is used");
        }
    }

    /// Keeps it from being removed as long as what is returned, or a copy of it in another process,
    /// is open.
    ///
    /// # Errors
    /// Where it has been removed meanwhile.
    pub fn hold(&self) -> Result<Lock, StoreError> {
        let failed = |cause| StoreError::io("hold image", &self.directory, cause);
        let directory = File::open(&self.directory).map_err(failed)?;
        let held = lookup::lock_shared(directory, &self.directory).map_err(failed)?;
        held.ok_or_else(|| StoreError::NoSuchId(self.key().to_string()))
    }
}

/// Why the store cannot give or change what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// What should be an image ID is none.
    #[error("wrong key prefix: {0:?} does not begin with \"sha512-\"")]
    WrongPrefix(String),
    /// So short an ID is not looked up.
    #[error("image ID too short: {0:?} has not even two digits")]
    TooShort(String),
    /// No image's ID begins so.
    #[error("no image IDs found for {0:?}")]
    NoSuchId(String),
    /// Several images' IDs begin so.
    #[error("ambiguous image ID: {0:?}")]
    Ambiguous(String),
    /// No image has this name and labels.
    #[error("no image named {0:?} with the labels asked for in the store")]
    NoSuchName(String),
    /// A pod uses the image.
    #[error("image {0} is used by a pod")]
    InUse(ImageKey),
    /// An image in the store is not as it was written.
    #[error("image {directory:?} in the store is damaged")]
    Damaged {
        /// Where it is.
        directory: PathBuf,
        /// What is wrong.
        #[source]
        cause: Damage,
    },
    /// The data directory cannot be read or written.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// What is wrong with an image in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What the store wrote of it.
    #[error("what the store wrote of it cannot be read")]
    Info(#[source] serde_json::Error),
}

impl StoreError {
    fn io(action: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), cause }
    }
}
