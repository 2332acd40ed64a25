//! The manifest of a pod.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::app::MountPath;
use crate::json::{is_false, null_as_default, texts_by_name};
use crate::manifest::{self, ManifestError};
use crate::{AcIdentifier, AcName, AcVersion, Annotations, App, ExposedPort, ImageId, Isolators, Labels, Volume};

/// What a pod is made of (specification, "Pod Manifest Schema").
///
/// Fields that this version of the specification does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPodManifest", into = "RawPodManifest")]
pub struct PodManifest {
    /// The version of the specification; rkt writes its own here, for what reads its manifests
    /// expects that.
    pub ac_version: AcVersion,
    /// The apps, no two of a name.
    apps: Vec<RuntimeApp>,
    /// The volumes, no two of a name.
    volumes: Vec<Volume>,
    /// What limits the pod as a whole.
    pub isolators: Isolators,
    /// Remarks.
    pub annotations: Annotations,
    /// Ports of the host that lead to apps.
    pub ports: Vec<ExposedPort>,
    /// The user's remarks, which rkt does not interpret.
    pub user_annotations: BTreeMap<String, String>,
    /// The user's labels, which rkt does not interpret.
    pub user_labels: BTreeMap<String, String>,
}

impl PodManifest {
    /// The manifest of a pod of these apps and volumes.
    ///
    /// # Errors
    /// Where two apps, or two volumes, have the same name.
    pub fn new(ac_version: AcVersion, apps: Vec<RuntimeApp>, volumes: Vec<Volume>) -> Result<Self, RepeatedName> {
        repeated("apps", apps.iter().map(|app| &app.name))?;
        repeated("volumes", volumes.iter().map(|volume| &volume.name))?;
        Ok(Self {
            ac_version,
            apps,
            volumes,
            isolators: Isolators::default(),
            annotations: Annotations::default(),
            ports: Vec::new(),
            user_annotations: BTreeMap::new(),
            user_labels: BTreeMap::new(),
        })
    }

    /// The same pod with these apps in the place of its own, and more volumes.
    ///
    /// # Errors
    /// Where two apps, or two volumes, have the same name.
    pub fn with_apps(&self, apps: Vec<RuntimeApp>, volumes: Vec<Volume>) -> Result<Self, RepeatedName> {
        let volumes = self.volumes.iter().cloned().chain(volumes).collect();
        let Self { apps, volumes, .. } = Self::new(self.ac_version.clone(), apps, volumes)?;
        Ok(Self { apps, volumes, ..self.clone() })
    }

    /// The same pod without one of its apps and some of its volumes.
    #[must_use]
    pub fn without(&self, app: &AcName, volumes: &BTreeSet<AcName>) -> Self {
        let apps = self.apps.iter().filter(|other| other.name != *app).cloned().collect();
        let volumes = self.volumes.iter().filter(|volume| !volumes.contains(&volume.name)).cloned().collect();
        Self { apps, volumes, ..self.clone() }
    }

    /// The apps, in order; each name stands once.
    pub fn apps(&self) -> &[RuntimeApp] {
        &self.apps
    }

    /// The volumes, in order; each name stands once.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// Reads a manifest and checks it against the specification.
    ///
    /// # Errors
    /// Where it is no JSON, or breaks a rule; names the field.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        manifest::parse("the pod manifest", json)
    }

    /// The manifest as JSON, its fields in the order that rkt always wrote.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest has only text keys")
    }
}

/// Two apps, or two volumes, of a pod with the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{list}[{index}].name: {name:?} is the name of {list}[{first}] too")]
pub struct RepeatedName {
    list: &'static str,
    first: usize,
    index: usize,
    name: String,
}

/// Lists of manifests are short: a quadratic search costs less than a set.
fn repeated<'a>(list: &'static str, names: impl Iterator<Item = &'a AcName>) -> Result<(), RepeatedName> {
    let names: Vec<&AcName> = names.collect();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = names[..index].iter().position(|other| other == name) {
            return Err(RepeatedName { list, first, index, name: name.to_string() });
        }
    }
    Ok(())
}

/// An app of a pod: an image, and what the pod says of how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeApp {
    /// Its name in the pod.
    pub name: AcName,
    /// What it is run from.
    pub image: RuntimeImage,
    /// How it is run; takes the place of what the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Whether its root can be written to only where volumes are.
    #[serde(rename = "readOnlyRootFS", default, skip_serializing_if = "is_false")]
    pub read_only_root_fs: bool,
    /// Which volumes it has and where.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Remarks.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// The image that an app is run from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeImage {
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AcIdentifier>,
    /// Its content.
    pub id: ImageId,
    /// Its labels, for people.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// A volume's place in an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// The pod's volume of this name, unless `app_volume` is there.
    pub volume: AcName,
    /// Where, inside the app's root.
    pub path: MountPath,
    /// A volume that only this app has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_volume: Option<Volume>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPodManifest {
    ac_version: AcVersion,
    ac_kind: Kind,
    #[serde(default, deserialize_with = "null_as_default")]
    apps: Vec<RuntimeApp>,
    #[serde(default, deserialize_with = "null_as_default")]
    volumes: Vec<Volume>,
    #[serde(default, deserialize_with = "null_as_default")]
    isolators: Isolators,
    #[serde(default, deserialize_with = "null_as_default")]
    annotations: Annotations,
    #[serde(default, deserialize_with = "null_as_default")]
    ports: Vec<ExposedPort>,
    #[serde(default, deserialize_with = "texts_by_name", skip_serializing_if = "BTreeMap::is_empty")]
    user_annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "texts_by_name", skip_serializing_if = "BTreeMap::is_empty")]
    user_labels: BTreeMap<String, String>,
}

/// The one kind that a pod manifest can be of.
#[derive(Serialize, Deserialize)]
enum Kind {
    PodManifest,
}

impl TryFrom<RawPodManifest> for PodManifest {
    type Error = RepeatedName;

    fn try_from(raw: RawPodManifest) -> Result<Self, Self::Error> {
        let Kind::PodManifest = raw.ac_kind;
        let manifest = Self::new(raw.ac_version, raw.apps, raw.volumes)?;
        Ok(Self {
            isolators: raw.isolators,
            annotations: raw.annotations,
            ports: raw.ports,
            user_annotations: raw.user_annotations,
            user_labels: raw.user_labels,
            ..manifest
        })
    }
}

impl From<PodManifest> for RawPodManifest {
    fn from(manifest: PodManifest) -> Self {
        Self {
            ac_version: manifest.ac_version,
            ac_kind: Kind::PodManifest,
            apps: manifest.apps,
            volumes: manifest.volumes,
            isolators: manifest.isolators,
            annotations: manifest.annotations,
            ports: manifest.ports,
            user_annotations: manifest.user_annotations,
            user_labels: manifest.user_labels,
        }
    }
}
