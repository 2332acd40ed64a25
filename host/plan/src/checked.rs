//! A plan that has passed the check: typed, complete, and in the order in which it is enacted.
//!
//! Only [`crate::check`] makes one: it can be written out for people and programs, and never read
//! back in. Whoever enacts it checks the plugin's words again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::answer::Answered;
use crate::artifact::Artifact;
use crate::capability::CapabilitySet;
use crate::path::CleanPath;
use crate::permission::Namespace;
use crate::pod::{Access, Credentials, LimitKind};
use crate::program::{Channel, Confinement, Handle, Helper, Inside, MainProgram, Template};
use crate::seccomp::SeccompPolicy;

/// What is done for a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckedPlan {
    /// Namespaces of the host that the pod stays in. Each other is its own, as the mount namespace
    /// always is.
    pub shared: BTreeSet<Namespace>,
    /// The host name to set; none where the host's is shared or the kernel's copy of it kept.
    pub hostname: Option<String>,
    /// What starts the inside of the pod; none: rkt itself does, in namespaces that it makes.
    pub program: Option<MainProgram>,
    /// Programs beside the pod, in the order in which they are started.
    pub helpers: Vec<Helper>,
    /// By which a command is run inside an opaque pod.
    pub enter: Option<Template>,
    /// By which an opaque pod is asked to end.
    pub stop: Option<Template>,
    /// In the order of the pod; none where what is inside is opaque.
    pub apps: Vec<Jail>,
    /// What became of each request.
    pub answers: Vec<Answered>,
    /// The plugin's remarks.
    pub notes: Vec<String>,
}

impl CheckedPlan {
    /// Whether the host knows nothing of what is inside the pod.
    pub fn is_opaque(&self) -> bool {
        self.program.as_ref().is_some_and(|main| main.inside == Inside::Opaque)
    }

    /// Whether rkt starts apps by an init that is a process of the host's kernel.
    pub fn has_init_in_reach(&self) -> bool {
        self.program
            .as_ref()
            .is_none_or(|main| matches!(&main.inside, Inside::Init { channel: Channel::Socket(_), .. }))
    }

    /// Whether the pod has control groups: for limits of an app or a program, and for a program that no jail keeps
    /// together.
    pub fn has_groups(&self) -> bool {
        let is_limited = |jail: &Jail| !jail.limits.is_empty();
        let programs =
            self.program.iter().map(|main| &main.program).chain(self.helpers.iter().map(|helper| &helper.program));
        self.apps.iter().any(is_limited)
            || programs.into_iter().any(|it| it.confinement == Confinement::Unconfined || is_limited(&it.jail))
    }

    /// What has to be made or found for the plan's programs, each once.
    pub fn artifacts(&self) -> BTreeSet<Artifact> {
        let programs = self.program.iter().map(|main| &main.program).chain(self.helpers.iter().map(|it| &it.program));
        let sources = programs.flat_map(|program| {
            let opened = program.descriptors().into_iter().filter_map(|handle| match handle {
                Handle::Open { source, .. } => Some(source),
                Handle::Channel => None,
            });
            let bound = program.jail.mounts.iter().filter_map(|mount| match mount {
                Mount::Bind { source, .. } => Some(source),
                Mount::FileSystem { .. } => None,
            });
            opened.chain(bound)
        });
        let artifacts = sources.filter_map(|source| match source {
            Source::Artifact(artifact) => Some(artifact.clone()),
            _ => None,
        });
        artifacts.collect()
    }

    /// Namespaces that are made for the pod.
    pub fn own(&self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL.into_iter().filter(|namespace| !self.shared.contains(namespace))
    }
}

/// What an app or a program sees of files, and what its process may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Jail {
    /// The app's name in the pod, or what the program is called.
    pub name: String,
    /// Its root file system.
    pub root: Root,
    /// Parents before what is below them, each target once.
    pub mounts: Vec<Mount>,
    /// Device nodes, after the mounts.
    pub devices: Vec<CleanPath>,
    /// Symbolic links, after the mounts.
    pub links: Vec<Link>,
    /// Directories of a bare root, before the mounts.
    pub directories: Vec<Directory>,
    /// Files of a bare root, before the mounts.
    pub files: Vec<NewFile>,
    /// What becomes read-only, after all else is in place.
    pub read_only: Vec<CleanPath>,
    /// What becomes unreadable, last.
    pub masked: Vec<CleanPath>,
    /// The process's user.
    pub user: User,
    /// The process's bounding set; its permitted and effective sets too where the user is root.
    pub capabilities: CapabilitySet,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privileges: bool,
    /// None: unfiltered.
    pub seccomp: Option<SeccompPolicy>,
    /// In the units of [`LimitKind`].
    pub limits: BTreeMap<LimitKind, u64>,
    /// /proc/PID/oom_score_adj; none: as inherited.
    pub oom_score: Option<i16>,
    /// Where output goes.
    pub stdio: Stdio,
}

/// What a root file system is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// The app's image, used so.
    Image(Access),
    /// Nothing: what is planned is all that there is. A program's.
    Bare,
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum User {
    /// These ids.
    Ids(Credentials),
    /// A user and group that no other process has and no file belongs to but those made for it.
    Own,
}

/// A directory that is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// Where.
    pub path: CleanPath,
    /// Its permissions, of which there are nine.
    pub mode: u16,
}

/// A file that is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewFile {
    /// Where.
    pub path: CleanPath,
    /// Its permissions, of which there are nine.
    pub mode: u16,
    /// What is in it.
    pub content: String,
}

