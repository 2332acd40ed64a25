//! The pod as plugins see it: what was asked for, resolved, and by whom it was asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checked::Reach;
use crate::path::CleanPath;

/// Who asked for something. What an image asks, policy may refuse; what the user asks is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A flag of the command line.
    CommandLine,
    /// A pod manifest that the user wrote.
    PodManifest,
    /// The image's own manifest.
    Image,
}

/// Something explicitly asked for. A default is not a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked<T> {
    /// What.
    pub value: T,
    /// By whom.
    pub by: Origin,
}

/// A pod that is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Lower case with dashes.
    pub uuid: String,
    /// The host name, where one was asked for.
    pub hostname: Option<Asked<String>>,
    /// In the order in which they were named; names are unique.
    pub apps: Vec<App>,
    /// Limits of all apps together, in the units of [`LimitKind`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<LimitKind, Asked<u64>>,
    /// `--stage1-option=NAME=VALUE`.
    pub settings: BTreeMap<String, String>,
}

impl Pod {
    /// The host name that the pod is to carry.
    pub fn hostname(&self) -> String {
        self.hostname.as_ref().map_or_else(|| format!("rkt-{}", self.uuid), |asked| asked.value.clone())
    }

    /// One app, by name.
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.name == name)
    }
}

/// An app of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// An AC Name, unique in the pod.
    pub name: String,
    /// The user that it is to run as; an image always names one.
    pub user: Asked<Credentials>,
    /// Who asked for a read-only root, if anyone did.
    pub read_only_root: Option<Origin>,
    /// The volumes wanted, with targets that differ from one another.
    pub volumes: Vec<Asked<VolumeMount>>,
    /// Limits, in the units of [`LimitKind`].
    pub limits: BTreeMap<LimitKind, Asked<u64>>,
    /// Capabilities kept or given up.
    pub capabilities: Option<Asked<CapabilityChange>>,
    /// A filter of system calls.
    pub seccomp: Option<Asked<SeccompFilter>>,
    /// Who asked for no new privileges, if anyone did.
    pub no_new_privileges: Option<Origin>,
    /// -1000 to 1000.
    pub oom_score: Option<Asked<i16>>,
}

impl App {
    /// The volumes that are wanted without what is mounted below their sources.
    pub fn single_volumes(&self) -> impl Iterator<Item = &VolumeMount> {
        self.volumes.iter().map(|asked| &asked.value).filter(|wanted| wanted.reach == Reach::Single)
    }
}

/// Ids of a process, as the kernel knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// How much a mount may be used. Reading is the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// A volume wanted at a path of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's name.
    pub volume: String,
    /// Where in the app.
    pub target: CleanPath,
    /// How.
    pub access: Access,
    /// Whether what is mounted below the volume's source comes along.
    #[serde(default, skip_serializing_if = "Reach::is_recursive")]
    pub reach: Reach,
}

/// What can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// Bytes.
    Memory,
    /// Thousandths of one processor's time.
    Cpu,
    /// A weight, 2 to 262144; 1024 is the usual one.
    CpuShares,
    /// Processes and threads.
    Pids,
}

impl LimitKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Cpu, Self::CpuShares, Self::Pids];

    /// The name that the contract uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::CpuShares => "cpu-shares",
            Self::Pids => "pids",
        }
    }

    /// The values that make sense: smaller ones would stop any program from starting, others the
    /// kernel refuses.
    pub(crate) fn range(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::Memory => 4096..=i64::MAX as u64,
            Self::Cpu => 1..=1_000_000,
            Self::CpuShares => 2..=262_144,
            Self::Pids => 1..=4_194_304,
        }
    }
}

/// What a pod asks of an app's capabilities (appc: os/linux/capabilities-*-set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapabilityChange {
    /// Exactly these.
    Retain(crate::CapabilitySet),
    /// The flavor's default without these.
    Remove(crate::CapabilitySet),
}

/// Whether the calls that a filter names are allowed or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompMode {
    /// Only these are allowed.
    Retain,
    /// These are refused.
    Remove,
}

/// A filter of system calls, as asked for or planned (appc: os/linux/seccomp-*-set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompFilter {
    /// What naming a call means.
    pub mode: SeccompMode,
    /// Names of calls, and of sets with an `@` before them.
    pub calls: Vec<String>,
    /// What a refused call answers, by name; none: see [`crate::SeccompPolicy`].
    pub errno: Option<String>,
}
