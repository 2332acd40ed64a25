//! Speaking to a pod that runs, by way of its monitor.

use std::os::fd::AsFd as _;

use rkt_monitor::{Control, ControlError};

use crate::pod::Pod;
use crate::state::State;
use crate::uuid::Uuid;

impl Pod {
    /// Whether it had a monitor, which has ended.
    pub(crate) fn has_lost_its_monitor(&self) -> bool {
        Control::connect(self.as_fd()).is_err_and(|error| error.is_nobody())
    }

    /// A connection to the pod's monitor.
    ///
    /// # Errors
    /// The pod does not run, or its monitor cannot be reached.
    pub fn control(&self) -> Result<Control, RunningError> {
        if self.state() != State::Running {
            return Err(RunningError::NotRunning { uuid: self.uuid() });
        }
        Control::connect(self.as_fd()).map_err(|cause| RunningError::Unreachable { uuid: self.uuid(), cause })
    }
}

/// Why a running pod was not spoken to.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// It does not run.
    #[error("pod \"{uuid}\" isn't currently running")]
    NotRunning {
        /// Which.
        uuid: Uuid,
    },
    /// Nobody listens on its control socket.
    #[error("cannot reach the monitor of pod \"{uuid}\"")]
    Unreachable {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: ControlError,
    },
    /// Its monitor does not answer, or refuses.
    #[error("pod \"{uuid}\"")]
    Monitor {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: ControlError,
    },
}
