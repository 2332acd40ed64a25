//! Copying a tree, for who does not want its files to be shared.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};

use crate::tree::{self, Node, NodeKind};

/// Copies all that is below one directory into another, which is empty, with owners, modes, times and attributes, and
/// gives that the properties of the first.
///
/// # Errors
/// Something cannot be read or made; what was copied before is there.
pub fn copy_tree(from: BorrowedFd<'_>, to: OwnedFd) -> io::Result<()> {
    let mut copy = Copy { root: Root::from_fd(to)?, files: HashMap::new(), directories: Vec::new() };
    tree::walk(from, &mut |node| copy.add(node))?;
    // Last, and children first: what is made in a directory changes its time, and its mode might forbid that.
    for (path, stat) in copy.directories.iter().rev() {
        set_properties(&copy.root.open_dir(path)?, stat)?;
    }
    Ok(())
}

struct Copy {
    root: Root,
    /// Where files with several names were copied first, by device and inode.
    files: HashMap<(u64, u64), PathBuf>,
    directories: Vec<(PathBuf, Stat)>,
}

impl Copy {
    fn add(&mut self, node: Node) -> io::Result<()> {
        let Node { path, stat, attributes, kind } = node;
        let owner = Mode::RUSR | Mode::WUSR;
        match kind {
            NodeKind::Directory if path == Path::new("") => {
                let top = PathBuf::from(".");
                set_attributes(self.root.open_dir(&top)?, &attributes)?;
                self.directories.push((top, stat));
            }
            NodeKind::Directory => {
                self.root.create_dir(&path, Mode::RWXU)?;
                set_attributes(self.root.open_dir(&path)?, &attributes)?;
                self.directories.push((path, stat));
            }
            NodeKind::File(mut file) => {
                let identity = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.files.get(&identity) {
                    return Ok(self.root.link(first, &path)?);
                }
                let mut copy: File = self.root.create_file(&path, owner)?;
                io::copy(&mut file, &mut copy)?;
                set_properties(&copy, &stat)?;
                // A new owner costs a file its capabilities.
                set_attributes(&copy, &attributes)?;
                if stat.st_nlink > 1 {
                    self.files.insert(identity, path);
                }
            }
            NodeKind::Symlink(text) => {
                self.root.symlink(Path::new(&text), &path)?;
                let (parent, name) = self.root.open_parent(&path)?;
                let (uid, gid) = owner_of(&stat);
                rustix::fs::chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                rustix::fs::utimensat(&parent, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            NodeKind::Fifo => {
                self.root.mknod(&path, FileType::Fifo, owner, 0)?;
                let (parent, name) = self.root.open_parent(&path)?;
                let (uid, gid) = owner_of(&stat);
                rustix::fs::chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                rustix::fs::chmodat(&parent, name, mode(&stat), AtFlags::empty())?;
                rustix::fs::utimensat(&parent, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            // No image has one.
            NodeKind::Other => {}
        }
        Ok(())
    }
}

/// The mode after the owner, which clears set-user-ID bits.
fn set_properties(file: impl AsFd, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner_of(stat);
    rustix::fs::fchown(&file, uid, gid)?;
    rustix::fs::fchmod(&file, mode(stat))?;
    Ok(rustix::fs::futimens(&file, &times(stat))?)
}

fn set_attributes(file: impl AsFd, attributes: &[(CString, Vec<u8>)]) -> io::Result<()> {
    for (name, value) in attributes {
        rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty())?;
    }
    Ok(())
}

fn owner_of(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_copy_is_as_its_original() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir_all(from.join("closed/inner")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("closed/inner/file"), "content").unwrap();
        std::os::unix::fs::chown(from.join("closed/inner/file"), Some(5), Some(6)).unwrap();
        fs::set_permissions(from.join("closed/inner/file"), fs::Permissions::from_mode(0o6755)).unwrap();
        fs::hard_link(from.join("closed/inner/file"), from.join("same")).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        fs::set_permissions(from.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o751)).unwrap();

        copy_tree(File::open(&from).unwrap().as_fd(), File::open(&to).unwrap().into()).unwrap();
        for path in ["", "closed", "closed/inner", "closed/inner/file", "link"] {
            let look = |root: &Path| {
                let found = fs::symlink_metadata(root.join(path)).unwrap();
                (found.mode(), found.uid(), found.gid(), found.mtime(), found.mtime_nsec())
            };
            assert_eq!(look(&to), look(&from), "{path}");
        }
        assert_eq!(fs::read(to.join("same")).unwrap(), b"content");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
        let inode = |path: &str| fs::metadata(to.join(path)).unwrap().ino();
        assert_eq!(inode("same"), inode("closed/inner/file"));
        assert_ne!(inode("same"), fs::metadata(from.join("same")).unwrap().ino());
    }

    #[test]
    fn pipes_are_made_and_sockets_left_out() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::set_permissions(from.join("pipe"), fs::Permissions::from_mode(0o622)).unwrap();
        copy_tree(File::open(&from).unwrap().as_fd(), File::open(&to).unwrap().into()).unwrap();
        let names: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.len() == 1 && names[0] == "pipe", "{names:?}");
        assert_eq!(fs::metadata(to.join("pipe")).unwrap().mode() & 0o7777, 0o622);
    }

    #[test]
    fn a_tree_without_an_end_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir(&to).unwrap();
        let mut path = from.clone();
        for _ in 0..=crate::policy::Limits::default().depth + 1 {
            fs::create_dir(&path).unwrap();
            path.push("d");
        }
        let refused = copy_tree(File::open(&from).unwrap().as_fd(), File::open(&to).unwrap().into()).unwrap_err();
        assert!(refused.to_string().contains("deeper than images may be"), "{refused}");
    }
}
