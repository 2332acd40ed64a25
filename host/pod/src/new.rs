//! A pod in the making: from an empty directory to the moment when the static program takes over.
//!
//! Whatever fails on the way, and dropping it, removes the directory: nothing is left. A pod that was prepared
//! before is left as it was.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rkt_appc::{AcName, PodManifest};
use rkt_executor::artifacts::{self, Workshop};
use rkt_executor::trial::Trial;
use rkt_executor::{Command, Places, Root};
use rkt_image::RenderError;
use rkt_monitor::start::{Start, StartError};
use rkt_plan::{App, Artifact};
use rkt_sys::lock::Lock;
use rkt_sys::{memfd, remove, socket};
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::files;
use crate::home::{Home, LAYERS, MANIFESTS};
use crate::plugin_image::Payload;
use crate::pods::{Pods, PodsError, open_directory};
use crate::record::Record;
use crate::resolve::{ResolvedImage, ResolvedPod};
use crate::sources::{self, NoVolume};
use crate::state::Stage;
use crate::uuid::Uuid;
use crate::verdict::Verdict;
use crate::volumes;

/// The directory with the plan's empty places.
pub(crate) const EMPTY: &str = "empty";

/// The name of the control socket in a pod's directory.
const CONTROL: &str = "control";

/// A pod that is being made. It is locked as long as this value lives.
#[derive(Debug)]
pub struct NewPod {
    pods: Pods,
    uuid: Uuid,
    stage: Stage,
    /// Its description holds the lock.
    directory: OwnedFd,
    /// What becomes of the directory where the pod is given up.
    given_up: GivenUp,
}

/// What becomes of the directory of a pod that is not started after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GivenUp {
    /// It was made for this start, and goes.
    Removed,
    /// It was there before.
    Left,
}

/// The static program, and how it is to behave.
#[derive(Debug, Clone)]
pub struct Monitor {
    /// Its file.
    pub program: PathBuf,
    /// Whether it says what it does.
    pub debug: bool,
}

/// What of a pod is there before its plan is.
#[derive(Debug)]
pub struct Written {
    /// Where the plan's places are going to be.
    pub places: Places,
    /// Listens; nobody is answered before the pod runs.
    control: UnixListener,
    /// Keeps the image of the flavor in the store.
    _payload: Option<Payload>,
}