/// Something mounted in an app's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mount {
    /// Something that is elsewhere too.
    Bind {
        /// What.
        source: Source,
        /// Where.
        target: CleanPath,
        /// How.
        access: Access,
        /// With or without what is mounted below the source.
        reach: Reach,
    },
    /// A new file system of the kernel's.
    FileSystem {
        /// Its type.
        kind: FileSystem,
        /// Where.
        target: CleanPath,
        /// How.
        options: MountOptions,
    },
}

impl Mount {
    /// Where it is in the app.
    pub fn target(&self) -> &CleanPath {
        match self {
            Self::Bind { target, .. } | Self::FileSystem { target, .. } => target,
        }
    }
}

/// What a bind shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A volume of the pod: without set-user-id programs, and without device nodes unless it is itself one.
    Volume(String),
    /// An empty directory of the pod's own, likewise.
    Empty(String),
    /// A path of the host, as it is there.
    Host(CleanPath),
    /// A path in the image that the plugin came in; never written.
    Payload(CleanPath),
    /// An app's root file system, without set-user-id programs and device nodes.
    RootOf(String),
    /// What the host makes or finds; never written.
    Artifact(Artifact),
}

/// Whether a bind takes what is mounted below its source along. Alone is the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// The mount alone.
    Single,
    /// All below it. A volume is wanted so where nobody says otherwise.
    #[default]
    Recursive,
}

impl Reach {
    /// For `skip_serializing_if`: what is usual is not written.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(crate) fn is_recursive(&self) -> bool {
        *self == Self::Recursive
    }
}

/// A file system that the kernel makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// proc(5), of the pod's pid namespace.
    Proc,
    /// sysfs(5), of the pod's network namespace.
    Sysfs,
    /// tmpfs(5).
    Tmpfs,
    /// A pseudo terminal file system of its own (pts(4)).
    Devpts,
    /// POSIX message queues of the pod's ipc namespace (mq_overview(7)).
    Mqueue,
    /// The unified hierarchy from the pod's cgroup namespace (cgroups(7)).
    Cgroup2,
}

impl FileSystem {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Proc, Self::Sysfs, Self::Tmpfs, Self::Devpts, Self::Mqueue, Self::Cgroup2];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proc => "proc",
            Self::Sysfs => "sysfs",
            Self::Tmpfs => "tmpfs",
            Self::Devpts => "devpts",
            Self::Mqueue => "mqueue",
            Self::Cgroup2 => "cgroup2",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its files are the kernel's own, so that nothing can be put below it but the kernel's.
    pub(crate) fn is_the_kernels(self) -> bool {
        match self {
            Self::Proc | Self::Sysfs | Self::Devpts | Self::Mqueue | Self::Cgroup2 => true,
            Self::Tmpfs => false,
        }
    }

    /// The options with a value that it takes.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Proc => &["hidepid"],
            Self::Tmpfs => &["mode", "size"],
            Self::Devpts => &["mode", "ptmxmode", "gid"],
            Self::Sysfs | Self::Mqueue | Self::Cgroup2 => &[],
        }
    }
}

/// How a file system is mounted. Always without set-user-id programs, and without device nodes that
/// work but for the terminals of `devpts`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct MountOptions {
    /// For reading only.
    pub read_only: bool,
    /// Without executing programs in it.
    pub no_exec: bool,
    /// Names and values as fsconfig(2) takes them.
    pub parameters: Vec<(String, String)>,
}

impl MountOptions {
    /// The value of a parameter: the last one counts.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads options as the contract documents them; the one that is wrong on error.
    pub(crate) fn parse(kind: FileSystem, options: &[String]) -> Result<Self, String> {
        let mut parsed = Self::default();
        for option in options {
            match (option.as_str(), option.split_once('=')) {
                ("ro", _) => parsed.read_only = true,
                ("noexec", _) => parsed.no_exec = true,
                (_, Some((name, value))) if kind.parameters().contains(&name) && is_plain(value) => {
                    parsed.parameters.push((name.to_owned(), value.to_owned()));
                }
                _ => return Err(option.clone()),
            }
        }
        Ok(parsed)
    }
}

/// Digits, with a unit after them at most: enough for every parameter that there is.
fn is_plain(value: &str) -> bool {
    let digits = value.trim_end_matches(['k', 'm', 'g', '%']);
    !digits.is_empty()
        && value.len() - digits.len() <= 1
        && digits.len() <= 15
        && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Where it is in the app.
    pub path: CleanPath,
    /// What it says.
    pub to: String,
}

/// Where an app's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdio {
    /// Lines with the time, the app and its process id before them.
    #[default]
    Log,
    /// Bytes, as they come.
    Raw,
}

impl Stdio {
    /// The name that the contract uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Raw => "raw",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Log, Self::Raw].into_iter().find(|mode| mode.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documented_options_pass() {
        let parse = |kind, option: &str| MountOptions::parse(kind, &[option.to_owned()]);
        assert!(parse(FileSystem::Tmpfs, "size=64m").is_ok());
        assert!(parse(FileSystem::Tmpfs, "size=50%").is_ok());
        assert!(parse(FileSystem::Proc, "hidepid=2").is_ok());
        for (kind, bad) in [
            (FileSystem::Tmpfs, "size="),
            (FileSystem::Tmpfs, "size=1,uid=0"),
            (FileSystem::Tmpfs, "size=64mk"),
            (FileSystem::Tmpfs, "uid=0"),
            (FileSystem::Proc, "mode=0"),
            (FileSystem::Sysfs, "suid"),
            (FileSystem::Sysfs, ""),
        ] {
            assert_eq!(parse(kind, bad), Err(bad.to_owned()));
        }
    }
}
