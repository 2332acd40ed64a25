//! Why there is no plan.

use std::io;
use std::time::Duration;

use crate::failure::Failure;

/// Why a plugin gave no plan. Nothing on the host has changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process could not be started.
    #[error("cannot start a process for plugin `{plugin}`")]
    Start {
        /// The plugin's name.
        plugin: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The plugin says that the pod cannot be run. These are the plugin's own words.
    #[error("{message}")]
    Refused {
        /// The plugin's name.
        plugin: String,
        /// Why.
        message: String,
        /// What could be done about it.
        hint: Option<String>,
    },
    /// The plugin failed, or broke a limit.
    #[error("plugin `{plugin}` failed")]
    Failed {
        /// The plugin's name.
        plugin: String,
        /// How.
        #[source]
        failure: Failure,
    },
    /// The process did not end as it should.
    #[error("the process of plugin `{plugin}` {end}")]
    Ended {
        /// The plugin's name.
        plugin: String,
        /// How it ended.
        end: End,
    },
    /// What the process said makes no sense.
    #[error("the process of plugin `{plugin}` sent what is no reply: {what}")]
    Malformed {
        /// The plugin's name.
        plugin: String,
        /// What is wrong with it.
        what: String,
    },
}

/// An end that a planner's process should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did not come in time, and was brought about.
    Hang {
        /// The time that it had.
        limit: Duration,
    },
    /// A signal, by number: a crash of the engine, or something that the cage forbids.
    Signal(i32),
    /// An exit code other than zero, or no reply.
    Code(i32),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hang { limit } => write!(f, "did not end within {limit:?} and was killed"),
            Self::Signal(libc::SIGSYS) => f.write_str("made a system call that its cage forbids, and was killed"),
            Self::Signal(libc::SIGXCPU | libc::SIGKILL) => {
                f.write_str("was killed, as when its processor time is used up")
            }
            Self::Signal(signal) => write!(f, "crashed (signal {signal})"),
            Self::Code(code) => write!(f, "ended without a reply (exit code {code})"),
        }
    }
}
