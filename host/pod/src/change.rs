//! A pod that becomes another while it runs: with one app more, or one less.
//!
//! Whoever changes a pod holds the pod's lock for edits and prepares what a new app needs; the record and the
//! manifest of the pod as it is to be are staged. The monitor makes the change and puts them in their places,
//! when it is made and not before: so what is recorded is what runs, whoever is killed in the middle. What a
//! change that came to nothing has left is in nobody's way, and removed by the next or with the pod.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rkt_appc::{AcName, PodManifest, Volume};
use rkt_executor::Places;
use rkt_executor::trial::Trial;
use rkt_monitor::ControlError;
use rkt_monitor::message::{STAGED, STAGED_FILES};
use rkt_plan::{AppChange, Origin, Refusal, Unchangeable};
use rkt_sys::lock::Lock;
use rkt_sys::remove;
use rustix::fs::{Mode, OFlags};

use crate::control::RunningError;
use crate::files;
use crate::home::Home;
use crate::new::EMPTY;
use crate::plugin_image::Payload;
use crate::pod::{Pod, PodError};
use crate::record::Record;
use crate::request::AppRequest;
use crate::resolve::{self, ResolveError, ResolvedPod};
use crate::sources::{self, NoVolume};
use crate::uuid::Uuid;
use crate::verdict::Verdict;
use crate::volumes;

/// The file whose lock those hold who change a pod.
const LOCK: &str = "pod.lck";

/// A pod that runs, about to be changed. It is locked for edits as long as this value lives.
#[derive(Debug)]
pub struct Edit<'a> {
    pod: &'a Pod,
    record: Record,
    manifest: PodManifest,
    /// The volumes that apps got since nobody had declared one.
    own: BTreeSet<AcName>,
    _lock: Lock,
}

impl Pod {
    /// Locks the pod for edits; waits for those who change it now.
    ///
    /// # Errors
    /// The pod does not run, or its monitor, record or manifest cannot be reached.
    pub fn edit(&self) -> Result<Edit<'_>, ChangeError> {
        let uuid = self.uuid();
        let failed = |cause: io::Error| ChangeError::Directory { uuid, cause };
        let running = |cause| ChangeError::Running(RunningError::Monitor { uuid, cause });
        // Before anything is made in the directory of a pod that has ended.
        let _ = self.control().map_err(ChangeError::Running)?;
        let lock = Lock::exclusive(open_lock(self).map_err(failed)?).map_err(|error| failed(error.into()))?;
        // Who asked may be gone, and the monitor still at it.
        if self.control().map_err(ChangeError::Running)?.status().map_err(running)?.is_changing {
            return Err(ChangeError::Busy { uuid });
        }
        let record = self.record().map_err(ChangeError::Pod)?.ok_or(ChangeError::NotRecorded { uuid })?;
        let manifest = self.manifest().map_err(ChangeError::Pod)?;
        let own = self.own_volumes(&manifest).map_err(ChangeError::Pod)?;
        let edit = Edit { pod: self, record, manifest, own, _lock: lock };
        // What a change has left that was cut off.
        edit.remove_leavings(&edit.manifest).map_err(|error| failed(error.into()))?;
        Ok(edit)
    }
}

