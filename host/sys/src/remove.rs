//! Removes a tree of any depth and shape without leaving it.
//!
//! No policy about what may be removed: the caller holds the directory that the tree is in.

use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use crate::root::is_plain;
use crate::{Error, Result};

const CALL: &str = "remove";

/// What is read of a directory at a time, in bytes.
const ENTRIES: usize = 4096;

/// Removes the entry `name` of the directory `parent`, with all below it where it is a directory.
///
/// Symbolic links are removed, never followed. Directories are lifted to the top of the tree before
/// they are emptied, so that a tree deeper than any path or descriptor limit goes as well, with two
/// directories open at any time. What is mounted in the tree is never entered.
///
/// # Errors
/// Of the first entry that cannot be removed: a mount point (`EXDEV`), missing permission, that `name`
/// does not exist or is no plain name.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    // Of `..` the parent's own neighbors would be removed.
    let plain = is_plain(name).then(|| CString::new(name.as_bytes()).ok()).flatten();
    let name = plain.ok_or_else(|| Error::refused(CALL, name.display(), "not a plain name"))?;
    if remove_file(parent, &name)? == Removed::Yes {
        return Ok(());
    }
    let top = open_directory(parent, &name)?;
    let mut lifted = 0;
    while empty_once(top.as_fd(), &mut lifted)? {}
    remove_directory(parent, &name)
}

#[derive(PartialEq)]
enum Removed {
    Yes,
    IsDirectory,
}

/// One pass over `top`: removes its entries, after lifting what stands in their way into `top`.
/// Says whether something was lifted, so that another pass is needed.
fn empty_once(top: BorrowedFd<'_>, lifted: &mut u64) -> Result<bool> {
    let before = *lifted;
    for_each_directory(top, |name| {
        let directory = open_directory(top, name)?;
        for_each_directory(directory.as_fd(), |child| lift(directory.as_fd(), child, top, lifted))?;
        remove_directory(top, name)
    })?;
    Ok(*lifted > before)
}

/// Moves the directory `child` to `top`, under a name that nothing there has.
fn lift(directory: BorrowedFd<'_>, child: &CStr, top: BorrowedFd<'_>, lifted: &mut u64) -> Result<()> {
    loop {
        *lifted += 1;
        let name = format!(".removing-{lifted}");
        match rustix::fs::renameat_with(directory, child, top, name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(on(child)),
        }
    }
}

/// Removes what is no directory of what is in `directory`, and acts on what is one.
fn for_each_directory(directory: BorrowedFd<'_>, mut act: impl FnMut(&CStr) -> Result<()>) -> Result<()> {
    let failed = |cause| Error::new("getdents", "a directory to be removed", cause);
    // It may have been read before, when less was in it.
    rustix::fs::seek(directory, SeekFrom::Start(0)).map_err(failed)?;
    let mut buffer = [MaybeUninit::uninit(); ENTRIES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // Not every file system says it.
        let is_directory = entry.file_type() == FileType::Directory;
        if is_directory || remove_file(directory, name)? == Removed::IsDirectory {
            act(name)?;
        }
    }
    Ok(())
}

fn remove_file(parent: BorrowedFd<'_>, name: &CStr) -> Result<Removed> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => Ok(Removed::Yes),
        Err(Errno::ISDIR) => Ok(Removed::IsDirectory),
        Err(cause) => Err(on(name)(cause)),
    }
}

fn remove_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(on(name))
}

/// Fails with `EXDEV` where something is mounted at `name`: it may be a host's directory.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV).map_err(on(name))
}

fn on(name: &CStr) -> impl FnOnce(Errno) -> Error {
    move |cause| Error::new(CALL, name.to_string_lossy(), cause)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::mount;
    use crate::namespace::{Namespace, Namespaces, unshare};
    use crate::testing::in_child;

    fn open(path: &Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    #[test]
    fn links_are_removed_and_what_they_name_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir_all(path.join("tree/sub/sub")).unwrap();
        fs::create_dir_all(path.join("tree/.removing-1")).unwrap();
        fs::create_dir(path.join("outside")).unwrap();
        fs::write(path.join("outside/file"), "").unwrap();
        for link in ["tree/link", "tree/sub/link", "tree/sub/sub/link"] {
            std::os::unix::fs::symlink(path.join("outside"), path.join(link)).unwrap();
        }
        remove_tree(open(path).as_fd(), OsStr::new("tree")).unwrap();
        assert!(!path.join("tree").exists());
        assert!(path.join("outside/file").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_and_descriptor_limit_is_removed() {
        const DEPTH: usize = 1100;
        let directory = tempfile::tempdir().unwrap();
        let mut parent = open(directory.path());
        for _ in 0..DEPTH {
            rustix::fs::mkdirat(&parent, c"deep", Mode::from(0o700)).unwrap();
            rustix::fs::mkdirat(&parent, c"flat", Mode::from(0o700)).unwrap();
            parent = open_directory(parent.as_fd(), c"deep").unwrap();
        }
        drop(parent);
        remove_tree(open(directory.path()).as_fd(), OsStr::new("deep")).unwrap();
        assert!(!directory.path().join("deep").exists());
        assert!(directory.path().join("flat").exists());
    }

    #[test]
    fn what_is_mounted_in_a_tree_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir_all(path.join("tree/deep/volume")).unwrap();
        fs::create_dir(path.join("host")).unwrap();
        fs::write(path.join("host/data"), "").unwrap();
        in_child(|| {
            unshare(Namespaces::NONE.with(Namespace::Mount)).unwrap();
            mount::set_propagation_of_all(mount::Propagation::Private).unwrap();
            let volume = mount::clone_tree(open(&path.join("host")).as_fd(), mount::Depth::One).unwrap();
            for place in ["tree/deep/volume", "tree/deep", "tree"] {
                let target = path.join(place);
                mount::attach(volume.as_fd(), open(&target).as_fd()).unwrap();
                let error = remove_tree(open(path).as_fd(), OsStr::new("tree")).unwrap_err();
                assert!(matches!(error.errno(), Some(Errno::XDEV | Errno::BUSY)), "{error:?}");
                assert!(target.join("data").exists());
            }
        });
    }

    #[test]
    fn only_a_plain_name_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a/b")).unwrap();
        for name in ["..", ".", "", "/", "../a", "b/../b", "b/"] {
            let parent = open(&directory.path().join("a"));
            assert!(remove_tree(parent.as_fd(), OsStr::new(name)).is_err(), "{name:?}");
        }
        assert!(directory.path().join("a/b").exists());
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = remove_tree(open(directory.path()).as_fd(), OsStr::new("none")).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::NOENT));
        assert_eq!(error.to_string(), "remove none");
    }
}
