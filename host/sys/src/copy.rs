//! Copies what is in a directory into another, without leaving either.
//!
//! It knows nothing of what the directories are for. Who calls it holds both, and keeps others from changing the
//! target meanwhile.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, fgetxattr,
    flistxattr, fsetxattr,
};
use rustix::io::Errno;

use crate::remove::remove_tree;
use crate::{Error, Result};

const CALL: &str = "copy";

/// No directories lie deeper than this in what is copied: each takes two descriptors.
const DEEPEST: usize = 200;

/// Copies all that is in `source` into `target`, with modes, owners, times and extended attributes.
///
/// What is in the way is replaced, but a directory by a directory: into that it goes. Symbolic links are copied as
/// they are and never followed; each name of a file becomes a file of its own; sockets, which nobody would listen on,
/// stay out. What is mounted in the source is not entered.
///
/// # Errors
/// Of the first entry that cannot be read or made; a tree that is too deep.
pub fn copy_content(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    copy_directory(source, target, DEEPEST)
}

fn copy_directory(source: BorrowedFd<'_>, target: BorrowedFd<'_>, depth: usize) -> Result<()> {
    let failed = |cause| Error::new("getdents", "a directory to be copied", cause);
    let mut entries = Dir::read_from(source).map_err(failed)?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(source, target, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<()> {
    let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(on(name))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    make_room(target, name, kind)?;
    match kind {
        FileType::Directory => {
            let depth = depth.checked_sub(1).ok_or_else(|| {
                Error::refused(CALL, name.to_string_lossy(), "there are too many directories in one another")
            })?;
            match rustix::fs::mkdirat(target, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(cause) => return Err(on(name)(cause)),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let (from, to) = (open(source, name, flags)?, open(target, name, flags)?);
            copy_directory(from.as_fd(), to.as_fd(), depth)?;
            finish(&from, &to, &stat, name)
        }
        FileType::RegularFile => {
            let from = open(source, name, OFlags::RDONLY | OFlags::NONBLOCK)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let to = open(target, name, flags)?;
            let (mut from, mut to) = (File::from(from), File::from(to));
            io::copy(&mut from, &mut to).map_err(Error::on(CALL, name.to_string_lossy()))?;
            finish(&from.into(), &to.into(), &stat, name)
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(source, name, Vec::new()).map_err(on(name))?;
            rustix::fs::symlinkat(link.as_c_str(), target, name).map_err(on(name))?;
            own(target, name, &stat)
        }
        FileType::Socket => Ok(()),
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
            rustix::fs::mknodat(target, name, kind, mode, stat.st_rdev).map_err(on(name))?;
            own(target, name, &stat)?;
            // The mode that mknod(2) was given went through the umask.
            rustix::fs::chmodat(target, name, mode, AtFlags::empty()).map_err(on(name))
        }
        FileType::Unknown => Err(Error::refused(CALL, name.to_string_lossy(), "it is of no known type")),
    }
}

/// Removes what has the name in the target, unless both are directories.
fn make_room(target: BorrowedFd<'_>, name: &CStr, kind: FileType) -> Result<()> {
    let there = match rustix::fs::statat(target, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(on(name))?,
    };
    if kind == FileType::Directory && FileType::from_raw_mode(there.st_mode) == FileType::Directory {
        return Ok(());
    }
    remove_tree(target, OsStr::from_bytes(name.to_bytes()))
}

/// Fails with `EXDEV` where something is mounted at `name`.
fn open(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o600) } else { Mode::empty() };
    rustix::fs::openat2(directory, name, flags, mode, ResolveFlags::NO_XDEV).map_err(on(name))
}

/// Gives a file or directory what the other has besides content: the owner first, since a new one clears bits of the
/// mode and capabilities, and the times last.
fn finish(from: &OwnedFd, to: &OwnedFd, stat: &Stat, name: &CStr) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(to, Some(uid), Some(gid)).map_err(on(name))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(on(name))?;
    copy_attributes(from, to).map_err(on(name))?;
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec.cast_signed()),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
    };
    rustix::fs::futimens(to, &times).map_err(on(name))
}