impl Edit<'_> {
    /// What was decided about the pod.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What the pod is made of.
    pub fn manifest(&self) -> &PodManifest {
        &self.manifest
    }

    /// What the pod becomes with one app more, and these volumes.
    ///
    /// # Errors
    /// Where something asked for does not exist, contradicts itself or the pod, or cannot be given.
    pub fn with(&self, app: AppRequest, volumes: Vec<Volume>, by: Origin) -> Result<ResolvedPod, ResolveError> {
        resolve::resolve_with(&self.record.pod, &self.manifest, &self.own, app, volumes, by)
    }

    /// What the pod becomes without one of its apps.
    ///
    /// # Errors
    /// It has no such app, or no other.
    pub fn without(&self, app: &AcName) -> Result<ResolvedPod, ChangeError> {
        let uuid = self.pod.uuid();
        match self.manifest.apps() {
            apps if !apps.iter().any(|other| other.name == *app) => {
                Err(ChangeError::NoApp { uuid, app: app.to_string() })
            }
            [_] => Err(ChangeError::Unchangeable { uuid, cause: Unchangeable::Last }),
            _ => Ok(resolve::resolve_without(&self.record.pod, &self.manifest, &self.own, app)),
        }
    }

    /// Changes the pod, and returns when that is done. `payload` are the files that its plugin brings along;
    /// they are wanted where an app comes.
    ///
    /// # Errors
    /// The plan differs in what cannot change, something is not there, or the monitor refused: then the pod is as
    /// it was. Or the pod has ended.
    pub fn enact(self, pod: ResolvedPod, verdict: Verdict, payload: Option<&Payload>) -> Result<(), ChangeError> {
        let uuid = self.pod.uuid();
        let before = self.record.plan().map_err(|cause| ChangeError::Recorded { uuid, cause })?;
        let Verdict { proposal, plan } = verdict;
        let change = rkt_plan::change((&self.record.proposal.plan, &before), (&proposal.plan, &plan))
            .map_err(|cause| ChangeError::Unchangeable { uuid, cause })?;
        let places = self.prepare(&change, &pod);
        let record = Record { pod: pod.view, proposal, answers: plan.answers };
        let asked = places.and_then(|places| {
            let payload = payload.map(|payload| payload.root().to_owned());
            let places = Places { payload, ..places };
            self.stage(&pod.manifest, &record).map_err(|cause| ChangeError::Directory { uuid, cause })?;
            let json = record.into_launch(places, pod.commands, Trial::default());
            let running = |cause| ChangeError::Running(RunningError::Monitor { uuid, cause });
            self.pod.control().map_err(ChangeError::Running)?.change(json).map_err(running)
        });
        // What cannot be removed now is removed by the next change, or with the pod.
        let _ = match &asked {
            Ok(()) => self.remove_leavings(&pod.manifest),
            Err(error) if error.is_refusal() => self.remove_leavings(&self.manifest),
            // The pod has ended, or nobody knows how far it came.
            Err(_) => Ok(()),
        };
        asked
    }

    /// Makes what a new app needs; where it and its volumes are.
    fn prepare(&self, change: &AppChange, pod: &ResolvedPod) -> Result<Places, ChangeError> {
        let home = self.home();
        let empty = home.path.join(EMPTY);
        let mut places =
            Places { roots: BTreeMap::new(), volumes: BTreeMap::new(), empty, payload: None, artifacts: Vec::new() };
        let AppChange::Add(_) = change else { return Ok(places) };
        let failed = |cause| ChangeError::Directory { uuid: self.pod.uuid(), cause };
        let is_new = |app: &&rkt_plan::App| pod.images.keys().any(|name| name.as_str() == app.name);
        let new: Vec<rkt_plan::App> = pod.view.apps.iter().filter(is_new).cloned().collect();
        places.volumes = sources::find(home, &pod.manifest, &new).map_err(ChangeError::Volume)?;
        let storage = home.storage().map_err(failed)?;
        for (app, image) in &pod.images {
            places.roots.insert(app.to_string(), home.add_app(app, image, storage).map_err(failed)?);
        }
        let known = places_of(&self.manifest);
        for (place, volume) in volumes::of_pod(&pod.manifest).into_iter().filter(|(place, _)| !known.contains(place)) {
            home.add_empty(&place, volume, &pod.seeds).map_err(failed)?;
        }
        Ok(places)
    }

    /// Writes down what the pod is to be, where the monitor takes it from.
    fn stage(&self, manifest: &PodManifest, record: &Record) -> io::Result<()> {
        files::make_directory(self.pod, STAGED, 0o750)?;
        let [record_file, manifest_file] = STAGED_FILES.map(|name| format!("{STAGED}/{name}"));
        files::write(self.pod, &record_file, 0o640, &record.to_json())?;
        files::write(self.pod, &manifest_file, 0o640, manifest.to_json().as_bytes())
    }

    /// Removes what is there and does not belong to the pod of this manifest.
    fn remove_leavings(&self, manifest: &PodManifest) -> rkt_sys::Result<()> {
        let apps: Vec<&AcName> = manifest.apps().iter().map(|app| &app.name).collect();
        match remove::remove_tree(self.pod.as_fd(), OsStr::new(STAGED)) {
            Err(error) if error.errno() != Some(rustix::io::Errno::NOENT) => return Err(error),
            _ => {}
        }
        self.home().remove_apps_but(&apps)?;
        self.home().remove_empties_but(&places_of(manifest))
    }

    fn home(&self) -> Home<'_> {
        Home { directory: self.pod.as_fd(), path: self.pod.path() }
    }
}

impl ChangeError {
    /// Whether the pod is surely as it was.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Running(RunningError::Monitor { cause, .. }) => matches!(cause, ControlError::Refused(_)),
            _ => true,
        }
    }
}

/// What plans call the volumes of a pod.
fn places_of(manifest: &PodManifest) -> Vec<String> {
    volumes::of_pod(manifest).into_iter().map(|(place, _)| place).collect()
}

fn open_lock(pod: &Pod) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(pod, LOCK, flags, Mode::from_raw_mode(0o640))?)
}

/// Why a pod was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It does not run, or its monitor does not answer or refuses.
    #[error(transparent)]
    Running(RunningError),
    /// Somebody else changes it, whose change is not made yet.
    #[error("pod \"{uuid}\" is being changed")]
    Busy {
        /// Which.
        uuid: Uuid,
    },
    /// Nothing is recorded of it.
    #[error("nothing is recorded of pod \"{uuid}\", so it cannot be planned again")]
    NotRecorded {
        /// Which.
        uuid: Uuid,
    },
    /// What this rkt would not allow any more.
    #[error("the plan by which pod \"{uuid}\" runs")]
    Recorded {
        /// Which.
        uuid: Uuid,
        /// What speaks against it.
        #[source]
        cause: Refusal,
    },
    /// The plan of the pod as it is to be differs in what cannot change.
    #[error("pod \"{uuid}\"")]
    Unchangeable {
        /// Which.
        uuid: Uuid,
        /// In what.
        #[source]
        cause: Unchangeable,
    },
    /// It has no such app.
    #[error("pod \"{uuid}\" has no app {app:?}")]
    NoApp {
        /// Which.
        uuid: Uuid,
        /// The app's name.
        app: String,
    },
    /// What is read of it.
    #[error(transparent)]
    Pod(PodError),
    /// What is written into its directory.
    #[error("cannot write the directory of pod \"{uuid}\"")]
    Directory {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A volume.
    #[error(transparent)]
    Volume(NoVolume),
}
