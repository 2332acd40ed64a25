//! Installing a plugin from a component: compiled once by the compiler program, then kept.
//!
//! What is kept is native code. It lies in a directory of which every entry is believed only where
//! nobody but its owner, or root, can have written it, it is the code of this very component, made for
//! this very engine, and still has the digest that the compiler gave it. Whatever does not fit is
//! compiled again. Nobody ever hands in compiled code.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rkt_sys::memfd;
use rkt_sys::pidfd::Exit;
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, open, openat, renameat, unlinkat};
use rustix::process::geteuid;

use crate::artifact::{Artifact, digest};
use crate::engine;
use crate::error::End;
use crate::plugin::{MAX_COMPONENT, Plugin, PluginError};
use crate::process::{Process, Until, sockets, unexpected};
use crate::refusal::Refusal;

/// Time for compiling. The compiler's processor time is limited too; this ends one that sleeps.
const TIME: Duration = Duration::from_mins(3);

/// The largest artifact that is read: compiled code is up to ten times its component.
const MAX_ARTIFACT: u64 = 16 * MAX_COMPONENT;

/// Makes a plugin of a component in a file, which is read once.
///
/// `cache` is where compiled plugins are kept; it is made where it is missing, and where it cannot be
/// written the plugin is not kept. `compiler` is the compiler program.
///
/// # Errors
/// The component cannot be read or is refused, or the compiler fails.
pub fn install(name: &str, component: impl Read, cache: &Path, compiler: &Path) -> Result<Plugin, InstallError> {
    let component = read(name, component)?;
    let digest = digest(&component);
    let file = file_name(&digest);
    if let Some(kept) = Cache::open(cache).ok().and_then(|cache| cache.read(&file).ok())
        && let Some(artifact) = of_component(&kept, &digest)
    {
        return Plugin::installed(name, artifact).map_err(InstallError::Plugin);
    }
    let made = compile(name, &component, compiler)?;
    let artifact = of_component(&made, &digest).ok_or_else(|| InstallError::Foreign { plugin: name.to_owned() })?;
    if let Err(error) = keep(cache, &file, &made) {
        tracing::debug!(plugin = name, %error, "the compiled plugin is not kept");
    }
    Plugin::installed(name, artifact).map_err(InstallError::Plugin)
}

fn read(name: &str, component: impl Read) -> Result<Vec<u8>, InstallError> {
    let plugin = || name.to_owned();
    let mut bytes = Vec::new();
    let read = component.take(MAX_COMPONENT + 1).read_to_end(&mut bytes);
    let length = read.map_err(|cause| InstallError::Read { plugin: plugin(), cause })?;
    if length as u64 > MAX_COMPONENT {
        let refusal = Refusal::TooLarge { limit: MAX_COMPONENT };
        return Err(InstallError::Refused { plugin: plugin(), refusal });
    }
    Ok(bytes)
}

/// The artifact in these bytes, where it is whole and came of this component.
fn of_component<'a>(bytes: &'a [u8], digest: &str) -> Option<Artifact<'a>> {
    Artifact::read_verified(bytes).ok().filter(|artifact| artifact.header.component == digest)
}

fn file_name(digest: &str) -> String {
    let hex = digest.trim_start_matches("sha256:");
    format!("{hex}-{}.artifact", engine::id())
}

/// Has a component compiled, in the compiler's cage.
fn compile(name: &str, component: &[u8], compiler: &Path) -> Result<Vec<u8>, InstallError> {
    let start = |cause| InstallError::Start { compiler: compiler.to_owned(), cause };
    let ended = |end| InstallError::Ended { plugin: name.to_owned(), end };
    let deadline = Instant::now() + TIME;
    let input = memfd::sealed("rkt-component", component).map_err(|error| start(error.into()))?;
    let (socket, theirs) = sockets().map_err(start)?;
    let mut process = Process::start(compiler, input, theirs.into()).map_err(start)?;
    let mut output = Vec::new();
    let read = Until { socket: &socket, deadline }.take(MAX_ARTIFACT).read_to_end(&mut output);
    if read.is_err() {
        return Err(ended(End::Hang { limit: TIME }));
    }
    match process.end(deadline) {
        Ok(Exit::Code(0)) => Ok(output),
        end => match serde_json::from_slice(&output) {
            Ok(refusal) => Err(InstallError::Refused { plugin: name.to_owned(), refusal }),
            Err(_) => Err(ended(unexpected(end, TIME))),
        },
    }
}

/// The directory of kept artifacts, when it can be believed.
struct Cache(std::os::fd::OwnedFd);

impl Cache {
    fn open(path: &Path) -> io::Result<Self> {
        let directory = open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        believe(&fstat(&directory)?)?;
        Ok(Self(directory))
    }

    fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, file, flags, Mode::empty())?;
        believe(&fstat(&file)?)?;
        let mut bytes = Vec::new();
        File::from(file).take(MAX_ARTIFACT).read_to_end(&mut bytes)?;
        Ok(bytes)
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

fn keep(cache: &Path, file: &str, artifact: &[u8]) -> io::Result<()> {
    if !fs::exists(cache)? {
        DirBuilder::new().recursive(true).mode(0o700).create(cache)?;
    }
    Cache::open(cache)?.write(file, artifact)
}

/// Why a component did not become a plugin.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The file cannot be read.
    #[error("cannot read plugin `{plugin}`")]
    Read {
        /// The plugin's name.
        plugin: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The component is not one that can be a plugin.
    #[error("plugin `{plugin}` is refused")]
    Refused {
        /// The plugin's name.
        plugin: String,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The compiler program cannot be started.
    #[error("cannot start the plugin compiler {}", .compiler.display())]
    Start {
        /// The program.
        compiler: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The compiler did not end as it should.
    #[error("the compiler of plugin `{plugin}` {end}")]
    Ended {
        /// The plugin's name.
        plugin: String,
        /// How it ended.
        end: End,
    },
    /// What the compiler made is not of this component, or not whole.
    #[error("what the compiler of plugin `{plugin}` made is not that plugin")]
    Foreign {
        /// The plugin's name.
        plugin: String,
    },
    /// What the compiler made is no plugin for this rkt.
    #[error(transparent)]
    Plugin(PluginError),
}
