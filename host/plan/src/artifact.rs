//! What the host makes or finds for a plan that names it.

use serde::{Deserialize, Serialize};

use crate::objection::Problem;
use crate::pod::Pod;

/// Kinds of artifacts, as permissions name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// rkt's own init, a static program.
    Init,
    /// An app's image as one file.
    RootImage,
    /// A kernel.
    Kernel,
    /// A first root file system for it.
    Initramfs,
}

impl ArtifactKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Init, Self::RootImage, Self::Kernel, Self::Initramfs];

    /// The name that the contract uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::RootImage => "root-image",
            Self::Kernel => "kernel",
            Self::Initramfs => "initramfs",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Artifact {
    /// rkt's own init: the static program, which knows what it is for by where it runs.
    Init,
    /// The image of this app, with all its layers, as an EROFS file system.
    RootImage(String),
    /// The kernel that the operator names, else the host's own.
    Kernel,
    /// [`Artifact::Init`] as `/init`, with these modules of that kernel, those that they need, and the
    /// order in which they are loaded.
    Initramfs(Vec<String>),
}

impl Artifact {
    /// What is meant by the contract's words.
    pub(crate) fn parse(pod: &Pod, kind: &str, of: &str) -> Result<Self, Problem> {
        let unknown = || Problem::Artifact { kind: kind.to_owned(), of: of.to_owned() };
        match ArtifactKind::parse(kind).ok_or_else(unknown)? {
            ArtifactKind::Init if of.is_empty() => Ok(Self::Init),
            ArtifactKind::Kernel if of.is_empty() => Ok(Self::Kernel),
            ArtifactKind::RootImage if pod.app(of).is_some() => Ok(Self::RootImage(of.to_owned())),
            ArtifactKind::Initramfs if of.split(' ').all(is_module) => {
                Ok(Self::Initramfs(of.split(' ').map(str::to_owned).collect()))
            }
            _ => Err(unknown()),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> ArtifactKind {
        match self {
            Self::Init => ArtifactKind::Init,
            Self::RootImage(_) => ArtifactKind::RootImage,
            Self::Kernel => ArtifactKind::Kernel,
            Self::Initramfs(_) => ArtifactKind::Initramfs,
        }
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Init => "rkt's init".to_owned(),
            Self::RootImage(app) => format!("the image of app {app} as a file"),
            Self::Kernel => "the kernel".to_owned(),
            Self::Initramfs(modules) => format!("an initramfs with {}", modules.join(", ")),
        }
    }
}

/// A kernel module's name (modules.dep(5) has `-` and `_` as one).
fn is_module(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}
