//! Unpacking the root filesystem of an image into a directory of its own.
//!
//! No entry can reach outside that directory: parents are resolved by the in-root helper, the last
//! name is made new (never opened, followed or replaced), and all that is set on it is set through
//! its own descriptor. Whatever cannot be told apart from an attempt is refused.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::ArchiveError;
use crate::archive::aci::Visitor;
use crate::archive::reader::{Content, Entry, Kind};

/// Unpacks entries, in the order in which they come.
pub(crate) struct Extraction {
    root: Root,
    /// Whether files can be given to others: only root can.
    gives_away: bool,
    /// Every directory there is, the root first, each after its parent.
    directories: Vec<Directory>,
    by_inode: HashMap<u64, usize>,
    /// The parent of the last entry; entries come sorted by directory.
    last_parent: Option<Parent>,
    /// Bytes in regular files.
    bytes: u64,
}

/// A directory, whose own properties are set at the end: entries made in it would change its time,
/// and its mode might forbid them.
struct Directory {
    /// Index of its parent, and its name there. The root is its own parent.
    parent: usize,
    name: OsString,
    properties: Option<Properties>,
}

/// What can be set on any file.
struct Properties {
    mode: u32,
    uid: u32,
    gid: u32,
    times: Timestamps,
}

struct Parent {
    path: PathBuf,
    directory: OwnedFd,
    index: usize,
}

