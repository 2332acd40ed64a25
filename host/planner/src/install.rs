//! Installing a plugin from a component: compiled once by the compiler program, then kept, with the
//! component.
//!
//! What is kept is native code. It is believed only where nobody but its owner, or root, can have
//! written it, it is the code of this very component, made for this very engine, and still has the digest
//! that the compiler gave it. Whatever does not fit is compiled again. Nobody ever hands in compiled code.

use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rkt_sys::memfd;
use rkt_sys::pidfd::Exit;

use crate::artifact::{Artifact, digest};
use crate::error::End;
use crate::kept::Kept;
use crate::plugin::{MAX_COMPONENT, Plugin, PluginError};
use crate::process::{Process, Until, sockets, unexpected};
use crate::refusal::Refusal;

/// Time for compiling. The compiler's processor time is limited too; this ends one that sleeps.
const TIME: Duration = Duration::from_mins(3);

/// The largest artifact that is read: compiled code is up to ten times its component.
pub(crate) const MAX_ARTIFACT: u64 = 16 * MAX_COMPONENT;

/// Makes a plugin of a component in a file, which is read once.
///
/// `kept` is where it is kept; where that cannot be written, it is not. `compiler` is the compiler program.
///
/// # Errors
/// The component cannot be read or is refused, or the compiler fails.
pub fn install(name: &str, component: impl Read, kept: &Kept, compiler: &Path) -> Result<Plugin, InstallError> {
    let component = read(name, component)?;
    let digest = digest(&component);
    if let Some(code) = kept.code(&digest)
        && let Some(artifact) = of_component(&code, &digest)
    {
        kept.keep_component(&digest, &component);
        return Plugin::installed(name, artifact).map_err(InstallError::Plugin);
    }
    let made = compile(name, &component, compiler)?;
    let artifact = of_component(&made, &digest).ok_or_else(|| InstallError::Foreign { plugin: name.to_owned() })?;
    kept.keep_component(&digest, &component);
    kept.keep_code(&digest, &made);
    Plugin::installed(name, artifact).map_err(InstallError::Plugin)
}

/// Makes a plugin of a component that was kept, by its digest.
///
/// # Errors
/// It is not kept, or as for [`install`].
pub fn reinstall(name: &str, digest: &str, kept: &Kept, compiler: &Path) -> Result<Plugin, InstallError> {
    let component = kept
        .component(digest)
        .ok_or_else(|| InstallError::NotKept { plugin: name.to_owned(), digest: digest.to_owned() })?;
    install(name, component.as_slice(), kept, compiler)
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

/// Has a component compiled, in the compiler's cage.
fn compile(name: &str, component: &[u8], compiler: &Path) -> Result<Vec<u8>, InstallError> {
    let start = |cause| InstallError::Start { compiler: compiler.to_owned(), cause };
    let ended = |end| InstallError::Ended { plugin: name.to_owned(), end };
    let deadline = Instant::now() + TIME;
    let input = memfd::sealed("rkt-component", component).map_err(|error| start(error.into()))?;
    let (socket, theirs) = sockets().map_err(start)?;
    let mut process = Process::start(compiler, input.as_fd(), theirs.as_fd()).map_err(start)?;
    // Else its end would not be heard.
    drop(theirs);
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
    /// No component of this digest is kept.
    #[error("the component of plugin `{plugin}` ({digest}) is not kept here")]
    NotKept {
        /// The plugin's name.
        plugin: String,
        /// The digest.
        digest: String,
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
