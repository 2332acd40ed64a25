//! The store: images as directories, each named by the content that it came from.
//!
//! ```text
//! DATA/cas/image/KEY/manifest   the image manifest, as it stands in the archive
//!                    info       what the store knows of the image besides (JSON)
//!                    archive    the image file as it came, compressed as it was
//!                    rootfs/    its files; lower layer of its pods' roots, so never written to
//!                    used       an empty file: its time is when the image was last used
//!                    imported   an empty file: its time is when the image was last imported
//!                    latest     an empty file, there where it was fetched without a version
//! DATA/cas/rendered/ID/info     of which images a tree is made (JSON)
//!                     rootfs/   the tree; its files are those of the images, by further links
//! DATA/cas/tmp/                 images on their way in and out, each locked by its process
//! DATA/cas/seen/                which files were imported already; hints that may be lost
//! ```
//!
//! An image is published by one rename, after it was made durable, and is never changed from then
//! on, but that a tree which is damaged is made anew. There is no index and no lock of the store as a
//! whole. Directories are only root's: the files in them have the owners and set-user-ID bits that the
//! images give them.
//!
//! Who starts a pod locks each image, shared, until the pod's directory says that the pod needs it. Who
//! removes one locks it alone, looks then which pods there are, and leaves it where one needs it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rkt_appc::{AcIdentifier, ImageId, ImageKey, ImageManifest, Labels, ManifestError};
use rkt_sys::lock::Lock;
use serde::{Deserialize, Serialize};

use crate::{Verification, Verified};

mod compare;
mod dependencies;
mod import;
mod lookup;
mod merge;
mod older;
mod output;
mod remove;
mod rendering;
mod seen;
pub(crate) mod source;
mod staging;
mod verify;
mod whitelist;

pub use dependencies::DependencyError;
pub use import::ImportError;
pub use older::OlderStore;
pub use output::{OutputError, Overwrite, Parts};
pub use remove::{InUse, Removal, RemoveError, Removed};
pub use rendering::{RenderError, Rendering, TreeId, one_tree};
pub use verify::{ArchiveDamage, TreeState, VerifiedTree, VerifyError};

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

    fn rendered(&self) -> PathBuf {
        self.cas.join("rendered")
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
    /// When it was imported last, in nanoseconds since 1970.
    pub imported: u64,
    store: Store,
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
    /// When it was first imported, in nanoseconds since 1970.
    pub imported: u64,
    /// Bytes of the archive, as it came.
    pub archive_bytes: u64,
    /// The CRC-32 of those bytes: it tells damage, which compression may hide from the ID.
    #[serde(default)]
    pub archive_crc: Option<u32>,
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

    /// What it is run from; see [`Store::render`].
    ///
    /// # Errors
    /// As there.
    pub fn render(&self, verification: Verification) -> Result<Rendering, RenderError> {
        self.store.render(self, verification)
    }

    /// When it was last used, or imported where that is not known.
    pub fn last_used(&self) -> SystemTime {
        let used = fs::metadata(self.directory.join("used")).and_then(|used| used.modified());
        used.unwrap_or_else(|_| SystemTime::UNIX_EPOCH + Duration::from_nanos(self.imported))
    }

    /// Notes that it is used now. Whether that works changes nothing but which images go first when
    /// there is no room.
    pub fn mark_used(&self) {
        self.touch("used");
    }

    /// Notes that it is imported now, again: of several that fit, the one imported last is meant.
    fn mark_imported(&self) {
        self.touch("imported");
    }

    /// Notes that it was fetched without a version: who asks for none gets it from now on.
    pub fn mark_latest(&self) {
        self.touch("latest");
    }

    fn is_latest(&self) -> bool {
        self.directory.join("latest").exists()
    }

    fn touch(&self, name: &str) {
        let file = File::options().write(true).create(true).truncate(false).open(self.directory.join(name));
        if let Err(error) = file.and_then(|file| file.set_modified(SystemTime::now())) {
            tracing::debug!(key = self.key().as_str(), name, %error, "cannot note something about the image");
        }
    }

    /// Keeps it from being removed as long as what is returned, or a copy of it in another process,
    /// is open.
    ///
    /// # Errors
    /// Where it has been removed meanwhile.
    pub fn hold(&self) -> Result<Lock, StoreError> {
        let held = hold(&self.directory).map_err(|cause| StoreError::io("hold image", &self.directory, cause))?;
        held.ok_or_else(|| StoreError::Removed(self.key()))
    }
}

/// A directory of the store, locked beside others; none where it is gone. Whoever looks whether it is
/// needed, or removes it, is waited for.
fn hold(path: &Path) -> io::Result<Option<Lock>> {
    let directory = match lookup::open_directory(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        directory => directory?,
    };
    let opened = directory.metadata()?;
    let lock = Lock::shared(directory.into())?;
    Ok(lookup::is_at(path, &opened).then_some(lock))
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
    #[error("ambiguous image ID: {prefix:?} is the beginning of {}", listed(candidates))]
    Ambiguous {
        /// As it was given.
        prefix: String,
        /// Those that begin so, in order.
        candidates: Vec<ImageKey>,
    },
    /// No image has this name and labels.
    #[error("no image named {name:?}{} in the store{}", with_labels(labels), instead(others))]
    NoSuchName {
        /// The name.
        name: String,
        /// The labels that it should have.
        labels: Labels,
        /// Those of images of this name, which do not fit.
        others: Vec<Labels>,
    },
    /// It was there a moment ago.
    #[error("image {0} has just been removed from the store")]
    Removed(ImageKey),
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

/// Some names, not too many of them.
fn listed(names: &[impl std::fmt::Display]) -> String {
    const MOST: usize = 8;
    let shown: Vec<String> = names.iter().take(MOST).map(ToString::to_string).collect();
    match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn with_labels(labels: &Labels) -> String {
    if labels.is_empty() { String::new() } else { format!(" with {labels}") }
}

fn instead(others: &[Labels]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let others: Vec<String> = others
        .iter()
        .map(|labels| if labels.is_empty() { "no label".to_owned() } else { labels.to_string() })
        .collect();
    format!("; there is one with {}", others.join(", one with "))
}

impl StoreError {
    fn io(action: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), cause }
    }
}
