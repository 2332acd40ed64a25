//! What an app of a pod that has ended would see as its root, to be read.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rkt_appc::AcName;
use rkt_executor::layers;
use rkt_plan::{Artifact, Refusal};
use rkt_sys::root::Root;
use rustix::io::Errno;

use crate::home::{LAYERS, copy, upper};
use crate::pod::{Pod, PodError};
use crate::pods::{Pods, PodsError};
use crate::state::State;
use crate::uuid::Uuid;

impl Pod {
    /// The root file system of an app as it was when the pod ended, to be read only. `trees` are those of its image,
    /// topmost first. It is nobody's but this process's, and goes with the descriptor.
    ///
    /// # Errors
    /// The pod has not ended, it has no such changes, or they cannot be put over the image.
    pub fn root_of(&self, app: &AcName, trees: &[PathBuf]) -> Result<OwnedFd, ExportError> {
        let uuid = self.uuid();
        if !matches!(self.state(), State::Exited | State::ExitedGarbage) {
            return Err(ExportError::NotExited);
        }
        let record = self.record().map_err(ExportError::Pod)?.ok_or(ExportError::NotExited)?;
        let plan = record.plan().map_err(|cause| ExportError::Recorded { uuid, cause })?;
        if plan.artifacts().contains(&Artifact::RootImage(app.to_string())) {
            return Err(ExportError::InMemory { app: app.clone() });
        }
        let failed = |error: rkt_sys::Error| ExportError::Changes { app: app.clone(), cause: error.into() };
        let pod = Root::open(self.path()).map_err(failed)?;
        match pod.open_dir(Path::new(&copy(app))) {
            Err(error) if error.errno() == Some(Errno::NOENT) => {}
            other => return other.map_err(failed),
        }
        let changes = pod.open_dir(Path::new(&upper(app))).map_err(failed)?;
        layers::of_app(&changes, trees).map_err(|cause| ExportError::Layers { app: app.clone(), cause })
    }
}

impl Pods {
    /// Makes sure that what was read of a pod until now was all there: nobody has begun to remove it.
    ///
    /// # Errors
    /// Somebody has, or it cannot be looked at.
    pub fn check_still_there(&self, pod: &Pod) -> Result<(), ExportError> {
        let now = self.get(pod.uuid()).map_err(ExportError::Pods)?;
        let is_whole = |pod: &Pod| {
            let is_kept = matches!(pod.state(), State::Exited | State::ExitedGarbage);
            is_kept && pod.path().join(LAYERS).is_dir()
        };
        if now.is_some_and(|pod| is_whole(&pod)) { Ok(()) } else { Err(ExportError::Removed { uuid: pod.uuid() }) }
    }
}

/// Why an app's root cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It still changes, or never was.
    #[error("pod is not exited. Only exited pods can be exported")]
    NotExited,
    /// It was a guest's.
    #[error("what app {:?} has changed was in its machine's memory, and is gone with it", .app.as_str())]
    InMemory {
        /// The app.
        app: AcName,
    },
    /// What it has changed.
    #[error("cannot open what app {:?} has changed", .app.as_str())]
    Changes {
        /// The app.
        app: AcName,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What it has changed and its image cannot be seen as one.
    #[error("cannot put together the root of app {:?}", .app.as_str())]
    Layers {
        /// The app.
        app: AcName,
        /// Why.
        #[source]
        cause: rkt_executor::Failure,
    },
    /// It went meanwhile.
    #[error("pod \"{uuid}\" was removed meanwhile")]
    Removed {
        /// Which.
        uuid: Uuid,
    },
    /// What was decided about it would not be allowed any more.
    #[error("the plan by which pod \"{uuid}\" ran")]
    Recorded {
        /// Which.
        uuid: Uuid,
        /// What speaks against it.
        #[source]
        cause: Refusal,
    },
    /// What is read of it.
    #[error(transparent)]
    Pod(PodError),
    /// Where it is.
    #[error(transparent)]
    Pods(PodsError),
}