/// The attributes that an image can give a file: its capabilities, and the users' own.
fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match flistxattr(from, &mut names[..]) {
        // A file system without attributes has none to copy.
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    for name in names[..length].split(|byte| *byte == 0) {
        if name == b"security.capability" || name.starts_with(b"user.") {
            let mut value = vec![0; 64 << 10];
            let length = fgetxattr(from, name, &mut value[..])?;
            fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn own(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags).map_err(on(name))
}

fn on(name: &CStr) -> impl FnOnce(Errno) -> Error {
    move |cause| Error::new(CALL, name.to_string_lossy(), cause)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;

    fn copied(source: &Path, target: &Path) -> Result<()> {
        let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
        copy_content(open(source).as_fd(), open(target).as_fd())
    }

    fn directories() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let [source, target] = ["source", "target"].map(|name| home.path().join(name));
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::create_dir(&target).unwrap();
        (home, source, target)
    }

    #[test]
    fn a_copy_has_the_content_modes_owners_and_times_of_what_it_is_of() {
        let (_home, source, target) = directories();
        let file = source.join("sub/file");
        fs::write(&file, "content").unwrap();
        std::os::unix::fs::chown(&file, Some(5), Some(6)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        std::os::unix::fs::chown(source.join("sub"), Some(7), Some(8)).unwrap();
        fs::set_permissions(source.join("sub"), fs::Permissions::from_mode(0o1753)).unwrap();
        copied(&source, &target).unwrap();
        let stat = |path: &str| fs::metadata(target.join(path)).unwrap();
        let file = stat("sub/file");
        assert_eq!((file.mode() & 0o7777, file.uid(), file.gid(), file.mtime()), (0o4711, 5, 6, 0));
        assert_eq!(fs::read(target.join("sub/file")).unwrap(), b"content");
        let sub = stat("sub");
        assert_eq!((sub.mode() & 0o7777, sub.uid(), sub.gid()), (0o1753, 7, 8));
    }

    #[test]
    fn links_are_copied_and_never_followed_on_either_side() {
        let (home, source, target) = directories();
        fs::create_dir(home.path().join("outside")).unwrap();
        symlink(home.path().join("outside"), source.join("link")).unwrap();
        fs::write(source.join("sub/new"), "new").unwrap();
        // What is in the way is taken away itself.
        symlink(home.path().join("outside"), target.join("sub")).unwrap();
        fs::create_dir_all(target.join("link/old")).unwrap();
        copied(&source, &target).unwrap();
        assert_eq!(fs::read_link(target.join("link")).unwrap(), home.path().join("outside"));
        assert_eq!(fs::read(target.join("sub/new")).unwrap(), b"new");
        assert_eq!(fs::read_dir(home.path().join("outside")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_stays_unless_something_comes_in_its_place() {
        let (_home, source, target) = directories();
        fs::write(source.join("sub/both"), "upper").unwrap();
        fs::create_dir(target.join("sub")).unwrap();
        fs::write(target.join("sub/both"), "lower").unwrap();
        fs::write(target.join("sub/lower"), "lower").unwrap();
        copied(&source, &target).unwrap();
        assert_eq!(fs::read(target.join("sub/both")).unwrap(), b"upper");
        assert_eq!(fs::read(target.join("sub/lower")).unwrap(), b"lower");
    }

    #[test]
    fn pipes_are_made_and_sockets_left_out() {
        let (_home, source, target) = directories();
        let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
        let (kind, mode) = (FileType::Fifo, Mode::from_raw_mode(0o622));
        rustix::fs::mknodat(rustix::fs::CWD, source.join("pipe"), kind, mode, 0).unwrap();
        fs::set_permissions(source.join("pipe"), fs::Permissions::from_mode(0o622)).unwrap();
        copied(&source, &target).unwrap();
        let names: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.len() == 2 && names.iter().any(|name| name == "pipe"), "{names:?}");
        assert_eq!(fs::metadata(target.join("pipe")).unwrap().mode() & 0o7777, 0o622);
    }

    #[test]
    fn a_tree_without_an_end_is_refused() {
        let (_home, source, target) = directories();
        let mut path = source.clone();
        for _ in 0..=DEEPEST {
            path.push("d");
            fs::create_dir(&path).unwrap();
        }
        let refused = copied(&source, &target).unwrap_err();
        let why = std::error::Error::source(&refused).unwrap().to_string();
        assert!(why.contains("too many directories"), "{why}");
    }
}
