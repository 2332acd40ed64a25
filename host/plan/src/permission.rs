//! What a plugin may propose: one permission a word, some with an argument.
//!
//! The same grammar serves what a component declares and what a policy file grants:
//!
//! ```text
//! share:NAMESPACE                    hostname          root        link       user
//! bind:volume  bind:empty            bind:host:ro:PATH bind:host:rw:PATH
//! bind:payload bind:root             artifact:KIND     file        channel
//! mount:KIND   device:PATH           capability:NAME   capability:all
//! mask         read-only             no-new-privileges seccomp     unfiltered
//! limit        oom-score             stdio:MODE        claim
//! program:host:PATH                  program:payload   unconfined:PATH
//! argument:SHAPE                     environment:SHAPE
//! ```
//!
//! A path grants what is below it too, component by component; `rw` grants `ro`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactKind;
use crate::capability::{Capability, CapabilitySet, UnknownCapability};
use crate::checked::{FileSystem, Stdio};
use crate::path::{CleanPath, PathError};
use crate::pod::Access;
use crate::shape::{Shape, ShapeError};

/// A namespace of the kernel that a pod can have for itself or share with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// Process ids.
    Pid,
    /// Network interfaces, routes, ports.
    Network,
    /// System V and POSIX message queues and shared memory.
    Ipc,
    /// The host name.
    Uts,
    /// The root of the control groups.
    Cgroup,
    /// User ids and the capabilities that go with them.
    User,
}

impl Namespace {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Pid, Self::Network, Self::Ipc, Self::Uts, Self::Cgroup, Self::User];

    /// The name that the contract uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::User => "user",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|namespace| namespace.name() == name)
    }
}

/// Permission to use one word, or to use it on one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Permission {
    /// Stay in a namespace of the host.
    Share(Namespace),
    /// Set the host name.
    Hostname,
    /// Use the image as root.
    Root,
    /// Bind volumes.
    BindVolume,
    /// Bind empty directories.
    BindEmpty,
    /// Bind a path of the host, or one below it.
    BindHost(Access, CleanPath),
    /// Bind or open what is in the plugin's own image.
    BindPayload,
    /// Bind or open the root of an app, for a program.
    BindRoot,
    /// Bind or open an artifact.
    Artifact(ArtifactKind),
    /// Make files and directories.
    File,
    /// Speak with rkt's init inside.
    Channel,
    /// Execute a program of the host in its jail.
    ProgramHost(CleanPath),
    /// Execute programs of the plugin's own image in their jails.
    ProgramPayload,
    /// Execute this program outside of its jail.
    Unconfined(CleanPath),
    /// Give a program outside of its jail a directory of its own at this path of the host.
    OwnDirectory(CleanPath),
    /// Tell a program outside of its jail this.
    Argument(Shape),
    /// Give a program outside of its jail this variable, `NAME=VALUE`.
    Environment(Shape),
    /// Mount a kernel file system.
    Mount(FileSystem),
    /// Make symbolic links.
    Link,
    /// Offer a device, or those below a directory.
    Device(CleanPath),
    /// Make things unreadable.
    Mask,
    /// Make things read-only.
    ReadOnly,
    /// Set the user.
    User,
    /// Keep capabilities.
    Capabilities(CapabilitySet),
    /// Set no-new-privileges.
    NoNewPrivileges,
    /// Filter system calls.
    Seccomp,
    /// Leave system calls unfiltered.
    Unfiltered,
    /// Set limits.
    Limit,
    /// Adjust the out-of-memory score.
    OomScore,
    /// Choose where output goes.
    Stdio(Stdio),
    /// Claim requests as met.
    Claim,
}

