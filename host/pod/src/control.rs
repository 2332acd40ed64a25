//! Speaking to a pod that runs, by way of its monitor.

use std::os::fd::AsFd as _;

use rkt_monitor::{Control, ControlError};

use crate::pod::Pod;
use crate::state::State;
use crate::uuid::Uuid;

impl Pod {
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
