//! Where an image is put together before it is published.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rkt_sys::lock::Lock;

use super::lookup::{is_at, open_directory};
use super::output;
use super::{Store, StoreError};

/// What begins the names of directories here that are put together, or are something outside of the store
/// that is.
pub(super) const IMPORT: &str = "import-";
/// What begins the names of directories that go.
pub(super) const REMOVE: &str = "remove-";
/// What begins the names of notes about directories outside of the store that are put together.
pub(super) const OUTSIDE: &str = "outside-";

/// A directory that is locked as long as it is worked on, and removed where it is not published.
pub(super) struct Staging {
    path: PathBuf,
    /// Also tells of errors of writing anywhere below since it was opened (syncfs(2)).
    lock: Lock,
    is_published: bool,
}

impl Staging {
    /// A new one in `parent`, whose name begins so.
    pub(super) fn create(parent: &Path, prefix: &str) -> io::Result<Self> {
        loop {
            let private = fs::Permissions::from_mode(0o700);
            let path = tempfile::Builder::new().prefix(prefix).permissions(private).tempdir_in(parent)?.keep();
            let directory = match open_directory(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                directory => directory?,
            };
            let made = directory.metadata()?;
            let lock = Lock::exclusive(directory.into())?;
            // Whoever sweeps may have taken it for abandoned before it was locked.
            if is_at(&path, &made) {
                return Ok(Self { path, lock, is_published: false });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything below durable, then gives it its name for good. Where another process has
    /// published the same meanwhile, that stays, and this one goes.
    pub(super) fn publish(mut self, path: &Path) -> io::Result<()> {
        self.sync()?;
        match fs::rename(&self.path, path) {
            Ok(()) => self.is_published = true,
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(error),
        }
        let parent = path.parent().expect("an image has a parent directory");
        File::open(parent)?.sync_all()
    }

    /// Makes everything below durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.lock)?)
    }
}

/// Whether a rename failed because a directory with something in it has the name.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_published
            && let Err(error) = remove(&self.path)
        {
            tracing::debug!(path = ?self.path, %error, "left for the next sweep");
        }
    }
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    let (parent, name) = path.parent().zip(path.file_name()).expect("it lies in a directory");
    Ok(rkt_sys::remove::remove_tree(File::open(parent)?.as_fd(), name)?)
}

impl Store {
    /// Removes what imports and removals that were cut off have left, and returns how many there
    /// were. Those that are still going on are left alone.
    ///
    /// # Errors
    /// Where the data directory cannot be read, or something in it cannot be removed.
    pub fn sweep(&self) -> Result<usize, StoreError> {
        let path = self.staging();
        let failed = |cause| StoreError::io("sweep", &path, cause);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let mut swept = 0;
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let is_ours = |prefix: &&str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
            // Whatever else lies here, an older rkt's downloads perhaps, is not ours.
            if [IMPORT, REMOVE, OUTSIDE].iter().any(is_ours) {
                swept += usize::from(sweep_one(&entry.path()).map_err(failed)?);
            }
        }
        self.forget_removed().map_err(failed)?;
        Ok(swept)
    }
}

fn sweep_one(path: &Path) -> io::Result<bool> {
    let directory = match open_directory(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        directory => directory?,
    };
    let Some(_lock) = Lock::try_exclusive(directory.into())? else {
        return Ok(false);
    };
    output::sweep_outside(path)?;
    match remove(path) {
        // It was published, or removed by its owner, just before it was locked here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}
