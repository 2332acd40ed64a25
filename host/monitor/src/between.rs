//! What monitor and init say to each other on call 0 of their connection. Other calls are commands
//! that enter the pod: there the frames are the client's own, with another number.

use rkt_executor::Failure;
use rkt_monitor::Ended;
use serde::{Deserialize, Serialize};

/// From the monitor to init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Sends a signal to the first process of each app that runs.
    Signal(i32),
}

/// From init to the monitor. Apps are numbered in the order of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The first process of an app was made.
    Made {
        /// Which app.
        app: usize,
        /// The process, as the pod sees it.
        pid: u32,
    },
    /// An app runs its program.
    Up {
        /// Which app.
        app: usize,
    },
    /// The pod, or an app, could not be set up.
    Failed {
        /// Which app, if it was one.
        app: Option<usize>,
        /// Why.
        failure: Failure,
    },
    /// The first process of an app has ended.
    Exited {
        /// Which app.
        app: usize,
        /// How.
        ended: Ended,
    },
}

/// The call on which these are sent.
pub(crate) const CALL: u32 = 0;
