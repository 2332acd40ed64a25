//! Whether two trees are the same: names, kinds, owners, modes, times, attributes, contents, and which names
//! are links of one file.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::merge::{attributes, entries};

/// The first thing in which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    path: PathBuf,
    what: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Path::new("/").join(&self.path), f)?;
        write!(f, " {}", self.what)
    }
}

/// In what the tree at `is` is not as the one at `should`, which nobody changes meanwhile; none where they are
/// the same.
///
/// # Errors
/// Where one of them cannot be read.
pub(super) fn difference(is: &Path, should: &Path) -> io::Result<Option<Difference>> {
    let mut comparison = Comparison { is: Root::open(is)?, should: Root::open(should)?, links: HashMap::new() };
    let mut open = vec![PathBuf::from(".")];
    while let Some(path) = open.pop() {
        let directories = [comparison.is.open_dir(&path)?, comparison.should.open_dir(&path)?];
        let [names, wanted] = [names(&directories[0])?, names(&directories[1])?];
        if let Some(odd) = names.keys().find(|name| !wanted.contains_key(*name)) {
            return Ok(Some(Difference { path: cleaned(&path.join(odd)), what: "should not be there" }));
        }
        if let Some(lost) = wanted.keys().find(|name| !names.contains_key(*name)) {
            return Ok(Some(Difference { path: cleaned(&path.join(lost)), what: "is missing" }));
        }
        // Afterwards: what came or went has changed the directory's time.
        if let Some(what) = comparison.of_entry(&path, &directories[0], &directories[1], OsStr::new("."))? {
            return Ok(Some(Difference { path: cleaned(&path), what }));
        }
        for (name, is_directory) in &wanted {
            let inner = path.join(name);
            let what = match (names.get(name) == Some(is_directory), is_directory) {
                (false, _) => Some("is of another kind"),
                (true, true) => None,
                (true, false) => comparison.of_entry(&inner, &directories[0], &directories[1], name)?,
            };
            if let Some(what) = what {
                return Ok(Some(Difference { path: cleaned(&inner), what }));
            }
            if *is_directory {
                open.push(inner);
            }
        }
    }
    Ok(None)
}

fn cleaned(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

fn names(directory: &OwnedFd) -> io::Result<BTreeMap<std::ffi::OsString, bool>> {
    Ok(entries(directory)?.into_iter().collect())
}

struct Comparison {
    is: Root,
    should: Root,
    /// Of each file of the one tree that has several names, the file that it is in the other.
    links: HashMap<(u64, u64), (u64, u64)>,
}

impl Comparison {
    /// In what an entry of two directories differs.
    fn of_entry(
        &mut self,
        path: &Path,
        is: &OwnedFd,
        should: &OwnedFd,
        name: &OsStr,
    ) -> io::Result<Option<&'static str>> {
        let stat = |directory| rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let (one, other) = (stat(is)?, stat(should)?);
        if let Some(what) = of_stats(&one, &other) {
            return Ok(Some(what));
        }
        let kind = FileType::from_raw_mode(one.st_mode);
        let id = |stat: &Stat| (stat.st_dev, stat.st_ino);
        if kind != FileType::Directory && (one.st_nlink > 1 || other.st_nlink > 1) {
            let (mine, theirs) = (id(&one), id(&other));
            if *self.links.entry(theirs).or_insert(mine) != mine {
                return Ok(Some("is linked to other names"));
            }
        }
        if id(&one) == id(&other) {
            return Ok(None);
        }
        match kind {
            FileType::Symlink => {
                let text = |directory| rustix::fs::readlinkat(directory, name, Vec::new());
                Ok((text(is)? != text(should)?).then_some("leads elsewhere"))
            }
            FileType::RegularFile => self.of_files(path),
            FileType::Directory | FileType::Fifo => of_attributes(&open(is, name)?, &open(should, name)?),
            // None is made by unpacking.
            _ => Ok(None),
        }
    }

    fn of_files(&self, path: &Path) -> io::Result<Option<&'static str>> {
        let (is, should) = (self.is.open_file(path)?, self.should.open_file(path)?);
        let what = of_attributes(&is.as_fd().try_clone_to_owned()?, &should.as_fd().try_clone_to_owned()?)?;
        Ok(what.or((!is_same_content(is, should)?).then_some("has another content")))
    }
}

