//! A plan as a plugin speaks it: words, not yet believed.
//!
//! One case for each method of `plans` in `wit/`. Everything is text and numbers just as they came;
//! [`crate::check`] gives them meaning.

use std::fmt;

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
    /// A word about a program that the plan starts.
    Program {
        /// Which of the plan's programs.
        role: Role,
        /// The word.
        word: ProgramWord,
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

/// What a program is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It starts what is inside the pod.
    Main,
    /// It runs beside the pod, by this name.
    Helper(String),
    /// It runs a command inside a running pod.
    Enter,
    /// It asks a running pod to end.
    Stop,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("program"),
            Self::Helper(name) => write!(f, "helper {}", name.escape_debug()),
            Self::Enter => f.write_str("enter"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

/// A word about one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramWord {
    /// What is executed; said as the program is named.
    File {
        /// A file of the host or of the payload.
        file: Place,
    },
    /// One more argument.
    Argument {
        /// Put together without anything between them.
        pieces: Vec<Piece>,
    },
    /// A variable of its environment.
    Environment {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// The environment of an app, for the program to hand on.
    EnvironmentOf {
        /// The app's name.
        app: String,
    },
    /// A word about the program's jail.
    Jail {
        /// The word.
        word: JailWord,
    },
    /// It runs outside of its jail.
    Unconfined,
    /// It has a directory of its own at a path of the host.
    OwnDirectory {
        /// The path.
        path: String,
    },
    /// The init inside has to speak in time.
    SpeaksWithin {
        /// How long it has.
        seconds: u32,
        /// What the user could do where it does not.
        hint: Option<String>,
    },
    /// It is ready when something is there.
    ReadyWhen {
        /// A path in its jail.
        path: String,
    },
}

/// A piece of an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The number of a descriptor.
    Descriptor {
        /// What is open.
        place: Place,
        /// How.
        access: Access,
    },
    /// The path of the tree that the jail's words make, for a program outside of it.
    Tree,
    /// The words of an app's command, an argument each.
    Command(String),
    /// An app's working directory.
    WorkingDirectory(String),
    /// The words of whoever enters, an argument each.
    Words,
}

/// A word about the jail of one app or program: its view of files, and what its process may do.
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
    /// A new file.
    File {
        /// Its path.
        path: String,
        /// Its permissions.
        mode: u32,
        /// What is in it.
        content: String,
    },
    /// A new directory.
    Directory {
        /// Its path.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// The socket on which the init inside is spoken to.
    Channel {
        /// Its path.
        path: String,
    },
    /// A user that nothing else is.
    OwnUser,
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
            Self::Program { role, word } => word.name(role),
            Self::Claim { .. } => "claim",
            Self::Waive { .. } => "waive",
            Self::Note { .. } => "note",
        }
    }
}

impl ProgramWord {
    /// The name that the contract gives the word.
    pub fn name(&self, role: &Role) -> &'static str {
        match self {
            Self::File { .. } => match role {
                Role::Main => "program",
                Role::Helper(_) => "helper",
                Role::Enter => "enter",
                Role::Stop => "stop",
            },
            Self::Argument { .. } => "argument",
            Self::Environment { .. } => "environment",
            Self::EnvironmentOf { .. } => "environment-of",
            Self::Jail { word } => word.name(),
            Self::Unconfined => "unconfined",
            Self::OwnDirectory { .. } => "own-directory",
            Self::SpeaksWithin { .. } => "speaks-within",
            Self::ReadyWhen { .. } => "ready-when",
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
            Self::File { .. } => "file",
            Self::Directory { .. } => "directory",
            Self::Channel { .. } => "channel",
            Self::OwnUser => "own-user",
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
    /// A path in the image that the plugin came in.
    Payload(String),
    /// The root file system of an app, by name.
    RootOf(String),
    /// Something that the host makes or finds.
    Artifact {
        /// Its kind.
        kind: String,
        /// What it is made of.
        of: String,
    },
    /// The connection to the init inside.
    Channel,
}
