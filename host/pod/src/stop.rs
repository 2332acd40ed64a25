//! Ending a pod that runs, whatever somebody did to its own processes.
//!
//! Its monitor is asked to end it. One that was stopped by a signal hears nothing, so it is told to go on first;
//! one that does not do what it was told is killed, by force, and with it all that lives of the pod.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use rkt_sys::pidfd::PidFd;
use rustix::process::{Pid, Signal};

use crate::control::RunningError;
use crate::hold::{Held, hold};
use crate::pod::Pod;
use crate::uuid::Uuid;

/// How long apps have to end that are asked to, where nobody says how long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the monitor may take beyond that, until nothing of the pod lives.
const SLACK: Duration = Duration::from_secs(15);

/// How long it may take where it is to ask nobody, and how long the kernel may.
const BY_FORCE: Duration = Duration::from_secs(5);

/// How a pod is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its apps are asked to end, and killed after this time; none: ten seconds.
    Ask(Option<Duration>),
    /// Its apps are killed, and the pod's own processes too where they do not do that.
    Force,
}

impl Stop {
    /// How long it may take until nothing of the pod lives.
    fn time(self) -> Duration {
        match self {
            Self::Ask(patience) => patience.unwrap_or(PATIENCE).saturating_add(SLACK),
            Self::Force => BY_FORCE,
        }
    }
}

impl Pod {
    /// Ends the pod, and returns when no process of it lives.
    ///
    /// # Errors
    /// The pod does not run, its monitor cannot be reached, or it does not end in time.
    pub fn stop(&self, stop: Stop) -> Result<(), StopError> {
        let uuid = self.uuid();
        let failed = |cause| StopError::Look { uuid, cause };
        for holder in holders(self).map_err(failed)? {
            // It may have ended.
            let _ = holder.signal(Signal::CONT);
        }
        let asked = self.control().and_then(|mut control| {
            let (force, patience) = match stop {
                Stop::Ask(patience) => (false, patience),
                Stop::Force => (true, None),
            };
            control.ask_to_stop(force, patience).map_err(|cause| RunningError::Monitor { uuid, cause })?;
            Ok(control)
        });
        let is_ending = match &asked {
            Ok(_) => true,
            // Its monitor has ended, and the rest of the pod ends with it.
            Err(RunningError::Unreachable { cause, .. }) => cause.is_nobody(),
            Err(_) => false,
        };
        // As long as it is waited for the connection is kept.
        if is_ending && self.wait_for_end(Some(stop.time())).map_err(failed)? {
            return Ok(());
        }
        match (asked, stop) {
            (Err(error @ RunningError::NotRunning { .. }), _) => Err(error.into()),
            (_, Stop::Force) => self.kill(),
            (Err(error), Stop::Ask(_)) if !is_ending => Err(error.into()),
            (_, Stop::Ask(_)) => Err(StopError::TooLong { uuid, time: stop.time() }),
        }
    }

    /// Kills those who hold the pod, and what is left of it then.
    fn kill(&self) -> Result<(), StopError> {
        let uuid = self.uuid();
        let failed = |cause| StopError::Look { uuid, cause };
        for holder in holders(self).map_err(failed)? {
            // It may have ended.
            let _ = holder.signal(Signal::KILL);
        }
        if !self.wait_for_end(Some(BY_FORCE)).map_err(failed)? {
            return Err(StopError::TooLong { uuid, time: 2 * BY_FORCE });
        }
        match hold(self).map_err(failed)? {
            Held::Ours(_lock) => rkt_executor::undo(self.as_fd()).map_err(|cause| StopError::Undo { uuid, cause }),
            // Somebody removes the pod, and undoes that first.
            Held::Theirs | Held::Gone => Ok(()),
        }
    }
}

/// The processes that hold the pod's lock: its monitor, and its init where that may outlive the monitor.
fn holders(pod: &Pod) -> io::Result<Vec<PidFd>> {
    let directory = rustix::fs::fstat(pod)?;
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some((pid, process)) = pid.and_then(|pid| Some((pid, PidFd::open(pid).ok()?))) else { continue };
        let is_the_directory = |number: &str| {
            let stat = rustix::fs::stat(format!("/proc/{pid}/fd/{number}"));
            stat.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (directory.st_dev, directory.st_ino))
        };
        let holds_a_lock = |number: &str| {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
            info.lines().any(|line| line.starts_with("lock:") && line.contains(" FLOCK ") && line.contains(" WRITE "))
        };
        // A process that ends meanwhile has no descriptors any more, and neither has one of another user's.
        let numbers = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut numbers = numbers.filter_map(|entry| entry.file_name().into_string().ok());
        if numbers.any(|number| is_the_directory(&number) && holds_a_lock(&number)) {
            holders.push(process);
        }
    }
    Ok(holders)
}

/// Why a pod was not ended.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It does not run, or its monitor cannot be reached.
    #[error(transparent)]
    Running(#[from] RunningError),
    /// It still lives.
    #[error("pod \"{uuid}\" has not ended within {time:?}")]
    TooLong {
        /// Which.
        uuid: Uuid,
        /// How long was waited.
        time: Duration,
    },
    /// Its processes cannot be found, or its end be seen.
    #[error("cannot see who runs pod \"{uuid}\"")]
    Look {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What is left of it.
    #[error("cannot undo what is left of pod \"{uuid}\"")]
    Undo {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: rkt_executor::Failure,
    },
}
