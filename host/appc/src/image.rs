//! The manifest of an image.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::json::null_as_default;
use crate::manifest::{self, ManifestError};
use crate::text::checked_text;
use crate::{AcIdentifier, AcVersion, Annotations, App, ImageId, InvalidValue, Labels, platform};

/// What an image says of itself (specification, "Image Manifest Schema").
///
/// Fields that this version of the specification does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RawImageManifest", into = "RawImageManifest")]
pub struct ImageManifest {
    /// The version of the specification that it follows.
    pub ac_version: AcVersion,
    /// Of the image; others may have the same.
    pub name: AcIdentifier,
    /// What distinguishes it from others of its name.
    pub labels: Labels,
    /// How to run it; without, it is of use as a dependency, or with a program from elsewhere.
    pub app: Option<App>,
    /// Remarks.
    pub annotations: Annotations,
    /// Images whose files lie below its own.
    pub dependencies: Vec<Dependency>,
    /// The only paths that remain of its files and those of its dependencies; all where it is empty.
    pub path_whitelist: Vec<WhitelistPath>,
}

impl ImageManifest {
    /// The manifest of an image that has only a name.
    pub fn new(name: AcIdentifier) -> Self {
        Self {
            ac_version: AcVersion::CURRENT,
            name,
            labels: Labels::default(),
            app: None,
            annotations: Annotations::default(),
            dependencies: Vec::new(),
            path_whitelist: Vec::new(),
        }
    }

    /// Reads a manifest and checks it against the specification.
    ///
    /// # Errors
    /// Where it is no JSON, or breaks a rule; names the field.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        manifest::parse("the image manifest", json)
    }

    /// The manifest as JSON, its fields in the order of the specification.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest has only text keys")
    }
}

/// An image whose files lie below those of the one that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name.
    pub image_name: AcIdentifier,
    /// Its content, where it must be exactly this.
    #[serde(rename = "imageID", default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// Labels that it must have.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The size of its archive in bytes, where it must be this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// An absolute path inside the root of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WhitelistPath(String);

checked_text!(WhitelistPath);

impl WhitelistPath {
    fn check(text: &str) -> Result<(), InvalidValue> {
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(());
        }
        Err(InvalidValue::new("path of a whitelist", text, "it is absolute"))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawImageManifest {
    ac_kind: Kind,
    ac_version: AcVersion,
    name: AcIdentifier,
    #[serde(default, deserialize_with = "of_an_image", skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<App>,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Dependency>,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    path_whitelist: Vec<WhitelistPath>,
}

/// The one kind that an image manifest can be of.
#[derive(Serialize, Deserialize)]
enum Kind {
    ImageManifest,
}

/// Labels, of which `os` and `arch` name a platform that there is.
fn of_an_image<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    let labels = null_as_default(deserializer)?;
    platform::check(&labels).map_err(D::Error::custom)?;
    Ok(labels)
}

impl From<RawImageManifest> for ImageManifest {
    fn from(raw: RawImageManifest) -> Self {
        let Kind::ImageManifest = raw.ac_kind;
        Self {
            ac_version: raw.ac_version,
            name: raw.name,
            labels: raw.labels,
            app: raw.app,
            annotations: raw.annotations,
            dependencies: raw.dependencies,
            path_whitelist: raw.path_whitelist,
        }
    }
}

impl From<ImageManifest> for RawImageManifest {
    fn from(manifest: ImageManifest) -> Self {
        Self {
            ac_kind: Kind::ImageManifest,
            ac_version: manifest.ac_version,
            name: manifest.name,
            labels: manifest.labels,
            app: manifest.app,
            annotations: manifest.annotations,
            dependencies: manifest.dependencies,
            path_whitelist: manifest.path_whitelist,
        }
    }
}
