//! Paths inside a tree that somebody else controls: an image, a volume, a pod.
//!
//! [`Root`] is the project's one in-root helper. Nothing else joins a path to such a tree. It knows
//! nothing of what the trees are for.
//!
//! The kernel resolves each path as a chroot at the root would (`openat2(2)`, `RESOLVE_IN_ROOT`):
//! `..`, absolute paths and absolute links stay inside, and links of procfs that jump elsewhere are
//! refused (`RESOLVE_NO_MAGICLINKS`). What is returned is a descriptor, never a path to be resolved
//! again, so nothing can be swapped between check and use.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dev, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::{Error, Result};

/// Renames and mounts anywhere on the host make the kernel give up a walk through `..` with EAGAIN
/// (`openat2(2)`); a caller is told after this many in a row.
const ATTEMPTS: usize = 256;

/// A directory beneath which every path is resolved.
///
/// All paths that its methods take are relative to it, with or without a leading `/`; bytes, not
/// text; one with a NUL is refused. Modes are masked by the umask of the process.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
}

impl Root {
    /// The tree at `path`, which the caller trusts: it is resolved like any path.
    ///
    /// # Errors
    /// Where it cannot be reached or is no directory.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(|dir| Self { dir }).map_err(Error::on("open", path.display()))
    }

    /// The tree at an open directory.
    ///
    /// # Errors
    /// Where the descriptor is not one of a directory.
    pub fn from_fd(dir: OwnedFd) -> Result<Self> {
        let stat = rustix::fs::fstat(&dir).map_err(Error::on("fstat", "a root directory"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Error::new("open", "a root directory", Errno::NOTDIR));
        }
        Ok(Self { dir })
    }

    /// A descriptor of the object itself (`O_PATH`): it can be stat'ed, mounted on, entered, but
    /// neither read nor written. Nothing is opened, so a device or FIFO notices nothing.
    ///
    /// # Errors
    /// Where the path cannot be resolved inside the root.
    pub fn open_path(&self, path: &Path) -> Result<OwnedFd> {
        self.resolve(path, OFlags::PATH, Mode::empty())
    }

    /// Like [`Root::open_path`], but where the last component is a symbolic link, the link itself.
    ///
    /// # Errors
    /// Where the path cannot be resolved inside the root.
    pub fn open_path_nofollow(&self, path: &Path) -> Result<OwnedFd> {
        self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
    }

    /// A directory, open for reading its entries.
    ///
    /// # Errors
    /// Where the path cannot be resolved inside the root or is no directory.
    pub fn open_dir(&self, path: &Path) -> Result<OwnedFd> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// A regular file, open for reading. Links that stay inside the root are followed.
    ///
    /// Never blocks and never acts on a device: what is no regular file is found out before it is
    /// opened, and what was swapped in meanwhile is opened without blocking and then refused.
    ///
    /// # Errors
    /// Where the path cannot be resolved inside the root or is no regular file.
    pub fn open_file(&self, path: &Path) -> Result<File> {
        self.open_regular(path).map(|(file, _)| file)
    }

    /// The whole of a regular file of at most `max_bytes`.
    ///
    /// # Errors
    /// As [`Root::open_file`], and where the file is larger, also when it grows while it is read.
    pub fn read_file(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
        let (file, stat) = self.open_regular(path)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let too_large = || {
            let reason = format!("larger than the {max_bytes} bytes allowed");
            Error::refused("read", path.display(), reason)
        };
        if size > max_bytes {
            return Err(too_large());
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
        let read = file.take(max_bytes.saturating_add(1)).read_to_end(&mut content);
        let length = read.map_err(Error::on("read", path.display()))?;
        if length as u64 > max_bytes {
            return Err(too_large());
        }
        Ok(content)
    }

    /// The parent directory of `path` (`O_PATH`), resolved inside the root, and the last name in it,
    /// for calls that act on a name in a directory.
    ///
    /// # Errors
    /// Where the parent cannot be resolved inside the root, or the path ends in no name: it is empty,
    /// the root itself, or ends in `..`.
    pub fn open_parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr)> {
        let Some(name) = path.file_name() else {
            return Err(Error::refused("open", path.display(), "the path ends in no name"));
        };
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((self.resolve(parent, flags, Mode::empty())?, name))
    }

    /// Makes a directory and those above it that are missing, each with `mode`, and returns it
    /// (`O_PATH`). Those that exist are left as they are; links inside the root are followed.
    ///
    /// # Errors
    /// Where something on the way is no directory, a link leads nowhere, the path holds `..`, or a
    /// directory cannot be made.
    pub fn create_dir_all(&self, path: &Path, mode: Mode) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.resolve(path, flags, Mode::empty()) {
            Err(error) if error.errno() == Some(Errno::NOENT) => {}
            other => return other,
        }
        let mut prefix = PathBuf::new();
        let mut parent = self.resolve(Path::new("."), flags, Mode::empty())?;
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::ParentDir => {
                    return Err(Error::refused("mkdir", path.display(), "the path holds .."));
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => continue,
            };
            match rustix::fs::mkdirat(&parent, name, mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(cause) => return Err(Error::new("mkdir", path.display(), cause)),
            }
            prefix.push(name);
            parent = self.resolve(&prefix, flags, Mode::empty())?;
        }
        Ok(parent)
    }

    /// Makes one directory; its parent exists.
    ///
    /// # Errors
    /// Where the parent cannot be resolved, the name is taken, or the call fails.
    pub fn create_dir(&self, path: &Path, mode: Mode) -> Result<()> {
        let (parent, name) = self.open_parent(path)?;
        rustix::fs::mkdirat(parent, name, mode).map_err(Error::on("mkdir", path.display()))
    }

    /// Makes a new regular file, open for reading and writing. Whatever has the name already, a
    /// dangling link too, is an error (`O_EXCL`).
    ///
    /// # Errors
    /// Where the parent cannot be resolved, the name is taken, or the call fails.
    pub fn create_file(&self, path: &Path, mode: Mode) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        self.resolve(path, flags, mode).map(File::from)
    }

    /// Makes a symbolic link at `path` with the text `target`, which is not looked at.
    ///
    /// # Errors
    /// Where the parent cannot be resolved, the name is taken, or the call fails.
    pub fn symlink(&self, target: &Path, path: &Path) -> Result<()> {
        let (parent, name) = self.open_parent(path)?;
        rustix::fs::symlinkat(target, parent, name).map_err(Error::on("symlink", path.display()))
    }

    /// Makes `path` another name of the object at `existing`; both lie inside the root. A symbolic
    /// link as last component of `existing` is linked itself, not followed.
    ///
    /// # Errors
    /// Where a parent cannot be resolved, the name is taken, or the call fails.
    pub fn link(&self, existing: &Path, path: &Path) -> Result<()> {
        let (old_parent, old_name) = self.open_parent(existing)?;
        let (parent, name) = self.open_parent(path)?;
        rustix::fs::linkat(old_parent, old_name, parent, name, AtFlags::empty())
            .map_err(Error::on("link", path.display()))
    }

    /// Makes a device node, FIFO or socket. `device` counts for devices only.
    ///
    /// # Errors
    /// Where the parent cannot be resolved, the name is taken, or the call fails.
    pub fn mknod(&self, path: &Path, kind: FileType, mode: Mode, device: Dev) -> Result<()> {
        let (parent, name) = self.open_parent(path)?;
        rustix::fs::mknodat(parent, name, kind, mode, device).map_err(Error::on("mknod", path.display()))
    }

    /// What is at `path`, links followed inside the root.
    ///
    /// # Errors
    /// Where the path cannot be resolved inside the root.
    pub fn stat(&self, path: &Path) -> Result<Stat> {
        let object = self.open_path(path)?;
        rustix::fs::fstat(object).map_err(Error::on("fstat", path.display()))
    }

    /// What is at `path`; a symbolic link as last component is itself the answer.
    ///
    /// # Errors
    /// Where the path cannot be resolved inside the root.
    pub fn stat_nofollow(&self, path: &Path) -> Result<Stat> {
        let object = self.open_path_nofollow(path)?;
        rustix::fs::fstat(object).map_err(Error::on("fstat", path.display()))
    }

    /// The text of the symbolic link at `path`.
    ///
    /// # Errors
    /// Where the path cannot be resolved inside the root or is no symbolic link.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        let link = self.open_path_nofollow(path)?;
        let text = rustix::fs::readlinkat(link, c"", Vec::new()).map_err(Error::on("readlink", path.display()))?;
        Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
    }

    /// Renames within the root; `flags` as `renameat2(2)`.
    ///
    /// # Errors
    /// Where a parent cannot be resolved or the call fails.
    pub fn rename(&self, from: &Path, to: &Path, flags: RenameFlags) -> Result<()> {
        let (old_parent, old_name) = self.open_parent(from)?;
        let (parent, name) = self.open_parent(to)?;
        rustix::fs::renameat_with(old_parent, old_name, parent, name, flags).map_err(Error::on("rename", to.display()))
    }

    /// Removes a name that is not a directory's; a symbolic link itself, not what it names.
    ///
    /// # Errors
    /// Where the parent cannot be resolved or the call fails.
    pub fn remove_file(&self, path: &Path) -> Result<()> {
        let (parent, name) = self.open_parent(path)?;
        rustix::fs::unlinkat(parent, name, AtFlags::empty()).map_err(Error::on("unlink", path.display()))
    }

    /// Removes whatever is at `path` with all below it; see [`crate::remove::remove_tree`].
    ///
    /// # Errors
    /// Where the parent cannot be resolved or an entry cannot be removed.
    pub fn remove_tree(&self, path: &Path) -> Result<()> {
        let (parent, name) = self.open_parent(path)?;
        crate::remove::remove_tree(parent.as_fd(), name)
    }

    fn open_regular(&self, path: &Path) -> Result<(File, Stat)> {
        // Opening alone can act on a device (a tape rewinds, a watchdog starts): look first.
        check_regular(&self.open_path(path)?, path)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.resolve(path, flags, Mode::empty())?;
        let stat = check_regular(&file, path)?;
        Ok((File::from(file), stat))
    }

    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let resolution = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(&self.dir, path, flags, mode, resolution) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other.map_err(Error::on("openat2", path.display())),
            }
        }
        Err(Error::new("openat2", path.display(), Errno::AGAIN))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Whether this names an entry of a directory, and neither the directory, its parent nor a path.
pub(crate) fn is_plain(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/')
}

fn check_regular(file: &OwnedFd, path: &Path) -> Result<Stat> {
    let stat = rustix::fs::fstat(file).map_err(Error::on("fstat", path.display()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat),
        _ => Err(Error::refused("open", path.display(), "not a regular file")),
    }
}

#[cfg(test)]
mod tests;
