//! One pod, as its directory shows it. Reading takes no lock and waits for nobody.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rkt_appc::{AcName, App, ImageManifest, ManifestError, Owner, PodManifest, RuntimeApp, UnixId, VolumeKind};
use rkt_plan::{Access, Asked, Origin};
use rustix::fs::Stat;
use rustix::io::Errno;
use serde_json::value::RawValue;

use crate::files;
use crate::home::Home;
use crate::prepared;
use crate::record::{Names, Record};
use crate::state::{Stage, State};
use crate::uuid::Uuid;
use crate::volumes::{self, Askers, Known};

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

    /// Whether it is still where it was when it was found.
    ///
    /// # Errors
    /// Where that cannot be seen.
    pub fn is_there(&self) -> io::Result<bool> {
        let id = |stat: Stat| (stat.st_dev, stat.st_ino);
        match rustix::fs::lstat(&self.path) {
            Err(Errno::NOENT) => Ok(false),
            other => Ok(id(other?) == id(rustix::fs::fstat(&self.directory)?)),
        }
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

    /// How an app of it is run: as its manifest says, or else as its image does. None where nobody says so.
    ///
    /// # Errors
    /// Where the manifest of the image cannot be read.
    pub fn section(&self, app: &RuntimeApp) -> Result<Option<App>, PodError> {
        if let Some(section) = &app.app {
            return Ok(Some(section.clone()));
        }
        let Some(json) = self.read(&image_manifest_path(&app.name))? else { return Ok(None) };
        let image = ImageManifest::from_json(&json);
        Ok(image.map_err(|cause| PodError::Manifest { uuid: self.uuid, cause })?.app)
    }

    /// What an app of it sees of volumes.
    ///
    /// # Errors
    /// As [`Pod::section`].
    pub fn mounts(&self, manifest: &PodManifest, app: &RuntimeApp) -> Result<Vec<PodMount>, PodError> {
        let nothing = || App::new(Vec::new(), Owner::Id(UnixId::ROOT), Owner::Id(UnixId::ROOT));
        let section = self.section(app)?.unwrap_or_else(nothing);
        let known = Known { declared: manifest.volumes(), of_others: &[] };
        let by = Askers { mounts: Origin::PodManifest, points: Origin::Image };
        // What an older rkt made of a manifest that this one would refuse is not to be told of here.
        let found = volumes::of_app(&app.name, &section, &app.mounts, known, by);
        let asked = found.map(|found| found.asked).unwrap_or_default();
        let home = Home { directory: self.as_fd(), path: &self.path };
        let all = volumes::of_pod(manifest);
        let mounts = asked.into_iter().filter_map(|Asked { value: mount, .. }| {
            let (place, volume) = all.iter().find(|(place, _)| *place == mount.volume)?;
            let source = match &volume.kind {
                VolumeKind::Host { source, .. } => source.into(),
                VolumeKind::Empty { .. } => home.empty(place),
            };
            let name = volume.name.clone();
            Some(PodMount {
                name,
                target: mount.target.to_string(),
                source,
                is_read_only: mount.access == Access::ReadOnly,
            })
        });
        Ok(mounts.collect())
    }

    /// The volumes that its apps got since nobody had declared one.
    pub(crate) fn own_volumes(&self, manifest: &PodManifest) -> Result<BTreeSet<AcName>, PodError> {
        let mut own = BTreeSet::new();
        for app in manifest.apps() {
            let section = self.section(app)?;
            own.extend(section.iter().flat_map(|section| volumes::own_of(app, section)).cloned());
        }
        Ok(own)
    }

    /// What was decided about it; none before it was started.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub fn record(&self) -> Result<Option<Record>, PodError> {
        let Some(json) = self.read(Record::FILE)? else { return Ok(None) };
        Record::from_json(&json).map(Some).map_err(|cause| PodError::Record { uuid: self.uuid, cause })
    }

    /// The same, as it stands in the file, of which only that it is JSON is known.
    pub(crate) fn record_text(&self) -> Result<Option<Box<RawValue>>, PodError> {
        let Some(json) = self.read(Record::FILE)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|cause| PodError::Record { uuid: self.uuid, cause })
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
        self.first_modified(["pod-created", "pod"])
    }

    /// When it was started; none where it was not.
    ///
    /// # Errors
    /// As [`Pod::created`].
    pub fn started(&self) -> Result<Option<SystemTime>, PodError> {
        if !self.state.has_started() {
            return Ok(None);
        }
        self.first_modified(["pid", "ppid"])
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

    /// When the first of these was last written to that there is.
    fn first_modified(&self, paths: [&str; 2]) -> Result<Option<SystemTime>, PodError> {
        paths.into_iter().find_map(|path| self.modified(path).transpose()).transpose()
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

/// A volume as an app sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodMount {
    /// The volume's name.
    pub name: AcName,
    /// Where it is in the app.
    pub target: String,
    /// Where it is on the host.
    pub source: PathBuf,
    /// Whether the app can only read it.
    pub is_read_only: bool,
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
