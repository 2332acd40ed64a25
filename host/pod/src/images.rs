//! Which images and trees of the store pods need: what each pod's directory says.
//!
//! An app's list is written when what the app has is made, and goes with it. The image that a plugin came in is
//! in the pod's record, or in what was written down when it was prepared.

use std::io;

use rkt_appc::AcName;
use rkt_image::InUse;
use serde::Deserialize;

use crate::files;
use crate::pod::{Pod, PodError};
use crate::pods::{Pods, PodsError};
use crate::prepared;
use crate::record::{Names, Record};
use crate::state::Stage;
use crate::uuid::Uuid;

/// The parts of a pod's life in which it needs what it was made of. Garbage needs nothing.
const NEEDING: [Stage; 5] = [Stage::Embryo, Stage::Prepare, Stage::Prepared, Stage::Run, Stage::ExitedGarbage];

/// Where an app's list is: a name on each line.
pub(crate) fn list_path(app: &AcName) -> String {
    format!("{}/{app}/images", crate::home::MANIFESTS)
}

impl Pods {
    /// What of the store pods need, and which pods.
    ///
    /// # Errors
    /// Where pods, or one of them, cannot be read: what it needs is not known then.
    pub fn images(&self) -> Result<InUse, InUseError> {
        let mut in_use = InUse::default();
        for pod in self.list(&NEEDING)? {
            let pod = pod?;
            let uuid = pod.uuid();
            for image in needs(&pod).map_err(|cause| InUseError::Pod { uuid, cause })? {
                in_use.add(image, &uuid.to_string());
            }
        }
        Ok(in_use)
    }
}

/// Why it is not known what is in use.
#[derive(Debug, thiserror::Error)]
pub enum InUseError {
    /// Where pods are.
    #[error(transparent)]
    Pods(#[from] PodsError),
    /// One pod.
    #[error("it is not known which images pod \"{uuid}\" needs (rkt gc removes what is left of broken pods)")]
    Pod {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: PodError,
    },
}

/// A part of a pod's manifest, which may be of another version of rkt.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    apps: Vec<App>,
}

#[derive(Deserialize)]
struct App {
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    id: rkt_appc::ImageId,
}

fn needs(pod: &Pod) -> Result<Vec<String>, PodError> {
    let read = |path: &str| {
        let failed = |cause| PodError::Read { uuid: pod.uuid(), file: path.to_owned(), cause };
        files::read(pod, path).map_err(failed)
    };
    let torn = |cause| PodError::Record { uuid: pod.uuid(), cause };
    let mut needed = Vec::new();
    // An older rkt made no lists.
    if let Some(json) = read("pod")?.filter(|json| !json.is_empty()) {
        let manifest: Manifest = serde_json::from_slice(&json).map_err(torn)?;
        needed.extend(manifest.apps.into_iter().map(|app| app.image.id.key().to_string()));
    }
    for file in [Record::FILE, prepared::FILE] {
        if let Some(json) = read(file)? {
            let names: Names = serde_json::from_slice(&json).map_err(torn)?;
            needed.extend(names.image().map(|id| id.key().to_string()));
        }
    }
    for app in apps(pod)? {
        let list = read(&list_path(&app))?.unwrap_or_default();
        needed.extend(String::from_utf8_lossy(&list).lines().map(str::to_owned));
    }
    Ok(needed)
}

fn apps(pod: &Pod) -> Result<Vec<AcName>, PodError> {
    let directory = crate::home::MANIFESTS;
    let failed = |cause| PodError::Read { uuid: pod.uuid(), file: directory.to_owned(), cause };
    let opened = match files::open_directory(pod, directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let names = files::names(std::os::fd::AsFd::as_fd(&opened)).map_err(failed)?;
    Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
}
