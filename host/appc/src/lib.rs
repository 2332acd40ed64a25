//! The types of the App Container specification (version 0.8.11): image manifests, pod manifests and
//! the words they are made of.
//!
//! A value of one of these types is valid: all come from parsing, and what parsing accepts is what
//! images in the wild hold, which here and there is more than the text of the specification allows.
//! This crate does no I/O, and knows neither what a kernel can do nor what rkt makes of a request.

#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "what is expected here holds by the type's own rule")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod app;
pub mod id;
pub mod image;
pub mod isolator;
mod json;
pub mod labels;
pub mod manifest;
pub mod name;
pub mod owner;
pub mod platform;
pub mod pod;
pub mod port;
pub mod quantity;
pub mod text;
pub mod version;
pub mod volume;

pub use app::{App, Environment, EventHandlers, MountPoint, Variable};
pub use id::{ImageId, ImageKey};
pub use image::{Dependency, ImageManifest};
pub use isolator::{Isolator, Isolators};
pub use labels::{Annotation, Annotations, Label, Labels};
pub use manifest::ManifestError;
pub use name::{AcIdentifier, AcName};
pub use owner::{Owner, UnixId};
pub use platform::{Platform, PlatformError};
pub use pod::{Mount, PodManifest, RepeatedName, RuntimeApp, RuntimeImage};
pub use port::{ExposedPort, Port};
pub use quantity::Quantity;
pub use text::InvalidValue;
pub use version::AcVersion;
pub use volume::{Volume, VolumeKind};
