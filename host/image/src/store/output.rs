//! Images out of the store: as archives, and as trees in directories of users.
//!
//! What is made outside of the store is made beside its place, under a name of its own, and put there by one rename.
//! A note in the store's staging directory, made first, says what that name is, so that what is cut off is swept.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rkt_appc::ImageKey;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::dependencies::{DependencyError, Layer};
use super::import::{self, Unpacked};
use super::rendering::merge_into;
use super::staging::{self, OUTSIDE, Staging};
use super::{Image, Store, StoreError};
use crate::archive::pipeline;
use crate::{ArchiveError, Policy, Verification};

/// What begins the name of what is put together outside of the store.
const NEW: &str = ".rkt-new-";
/// The file of a note in which that path is.
const PATH: &str = "path";

/// Whether what is in the place of an output may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It may.
    Allowed,
    /// It stays, and nothing is done.
    Refused,
}

/// What of an image is written into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Its manifest, and its files in `rootfs`.
    All,
    /// Its files.
    Files,
}

/// Why an image is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// There is a file.
    #[error("output ACI file exists (try --overwrite)")]
    FileExists,
    /// There is a directory, or something else.
    #[error("output directory exists (try --overwrite)")]
    DirectoryExists,
    /// The place is the host's root.
    #[error("this would delete your root filesystem. Refusing.")]
    HostRoot,
    /// The place has the store in it.
    #[error("this would delete rkt's data directory, which is in {0:?}. Refusing.")]
    HoldsStore(PathBuf),
    /// Something is mounted in the place.
    #[error("cannot overwrite {path:?}: something is mounted on {mount:?}")]
    Mounted {
        /// The place.
        path: PathBuf,
        /// Where.
        mount: PathBuf,
    },
    /// A directory is where a file should be.
    #[error("cannot overwrite {0:?}: it is a directory")]
    IsDirectory(PathBuf),
    /// It cannot be written.
    #[error("cannot write {path:?}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The image in the store is damaged.
    #[error("the archive of image {0} in the store is damaged: remove the image with rkt image rm, and fetch it again")]
    Damaged(ImageKey),
    /// The archive in the store cannot be read.
    #[error("the archive of image {image} in the store")]
    Archive {
        /// Which image.
        image: ImageKey,
        /// Why.
        #[source]
        cause: ArchiveError,
    },
    /// What it depends on.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes the uncompressed archive of an image into a file.
    ///
    /// # Errors
    /// Where something is in its place and may not be replaced, it cannot be written, or the image is damaged. Then
    /// the place is as it was.
    pub fn export(&self, image: &Image, to: &Path, overwrite: Overwrite, policy: &Policy) -> Result<(), OutputError> {
        let _held = image.hold()?;
        let place = Place::of(to)?;
        if place.is_taken() && overwrite == Overwrite::Refused {
            return Err(OutputError::FileExists);
        }
        if place.path.is_dir() {
            return Err(OutputError::IsDirectory(place.path));
        }
        let outside = Outside::beside(self, &place)?;
        let mut file = File::create_new(&outside.path).map_err(|cause| place.failed(cause))?;
        let key = image.key();
        let archived = |cause| OutputError::Archive { image: key.clone(), cause };
        let archive = File::open(image.archive()).map_err(|cause| archived(ArchiveError::Read(cause)))?;
        let mut written = Ok(());
        let copied = pipeline::run(&archive, None, &policy.limits, &mut |_| {}, |chunks| {
            written = io::copy(chunks, &mut file).and_then(|_| file.sync_all());
            Ok(())
        });
        // An error of the archive's side came through the copy.
        if let Err(cause) = written {
            return Err(match cause.downcast::<ArchiveError>() {
                Ok(cause) => archived(cause),
                Err(cause) => place.failed(cause),
            });
        }
        let ((), id) = copied.map_err(archived)?;
        if id.key() != key {
            return Err(OutputError::Damaged(key));
        }
        outside.publish_file(&place, overwrite)
    }

    /// Writes an image into a directory, without what it depends on.
    ///
    /// # Errors
    /// As [`Store::export`], and where the directory is none that is ever replaced.
    pub fn extract(
        &self,
        image: &Image,
        to: &Path,
        parts: Parts,
        overwrite: Overwrite,
        policy: &Policy,
    ) -> Result<(), OutputError> {
        let alone = vec![Layer { image: image.clone(), whitelists: Vec::new() }];
        self.write_tree(&alone, to, parts, overwrite, policy)
    }

    /// Writes an image into a directory as its apps see it, with what it depends on.
    ///
    /// # Errors
    /// As [`Store::extract`], and where a dependency is missing or may not be used.
    pub fn render_into(
        &self,
        image: &Image,
        to: &Path,
        parts: Parts,
        overwrite: Overwrite,
        (verification, policy): (Verification, &Policy),
    ) -> Result<(), OutputError> {
        let layers = self.stack(image, verification)?;
        self.write_tree(&layers, to, parts, overwrite, policy)
    }

    /// Unpacks images anew, so that what is written is what their IDs say, and merges them.
    fn write_tree(
        &self,
        layers: &[Layer],
        to: &Path,
        parts: Parts,
        overwrite: Overwrite,
        policy: &Policy,
    ) -> Result<(), OutputError> {
        let _held = layers.iter().map(|layer| layer.image.hold()).collect::<Result<Vec<_>, _>>()?;
        let place = Place::of(to)?;
        place.check_directory(self, overwrite)?;
        let outside = Outside::beside(self, &place)?;
        let failed = |cause| place.failed(cause);
        let private = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        private(&outside.path).map_err(failed)?;
        let whole = outside.path.join("whole");
        DirBuilder::new().mode(0o755).create(&whole).map_err(failed)?;
        let manifest = match layers {
            [layer] if layer.whitelists.is_empty() => unpack(layer, &whole, policy)?.manifest.json,
            layers => {
                let part = |index: usize| outside.path.join(format!("part-{index}"));
                let mut manifests = Vec::new();
                for (index, layer) in layers.iter().enumerate() {
                    private(&part(index)).map_err(failed)?;
                    manifests.push(unpack(layer, &part(index), policy)?.manifest.json);
                }
                merge_into(layers, &whole, |index, _| part(index).join("rootfs")).map_err(failed)?;
                manifests.swap_remove(0)
            }
        };
        match parts {
            Parts::Files => outside.publish_directory(&whole.join("rootfs"), &place, overwrite),
            Parts::All => {
                fs::write(whole.join("manifest"), manifest).map_err(failed)?;
                outside.publish_directory(&whole, &place, overwrite)
            }
        }
    }
}

