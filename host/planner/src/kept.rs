//! Where plugins are kept: compiled code in `cache`, components in `components`, each file by the digest
//! of its component.
//!
//! A component is kept as long as a record names it, so that its plugin can plan a pod again, whatever
//! became of its file. Code can be made of it at any time, and is kept to save that time. Nothing here is
//! needed to run anything: where it cannot be read or written, plugins are compiled again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, fstat, open, openat, renameat, statat, unlinkat,
    utimensat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::artifact;
use crate::engine;
use crate::install::MAX_ARTIFACT;
use crate::plugin::MAX_COMPONENT;

/// How long a plugin is kept that nobody names: its pod may be about to be recorded, and whoever works on
/// one runs it again.
const UNUSED: Duration = Duration::from_hours(7 * 24);

/// The directories of kept plugins.
#[derive(Debug, Clone)]
pub struct Kept {
    code: PathBuf,
    components: PathBuf,
}

impl Kept {
    /// Those below this directory, which need not exist.
    pub fn at(plugins: &Path) -> Self {
        Self { code: plugins.join("cache"), components: plugins.join("components") }
    }

    /// Keeps a component, or says that it is still used. The digest is its own.
    pub fn keep_component(&self, digest: &str, component: &[u8]) {
        let name = component_name(digest);
        let kept = match Directory::open(&self.components).and_then(|directory| directory.touch(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Directory::make(&self.components).and_then(|directory| directory.write(&name, component))
            }
            other => other,
        };
        if let Err(error) = kept {
            tracing::debug!(digest, %error, "the component is not kept");
        }
    }

    /// The component of this digest.
    pub(crate) fn component(&self, digest: &str) -> Option<Vec<u8>> {
        let directory = Directory::open(&self.components).ok()?;
        let component = directory.read(&component_name(digest), MAX_COMPONENT).ok()?;
        (artifact::digest(&component) == digest).then_some(component)
    }

    /// What is kept as the code of the component of this digest: not yet believed to be that.
    pub(crate) fn code(&self, digest: &str) -> Option<Vec<u8>> {
        Directory::open(&self.code).and_then(|directory| directory.read(&code_name(digest), MAX_ARTIFACT)).ok()
    }

    pub(crate) fn keep_code(&self, digest: &str, code: &[u8]) {
        let kept = Directory::make(&self.code).and_then(|directory| directory.write(&code_name(digest), code));
        if let Err(error) = kept {
            tracing::debug!(digest, %error, "the compiled plugin is not kept");
        }
    }

    /// Removes plugins that nobody has named or used for a while, code of other engines, and what writing
    /// has left when it was interrupted. `named` are the digests of components that are still named.
    ///
    /// # Errors
    /// Where a directory cannot be read or a file not be removed.
    pub fn collect(&self, named: &BTreeSet<String>, now: SystemTime) -> io::Result<()> {
        let (components, code) = (Files::of(&self.components)?, Files::of(&self.code)?);
        let is_recent = |used: &SystemTime| now.duration_since(*used).unwrap_or_default() < UNUSED;
        let used = components.names.iter().chain(&code.names);
        let in_use: BTreeSet<&str> = used.filter(|(_, used)| is_recent(used)).map(|(name, _)| hex(name)).collect();
        let named: BTreeSet<&str> = named.iter().map(|digest| hex_of(digest)).collect();
        let is_wanted = |name: &str| named.contains(hex(name)) || in_use.contains(hex(name));
        components.remove(|name, used| is_recent(used) || (is_wanted(name) && name == component_name(hex(name))))?;
        code.remove(|name, used| is_recent(used) || (is_wanted(name) && name == code_name(hex(name))))
    }
}

fn component_name(digest: &str) -> String {
    format!("{}.wasm", hex_of(digest))
}

fn code_name(digest: &str) -> String {
    format!("{}-{}.artifact", hex_of(digest), engine::id())
}

fn hex_of(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

/// The part of a file's name that says whose it is.
fn hex(name: &str) -> &str {
    name.split(['-', '.']).next().unwrap_or(name)
}

/// A directory of kept files, when it can be believed.
struct Directory(OwnedFd);

impl Directory {
    fn open(path: &Path) -> io::Result<Self> {
        let directory = open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        believe(&fstat(&directory)?)?;
        Ok(Self(directory))
    }

    fn make(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                Self::open(path)
            }
            other => other,
        }
    }

    fn read(&self, file: &str, most: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, file, flags, Mode::empty())?;
        believe(&fstat(&file)?)?;
        let mut bytes = Vec::new();
        File::from(file).take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Says that a file is used now.
    fn touch(&self, file: &str) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        Ok(utimensat(&self.0, file, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Puts a file in place whole, so that nobody ever reads a part of it.
    fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = format!("{file}.{}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut opened = File::from(openat(&self.0, &fresh, flags, Mode::RUSR | Mode::WUSR)?);
        let written = opened.write_all(bytes).and_then(|()| opened.sync_all());
        let placed = written.and_then(|()| Ok(renameat(&self.0, &fresh, &self.0, file)?));
        if placed.is_err() {
            let _ = unlinkat(&self.0, &fresh, AtFlags::empty());
        }
        placed.and_then(|()| Ok(rustix::fs::fsync(&self.0)?))
    }
}

/// Whether only we, or root, can have written something.
fn believe(stat: &Stat) -> io::Result<()> {
    let ours = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
    let writable = Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    if ours && !writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// The files of a directory, and when each was last written or used.
struct Files {
    directory: Option<OwnedFd>,
    names: BTreeMap<String, SystemTime>,
}

impl Files {
    fn of(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Self { directory: None, names: BTreeMap::new() }),
            other => other?,
        };
        let mut names = BTreeMap::new();
        for entry in Dir::read_from(&directory)? {
            // Whatever has another kind of name is not ours.
            let Ok(name) = entry?.file_name().to_str().map(str::to_owned) else { continue };
            if name.starts_with('.') {
                continue;
            }
            match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                stat => {
                    let seconds = u64::try_from(stat?.st_mtime).unwrap_or_default();
                    names.insert(name, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
                }
            }
        }
        Ok(Self { directory: Some(directory), names })
    }

    fn remove(&self, is_kept: impl Fn(&str, &SystemTime) -> bool) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        for (name, _) in self.names.iter().filter(|(name, used)| !is_kept(name, used)) {
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }
}