impl Permission {
    /// Whether having this permission is enough for what `needed` says.
    pub fn covers(&self, needed: &Self) -> bool {
        match (self, needed) {
            (Self::BindHost(access, path), Self::BindHost(needed_access, needed_path)) => {
                access >= needed_access && path.holds(needed_path)
            }
            (Self::Device(path), Self::Device(needed_path)) => path.holds(needed_path),
            (Self::Capabilities(set), Self::Capabilities(needed_set)) => set.holds(*needed_set),
            (Self::Argument(shape), Self::Argument(needed)) | (Self::Environment(shape), Self::Environment(needed)) => {
                shape.takes(needed)
            }
            (ours, needed) => ours == needed,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(namespace) => write!(f, "share:{}", namespace.name()),
            Self::Hostname => f.write_str("hostname"),
            Self::Root => f.write_str("root"),
            Self::BindVolume => f.write_str("bind:volume"),
            Self::BindEmpty => f.write_str("bind:empty"),
            Self::BindHost(Access::ReadOnly, path) => write!(f, "bind:host:ro:{path}"),
            Self::BindHost(Access::ReadWrite, path) => write!(f, "bind:host:rw:{path}"),
            Self::BindPayload => f.write_str("bind:payload"),
            Self::BindRoot => f.write_str("bind:root"),
            Self::Artifact(kind) => write!(f, "artifact:{}", kind.name()),
            Self::File => f.write_str("file"),
            Self::Channel => f.write_str("channel"),
            Self::ProgramHost(path) => write!(f, "program:host:{path}"),
            Self::ProgramPayload => f.write_str("program:payload"),
            Self::Unconfined(path) => write!(f, "unconfined:{path}"),
            Self::OwnDirectory(path) => write!(f, "own-directory:{path}"),
            Self::Argument(shape) => write!(f, "argument:{shape}"),
            Self::Environment(shape) => write!(f, "environment:{shape}"),
            Self::Mount(kind) => write!(f, "mount:{}", kind.name()),
            Self::Link => f.write_str("link"),
            Self::Device(path) => write!(f, "device:{path}"),
            Self::Mask => f.write_str("mask"),
            Self::ReadOnly => f.write_str("read-only"),
            Self::User => f.write_str("user"),
            Self::Capabilities(CapabilitySet::ALL) => f.write_str("capability:all"),
            Self::Capabilities(set) => {
                let names: Vec<_> = set.iter().map(Capability::name).collect();
                write!(f, "capability:{}", names.join("+"))
            }
            Self::NoNewPrivileges => f.write_str("no-new-privileges"),
            Self::Seccomp => f.write_str("seccomp"),
            Self::Unfiltered => f.write_str("unfiltered"),
            Self::Limit => f.write_str("limit"),
            Self::OomScore => f.write_str("oom-score"),
            Self::Stdio(mode) => write!(f, "stdio:{}", mode.name()),
            Self::Claim => f.write_str("claim"),
        }
    }
}

impl FromStr for Permission {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        let (word, argument) = match text.split_once(':') {
            Some((word, argument)) => (word, Some(argument)),
            None => (text, None),
        };
        let unknown = || PermissionError::Unknown { text: text.to_owned() };
        let path = |path: &str| path.parse().map_err(|cause| PermissionError::Path { text: text.to_owned(), cause });
        let shape =
            |shape: &str| shape.parse().map_err(|cause| PermissionError::Shape { text: text.to_owned(), cause });
        Ok(match (word, argument) {
            ("share", Some(name)) => Self::Share(Namespace::parse(name).ok_or_else(unknown)?),
            ("hostname", None) => Self::Hostname,
            ("root", None) => Self::Root,
            ("bind", Some("volume")) => Self::BindVolume,
            ("bind", Some("empty")) => Self::BindEmpty,
            ("bind", Some("payload")) => Self::BindPayload,
            ("bind", Some("root")) => Self::BindRoot,
            ("bind", Some(argument)) => match argument.split_at_checked("host:ro:".len()) {
                Some(("host:ro:", below)) => Self::BindHost(Access::ReadOnly, path(below)?),
                Some(("host:rw:", below)) => Self::BindHost(Access::ReadWrite, path(below)?),
                _ => return Err(unknown()),
            },
            ("artifact", Some(kind)) => Self::Artifact(ArtifactKind::parse(kind).ok_or_else(unknown)?),
            ("file", None) => Self::File,
            ("channel", None) => Self::Channel,
            ("program", Some("payload")) => Self::ProgramPayload,
            ("program", Some(argument)) => {
                Self::ProgramHost(path(argument.strip_prefix("host:").ok_or_else(unknown)?)?)
            }
            ("unconfined", Some(program)) => Self::Unconfined(path(program)?),
            ("own-directory", Some(at)) => Self::OwnDirectory(path(at)?),
            ("argument", Some(argument)) => Self::Argument(shape(argument)?),
            ("environment", Some(variable)) => Self::Environment(shape(variable)?),
            ("mount", Some(kind)) => Self::Mount(FileSystem::parse(kind).ok_or_else(unknown)?),
            ("link", None) => Self::Link,
            ("device", Some(below)) => Self::Device(path(below)?),
            ("mask", None) => Self::Mask,
            ("read-only", None) => Self::ReadOnly,
            ("user", None) => Self::User,
            ("capability", Some("all")) => Self::Capabilities(CapabilitySet::ALL),
            ("capability", Some(names)) => Self::Capabilities(
                CapabilitySet::from_names(names.split('+'))
                    .map_err(|cause| PermissionError::Capability { text: text.to_owned(), cause })?,
            ),
            ("no-new-privileges", None) => Self::NoNewPrivileges,
            ("seccomp", None) => Self::Seccomp,
            ("unfiltered", None) => Self::Unfiltered,
            ("limit", None) => Self::Limit,
            ("oom-score", None) => Self::OomScore,
            ("stdio", Some(mode)) => Self::Stdio(Stdio::parse(mode).ok_or_else(unknown)?),
            ("claim", None) => Self::Claim,
            _ => return Err(unknown()),
        })
    }
}

