//! A pod between `prepare` and `run-prepared`: complete, on disk for good, held by nobody, and not planned yet.
//!
//! What was resolved is written down, with the plugin that is to plan it. What of it depends on the host, as
//! where the source of a volume leads, is looked up when it is started, and so is what its flavor says.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;

use rkt_appc::{ManifestError, PodManifest};
use rkt_executor::{Command, Root};
use rkt_sys::remove;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::hold::{Held, hold};
use crate::home::{LAYERS, MANIFESTS, VOLUMES};
use crate::new::{NewPod, NewPodError, Written};
use crate::plugin_image::Payload;
use crate::pods::{Pods, PodsError};
use crate::record::PluginIdentity;
use crate::resolve::ResolvedPod;
use crate::state::Stage;
use crate::uuid::Uuid;

/// All that is in the directory of a prepared pod. Whatever else is there was left by a start that was cut off.
const CONTENT: [&str; 6] = ["pod", "pod-created", FILE, MANIFESTS, LAYERS, VOLUMES];

/// What was resolved, by its name in the pod's directory. It has values of environments in it, as the manifest has.
pub(crate) const FILE: &str = "prepared.json";

/// What is written down of a prepared pod beside its manifest.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// For its flavor.
    view: rkt_plan::Pod,
    /// What each app runs.
    commands: BTreeMap<String, Command>,
    /// Each app's layers, where they are when the pod runs.
    roots: BTreeMap<String, Root>,
    /// Who is to plan it.
    plugin: PluginIdentity,
}

impl NewPod {
    /// Keeps the pod, to be started later and planned then by this plugin. When this returns it outlives a power
    /// cut.
    ///
    /// # Errors
    /// Where something cannot be made or written: then nothing of the pod is left.
    pub fn keep(mut self, pod: ResolvedPod, plugin: PluginIdentity) -> Result<Uuid, NewPodError> {
        let uuid = self.uuid();
        let failed = |cause| NewPodError::Write { uuid, cause };
        // So that who prepares a pod hears of what is missing, and not who starts it.
        self.find_volumes(&pod.manifest, &pod.view.apps)?;
        let roots = self.fill(&pod)?;
        let kept = Kept { view: pod.view, commands: pod.commands, roots, plugin };
        let json = serde_json::to_vec(&kept).expect("it has only text keys and paths of this host");
        files::write(&self, FILE, 0o600, &json).map_err(failed)?;
        // Also tells of errors of writing, and takes copied trees whole.
        rustix::fs::syncfs(&self).map_err(|cause| failed(cause.into()))?;
        self.make_durable(Stage::Prepared)?;
        self.leave();
        Ok(uuid)
    }
}

/// A prepared pod that is about to be started: it is locked as long as this value lives. Dropped before it is
/// started, it is a prepared pod as before.
#[derive(Debug)]
pub struct PreparedPod {
    new: NewPod,
    manifest: PodManifest,
    kept: Kept,
}

impl Pods {
    /// Takes the prepared pod whose UUID begins with this text, to start it.
    ///
    /// # Errors
    /// No pod or more than one is meant, it is not prepared or somebody else has it, or it cannot be read.
    pub fn take_prepared(&self, prefix: &str) -> Result<PreparedPod, PreparedError> {
        let pod = self.find(prefix)?;
        let uuid = pod.uuid();
        let not_prepared = || PreparedError::NotPrepared { uuid };
        if pod.stage() != Stage::Prepared {
            return Err(not_prepared());
        }
        let directory = |cause| PreparedError::Directory { uuid, cause };
        let Held::Ours(lock) = hold(&pod).map_err(directory)? else { return Err(not_prepared()) };
        let read = |file| files::read(&pod, file).map_err(directory);
        let missing = || directory(io::ErrorKind::NotFound.into());
        let manifest = PodManifest::from_json(&read("pod")?.ok_or_else(missing)?)
            .map_err(|cause| PreparedError::Manifest { uuid, cause })?;
        let kept = serde_json::from_slice(&read(FILE)?.ok_or_else(missing)?)
            .map_err(|cause| PreparedError::Kept { uuid, cause })?;
        for entry in files::names(pod.as_fd()).map_err(directory)? {
            if !CONTENT.contains(&entry.as_str()) {
                remove::remove_tree(pod.as_fd(), OsStr::new(&entry)).map_err(|error| directory(error.into()))?;
            }
        }
        Ok(PreparedPod { new: NewPod::taken(self, uuid, lock), manifest, kept })
    }
}

impl PreparedPod {
    /// Its name.
    pub fn uuid(&self) -> Uuid {
        self.new.uuid()
    }

    /// Who is to plan it.
    pub fn plugin(&self) -> &PluginIdentity {
        &self.kept.plugin
    }

    /// For its flavor.
    pub fn view(&self) -> &rkt_plan::Pod {
        &self.kept.view
    }

    /// Asks for a host name, which a pod gets when it is started.
    pub fn ask_for_hostname(&mut self, hostname: rkt_plan::Asked<String>) {
        self.kept.view.hostname = Some(hostname);
    }

    /// Where what its apps have is, and its volumes; and listens for its clients. `payload` is the image that its flavor
    /// came in.
    ///
    /// # Errors
    /// Where a volume's source does not exist any more, or the socket cannot be made.
    pub fn find_places(&self, payload: Option<Payload>) -> Result<Written, NewPodError> {
        let volumes = self.new.find_volumes(&self.manifest, &self.kept.view.apps)?;
        self.new.listen(self.kept.roots.clone(), volumes, payload)
    }

    /// The pod, to be started with this.
    pub fn into_parts(self) -> (NewPod, rkt_plan::Pod, BTreeMap<String, Command>) {
        (self.new, self.kept.view, self.kept.commands)
    }
}

/// Why a pod is not started that was to have been prepared.
#[derive(Debug, thiserror::Error)]
pub enum PreparedError {
    /// It is not found.
    #[error(transparent)]
    Pods(#[from] PodsError),
    /// It is at another time of its life.
    #[error("pod \"{uuid}\" is not prepared")]
    NotPrepared {
        /// Which.
        uuid: Uuid,
    },
    /// Its directory.
    #[error("cannot read the directory of pod \"{uuid}\"")]
    Directory {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Its manifest.
    #[error("pod \"{uuid}\"")]
    Manifest {
        /// Which.
        uuid: Uuid,
        /// What is wrong with it.
        #[source]
        cause: ManifestError,
    },
    /// What was written down when it was prepared.
    #[error("cannot understand what pod \"{uuid}\" was prepared with")]
    Kept {
        /// Which.
        uuid: Uuid,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
}
