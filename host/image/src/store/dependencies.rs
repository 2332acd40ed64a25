//! The images that an image is stacked on: those that its manifest names, and those that these name, found
//! in the store (specification, "Dependency Matching").

use std::collections::HashSet;
use std::sync::Arc;

use rkt_appc::{Dependency, ImageId, ImageKey, Label, Labels};

use super::whitelist::Whitelist;
use super::{Image, Store, StoreError};
use crate::reference::host_arch;
use crate::{SignatureRequired, Verification};

/// The most images that are stacked on each other, as in an overlay of Linux.
const MOST: usize = 500;

/// One image of a stack.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) image: Image,
    /// What of it is seen has to be on each of these: its own, and those of the images that it lies below
    /// because they name it.
    pub(super) whitelists: Whitelists,
}

/// Whitelists with the images whose they are, from the top.
pub(super) type Whitelists = Vec<(ImageKey, Arc<Whitelist>)>;

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DependencyError {
    /// The store has no image that it could be.
    #[error("{dependent} depends on {dependency}, which is not in the store: fetch it first")]
    Missing {
        /// Who needs it.
        dependent: String,
        /// What.
        dependency: String,
        /// What the store says.
        #[source]
        cause: Box<StoreError>,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// It may not be used under its name.
    #[error("{dependent} depends on {dependency}")]
    Unsigned {
        /// Who needs it.
        dependent: String,
        /// What.
        dependency: String,
        /// Why not.
        #[source]
        cause: SignatureRequired,
    },
    /// The image of this ID is another than the dependency names.
    #[error("{dependent} depends on {dependency}, but the image of that ID calls itself {name:?}")]
    OtherName {
        /// Who needs it.
        dependent: String,
        /// What.
        dependency: String,
        /// What it calls itself.
        name: String,
    },
    /// It is not as large as the dependency says.
    #[error("{dependent} depends on {dependency} of {wanted} bytes, but what is in the store has {bytes}")]
    OtherSize {
        /// Who needs it.
        dependent: String,
        /// What.
        dependency: String,
        /// Bytes that its archive should have.
        wanted: u64,
        /// Bytes that it has.
        bytes: u64,
    },
    /// An image depends on itself.
    #[error("dependencies go in a circle: {}", .0.join(" → "))]
    Circle(Vec<String>),
    /// There are too many.
    #[error("{0} stands on more than {MOST} images")]
    TooMany(String),
}

impl Store {
    /// The image and all that it depends on, topmost first. Of dependencies the one listed last lies highest,
    /// and what it depends on directly below it.
    pub(super) fn stack(&self, image: &Image, verification: Verification) -> Result<Vec<Layer>, DependencyError> {
        let mut walk = Walk { store: self, verification, layers: Vec::new(), seen: HashSet::new(), above: Vec::new() };
        walk.visit(image, &Vec::new())?;
        Ok(walk.layers)
    }

    /// The image that a dependency of `dependent` is.
    pub(super) fn dependency(&self, dependent: &Image, dependency: &Dependency) -> Result<Image, DependencyError> {
        let who = || said(dependent);
        let what = || described(dependency);
        let found = if let Some(id) = &dependency.image_id {
            self.get(id.as_str())
        } else {
            let platform = platform(&dependent.info.labels);
            let fits = |image: &Image| platform.iter().all(|label| is_no_other(&image.info.labels, label));
            self.find_where(dependency.image_name.as_str(), &dependency.labels, fits)
        };
        let image = found.map_err(|cause| match cause {
            StoreError::NoSuchId(_) | StoreError::NoSuchName { .. } => {
                DependencyError::Missing { dependent: who(), dependency: what(), cause: Box::new(cause) }
            }
            other => DependencyError::Store(other),
        })?;
        if image.info.name != dependency.image_name {
            let name = image.info.name.to_string();
            return Err(DependencyError::OtherName { dependent: who(), dependency: what(), name });
        }
        let bytes = image.info.archive_bytes;
        match dependency.size {
            Some(wanted) if wanted != bytes => {
                Err(DependencyError::OtherSize { dependent: who(), dependency: what(), wanted, bytes })
            }
            _ => Ok(image),
        }
    }
}

/// The image that a dependency of `dependent` is, out of these; none where it is missing.
pub(super) fn among(images: &[Image], dependent: &Image, dependency: &Dependency) -> Option<ImageKey> {
    if let Some(id) = &dependency.image_id {
        return Some(id.key());
    }
    let platform = platform(&dependent.info.labels);
    let fits = |image: &&Image| {
        image.info.name == dependency.image_name
            && image.info.labels.contain(&dependency.labels)
            && platform.iter().all(|label| is_no_other(&image.info.labels, label))
    };
    images.iter().filter(fits).max_by_key(|image| image.rank(&dependency.labels)).map(Image::key)
}

struct Walk<'a> {
    store: &'a Store,
    verification: Verification,
    layers: Vec<Layer>,
    /// What is in `layers`: what comes again below, filtered the same way, shows nothing that is not seen.
    seen: HashSet<(ImageKey, Vec<ImageKey>)>,
    /// The images from the top to where it is.
    above: Vec<Image>,
}