impl NewPod {
    /// None where a collector came before the directory was locked, and took it for one that nobody goes on with.
    pub(crate) fn create(pods: &Pods, uuid: Uuid) -> rkt_sys::Result<Option<Self>> {
        let path = pods.path(uuid, Stage::Embryo);
        let failed = |call| move |cause| rkt_sys::Error::new(call, uuid, cause);
        rustix::fs::mkdir(&path, Mode::from_raw_mode(0o750)).map_err(failed("mkdir"))?;
        let directory = match open_directory(&path) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(failed("open"))?,
        };
        let (pods, given_up) = (pods.clone(), GivenUp::Removed);
        let mut pod = Self { pods, uuid, stage: Stage::Embryo, directory, given_up };
        // Only a collector holds an embryo, until it is out of the way.
        let copy = pod.directory.try_clone().map_err(|cause| rkt_sys::Error::new("dup", uuid, cause))?;
        pod.directory = Lock::exclusive(copy)?.into();
        match pod.move_to(Stage::Prepare) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(|()| Some(pod)).map_err(|cause| rkt_sys::Error::new("rename", uuid, cause)),
        }
    }

    /// A pod that was prepared before; the lock is on its directory.
    pub(crate) fn taken(pods: &Pods, uuid: Uuid, lock: Lock) -> Self {
        let (stage, given_up) = (Stage::Prepared, GivenUp::Left);
        Self { pods: pods.clone(), uuid, stage, directory: lock.into(), given_up }
    }

    /// Its name.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Writes the pod's manifest.
    ///
    /// # Errors
    /// Where something cannot be written.
    pub fn write_manifest(&self, pod: &ResolvedPod) -> Result<(), NewPodError> {
        self.manifest(pod).map_err(|cause| NewPodError::Write { uuid: self.uuid, cause })
    }

    /// Makes what its apps have in its directory and the directories that its volumes need, and listens for
    /// its clients. `payload` is the image that its flavor came in; it is kept until the pod's record names it.
    ///
    /// # Errors
    /// Where a volume's source does not exist, or something cannot be made.
    pub fn make_places(&self, pod: &ResolvedPod, payload: Option<Payload>) -> Result<Written, NewPodError> {
        // First of all, so that nothing is made of a pod that cannot be run.
        let volumes = self.find_volumes(&pod.manifest, &pod.view.apps)?;
        let roots = self.fill(pod)?;
        self.listen(roots, volumes, payload)
    }

    /// Where the volumes are that these of its apps mount; those that are empty are made by [`NewPod::fill`].
    pub(crate) fn find_volumes(
        &self,
        manifest: &PodManifest,
        apps: &[App],
    ) -> Result<BTreeMap<String, PathBuf>, NewPodError> {
        let path = self.home();
        let home = Home { directory: self.directory.as_fd(), path: &path };
        sources::find(home, manifest, apps).map_err(NewPodError::Volume)
    }

    /// Makes what its apps have in its directory, and its empty volumes; where its apps' roots are.
    pub(crate) fn fill(&self, pod: &ResolvedPod) -> Result<BTreeMap<String, Root>, NewPodError> {
        let failed = |cause| NewPodError::Write { uuid: self.uuid, cause };
        for directory in [MANIFESTS, LAYERS] {
            files::make_directory(&self.directory, directory, 0o750).map_err(failed)?;
        }
        let path = self.home();
        let home = Home { directory: self.directory.as_fd(), path: &path };
        for (place, volume) in volumes::of_pod(&pod.manifest) {
            home.add_empty(&place, volume, &pod.seeds).map_err(failed)?;
        }
        let root =
            |(app, image): (&AcName, &ResolvedImage)| Ok((app.to_string(), home.add_app(app, image, pod.storage)?));
        pod.images.iter().map(root).collect::<io::Result<_>>().map_err(failed)
    }

    /// Listens for its clients.
    pub(crate) fn listen(
        &self,
        roots: BTreeMap<String, Root>,
        volumes: BTreeMap<String, PathBuf>,
        payload: Option<Payload>,
    ) -> Result<Written, NewPodError> {
        let control = socket::listen(self.directory.as_fd(), OsStr::new(CONTROL))
            .map_err(|cause| NewPodError::Socket { uuid: self.uuid, cause })?;
        let files = payload.as_ref().map(|payload| payload.root().to_owned());
        let empty = self.home().join(EMPTY);
        let places = Places { roots, volumes, empty, payload: files, artifacts: Vec::new() };
        Ok(Written { places, control, _payload: payload })
    }

    /// Makes or finds what the programs of a pod's plan need, and notes in `places` where it is. `kernel` is what the
    /// operator names for guests; none: the host's own.
    ///
    /// # Errors
    /// Where something is missing or cannot be made, or a volume cannot be reached from where the apps will be.
    pub fn make_artifacts(
        &self,
        verdict: &Verdict,
        places: &mut Places,
        monitor: &Monitor,
        kernel: Option<&Path>,
    ) -> Result<(), NewPodError> {
        sources::check_reach(&verdict.plan, &places.volumes).map_err(NewPodError::Volume)?;
        // A file system in a file is made of one tree.
        for artifact in verdict.plan.artifacts() {
            if let Artifact::RootImage(app) = artifact
                && let Some(root) = places.roots.get_mut(&app)
            {
                root.lower = vec![rkt_image::one_tree(&root.lower).map_err(NewPodError::Render)?];
            }
        }
        let directory = self.pods.path(self.uuid, self.stage);
        let workshop = Workshop { init: &monitor.program, kernel, pod: &directory, home: &self.home() };
        let made = artifacts::make(&verdict.plan, places, &workshop);
        places.artifacts = made.map_err(|cause| NewPodError::Artifact { uuid: self.uuid, cause })?;
        Ok(())
    }

    /// Starts the pod: this process becomes the static program. `view` is the pod that the verdict is about, and
    /// `commands` what its apps run. Returns only to say why not, and then nothing of the pod is left, unless it was
    /// prepared before.
    pub fn start(
        mut self,
        view: rkt_plan::Pod,
        commands: BTreeMap<String, Command>,
        written: Written,
        verdict: Verdict,
        monitor: &Monitor,
    ) -> NewPodError {
        match self.ready(view, commands, written, verdict, monitor) {
            // The lock goes with the descriptor: the pod is removed before it is given up.
            Ok(start) => NewPodError::Monitor(rkt_monitor::start::exec(&start)),
            Err(error) => error,
        }
    }

    fn ready(
        &mut self,
        view: rkt_plan::Pod,
        commands: BTreeMap<String, Command>,
        written: Written,
        verdict: Verdict,
        monitor: &Monitor,
    ) -> Result<Start, NewPodError> {
        let uuid = self.uuid;
        let failed = |cause| NewPodError::Write { uuid, cause };
        let trial = Trial { notes: self.pods.notes_about_devices(), devices: verdict.untried() };
        let Verdict { proposal, plan } = verdict;
        let record = Record { pod: view, proposal, answers: plan.answers };
        files::write(&self.directory, Record::FILE, 0o640, &record.to_json()).map_err(failed)?;
        let json = record.into_launch(written.places, commands, trial);
        let launch = memfd::sealed("rkt-launch", &json).map_err(|cause| NewPodError::Socket { uuid, cause })?;
        self.pods.make_stage(Stage::Run).map_err(NewPodError::Directory)?;
        self.move_to(Stage::Run).map_err(failed)?;
        let pod = self.directory.try_clone().map_err(failed)?;
        Ok(Start {
            program: monitor.program.clone(),
            launch,
            pod,
            control: written.control.into(),
            debug: monitor.debug,
        })
    }

    /// Moves the pod so that it is there after a power cut, with all that was synchronised in it.
    pub(crate) fn make_durable(&mut self, stage: Stage) -> Result<(), NewPodError> {
        let uuid = self.uuid;
        let failed = |cause| NewPodError::Write { uuid, cause };
        self.pods.make_stage(stage).map_err(NewPodError::Directory)?;
        let before = self.stage;
        self.move_to(stage).map_err(failed)?;
        for parent in [stage, before] {
            let directory = open_directory(&self.pods.stage_path(parent)).map_err(|cause| failed(cause.into()))?;
            rustix::fs::fsync(directory).map_err(|cause| failed(cause.into()))?;
        }
        Ok(())
    }

    /// Gives the pod out of hand, as it is.
    pub(crate) fn leave(mut self) {
        self.given_up = GivenUp::Left;
    }

    fn manifest(&self, pod: &ResolvedPod) -> io::Result<()> {
        files::write(&self.directory, "pod", 0o640, pod.manifest.to_json().as_bytes())?;
        files::write(&self.directory, "pod-created", 0o640, b"")
    }

    /// Where the pod is once it runs, which is what its launch names.
    fn home(&self) -> PathBuf {
        self.pods.path(self.uuid, Stage::Run)
    }

    fn move_to(&mut self, stage: Stage) -> io::Result<()> {
        rustix::fs::rename(self.pods.path(self.uuid, self.stage), self.pods.path(self.uuid, stage))?;
        self.stage = stage;
        Ok(())
    }
}

