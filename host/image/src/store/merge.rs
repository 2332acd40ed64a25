//! Trees merged into one, as an overlay of them would show it, without what whitelists leave out.
//!
//! Files are not copied: they get further links. So the trees must be on one file system, and none is ever
//! written to.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rkt_sys::root::Root;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use super::dependencies::Whitelists;

/// A tree to be merged.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) tree: PathBuf,
    pub(super) whitelists: &'a Whitelists,
}

/// Why trees were not merged.
#[derive(Debug, thiserror::Error)]
#[error("cannot link {path:?} into one tree")]
pub(super) struct MergeError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// Merges trees, topmost first, into `target`, which is an empty directory on their file system.
pub(super) fn merge(sources: &[Source<'_>], target: &Path) -> Result<(), MergeError> {
    let open = |path: &Path| Root::open(path).map_err(|error| failed(path, error));
    let roots = sources.iter().map(|source| open(&source.tree)).collect::<Result<Vec<_>, _>>()?;
    let mut merging = Merging { sources, roots, target: open(target)?, directories: Vec::new() };
    let all = (0..sources.len()).collect();
    merging.directories.push(Merged { path: PathBuf::from("."), from: all });
    let mut next = 0;
    while next < merging.directories.len() {
        merging.fill(next).map_err(|cause| failed(&merging.directories[next].path, cause))?;
        next += 1;
    }
    // Children first: what is made in a directory changes its time, and its mode may forbid it.
    for directory in merging.directories.iter().rev() {
        merging.finish(directory).map_err(|cause| failed(&directory.path, cause))?;
    }
    Ok(())
}

struct Merging<'a> {
    sources: &'a [Source<'a>],
    roots: Vec<Root>,
    target: Root,
    /// Every directory of the target, each after its parent.
    directories: Vec<Merged>,
}

/// A directory of the target.
struct Merged {
    path: PathBuf,
    /// The sources whose directories of this path are seen in it, topmost first.
    from: Vec<usize>,
}

/// What has a name in a directory: the sources that show something there.
enum Shown {
    /// A directory, merged of all these.
    Directory(Vec<usize>),
    /// Something else, of this source.
    Other(usize),
}

impl Merging<'_> {
    /// Makes all that is in a directory of the target.
    fn fill(&mut self, index: usize) -> io::Result<()> {
        let path = self.directories[index].path.clone();
        let target = self.target.open_dir(&path)?;
        let mut links: BTreeMap<usize, Vec<OsString>> = BTreeMap::new();
        for (name, shown) in self.shown(index, &path)? {
            match shown {
                Shown::Other(source) => links.entry(source).or_default().push(name),
                Shown::Directory(from) => {
                    rustix::fs::mkdirat(&target, &name, Mode::RWXU)?;
                    self.directories.push(Merged { path: path.join(&name), from });
                }
            }
        }
        for (source, names) in links {
            let directory = self.roots[source].open_dir(&path)?;
            for name in names {
                rustix::fs::linkat(&directory, &name, &target, &name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// What is seen in a directory, by name. Under what is no directory nothing from below is seen.
    fn shown(&self, index: usize, path: &Path) -> io::Result<BTreeMap<OsString, Shown>> {
        let mut shown: BTreeMap<OsString, Shown> = BTreeMap::new();
        // Names under which something that is no directory hides what lies below.
        let mut closed = std::collections::BTreeSet::new();
        for source in &self.directories[index].from {
            let directory = self.roots[*source].open_dir(path)?;
            for (name, is_directory) in entries(&directory)? {
                let inner = relative(path, &name);
                let whitelists = self.sources[*source].whitelists;
                if closed.contains(&name) || !whitelists.iter().all(|(_, list)| list.allows(&inner, is_directory)) {
                    continue;
                }
                match (shown.get_mut(&name), is_directory) {
                    (None, true) => drop(shown.insert(name, Shown::Directory(vec![*source]))),
                    (None, false) => drop(shown.insert(name, Shown::Other(*source))),
                    (Some(Shown::Directory(from)), true) => from.push(*source),
                    (Some(Shown::Directory(_)), false) => drop(closed.insert(name)),
                    (Some(Shown::Other(_)), _) => {}
                }
            }
        }
        Ok(shown)
    }

    /// Gives a directory what the topmost of those that it is merged of has.
    fn finish(&self, directory: &Merged) -> io::Result<()> {
        let top = directory.from.first().expect("a directory is there because a source has it");
        let from = self.roots[*top].open_dir(&directory.path)?;
        let to = self.target.open_dir(&directory.path)?;
        let stat = rustix::fs::fstat(&from)?;
        if rustix::process::geteuid().is_root() {
            rustix::fs::fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
        }
        for (name, value) in attributes(&from)? {
            rustix::fs::fsetxattr(&to, &name, &value, XattrFlags::empty())?;
        }
        rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let modified = time(stat.st_mtime, stat.st_mtime_nsec.try_into().unwrap_or_default());
        let accessed = time(stat.st_atime, stat.st_atime_nsec.try_into().unwrap_or_default());
        rustix::fs::futimens(&to, &Timestamps { last_access: accessed, last_modification: modified })?;
        Ok(())
    }
}

/// The path below the root as whitelists have it, without the `.` that stands for the root.
fn relative(directory: &Path, name: &OsStr) -> PathBuf {
    directory.strip_prefix(".").unwrap_or(directory).join(name)
}

/// The names in a directory, and which of them are directories, in no order.
pub(super) fn entries(directory: &OwnedFd) -> io::Result<Vec<(OsString, bool)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        found.push((OsStr::from_bytes(name.to_bytes()).to_owned(), kind == FileType::Directory));
    }
    Ok(found)
}

/// The extended attributes of what is open that images have.
pub(super) fn attributes(file: impl AsFd) -> io::Result<BTreeMap<CString, Vec<u8>>> {
    /// The most that the kernel gives (xattr(7)).
    const LARGEST: usize = 64 << 10;
    let mut names = vec![0; LARGEST];
    let length = match rustix::fs::flistxattr(&file, &mut names[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let mut attributes = BTreeMap::new();
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(io::Error::other)?;
        if crate::archive::is_attribute_kept(name.to_bytes()) {
            let mut value = vec![0; LARGEST];
            let length = rustix::fs::fgetxattr(&file, name, &mut value[..])?;
            value.truncate(length);
            attributes.insert(name.to_owned(), value);
        }
    }
    Ok(attributes)
}

fn failed(path: &Path, cause: impl Into<io::Error>) -> MergeError {
    MergeError { path: path.to_owned(), cause: cause.into() }
}
