//! Walking through a tree that anybody may have filled: of an image, or of an app that has ended.
//!
//! Nothing is followed and nothing is opened but directories and regular files, each by its one name in a
//! directory that is open already.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use crate::archive::is_kept;
use crate::policy::Limits;

/// One thing in a tree.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it is, from the root of the tree; empty for the root itself.
    pub(crate) path: PathBuf,
    /// What the kernel says of it.
    pub(crate) stat: Stat,
    /// Its extended attributes, as far as they are content of images, by name.
    pub(crate) attributes: Vec<(CString, Vec<u8>)>,
    pub(crate) kind: NodeKind,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum NodeKind {
    Directory,
    /// With its content.
    File(File),
    /// With its text.
    Symlink(OsString),
    Fifo,
    /// A socket or a device node, which no image has.
    Other,
}

/// Shows each thing below a directory, and the directory first, in the order of their names.
///
/// # Errors
/// What cannot be read, with its path; what `visit` says; a tree that is deeper than images may be.
pub(crate) fn walk(root: BorrowedFd<'_>, visit: &mut dyn FnMut(Node) -> io::Result<()>) -> io::Result<()> {
    let directory = open(root, OsStr::new("."), OFlags::DIRECTORY)?;
    enter(directory.as_fd(), Path::new(""), 0, visit)
}

fn enter(
    directory: BorrowedFd<'_>,
    path: &Path,
    depth: usize,
    visit: &mut dyn FnMut(Node) -> io::Result<()>,
) -> io::Result<()> {
    if depth > Limits::default().depth {
        return Err(io::Error::other(format!("{} is deeper than images may be", path.display())));
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| io::Error::new(cause.kind(), format!("{}: {cause}", path.display()))
    };
    let attributes = attributes(directory).map_err(at(path))?;
    let stat = rustix::fs::fstat(directory).map_err(io::Error::from).map_err(at(path))?;
    visit(Node { path: path.to_owned(), stat, attributes, kind: NodeKind::Directory })?;
    for name in names(directory).map_err(at(path))? {
        let path = path.join(&name);
        match look(directory, &name).map_err(at(&path))? {
            Found::Directory(inner) => enter(inner.as_fd(), &path, depth + 1, visit)?,
            Found::Other(stat, attributes, kind) => visit(Node { path, stat, attributes, kind })?,
        }
    }
    Ok(())
}

enum Found {
    Directory(OwnedFd),
    Other(Stat, Vec<(CString, Vec<u8>)>, NodeKind),
}

fn look(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Found> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let plain = |kind| Ok(Found::Other(stat, Vec::new(), kind));
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Found::Directory(open(directory, name, OFlags::DIRECTORY)?)),
        FileType::RegularFile => {
            let file = open(directory, name, OFlags::NONBLOCK | OFlags::NOCTTY)?;
            // What was put in its place meanwhile is not read.
            let stat = rustix::fs::fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(io::Error::other("it changes while it is read"));
            }
            let attributes = attributes(file.as_fd())?;
            Ok(Found::Other(stat, attributes, NodeKind::File(file.into())))
        }
        FileType::Symlink => {
            let text = rustix::fs::readlinkat(directory, name, Vec::new())?;
            plain(NodeKind::Symlink(OsString::from_vec(text.into_bytes())))
        }
        FileType::Fifo => plain(NodeKind::Fifo),
        _ => plain(NodeKind::Other),
    }
}

fn open(directory: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

fn attributes(file: impl AsFd) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let mut list = Vec::with_capacity(1024);
    let listed = loop {
        match rustix::fs::flistxattr(&file, rustix::buffer::spare_capacity(&mut list)) {
            Err(rustix::io::Errno::RANGE) => list.reserve(64 << 10),
            // The file system has none.
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
            other => break other?,
        }
    };
    let mut found = Vec::new();
    for name in list[..listed].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let mut value = Vec::with_capacity(64 << 10);
        rustix::fs::fgetxattr(&file, OsStr::from_bytes(name), rustix::buffer::spare_capacity(&mut value))?;
        found.push((CString::new(name).expect("it was split at each NUL"), value));
    }
    found.sort();
    Ok(found)
}
