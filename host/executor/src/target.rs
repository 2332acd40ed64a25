//! Where something is mounted in an app's root: made where it is missing, and never outside.

use std::path::Path;

use rkt_plan::{CleanPath, FileSystem, Mount};
use rkt_sys::root::Root;
use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

use crate::failure::Failure;

/// What a mount point has to be for what is mounted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// Anything else: a file, a socket, a device node.
    File,
}

impl Kind {
    pub(crate) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::Directory,
            _ => Self::File,
        }
    }
}

/// Directories that programs take for the kernel's. An image in which one is a link would have
/// something else mounted where a program does not look (CVE-2026-41579).
const KERNELS: [&str; 3] = ["dev", "proc", "sys"];

/// File systems whose files are the kernel's: of linux/magic.h, proc, sysfs, cgroup2, devpts, mqueue.
const KERNEL_MAGIC: [i64; 5] = [0x9fa0, 0x6265_6572, 0x6367_7270, 0x1cd1, 0x1980_0202];

/// Opens the place where a mount of the plan goes, and makes it where it is missing.
///
/// Links of the image are followed inside the root, but none leads into the kernel's files: what is
/// to lie there is below them by its own path, which the check has judged.
pub(crate) fn open(root: &Root, path: &CleanPath, kind: Kind, all: &[Mount]) -> Result<OwnedFd, Failure> {
    refuse_linked_top(root, path)?;
    let target = find_or_make(root, path, kind)?;
    let stat = rustix::fs::fstatfs(&target).map_err(Failure::of(|| "fstatfs"))?;
    if KERNEL_MAGIC.contains(&stat.f_type) && !is_below_kernel_files(path, all) {
        return Err(Failure::new(format!("{path} leads into files of the kernel")));
    }
    Ok(target)
}

fn refuse_linked_top(root: &Root, path: &CleanPath) -> Result<(), Failure> {
    let Some(top) = path.components().next().filter(|top| KERNELS.contains(top)) else {
        return Ok(());
    };
    match root.stat_nofollow(Path::new(top)) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            Err(Failure::new(format!("/{top} of the image is a symbolic link")))
        }
        Err(error) if error.errno() != Some(Errno::NOENT) => Err(Failure::of(|| "look at the image")(error)),
        _ => Ok(()),
    }
}

fn find_or_make(root: &Root, path: &CleanPath, kind: Kind) -> Result<OwnedFd, Failure> {
    let failed = || format!("open {path}");
    let at = Path::new(path.as_str());
    match root.open_path(at) {
        Ok(found) => {
            let stat = rustix::fs::fstat(&found).map_err(Failure::of(failed))?;
            match (kind, Kind::of(&stat)) {
                (Kind::Directory, Kind::File) => Err(Failure::new(format!("{path} of the image is no directory"))),
                (Kind::File, Kind::Directory) => Err(Failure::new(format!("{path} of the image is a directory"))),
                _ => Ok(found),
            }
        }
        Err(error) if error.errno() == Some(Errno::NOENT) => make(root, at, kind).map_err(Failure::of(failed)),
        Err(error) => Err(Failure::of(failed)(error)),
    }
}

fn make(root: &Root, path: &Path, kind: Kind) -> rkt_sys::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o755);
    match kind {
        Kind::Directory => root.create_dir_all(path, mode),
        Kind::File => {
            if let Some(parent) = path.parent() {
                root.create_dir_all(parent, mode)?;
            }
            root.create_file(path, Mode::from_raw_mode(0o644))?;
            root.open_path_nofollow(path)
        }
    }
}

fn is_below_kernel_files(path: &CleanPath, all: &[Mount]) -> bool {
    all.iter().any(|mount| match mount {
        Mount::FileSystem { kind, target, .. } => *kind != FileSystem::Tmpfs && target != path && target.holds(path),
        Mount::Bind { .. } => false,
    })
}
