//! Finding and listing images.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rkt_appc::{ImageId, ImageKey, ImageManifest, Labels};

use super::{Damage, Image, Info, Store, StoreError};

const PREFIX: &str = "sha512-";
/// Characters of a key.
const KEY: usize = PREFIX.len() + 64;

impl Store {
    /// The image whose ID begins with `prefix`, of which two digits are enough where no other begins
    /// so.
    ///
    /// # Errors
    /// As [`Store::key`], and where the image cannot be read.
    pub fn get(&self, prefix: &str) -> Result<Image, StoreError> {
        self.load(&self.key(prefix)?)?.ok_or_else(|| StoreError::NoSuchId(prefix.to_owned()))
    }

    /// The key of the image whose ID begins with `prefix`, also where the image itself cannot be read.
    ///
    /// # Errors
    /// Where `prefix` is not the beginning of an ID, or no image's or several images' ID begins so.
    pub fn key(&self, prefix: &str) -> Result<ImageKey, StoreError> {
        let Some(digits) = prefix.strip_prefix(PREFIX) else {
            return Err(StoreError::WrongPrefix(prefix.to_owned()));
        };
        if digits.len() < 2 {
            return Err(StoreError::TooShort(prefix.to_owned()));
        }
        // The store keeps no more of an ID than a key.
        let start = prefix.get(..KEY).unwrap_or(prefix);
        if let Ok(key) = start.parse() {
            return Ok(key);
        }
        let mut keys: Vec<ImageKey> = self.keys()?;
        keys.retain(|key| key.as_str().starts_with(start));
        match keys.len() {
            0 => Err(StoreError::NoSuchId(prefix.to_owned())),
            1 => Ok(keys.remove(0)),
            _ => Err(StoreError::Ambiguous { prefix: prefix.to_owned(), candidates: keys }),
        }
    }

    /// The image with this ID.
    ///
    /// # Errors
    /// Where it is not there or cannot be read.
    pub fn get_exact(&self, id: &ImageId) -> Result<Image, StoreError> {
        self.load(&id.key())?.ok_or_else(|| StoreError::NoSuchId(id.to_string()))
    }

    /// The image of this name that has all of `labels`. Of several, where no version is asked for, one that
    /// was fetched without a version; else, and among those, the one imported last.
    ///
    /// # Errors
    /// Where there is none, or the store cannot be read.
    pub fn find(&self, name: &str, labels: &Labels) -> Result<Image, StoreError> {
        self.find_where(name, labels, |_| true)
    }

    /// The same among images that also fulfil a condition.
    pub(super) fn find_where(
        &self,
        name: &str,
        labels: &Labels,
        fits: impl Fn(&Image) -> bool,
    ) -> Result<Image, StoreError> {
        let (mut fitting, mut others, mut damaged) = (Vec::new(), Vec::new(), None);
        for image in self.list()? {
            match image {
                Err(error) => damaged = Some(error),
                Ok(image) if image.info.name.as_str() != name => {}
                Ok(image) if image.info.labels.contain(labels) && fits(&image) => fitting.push(image),
                Ok(image) => others.push(image.info.labels),
            }
        }
        let best = fitting.into_iter().max_by_key(|image| image.rank(labels));
        best.ok_or_else(|| match damaged {
            // It may be the one that is meant.
            Some(error) if others.is_empty() => error,
            _ => StoreError::NoSuchName { name: name.to_owned(), labels: labels.clone(), others },
        })
    }

    /// All images, in the order of their keys. Each that cannot be read is an error of its own.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn list(&self) -> Result<Vec<Result<Image, StoreError>>, StoreError> {
        let keys = self.keys()?;
        // One that another process removes meanwhile is passed over.
        Ok(keys.iter().filter_map(|key| self.load(key).transpose()).collect())
    }

    pub(super) fn keys(&self) -> Result<Vec<ImageKey>, StoreError> {
        let path = self.images();
        let failed = |cause| StoreError::io("list images in", &path, cause);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            keys.extend(name.to_str().and_then(|name| name.parse::<ImageKey>().ok()));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// The image of this key, or `None` where there is none.
    pub(super) fn load(&self, key: &ImageKey) -> Result<Option<Image>, StoreError> {
        let directory = self.images().join(key.as_str());
        let read = |name| {
            let path = directory.join(name);
            match fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::io("read", &path, error)),
            }
        };
        let (Some(info), Some(manifest)) = (read("info")?, read("manifest")?) else {
            return Ok(None);
        };
        let damaged = |cause| StoreError::Damaged { directory: directory.clone(), cause };
        let info: Info = serde_json::from_slice(&info).map_err(|e| damaged(Damage::Info(e)))?;
        let manifest = ImageManifest::from_json(&manifest).map_err(|e| damaged(e.into()))?;
        let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let again = fs::metadata(directory.join("imported")).and_then(|marker| marker.modified());
        let imported = again.map_or(Duration::from_nanos(info.imported), since_1970);
        let imported = u64::try_from(imported.as_nanos()).unwrap_or(u64::MAX);
        Ok(Some(Image { manifest, info, imported, store: self.clone(), directory }))
    }
}

impl Image {
    /// Where it stands among images that all fit what is asked for: the greatest is meant.
    pub(super) fn rank(&self, asked: &Labels) -> (bool, u64) {
        (asked.get("version").is_none() && self.is_latest(), self.imported)
    }
}

/// Whether `path` is still what was opened there: another process may have removed it, and even put
/// something else in its place, before it was locked.
pub(super) fn is_at(path: &Path, opened: &fs::Metadata) -> bool {
    let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    fs::symlink_metadata(path).is_ok_and(|there| id(&there) == id(opened))
}

/// A directory, opened only where it is one itself.
pub(super) fn open_directory(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).expect("flags of open(2) fit");
    File::options().read(true).custom_flags(flags).open(path)
}
