//! What a user asks for: images, and what is said about them. Nothing is resolved yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rkt_appc::app::WorkingDirectory;
use rkt_appc::{
    AcName, Annotations, ImageId, ImageManifest, Isolator, Mount, Owner, PodManifest, RuntimeApp, UnixId, Variable,
    Volume,
};
use rkt_executor::layers;
use rkt_image::{Image, Peek, RenderError, Rendering, Verification};
use rkt_plan::CleanPath;
use rustix::fs::{FileType, Stat};

pub use crate::environment::PodEnvironment;
pub use crate::home::Storage;
pub use crate::user::ImageFiles;

/// A pod that is asked for.
#[derive(Debug, Default)]
pub struct PodRequest {
    /// Its apps, in order.
    pub apps: Vec<AppRequest>,
    /// Its volumes; names are unique.
    pub volumes: Vec<Volume>,
    /// Mounts in every app, where the app has none of its own on that path.
    pub mounts: Vec<Mount>,
    /// Variables of every app.
    pub environment: PodEnvironment,
    /// The host name, where one is asked for.
    pub hostname: Option<String>,
    /// How its apps' roots are kept.
    pub storage: Storage,
    /// Options of the flavor.
    pub settings: BTreeMap<String, String>,
}

/// A pod whose manifest the user wrote.
#[derive(Debug)]
pub struct ManifestRequest {
    pub(crate) manifest: PodManifest,
    /// One for each app, in their order.
    pub(crate) images: Vec<AppImage>,
    /// Isolators of every app, in the place of those of the same kind.
    pub isolators: Vec<Isolator>,
    /// The host name, where one is asked for.
    pub hostname: Option<String>,
    /// How its apps' roots are kept.
    pub storage: Storage,
    /// Options of the flavor.
    pub settings: BTreeMap<String, String>,
}

impl ManifestRequest {
    /// The pod of a manifest, of which nothing else is said. `image_of` finds the image of an app, which has this
    /// number.
    ///
    /// # Errors
    /// Where an image is not found.
    pub fn new<E>(
        manifest: PodManifest,
        mut image_of: impl FnMut(usize, &RuntimeApp) -> Result<AppImage, E>,
    ) -> Result<Self, E> {
        let images = manifest.apps().iter().enumerate().map(|(index, app)| image_of(index, app));
        let images = images.collect::<Result<_, _>>()?;
        let storage = Storage::default();
        Ok(Self { manifest, images, isolators: Vec::new(), hostname: None, storage, settings: BTreeMap::new() })
    }
}

/// An app that is asked for: an image, and what is to be other than the image says.
#[derive(Debug)]
pub struct AppRequest {
    /// What it is run from.
    pub image: AppImage,
    /// What the user says.
    pub overrides: Overrides,
}

/// The image of an app.
#[derive(Debug)]
pub struct AppImage {
    /// Its content.
    pub id: ImageId,
    /// What it says of itself.
    pub manifest: ImageManifest,
    /// Where its users are looked up.
    pub files: ImageFiles,
    /// Its trees, topmost first; none of an archive that was only looked into.
    pub trees: Vec<PathBuf>,
    /// What keeps them in the store as long as this lives; none where they are not of a store.
    pub rendering: Option<Rendering>,
}

/// Why an image of the store cannot be that of an app.
#[derive(Debug, thiserror::Error)]
pub enum AppImageError {
    /// What it depends on, or the one tree that is made of all.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Its files cannot be looked at.
    #[error("cannot look into image {id}")]
    Files {
        /// Which.
        id: ImageId,
        /// Why.
        #[source]
        cause: rkt_executor::Failure,
    },
}

impl AppImage {
    /// An image in the store, with what it depends on.
    ///
    /// # Errors
    /// Where a dependency is missing or may not be used, or the files are gone.
    pub fn stored(image: &Image, verification: Verification) -> Result<Self, AppImageError> {
        let rendering = image.render(verification)?;
        let id = image.info.id.clone();
        let seen = layers::of_image(rendering.trees());
        let root = seen.map_err(|cause| AppImageError::Files { id: id.clone(), cause })?;
        let trees = rendering.trees().to_vec();
        let (manifest, files) = (image.manifest.clone(), ImageFiles::Tree(root));
        Ok(Self { id, manifest, files, trees, rendering: Some(rendering) })
    }

    /// An archive that was looked into: enough to plan a pod, not to run it.
    pub fn peeked(peek: Peek) -> Self {
        let Peek { id, manifest, passwd, group } = peek;
        Self { id, manifest, files: ImageFiles::Archive { passwd, group }, trees: Vec::new(), rendering: None }
    }

    /// A directory of it, where it has one there; nothing is known of one in an archive.
    pub(crate) fn directory(&self, path: &CleanPath) -> Option<Stat> {
        let ImageFiles::Tree(root) = &self.files else { return None };
        let stat = root.stat(Path::new(path.as_str())).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::Directory).then_some(stat)
    }

    /// Whether it was made from an image of Docker's, where mount points mean what `VOLUME` means there.
    pub(crate) fn is_from_docker(&self) -> bool {
        self.manifest.annotations.get("appc.io/docker/repository").is_some()
    }
}

/// What the user says about one app, instead of what its image says.
#[derive(Debug, Default)]
pub struct Overrides {
    /// Its name in the pod.
    pub name: Option<AcName>,
    /// The program, in the place of the image's program and arguments.
    pub exec: Option<String>,
    /// Arguments after the image's or the user's.
    pub arguments: Vec<String>,
    /// Whether arguments, where there are any, take the place of the image's.
    pub arguments_replace: bool,
    /// The user.
    pub user: Option<Owner>,
    /// The group.
    pub group: Option<Owner>,
    /// Further groups.
    pub supplementary_gids: Option<Vec<UnixId>>,
    /// Where it starts.
    pub working_directory: Option<WorkingDirectory>,
    /// Variables.
    pub environment: Vec<Variable>,
    /// Whether its root cannot be written to.
    pub read_only_root: bool,
    /// Volumes and where they are.
    pub mounts: Vec<Mount>,
    /// Limits and confinement.
    pub isolators: Vec<Isolator>,
    /// Remarks about it in the pod's manifest.
    pub annotations: Annotations,
    /// The user's remarks, in the place of all of the image's.
    pub user_annotations: Option<BTreeMap<String, String>>,
    /// The user's labels, in the place of all of the image's.
    pub user_labels: Option<BTreeMap<String, String>>,
}
