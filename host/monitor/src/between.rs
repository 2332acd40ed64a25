//! What monitor and init say to each other on call 0 of their connection. Calls from [`OUTPUTS`] on are the
//! output of apps; the others are commands that enter the pod: there the frames are the client's own, with
//! another number.

use rkt_executor::Failure;
use rkt_monitor::Ended;
use rkt_monitor::frame::{Channel, Stream};
use serde::{Deserialize, Serialize};

/// From the monitor to init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Sends a signal to the first process of each app that runs.
    Signal(i32),
    /// Sends a signal to the first process of one app.
    SignalApp {
        /// Which app.
        app: usize,
        /// The signal.
        number: i32,
    },
    /// Gets a mount namespace of its own, where apps that come later find their parts; answered by
    /// [`Event::Parted`]. For an init that stays among the host's mounts.
    Part,
    /// Starts apps whose parts are in their places, and clears the places. The launch that has their plans
    /// and commands came before, as a parcel on [`launch_stream`].
    Add {
        /// Which.
        apps: Vec<NewApp>,
    },
    /// Kills everything of an app and forgets it; answered by [`Event::Removed`].
    Remove {
        /// Which app.
        app: usize,
    },
}

/// An app that init is to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewApp {
    /// Its number: no other app of the pod ever had it.
    pub(crate) number: usize,
    /// Its name.
    pub(crate) name: String,
}

/// From init to the monitor. The apps that the pod was started with are numbered in the pod's order, those
/// that came later as the monitor says.
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
    /// Init has a mount namespace of its own, or why not.
    Parted {
        /// Why not.
        failure: Option<Failure>,
    },
    /// Nothing lives of an app that was to be removed.
    Removed {
        /// Which app.
        app: usize,
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
