//! Programs that a checked plan starts: what is inside the pod, helpers beside it, and the templates by
//! which an opaque pod is entered and stopped.

use serde::Serialize;

use crate::checked::{Jail, Source};
use crate::path::CleanPath;
use crate::pod::Access;

/// How long an init has to speak where a plan does not say, in seconds.
pub(crate) const PATIENCE: u32 = 60;

/// A program, and what it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Program {
    /// What is executed.
    pub file: ProgramFile,
    /// The arguments after its name.
    pub arguments: Vec<Argument>,
    /// Its environment, without that of an app.
    pub environment: Vec<(String, String)>,
    /// The app whose environment it has besides.
    pub environment_of: Option<String>,
    /// Its files and rights.
    pub jail: Jail,
    /// Whether it is in its jail.
    pub confinement: Confinement,
    /// Where, outside of it, it sees an empty directory of its own in place of the host's.
    pub own_directories: Vec<CleanPath>,
}

impl Program {
    /// The descriptors that it has beside 0, 1 and 2, in the order of their numbers, which begin with 3.
    pub fn descriptors(&self) -> Vec<&Handle> {
        let mut handles: Vec<&Handle> = Vec::new();
        for piece in self.arguments.iter().flat_map(Argument::pieces) {
            if let Piece::Descriptor(handle) = piece
                && !handles.contains(&handle)
            {
                handles.push(handle);
            }
        }
        handles
    }
}

/// Where a program's file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramFile {
    /// On the host.
    Host(CleanPath),
    /// In the image that the plugin came in.
    Payload(CleanPath),
}

/// Whether a program is in the jail that its words make. In it is the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// It sees nothing but the jail, and has namespaces of its own.
    Jailed,
    /// It runs as rkt does: as root on the host. The jail's files are a tree that it can be told of.
    Unconfined,
}

/// One argument, or as many as the command or the words that it stands for have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Argument(Vec<Piece>);

impl Argument {
    pub(crate) fn new(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }

    /// What it is put together from. [`Piece::Command`] and [`Piece::Words`] stand alone.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }
}

/// A piece of an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// Text without NUL.
    Text(String),
    /// The number of a descriptor.
    Descriptor(Handle),
    /// The path of the jail's tree.
    Tree,
    /// An app's command, an argument a word.
    Command(String),
    /// An app's working directory.
    WorkingDirectory(String),
    /// The words of whoever enters, an argument each.
    Words,
}

/// What a descriptor of a program leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handle {
    /// An open file or directory.
    Open {
        /// Which.
        source: Source,
        /// How.
        access: Access,
    },
    /// The program's end of the connection to the init inside.
    Channel,
}

/// How a program is started in the jail of a running pod's program, with its rights and environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Template {
    /// What is executed.
    pub file: ProgramFile,
    /// The arguments after its name, without descriptors.
    pub arguments: Vec<Argument>,
}

/// The program that starts what is inside the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MainProgram {
    /// The program.
    pub program: Program,
    /// What is inside.
    pub inside: Inside,
}

/// What a program starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inside {
    /// Something that the host knows nothing of: the program's exit code is the pod's.
    Opaque,
    /// rkt's init.
    Init {
        /// How it is spoken to.
        channel: Channel,
        /// How long it has to speak, in seconds from the program's start.
        speaks_within: u32,
        /// What the user could do where it does not, in the plugin's words.
        hint: Option<String>,
    },
}

/// How an init that a program starts is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// On a socket at this path in the program's tree: init is a process of this kernel, and what the pod
    /// needs is put into its mount namespace.
    Socket(CleanPath),
    /// Through a descriptor of the program: init is out of reach, as in a guest, and finds what the pod
    /// needs on devices.
    Descriptor,
}

/// A program that runs beside the pod. When it ends, the pod ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Helper {
    /// Its name, of letters, digits and `._-`.
    pub name: String,
    /// The program.
    pub program: Program,
    /// A path in its jail that is there when it is ready; it is waited for before anything else starts.
    pub ready_when: Option<CleanPath>,
}
