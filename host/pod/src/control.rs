//! Speaking to a pod that runs, by way of its monitor.

use std::io;
use std::os::fd::AsFd as _;

use rkt_monitor::{Control, ControlError};
use rkt_sys::lock::Lock;

use crate::files;
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
        Control::connect(self.as_fd()).map_err(|cause| RunningError::Monitor { uuid: self.uuid(), cause })
    }

    /// Ends the pod, and returns when no process of it lives. Forced: without asking its apps first.
    ///
    /// # Errors
    /// The pod does not run, or its monitor cannot be reached.
    pub fn stop(&self, force: bool) -> Result<(), RunningError> {
        let control = self.control()?;
        control.stop(force).map_err(|cause| RunningError::Monitor { uuid: self.uuid(), cause })?;
        self.wait()
    }

    /// Returns when no process of the pod lives: each that matters holds the pod's lock.
    ///
    /// # Errors
    /// The pod's directory cannot be opened.
    pub fn wait(&self) -> Result<(), RunningError> {
        let failed = |cause: io::Error| RunningError::Wait { uuid: self.uuid(), cause };
        let directory = files::open_directory(self.as_fd(), ".").map_err(failed)?;
        Lock::shared(directory).map(drop).map_err(|error| failed(error.into()))
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
    /// Its monitor does not answer, or refuses.
    #[error("pod \"{uuid}\"")]
    Monitor {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: ControlError,
    },
    /// Its end cannot be seen.
    #[error("cannot wait for the end of pod \"{uuid}\"")]
    Wait {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
}
