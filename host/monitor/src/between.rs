//! What monitor and init say to each other on call 0 of their connection. Calls from [`OUTPUTS`] on are the
//! output of apps; the others are commands that enter the pod: there the frames are the client's own, with
//! another number.

use rkt_executor::Failure;
use rkt_monitor::Ended;
use rkt_monitor::frame::{Channel, Stream};
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

/// The call of the output of the app with number 0. Calls of clients' commands are less.
pub(crate) const OUTPUTS: u32 = 1 << 29;

/// The stream on which init is sent a launch.
pub(crate) fn launch_stream() -> Stream {
    Stream::new(CALL, Channel::Input)
}

/// The call of the output of an app that has no pipe to the monitor.
pub(crate) fn output_call(app: usize) -> u32 {
    OUTPUTS + u32::try_from(app).unwrap_or(u32::MAX) % OUTPUTS
}

/// The app whose output a call is, if it is one's.
pub(crate) fn app_of(call: u32) -> Option<usize> {
    usize::try_from(call.checked_sub(OUTPUTS)?).ok()
}