impl Walk<'_> {
    fn visit(&mut self, image: &Image, inherited: &Whitelists) -> Result<(), DependencyError> {
        let key = image.key();
        if let Some(start) = self.above.iter().position(|above| above.key() == key) {
            let circle = self.above[start..].iter().chain([image]).map(said).collect();
            return Err(DependencyError::Circle(circle));
        }
        let mut whitelists = inherited.clone();
        whitelists.extend(Whitelist::of(&image.manifest.path_whitelist).map(|list| (key.clone(), Arc::new(list))));
        let owners = whitelists.iter().map(|(owner, _)| owner.clone()).collect();
        if !self.seen.insert((key, owners)) {
            return Ok(());
        }
        if self.layers.len() == MOST {
            return Err(DependencyError::TooMany(said(self.above.first().unwrap_or(image))));
        }
        self.layers.push(Layer { image: image.clone(), whitelists: whitelists.clone() });
        self.above.push(image.clone());
        for dependency in image.manifest.dependencies.iter().rev() {
            let below = self.store.dependency(image, dependency)?;
            // By its ID any may be used: that names the content.
            if dependency.image_id.is_none() {
                let allowed = self.verification.of_name(below.info.name.as_str(), below.info.verified);
                allowed.map_err(|cause| DependencyError::Unsigned {
                    dependent: said(image),
                    dependency: described(dependency),
                    cause,
                })?;
            }
            self.visit(&below, &whitelists)?;
        }
        self.above.pop();
        Ok(())
    }
}

/// The operating system and architecture of an image, or of this host where it does not say.
fn platform(labels: &Labels) -> [Label; 2] {
    [("os", "linux"), ("arch", host_arch())].map(|(name, host)| Label {
        name: name.parse().expect("it is a label's name"),
        value: labels.get(name).unwrap_or(host).to_owned(),
    })
}

/// Whether labels do not say another thing: who says nothing fits everywhere.
fn is_no_other(labels: &Labels, wanted: &Label) -> bool {
    labels.get(wanted.name.as_str()).is_none_or(|value| value == wanted.value)
}

/// An image as people know it.
fn said(image: &Image) -> String {
    match image.info.labels.get("version") {
        Some(version) => format!("{}:{version}", image.info.name),
        None => image.info.name.to_string(),
    }
}

fn described(dependency: &Dependency) -> String {
    let name = &dependency.image_name;
    match (&dependency.image_id, dependency.labels.is_empty()) {
        (Some(id), _) => format!("{name} with the ID {}", ImageId::key(id)),
        (None, false) => format!("{name} with {}", dependency.labels),
        (None, true) => name.to_string(),
    }
}
