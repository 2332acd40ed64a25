//! Pods as `list` and `status` tell them to programs. The names and units are an interface of old: a
//! pod's UUID is its `name`, its times are seconds, those of its apps nanoseconds.

use std::collections::BTreeMap;

use rkt_appc::{AcName, PodManifest, RuntimeApp, VolumeKind};
use rkt_pod::{Pod, PodError};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use crate::arguments::OutputFormat;
use crate::escape::json;
use crate::time;

#[derive(Debug, Serialize)]
pub(super) struct PodJson {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    app_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apps: Vec<AppJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct AppJson {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    image_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<MountJson>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct MountJson {
    name: String,
    container_path: String,
    host_path: String,
    read_only: bool,
}

impl PodJson {
    /// The pod as it is now. One without a manifest yet has no apps.
    pub(super) fn of(pod: &Pod) -> Result<Self, PodError> {
        let manifest = pod.manifest().ok();
        let started = pod.started()?;
        let app = |manifest, app| AppJson::of(pod, started.is_some(), manifest, app);
        let apps = match &manifest {
            Some(manifest) => manifest.apps().iter().map(|each| app(manifest, each)).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let (user_annotations, user_labels) =
            manifest.map(|manifest| (manifest.user_annotations, manifest.user_labels)).unwrap_or_default();
        Ok(Self {
            name: pod.uuid().to_string(),
            state: pod.state().as_str(),
            app_names: apps.iter().map(|app: &AppJson| app.name.clone()).collect(),
            apps,
            created_at: pod.created()?.map(time::seconds),
            started_at: started.map(time::seconds),
            user_annotations,
            user_labels,
        })
    }
}

/// One app of a pod, as this manifest has it.
pub(super) fn of_app(
    pod: &Pod,
    manifest: &PodManifest,
    name: &AcName,
    format: OutputFormat,
) -> Result<String, PodError> {
    let has_started = pod.started()?.is_some();
    let app = manifest.apps().iter().find(|app| app.name == *name);
    let app = app.map(|app| AppJson::of(pod, has_started, manifest, app)).transpose()?;
    Ok(text(&app, format))
}

impl AppJson {
    fn of(pod: &Pod, pod_has_started: bool, manifest: &PodManifest, app: &RuntimeApp) -> Result<Self, PodError> {
        let exit = pod.exit(&app.name)?;
        let state = match exit {
            Some(_) => "exited",
            None if !pod_has_started => "created",
            None if pod.state().has_ended() => "unknown",
            None => "running",
        };
        let section = app.app.as_ref();
        Ok(Self {
            name: app.name.to_string(),
            state,
            created_at: pod.app_created(&app.name)?.map(time::nanoseconds),
            started_at: pod.app_started(&app.name)?.map(time::nanoseconds),
            finished_at: exit.map(|exit| time::nanoseconds(exit.at)),
            exit_code: exit.map(|exit| exit.code),
            image_id: app.image.id.to_string(),
            mounts: app.mounts.iter().filter_map(|mount| MountJson::of(pod, manifest, mount)).collect(),
            user_annotations: section.map(|section| section.user_annotations.clone()).unwrap_or_default(),
            user_labels: section.map(|section| section.user_labels.clone()).unwrap_or_default(),
        })
    }
}

impl MountJson {
    fn of(pod: &Pod, manifest: &PodManifest, mount: &rkt_appc::Mount) -> Option<Self> {
        let volume = manifest.volumes().iter().find(|volume| volume.name == mount.volume)?;
        let host_path = match &volume.kind {
            VolumeKind::Host { source, .. } => source.clone(),
            VolumeKind::Empty { .. } => {
                pod.path().join("sharedVolumes").join(volume.name.as_str()).display().to_string()
            }
        };
        Some(Self {
            name: mount.volume.to_string(),
            container_path: mount.path.to_string(),
            host_path,
            read_only: volume.read_only.unwrap_or(false),
        })
    }
}

/// JSON on one line, or on many with tabs. It steers no terminal.
pub(super) fn text(value: &impl Serialize, format: OutputFormat) -> String {
    let mut bytes = Vec::new();
    let written = if format == OutputFormat::JsonPretty {
        let formatter = PrettyFormatter::with_indent(b"\t");
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
    } else {
        serde_json::to_writer(&mut bytes, value)
    };
    written.expect("what rkt tells has only text keys");
    bytes.push(b'\n');
    json(&String::from_utf8(bytes).expect("JSON is text")).into_owned()
}
