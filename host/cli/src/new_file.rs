//! A file that a user wants to have: it is there when it is whole, and not before. Whatever ends this process
//! earlier, nothing is left.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and there is an error.
    Kept,
    /// The new one takes its place.
    Replaced,
}

/// A file without a name yet.
#[derive(Debug)]
pub(crate) struct NewFile {
    directory: OwnedFd,
    name: OsString,
    file: File,
    existing: Existing,
}

impl NewFile {
    /// A file that is to have this path.
    ///
    /// # Errors
    /// `EEXIST` where there is one that is to be kept; the path names no file, or its directory takes none.
    pub(crate) fn create(path: &Path, existing: Existing) -> io::Result<Self> {
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
        let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, parent, flags, Mode::empty())?;
        match rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) if existing == Existing::Kept => return Err(Errno::EXIST.into()),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(cause) => return Err(cause.into()),
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&directory, ".", flags, Mode::from_raw_mode(0o644))?);
        Ok(Self { directory, name, file, existing })
    }

    /// To be written to.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// `EEXIST` where somebody else made one meanwhile that is to be kept; or it cannot be written to the disk.
    pub(crate) fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        match (self.link(&self.name), self.existing) {
            (Err(Errno::EXIST), Existing::Replaced) => {
                // A name can only be taken over by another.
                let mut passing = self.name.clone();
                passing.push(format!(".{}", std::process::id()));
                self.link(&passing)?;
                let renamed = rustix::fs::renameat(&self.directory, &passing, &self.directory, &self.name);
                if renamed.is_err() {
                    let _ = rustix::fs::unlinkat(&self.directory, &passing, AtFlags::empty());
                }
                Ok(renamed?)
            }
            (linked, _) => Ok(linked?),
        }
    }

    fn link(&self, name: &OsString) -> rustix::io::Result<()> {
        let file = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, file, &self.directory, name, AtFlags::SYMLINK_FOLLOW)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole_and_takes_no_others_place_unasked() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let write = |text: &str, existing| {
            let mut new = NewFile::create(&path, existing)?;
            new.file().write_all(text.as_bytes())?;
            Ok::<_, io::Error>(new)
        };
        drop(write("given up", Existing::Kept).unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let (first, second) = (write("first", Existing::Kept).unwrap(), write("second", Existing::Kept).unwrap());
        first.publish().unwrap();
        assert_eq!(second.publish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(write("third", Existing::Kept).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        write("fourth", Existing::Replaced).unwrap().publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"fourth");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
