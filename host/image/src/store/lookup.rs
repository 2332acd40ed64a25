//! Finding, listing and removing images.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rkt_appc::{ImageId, ImageKey, ImageManifest, Labels};
use rkt_sys::lock::Lock;

use super::{Damage, Image, Info, Store, StoreError};

const PREFIX: &str = "sha512-";
/// Characters of a key.
const KEY: usize = PREFIX.len() + 64;

impl Store {
    /// The image whose ID begins with `prefix`, of which two digits are enough where no other begins
    /// so.
    ///
    /// # Errors
    /// Where `prefix` is not the beginning of an ID, no image's or several images' ID begins so, or
    /// the image cannot be read.
    pub fn get(&self, prefix: &str) -> Result<Image, StoreError> {
        let Some(digits) = prefix.strip_prefix(PREFIX) else {
            return Err(StoreError::WrongPrefix(prefix.to_owned()));
        };
        if digits.len() < 2 {
            return Err(StoreError::TooShort(prefix.to_owned()));
        }
        // The store keeps no more of an ID than a key.
        let start = prefix.get(..KEY).unwrap_or(prefix);
        let not_found = || StoreError::NoSuchId(prefix.to_owned());
        if let Ok(key) = start.parse() {
            return self.load(&key)?.ok_or_else(not_found);
        }
        let mut keys = self.keys()?.into_iter().filter(|key| key.as_str().starts_with(start));
        match (keys.next(), keys.next()) {
            (None, _) => Err(not_found()),
            (Some(key), None) => self.load(&key)?.ok_or_else(not_found),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous(prefix.to_owned())),
        }
    }

    /// The image with this ID.
    ///
    /// # Errors
    /// Where it is not there or cannot be read.
    pub fn get_exact(&self, id: &ImageId) -> Result<Image, StoreError> {
        self.load(&id.key())?.ok_or_else(|| StoreError::NoSuchId(id.to_string()))
    }

    /// The image of this name that has all of `labels`; of several the one imported last.
    ///
    /// # Errors
    /// Where there is none, or the store cannot be read.
    pub fn find(&self, name: &str, labels: &Labels) -> Result<Image, StoreError> {
        let images = self.list()?.into_iter();
        images
            .filter(|image| image.info.name.as_str() == name && image.info.labels.contain(labels))
            .max_by_key(|image| image.info.imported)
            .ok_or_else(|| StoreError::NoSuchName(name.to_owned()))
    }

    /// All images, in the order of their keys.
    ///
    /// # Errors
    /// Where the store, or an image in it, cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        let keys = self.keys()?;
        // One that another process removes meanwhile is passed over.
        keys.iter().filter_map(|key| self.load(key).transpose()).collect()
    }

    /// Removes an image.
    ///
    /// # Errors
    /// Where a pod uses it, or it cannot be removed.
    pub fn remove(&self, image: &Image) -> Result<(), StoreError> {
        let path = &image.directory;
        let failed = |cause| StoreError::io("remove image", path, cause);
        let directory = File::open(path).map_err(failed)?;
        let opened = directory.metadata().map_err(failed)?;
        let lock = Lock::try_exclusive(directory.into()).map_err(|error| failed(error.into()))?;
        let Some(lock) = lock else {
            return Err(StoreError::InUse(image.key()));
        };
        if !is_at(path, &opened) {
            return Err(StoreError::NoSuchId(image.key().to_string()));
        }
        // Out of sight at once, then gone: what is cut off in between is swept later.
        let staging = self.staging();
        let removed = tempfile::Builder::new().prefix("remove-").tempdir_in(&staging);
        let removed = removed.map_err(failed)?;
        fs::rename(path, removed.path()).map_err(failed)?;
        let removed = removed.keep();
        let name = removed.file_name().expect("it lies in the staging directory");
        let parent = File::open(&staging).map_err(failed)?;
        rkt_sys::remove::remove_tree(parent.as_fd(), name).map_err(|error| failed(error.into()))?;
        drop(lock);
        Ok(())
    }

    fn keys(&self) -> Result<Vec<ImageKey>, StoreError> {
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
        Ok(Some(Image { manifest, info, directory }))
    }
}

/// The directory, locked beside others, or `None` where it is being removed or no longer at `path`.
pub(super) fn lock_shared(directory: File, path: &Path) -> io::Result<Option<Lock>> {
    let opened = directory.metadata()?;
    let Some(lock) = Lock::try_shared(directory.into())? else {
        return Ok(None);
    };
    Ok(is_at(path, &opened).then_some(lock))
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