impl TryFrom<String> for Permission {
    type Error = PermissionError;

    fn try_from(text: String) -> Result<Self, PermissionError> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.to_string()
    }
}

/// Why text is not a [`Permission`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// No word has this permission.
    #[error("`{text}` is no permission that this rkt knows")]
    Unknown {
        /// The text.
        text: String,
    },
    /// Its path is malformed.
    #[error("permission `{text}`")]
    Path {
        /// The text.
        text: String,
        /// What is wrong with the path.
        #[source]
        cause: PathError,
    },
    /// Its shape is malformed.
    #[error("permission `{text}`")]
    Shape {
        /// The text.
        text: String,
        /// What is wrong with the shape.
        #[source]
        cause: ShapeError,
    },
    /// Its capability does not exist.
    #[error("permission `{text}`")]
    Capability {
        /// The text.
        text: String,
        /// The name that is none.
        #[source]
        cause: UnknownCapability,
    },
}

/// A list of permissions, as declared or as granted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(Vec<Permission>);

impl Permissions {
    /// Whether what `needed` says is in the list. Capabilities may come from several entries.
    pub fn cover(&self, needed: &Permission) -> bool {
        match needed {
            Permission::Capabilities(set) => self.capabilities().holds(*set),
            needed => self.0.iter().any(|ours| ours.covers(needed)),
        }
    }

    /// All capabilities in the list.
    pub fn capabilities(&self) -> CapabilitySet {
        self.0.iter().fold(CapabilitySet::EMPTY, |all, permission| match permission {
            Permission::Capabilities(set) => all.union(*set),
            _ => all,
        })
    }

    /// The permissions, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(text: &str) -> Permission {
        text.parse().unwrap()
    }

    #[test]
    fn each_permission_reads_back_as_written() {
        for text in [
            "share:pid",
            "share:network",
            "share:ipc",
            "share:uts",
            "share:cgroup",
            "share:user",
            "hostname",
            "root",
            "bind:volume",
            "bind:empty",
            "bind:host:ro:/",
            "bind:host:rw:/dev",
            "bind:payload",
            "bind:root",
            "artifact:init",
            "artifact:root-image",
            "file",
            "channel",
            "program:payload",
            "program:host:/usr/bin/bwrap",
            "unconfined:/usr/bin/systemd-nspawn",
            "own-directory:/run/systemd/nspawn",
            "argument:--register={bool}",
            "environment:LISTEN_FDS={number}",
            "mount:proc",
            "mount:tmpfs",
            "link",
            "device:/dev/null",
            "mask",
            "read-only",
            "user",
            "capability:all",
            "capability:CAP_CHOWN",
            "capability:CAP_CHOWN+CAP_KILL",
            "no-new-privileges",
            "seccomp",
            "unfiltered",
            "limit",
            "oom-score",
            "stdio:log",
            "stdio:raw",
            "claim",
        ] {
            assert_eq!(permission(text).to_string(), text);
        }
        for text in [
            "",
            "share",
            "share:time",
            "root:x",
            "bind",
            "bind:host:/dev",
            "bind:host:ro:dev",
            "mount:ext4",
            "capability:",
            "artifact:disk",
            "program:/bin/sh",
            "argument:{all}",
            "unconfined",
            "stdio:",
            "*",
        ] {
            assert!(text.parse::<Permission>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_permission_covers_itself_and_less() {
        for (has, needs, enough) in [
            ("share:pid", "share:pid", true),
            ("share:pid", "share:ipc", false),
            ("bind:host:rw:/dev", "bind:host:ro:/dev/null", true),
            ("bind:host:ro:/dev", "bind:host:rw:/dev", false),
            ("bind:host:ro:/scratch", "bind:host:ro:/scratch2", false),
            ("device:/dev", "device:/dev/kvm", true),
            ("device:/dev/null", "device:/dev/kvm", false),
            ("mount:proc", "mount:sysfs", false),
            ("seccomp", "unfiltered", false),
            ("program:host:/usr/bin/a", "program:host:/usr/bin/a", true),
            ("program:host:/usr/bin", "program:host:/usr/bin/a", false),
            ("program:host:/usr/bin/a", "unconfined:/usr/bin/a", false),
            ("argument:--x={bool}", "argument:--x=yes", true),
            ("argument:--x={bool}", "argument:--x=/", false),
            ("argument:--x={bool}", "environment:--x=yes", false),
        ] {
            assert_eq!(permission(has).covers(&permission(needs)), enough, "{has} for {needs}");
        }
        let list: Permissions = ["capability:CAP_CHOWN", "capability:CAP_KILL"].map(permission).into_iter().collect();
        assert!(list.cover(&permission("capability:CAP_CHOWN+CAP_KILL")));
        assert!(!list.cover(&permission("capability:CAP_CHOWN+CAP_BPF")));
    }
}