impl AsFd for NewPod {
    /// The pod's directory.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for NewPod {
    fn drop(&mut self) {
        if self.given_up == GivenUp::Left {
            return;
        }
        // What cannot be removed now is left for `gc`, which says so.
        let path = self.pods.stage_path(self.stage);
        if let Ok(parent) = open_directory(&path) {
            let _ = remove::remove_tree(parent.as_fd(), OsStr::new(&self.uuid.to_string()));
        }
    }
}

/// Why a pod was not made or not started.
#[derive(Debug, thiserror::Error)]
pub enum NewPodError {
    /// Its directory.
    #[error("cannot write the directory of pod \"{uuid}\"")]
    Write {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The directory that it goes to.
    #[error(transparent)]
    Directory(PodsError),
    /// A volume.
    #[error(transparent)]
    Volume(NoVolume),
    /// The one tree of an image that a file system in a file is made of.
    #[error(transparent)]
    Render(RenderError),
    /// What its plan's programs need.
    #[error("cannot make what pod \"{uuid}\" is run with")]
    Artifact {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: rkt_executor::Failure,
    },
    /// What the static program is given.
    #[error("cannot start pod \"{uuid}\"")]
    Socket {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: rkt_sys::Error,
    },
    /// The static program.
    #[error(transparent)]
    Monitor(StartError),
}