impl Extraction {
    /// Unpacks into `directory`, which must be empty.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let root = Root::open(directory)?;
        let inode = rustix::fs::fstat(&root)?.st_ino;
        let top = Directory { parent: 0, name: OsString::new(), properties: None };
        Ok(Self {
            root,
            gives_away: rustix::process::geteuid().is_root(),
            directories: vec![top],
            by_inode: HashMap::from([(inode, 0)]),
            last_parent: None,
            bytes: 0,
        })
    }

    /// Sets what belongs to directories, and returns the bytes that all regular files hold.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        // Children first: a parent's mode may forbid to search it.
        for index in (0..self.directories.len()).rev() {
            let path = self.path_of(index);
            let directory = self.root.open_dir(&path)?;
            let properties = self.directories[index].properties.take();
            self.set_properties(directory.as_fd(), &properties.unwrap_or(IMPLIED))?;
        }
        Ok(self.bytes)
    }

    /// The path of a directory in the root; no part of it is a link.
    fn path_of(&self, mut index: usize) -> PathBuf {
        let mut names = Vec::new();
        while index != 0 {
            names.push(self.directories[index].name.as_os_str());
            index = self.directories[index].parent;
        }
        names.push(OsStr::new("."));
        names.iter().rev().collect()
    }

    fn make<R: BufRead>(&mut self, path: &Path, entry: &Entry, content: Content<'_, '_, R>) -> io::Result<Made> {
        let Some(name) = path.file_name() else {
            return self.describe(0, entry);
        };
        self.enter_parent(path)?;
        match &entry.kind {
            Kind::Directory => self.make_directory(name, entry),
            Kind::File(_) => self.make_file(name, entry, content),
            Kind::Symlink(target) => self.make_symlink(name, entry, target),
            Kind::HardLink(target) => self.make_hard_link(name, target),
            Kind::Fifo => self.make_fifo(name, entry),
            Kind::Device => Ok(Made::Refused("a device is not unpacked")),
        }
    }

    fn make_directory(&mut self, name: &OsStr, entry: &Entry) -> io::Result<Made> {
        let parent = self.parent();
        let made = rustix::fs::mkdirat(&parent.directory, name, Mode::RWXU);
        if made != Err(Errno::EXIST) {
            made?;
        }
        let stat = rustix::fs::statat(&parent.directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(TWICE);
        }
        let parent = parent.index;
        let index = self.known(stat.st_ino, parent, name);
        self.describe(index, entry)
    }

    /// Keeps what the archive says of a directory, which it may say but once. Its attributes, which can
    /// be large, are set and not kept.
    fn describe(&mut self, index: usize, entry: &Entry) -> io::Result<Made> {
        if self.directories[index].properties.replace(Properties::of(entry)).is_some() {
            return Ok(TWICE);
        }
        if !entry.attributes.is_empty() {
            let directory = self.root.open_dir(&self.path_of(index))?;
            set_attributes(directory.as_fd(), entry)?;
        }
        Ok(Made::Yes)
    }

    fn make_file<R: BufRead>(
        &mut self,
        name: &OsStr,
        entry: &Entry,
        mut content: Content<'_, '_, R>,
    ) -> io::Result<Made> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let flags = flags | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = match rustix::fs::openat(&self.parent().directory, name, flags, mode) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => return Ok(TWICE),
            Err(cause) => return Err(cause.into()),
        };
        loop {
            let bytes = content.fill_buf().map_err(ReadFailed::wrap)?;
            if bytes.is_empty() {
                break;
            }
            file.write_all(bytes)?;
            let length = bytes.len();
            self.bytes += length as u64;
            content.consume(length);
        }
        self.set_all(file.as_fd(), entry)?;
        Ok(Made::Yes)
    }

    fn make_symlink(&mut self, name: &OsStr, entry: &Entry, target: &[u8]) -> io::Result<Made> {
        let parent = &self.parent().directory;
        match rustix::fs::symlinkat(OsStr::from_bytes(target), parent, name) {
            Err(Errno::EXIST) => return Ok(TWICE),
            made => made?,
        }
        let properties = Properties::of(entry);
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if self.gives_away {
            let (uid, gid) = properties.owner();
            rustix::fs::chownat(parent, name, uid, gid, nofollow)?;
        }
        rustix::fs::utimensat(parent, name, &properties.times, nofollow)?;
        Ok(Made::Yes)
    }

    fn make_hard_link(&mut self, name: &OsStr, target: &Path) -> io::Result<Made> {
        let Ok(target) = target.strip_prefix("rootfs") else {
            return Ok(Made::Refused("it is a hard link to something outside rootfs"));
        };
        let missing = Made::Refused("it is a hard link to nothing that came before it");
        let no_file = Made::Refused("it is a hard link to something that is no file");
        if target == Path::new("") {
            return Ok(no_file);
        }
        let (directory, target) = match self.root.open_parent(target) {
            Ok(found) => found,
            Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(missing),
            Err(error) => return Err(error.into()),
        };
        let stat = match rustix::fs::statat(&directory, target, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(missing),
            stat => stat?,
        };
        // Links to links are where tools disagree, and no image needs them.
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Fifo => {}
            _ => return Ok(no_file),
        }
        let parent = &self.parent().directory;
        match rustix::fs::linkat(&directory, target, parent, name, AtFlags::empty()) {
            Ok(()) => Ok(Made::Yes),
            Err(Errno::EXIST) => Ok(TWICE),
            Err(cause) => Err(cause.into()),
        }
    }

    fn make_fifo(&mut self, name: &OsStr, entry: &Entry) -> io::Result<Made> {
        let parent = &self.parent().directory;
        match rustix::fs::mknodat(parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
            Err(Errno::EXIST) => return Ok(TWICE),
            made => made?,
        }
        // Opened for both directions a FIFO waits for nobody (fifo(7)).
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fifo = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        self.set_all(fifo.as_fd(), entry)?;
        Ok(Made::Yes)
    }

    fn set_all(&self, file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        // Attributes last: a new owner costs a file its capabilities. They leave its time alone.
        self.set_properties(file, &Properties::of(entry))?;
        set_attributes(file, entry)
    }

    /// The mode after the owner, which clears set-user-ID bits.
    fn set_properties(&self, file: BorrowedFd<'_>, properties: &Properties) -> io::Result<()> {
        if self.gives_away {
            let (uid, gid) = properties.owner();
            rustix::fs::fchown(file, uid, gid)?;
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(properties.mode))?;
        rustix::fs::futimens(file, &properties.times)?;
        Ok(())
    }

    fn parent(&self) -> &Parent {
        self.last_parent.as_ref().expect("the parent was entered first")
    }

    /// Finds the directory that `path` lies in, and makes it where the archive did not name it.
    fn enter_parent(&mut self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        // What an entry made is never replaced, so a path keeps its meaning.
        if self.last_parent.as_ref().is_some_and(|last| last.path == parent) {
            return Ok(());
        }
        let directory = match self.root.open_parent(path) {
            Ok((directory, _)) => directory,
            Err(error) if error.errno() == Some(Errno::NOENT) => {
                self.make_parents(parent)?;
                self.root.open_parent(path)?.0
            }
            Err(error) => return Err(error.into()),
        };
        let index = self.index_of(&directory)?;
        self.last_parent = Some(Parent { path: parent.to_owned(), directory, index });
        Ok(())
    }

    fn make_parents(&mut self, path: &Path) -> io::Result<()> {
        let ancestors: Vec<&Path> = path.ancestors().filter(|path| *path != Path::new("")).collect();
        for ancestor in ancestors.into_iter().rev() {
            let (parent, name) = self.root.open_parent(ancestor)?;
            match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
                Ok(()) => {
                    let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    let parent = self.index_of(&parent)?;
                    self.known(stat.st_ino, parent, name);
                }
                Err(Errno::EXIST) => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    fn index_of(&self, directory: &OwnedFd) -> io::Result<usize> {
        let inode = rustix::fs::fstat(directory)?.st_ino;
        let index = self.by_inode.get(&inode).copied();
        index.ok_or_else(|| io::Error::other("a directory is there that no entry made"))
    }

    /// The index of a directory, which is noted where it is new.
    fn known(&mut self, inode: u64, parent: usize, name: &OsStr) -> usize {
        *self.by_inode.entry(inode).or_insert_with(|| {
            let name = name.to_owned();
            self.directories.push(Directory { parent, name, properties: None });
            self.directories.len() - 1
        })
    }
}

fn set_attributes(file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    for (name, value) in &entry.attributes {
        rustix::fs::fsetxattr(file, name, value, XattrFlags::CREATE)?;
    }
    Ok(())
}

/// What came of an entry.
enum Made {
    Yes,
    Refused(&'static str),
}

const TWICE: Made = Made::Refused("the archive holds this path already, perhaps through a link");

/// Of directories that entries lie in but that the archive does not name.
const IMPLIED: Properties =
    Properties { mode: 0o755, uid: 0, gid: 0, times: Timestamps { last_access: EPOCH, last_modification: EPOCH } };

const EPOCH: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Properties {
    fn of(entry: &Entry) -> Self {
        let (tv_sec, nanoseconds) = entry.mtime;
        let time = Timespec { tv_sec, tv_nsec: nanoseconds.into() };
        Self {
            mode: entry.mode,
            uid: entry.uid.get(),
            gid: entry.gid.get(),
            times: Timestamps { last_access: time, last_modification: time },
        }
    }

    fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }
}

impl Visitor for Extraction {
    fn visit<R: BufRead>(
        &mut self,
        path: &Path,
        entry: &Entry,
        content: Content<'_, '_, R>,
    ) -> Result<(), ArchiveError> {
        match self.make(path, entry, content) {
            Ok(Made::Yes) => Ok(()),
            Ok(Made::Refused(reason)) => Err(entry.refused(reason)),
            Err(cause) => Err(ReadFailed::unwrap(cause)
                .unwrap_or_else(|cause| ArchiveError::Unpack { entry: entry.name.clone(), cause })),
        }
    }
}

/// Marks an error of the archive's side on its way through code whose errors are the disk's.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ReadFailed(ArchiveError);

impl ReadFailed {
    fn wrap(cause: io::Error) -> io::Error {
        io::Error::other(Self(ArchiveError::from_read(cause)))
    }

    fn unwrap(cause: io::Error) -> Result<ArchiveError, io::Error> {
        cause.downcast::<Self>().map(|failed| failed.0)
    }
}
