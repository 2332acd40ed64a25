//! What is said over the control socket, as values: requests to a monitor and its replies.
//!
//! On the wire they are JSON in frames ([`crate::frame`]). A field that a reader does not know is
//! ignored and a verb that it does not know is answered with [`Reply::Failed`], so that an older
//! monitor can be spoken to by a newer client.

use serde::{Deserialize, Serialize};

/// What a client asks. Each request is a call of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What the pod's apps do: answered by [`Reply::Status`].
    Status {},
    /// Ends the pod: answered by [`Reply::Done`] at once. The pod has ended when the connection
    /// ends.
    Stop {
        /// Whether apps are killed without being asked to end.
        force: bool,
        /// How many milliseconds apps have that are asked; none: as many as the monitor gives them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<u64>,
    },
    /// Runs a command in an app: answered by [`Reply::Started`], then [`Reply::Exited`].
    Enter(Enter),
    /// The terminal of a command that runs has changed its size. No answer.
    Resize(WindowSize),
    /// Makes the pod another one, with one app more or one less. The launch of the pod as it is to be follows
    /// as a parcel ([`crate::parcel`]) on the call's channel of input, with places and command of the new app
    /// only. Answered by [`Reply::Done`] when all is done, and the files in [`STAGED`] are in their places;
    /// otherwise the pod is as it was.
    Change {},
}

/// The directory in a pod's directory in which whoever asks for a change leaves the pod's manifest and record
/// as they are to be. They take the places of those of the same name when the change is made, and not before.
pub const STAGED: &str = "change";

/// What is staged, in the order in which it takes its place when the pod grows: the manifest, which says
/// which apps there are, after the record. When it shrinks it is the other way round.
pub const STAGED_FILES: [&str; 2] = ["record.json", "pod"];

/// A command to run as an app's own process is run: with its root, user, environment and limits, and
/// no more rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enter {
    /// The app's name.
    pub app: String,
    /// The program, as an app's program is named, and its arguments.
    pub arguments: Vec<String>,
    /// Which of the plan's own programs it is, where the monitor says so to init. No client's to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<rkt_plan::Role>,
    /// The terminal that it gets; none: its input and output are pipes.
    pub terminal: Option<Terminal>,
}

/// A terminal of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its kind (`TERM`), where known.
    pub kind: Option<String>,
    /// Its size.
    pub size: WindowSize,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// What a monitor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Status),
    /// It is being done.
    Done {},
    /// A command runs.
    Started {},
    /// A command has ended, and all of its output was sent before.
    Exited(Ended),
    /// The request cannot be met.
    Failed {
        /// Why, for people.
        message: String,
    },
}

/// What a pod does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The pid of init on the host.
    pub init: u32,
    /// Each app, in the order of the pod.
    pub apps: Vec<AppStatus>,
    /// Whether the pod is being changed.
    #[serde(default)]
    pub is_changing: bool,
}

/// What an app does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: AppState,
}

/// The life of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppState {
    /// Its process does not run yet.
    Starting,
    /// Its process runs.
    Running {
        /// Its pid as the pod sees it.
        pid: u32,
    },
    /// Its process has ended.
    Exited(Ended),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// This signal ended it, by number.
    Signal(i32),
}

impl Ended {
    /// The code that is recorded and handed on: of a process that a signal ended, the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(number) | Self::Signal(number) => number,
        }
    }
}