/// Unpacks an image of the store into `rootfs` in a directory.
fn unpack(layer: &Layer, directory: &Path, policy: &Policy) -> Result<Unpacked, OutputError> {
    let key = layer.image.key();
    let failed = |cause| OutputError::Archive { image: key.clone(), cause };
    let archive = File::open(layer.image.archive()).map_err(|cause| failed(ArchiveError::Read(cause)))?;
    let unpacked = import::unpack(&archive, None, directory, policy, &mut |_| {}).map_err(failed)?;
    if unpacked.id.key() == key { Ok(unpacked) } else { Err(OutputError::Damaged(key)) }
}

/// Where an output goes: a name in a directory that exists, without links on the way.
struct Place {
    path: PathBuf,
}

impl Place {
    fn of(to: &Path) -> Result<Self, OutputError> {
        let failed = |cause| OutputError::Write { path: to.to_owned(), cause };
        let absolute = std::path::absolute(to).map_err(failed)?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            // It ends in no name: the root, or what `..` leads to.
            return Ok(Self { path: fs::canonicalize(&absolute).map_err(failed)? });
        };
        fs::create_dir_all(parent).map_err(failed)?;
        Ok(Self { path: fs::canonicalize(parent).map_err(failed)?.join(name) })
    }

    fn is_taken(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Whether a directory can come here.
    fn check_directory(&self, store: &Store, overwrite: Overwrite) -> Result<(), OutputError> {
        if !self.is_taken() {
            return Ok(());
        }
        if overwrite == Overwrite::Refused {
            return Err(OutputError::DirectoryExists);
        }
        if self.path.parent().is_none() {
            return Err(OutputError::HostRoot);
        }
        let data = store.cas.parent().unwrap_or(&store.cas);
        if fs::canonicalize(data).is_ok_and(|data| data.starts_with(&self.path) || self.path.starts_with(&data)) {
            return Err(OutputError::HoldsStore(data.to_owned()));
        }
        match mount_in(&self.path).map_err(|cause| self.failed(cause))? {
            Some(mount) => Err(OutputError::Mounted { path: self.path.clone(), mount }),
            None => Ok(()),
        }
    }

    fn failed(&self, cause: impl Into<io::Error>) -> OutputError {
        OutputError::Write { path: self.path.clone(), cause: cause.into() }
    }
}

