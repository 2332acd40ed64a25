//! A plan as a plugin speaks it: words, not yet believed.
//!
//! One case for each method of `plans` in `wit/`. Everything is text and numbers just as they came;
//! [`crate::check`] gives them meaning.

use serde::{Deserialize, Serialize};

use crate::pod::{Access, Credentials, SeccompFilter};

/// What a plugin proposes, in the order in which it spoke.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The words.
    pub words: Vec<Word>,
}

/// A word about the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Stays in a namespace of the host.
    Share {
        /// As the contract names it.
        namespace: String,
    },
    /// The host name.
    Hostname {
        /// The name.
        name: String,
    },
    /// A word about one app.
    App {
        /// The app's name.
        app: String,
        /// The word.
        word: JailWord,
    },
    /// A request is met out of sight.
    Claim {
        /// The request's identifier.
        request: String,
        /// How it is met.
        how: String,
    },
    /// A request is not met.
    Waive {
        /// The request's identifier.
        request: String,
        /// Why not.
        reason: String,
    },
    /// A remark for the reader.
    Note {
        /// The remark.
        text: String,
    },
}

/// A word about one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JailWord {
    /// The image as root.
    Root {
        /// How.
        access: Access,
    },
    /// A place at a path of the app.
    Bind {
        /// From where.
        source: Place,
        /// The path in the app.
        target: String,
        /// How.
        access: Access,
        /// With what is mounted below the source.
        recursive: bool,
    },
    /// A file system that the kernel makes.
    Mount {
        /// Its type.
        kind: String,
        /// The path in the app.
        target: String,
        /// Options.
        options: Vec<String>,
    },
    /// A symbolic link.
    Link {
        /// Where it is.
        path: String,
        /// What it says.
        to: String,
    },
    /// A device node of the host.
    Device {
        /// Its path, on the host and in the app.
        path: String,
    },
    /// Something made unreadable.
    Mask {
        /// Its path in the app.
        path: String,
    },
    /// Something made read-only.
    ReadOnly {
        /// Its path in the app.
        path: String,
    },
    /// The user of the process.
    User {
        /// Ids.
        credentials: Credentials,
    },
    /// The capabilities that the process may have at most.
    Capabilities {
        /// Names.
        names: Vec<String>,
    },
    /// Executing programs gains nothing.
    NoNewPrivileges,
    /// A filter of system calls.
    Seccomp {
        /// The filter.
        filter: SeccompFilter,
    },
    /// A limit.
    Limit {
        /// What is limited.
        what: String,
        /// The value, in that kind's unit.
        value: u64,
    },
    /// Whom the kernel kills when memory ends.
    OomScore {
        /// -1000 to 1000.
        adjustment: i32,
    },
    /// Where output goes.
    Stdio {
        /// `log` or `raw`.
        mode: String,
    },
}

impl Word {
    /// The name that the contract gives the word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Share { .. } => "share",
            Self::Hostname { .. } => "hostname",
            Self::App { word, .. } => word.name(),
            Self::Claim { .. } => "claim",
            Self::Waive { .. } => "waive",
            Self::Note { .. } => "note",
        }
    }
}

impl JailWord {
    /// The name that the contract gives the word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Root { .. } => "root",
            Self::Bind { .. } => "bind",
            Self::Mount { .. } => "mount",
            Self::Link { .. } => "link",
            Self::Device { .. } => "device",
            Self::Mask { .. } => "mask",
            Self::ReadOnly { .. } => "read-only",
            Self::User { .. } => "user",
            Self::Capabilities { .. } => "capabilities",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Seccomp { .. } => "seccomp",
            Self::Limit { .. } => "limit",
            Self::OomScore { .. } => "oom-score",
            Self::Stdio { .. } => "stdio",
        }
    }
}

/// Where something comes from, by name; the host knows the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A volume of the pod.
    Volume(String),
    /// An empty directory of the pod's own.
    Empty(String),
    /// A path of the host.
    Host(String),
}
