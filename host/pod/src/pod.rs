//! One pod, as its directory shows it. Reading takes no lock and waits for nobody.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rkt_appc::{AcName, ImageManifest, ManifestError, PodManifest};

use crate::files;
use crate::prepared;
use crate::record::{Names, Record};
use crate::state::{Stage, State};
use crate::uuid::Uuid;

/// A pod that was found. What is read of it is what is there at that time.
#[derive(Debug)]
pub struct Pod {
    uuid: Uuid,
    stage: Stage,
    state: State,
    path: PathBuf,
    directory: OwnedFd,
}

impl Pod {
    pub(crate) fn new(uuid: Uuid, found_in: Stage, state: State, path: PathBuf, directory: OwnedFd) -> Self {
        Self { uuid, stage: found_in, state, path, directory }
    }

    /// Its name.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its state when it was found.
    pub fn state(&self) -> State {
        self.state
    }

    /// The part of its life that it was in when it was found.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Where it was when it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is made of.
    ///
    /// # Errors
    /// Where the manifest is missing, as it is for a moment in a pod's youth, or cannot be read.
    pub fn manifest(&self) -> Result<PodManifest, PodError> {
        let json = self.read("pod")?.ok_or_else(|| self.missing("pod"))?;
        PodManifest::from_json(&json).map_err(|cause| PodError::Manifest { uuid: self.uuid, cause })
    }

    /// The manifest of the image of one of its apps.
    ///
    /// # Errors
    /// As [`Pod::manifest`].
    pub fn image_manifest(&self, app: &AcName) -> Result<ImageManifest, PodError> {
        let path = image_manifest_path(app);
        let json = self.read(&path)?.ok_or_else(|| self.missing(&path))?;
        ImageManifest::from_json(&json).map_err(|cause| PodError::Manifest { uuid: self.uuid, cause })
    }

    /// What was decided about it; none before it was started.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub fn record(&self) -> Result<Option<Record>, PodError> {
        let Some(json) = self.read(Record::FILE)? else { return Ok(None) };
        Record::from_json(&json).map(Some).map_err(|cause| PodError::Record { uuid: self.uuid, cause })
    }

    /// The digest of the component that planned it or is to; none where nothing is written down that says one.
    pub(crate) fn component(&self) -> Result<Option<String>, PodError> {
        let json = match self.read(Record::FILE)? {
            Some(json) => json,
            None => self.read(prepared::FILE)?.unwrap_or_default(),
        };
        Ok(serde_json::from_slice::<Names>(&json).ok().map(Names::component))
    }

    /// When it was made.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn created(&self) -> Result<Option<SystemTime>, PodError> {
        Ok(self.modified("pod-created")?.or(self.modified("pod")?))
    }

    /// When it was started; none where it was not.
    ///
    /// # Errors
    /// As [`Pod::created`].
    pub fn started(&self) -> Result<Option<SystemTime>, PodError> {
        if !self.state.has_started() {
            return Ok(None);
        }
        Ok(self.modified("pid")?.or(self.modified("ppid")?))
    }

    /// When an app of it was made: with the pod, or later.
    ///
    /// # Errors
    /// As [`Pod::created`].
    pub fn app_created(&self, app: &AcName) -> Result<Option<SystemTime>, PodError> {
        Ok(self.modified(&image_manifest_path(app))?.or(self.created()?))
    }

    /// When the program of an app of it was run. Where nobody wrote that down, when the pod was started.
    ///
    /// # Errors
    /// As [`Pod::created`].
    pub fn app_started(&self, app: &AcName) -> Result<Option<SystemTime>, PodError> {
        Ok(self.modified(&format!("{STATUS_DIRECTORY}/{app}-started"))?.or(self.started()?))
    }

    /// The process that is first in it, by the host's numbers; none where it has not been started.
    ///
    /// # Errors
    /// As [`Pod::created`].
    pub fn pid(&self) -> Result<Option<i32>, PodError> {
        files::read_number(&self.directory, "pid").map_err(|cause| self.failed("pid", cause))
    }

    /// How an app of it ended; none where it has not.
    ///
    /// # Errors
    /// As [`Pod::created`].
    pub fn exit(&self, app: &AcName) -> Result<Option<AppExit>, PodError> {
        let path = format!("{STATUS_DIRECTORY}/{app}");
        let code = files::read_number(&self.directory, &path).map_err(|cause| self.failed(&path, cause))?;
        let Some(code) = code else { return Ok(None) };
        Ok(self.modified(&path)?.map(|at| AppExit { code, at }))
    }

    /// When it was last moved: how long it has been garbage.
    pub(crate) fn moved(&self) -> io::Result<SystemTime> {
        files::changed(&self.directory)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, PodError> {
        files::read(&self.directory, path).map_err(|cause| self.failed(path, cause))
    }

    fn modified(&self, path: &str) -> Result<Option<SystemTime>, PodError> {
        files::modified(&self.directory, path).map_err(|cause| self.failed(path, cause))
    }

    fn missing(&self, path: &str) -> PodError {
        self.failed(path, io::ErrorKind::NotFound.into())
    }

    fn failed(&self, path: &str, cause: io::Error) -> PodError {
        PodError::Read { uuid: self.uuid, file: path.to_owned(), cause }
    }
}

impl AsFd for Pod {
    /// The pod's directory.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Where the exit codes of apps are.
pub(crate) const STATUS_DIRECTORY: &str = "stage1/rootfs/rkt/status";

/// Where the manifest of an app's image is.
pub(crate) fn image_manifest_path(app: &AcName) -> String {
    format!("appsinfo/{app}/manifest")
}

/// How an app ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppExit {
    /// Its exit code, or the number of the signal that killed it.
    pub code: i32,
    /// When.
    pub at: SystemTime,
}

/// What of a pod cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A file.
    #[error("cannot read {file} of pod \"{uuid}\"")]
    Read {
        /// Of which pod.
        uuid: Uuid,
        /// Which, in the pod's directory.
        file: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A manifest.
    #[error("pod \"{uuid}\"")]
    Manifest {
        /// Of which pod.
        uuid: Uuid,
        /// What is wrong with it.
        #[source]
        cause: ManifestError,
    },
    /// The record.
    #[error("the record of pod \"{uuid}\"")]
    Record {
        /// Of which pod.
        uuid: Uuid,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
}