/// Something that is mounted at or below a path (proc_pid_mountinfo(5)).
fn mount_in(path: &Path) -> io::Result<Option<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    let place = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4).map(unescaped);
    let mut places = table.split(|byte| *byte == b'\n').filter_map(place);
    Ok(places.find(|place| place.starts_with(path)))
}

/// A path in the kernel's tables has a backslash and three octal digits for spaces and the like.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Something that is put together beside its place, and goes where it is not published.
struct Outside {
    path: PathBuf,
    /// Says so in the store, locked as long as it is worked on.
    _note: Staging,
}

impl Outside {
    fn beside(store: &Store, place: &Place) -> Result<Self, OutputError> {
        store.make_directories()?;
        let failed = |cause| StoreError::io("note an output in", &store.staging(), cause);
        let note = Staging::create(&store.staging(), OUTSIDE).map_err(failed)?;
        let unique = note.path().file_name().unwrap_or_default().as_bytes();
        let unique = unique.strip_prefix(OUTSIDE.as_bytes()).unwrap_or(unique);
        let name = [NEW.as_bytes(), unique].concat();
        let path = place.path.with_file_name(OsStr::from_bytes(&name));
        let written = File::create_new(note.path().join(PATH));
        written.and_then(|mut file| file.write_all(path.as_os_str().as_bytes())).map_err(failed)?;
        Ok(Self { path, _note: note })
    }

    fn publish_file(self, place: &Place, overwrite: Overwrite) -> Result<(), OutputError> {
        let flags = match overwrite {
            Overwrite::Allowed => RenameFlags::empty(),
            Overwrite::Refused => RenameFlags::NOREPLACE,
        };
        match rustix::fs::renameat_with(CWD, &self.path, CWD, &place.path, flags) {
            Err(Errno::EXIST) => Err(OutputError::FileExists),
            Err(cause) => Err(place.failed(cause)),
            Ok(()) => sync_parent(&place.path).map_err(|cause| place.failed(cause)),
        }
    }

    /// Puts a directory that is in this one into its place; what was there goes with the rest.
    fn publish_directory(self, directory: &Path, place: &Place, overwrite: Overwrite) -> Result<(), OutputError> {
        let flags = if overwrite == Overwrite::Allowed && place.is_taken() {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        match rustix::fs::renameat_with(CWD, directory, CWD, &place.path, flags) {
            Err(Errno::EXIST) => Err(OutputError::DirectoryExists),
            Err(cause) => Err(place.failed(cause)),
            Ok(()) => {
                remove_if_there(&self.path).map_err(|cause| OutputError::Write { path: self.path.clone(), cause })
            }
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Err(error) = remove_if_there(&self.path) {
            tracing::debug!(path = ?self.path, %error, "left for whoever finds it");
        }
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match staging::remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes what a note in the store says is outside of it and was not finished; nobody works on it any more.
pub(super) fn sweep_outside(note: &Path) -> io::Result<()> {
    let path = match fs::read(note.join(PATH)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        path => PathBuf::from(OsString::from_vec(path?)),
    };
    // A note that is torn names nothing of ours.
    let is_ours = |name: &OsStr| name.as_bytes().starts_with(NEW.as_bytes());
    if path.is_absolute() && path.file_name().is_some_and(is_ours) { remove_if_there(&path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_kernels_tables_are_read_as_they_are_meant() {
        for (text, path) in [("/a\\040b", "/a b"), ("/a\\134b", "/a\\b"), ("/plain", "/plain"), ("/a\\9", "/a\\9")] {
            assert_eq!(unescaped(text.as_bytes()), Path::new(path));
        }
    }
}