fn of_stats(one: &Stat, other: &Stat) -> Option<&'static str> {
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    let is_directory = kind(one) == FileType::Directory;
    let facts = [
        (kind(one) == kind(other), "is of another kind"),
        (one.st_mode == other.st_mode, "has another mode"),
        ((one.st_uid, one.st_gid) == (other.st_uid, other.st_gid), "has another owner"),
        (is_directory || one.st_size == other.st_size, "has another size"),
        ((one.st_mtime, one.st_mtime_nsec) == (other.st_mtime, other.st_mtime_nsec), "has another time"),
    ];
    facts.iter().find(|(same, _)| !same).map(|(_, what)| *what)
}

/// A directory or FIFO; neither is waited for (fifo(7)).
fn open(directory: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn of_attributes(is: &OwnedFd, should: &OwnedFd) -> io::Result<Option<&'static str>> {
    Ok((attributes(is)? != attributes(should)?).then_some("has other extended attributes"))
}

fn is_same_content(mut one: File, mut other: File) -> io::Result<bool> {
    const CHUNK: usize = 128 << 10;
    let (mut first, mut second) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let (read, wanted) = (fill(&mut one, &mut first)?, fill(&mut other, &mut second)?);
        if first[..read] != second[..wanted] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/file"), "content").unwrap();
        fs::hard_link(path.join("a/file"), path.join("a/link")).unwrap();
        fs::write(path.join("a/b/other"), "content").unwrap();
        symlink("file", path.join("a/symlink")).unwrap();
        settle(path);
        tree
    }

    /// Gives everything one time, since making it takes some.
    fn settle(path: &Path) {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for inner in ["a/file", "a/b/other", "a/b", "a", "."] {
            fs::File::open(path.join(inner)).unwrap().set_modified(then).unwrap();
        }
        let times = rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec { tv_sec: 1000, tv_nsec: 0 },
            last_modification: rustix::fs::Timespec { tv_sec: 1000, tv_nsec: 0 },
        };
        let link = path.join("a/symlink");
        if link.symlink_metadata().is_ok_and(|link| link.is_symlink()) {
            rustix::fs::utimensat(rustix::fs::CWD, &link, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }

    #[test]
    fn equal_trees_are_the_same_wherever_their_files_are() {
        let (one, other) = (tree(), tree());
        assert_eq!(difference(one.path(), other.path()).unwrap(), None);
        assert_eq!(difference(one.path(), one.path()).unwrap(), None);
    }

    #[test]
    fn each_thing_in_which_trees_can_differ_is_found_and_named() {
        type Change = (&'static str, fn(&Path));
        let changes: [Change; 11] = [
            ("\"/a/b/other\" has another content", |path| fs::write(path.join("a/b/other"), "c0ntent").unwrap()),
            ("\"/a/b/other\" has another size", |path| fs::write(path.join("a/b/other"), "content.").unwrap()),
            ("\"/a/b\" has another mode", |path| {
                fs::set_permissions(path.join("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
            }),
            ("\"/a/new\" should not be there", |path| fs::write(path.join("a/new"), "").unwrap()),
            ("\"/a/symlink\" is missing", |path| fs::remove_file(path.join("a/symlink")).unwrap()),
            ("\"/a/symlink\" leads elsewhere", |path| {
                fs::remove_file(path.join("a/symlink")).unwrap();
                symlink("elif", path.join("a/symlink")).unwrap();
            }),
            ("\"/a/symlink\" is of another kind", |path| {
                fs::remove_file(path.join("a/symlink")).unwrap();
                fs::write(path.join("a/symlink"), "file").unwrap();
            }),
            ("\"/a/link\" is linked to other names", |path| {
                fs::remove_file(path.join("a/link")).unwrap();
                fs::write(path.join("a/link"), "content").unwrap();
                let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
                fs::File::open(path.join("a/link")).unwrap().set_modified(then).unwrap();
            }),
            ("\"/a/b\" has other extended attributes", |path| {
                rustix::fs::setxattr(path.join("a/b"), "user.a", b"x", rustix::fs::XattrFlags::CREATE).unwrap();
            }),
            ("\"/a/file\" has other extended attributes", |path| {
                rustix::fs::setxattr(path.join("a/file"), "user.a", b"x", rustix::fs::XattrFlags::CREATE).unwrap();
            }),
            ("\"/\" has another mode", |path| {
                fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
            }),
        ];
        for (said, change) in changes {
            let (one, other) = (tree(), tree());
            change(one.path());
            settle(one.path());
            assert_eq!(difference(one.path(), other.path()).unwrap().unwrap().to_string(), said);
        }
        let (one, other) = (tree(), tree());
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1001);
        fs::File::open(one.path().join("a/b")).unwrap().set_modified(later).unwrap();
        let said = "\"/a/b\" has another time";
        assert_eq!(difference(one.path(), other.path()).unwrap().unwrap().to_string(), said);
    }
}
