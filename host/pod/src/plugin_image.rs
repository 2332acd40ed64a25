//! The image that a plugin came in: its component, and beside that its payload.
//!
//! Where the component lies is the same for all; an image chooses neither that nor what is granted.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rkt_appc::{AcIdentifier, ImageId};
use rkt_image::{Image, StoreError};
use rkt_sys::lock::Lock;
use rkt_sys::root::Root;
use rustix::fs::FileType;

/// Where the component is in the image of a plugin.
const COMPONENT: &str = "/plugin.wasm";

/// An image of the store that a plugin is in, and stays there as long as this does.
#[derive(Debug, Clone)]
pub struct PluginImage {
    image: Image,
    held: Arc<Lock>,
}

/// The files of an image that a plugin came in, which stay in the store as long as this does.
#[derive(Debug, Clone)]
pub struct Payload {
    root: PathBuf,
    _held: Arc<Lock>,
}

impl Payload {
    /// Their root.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl PluginImage {
    /// What this image would be as that of a plugin.
    ///
    /// # Errors
    /// Where it depends on others or leaves files out, which is for apps, or has just been removed.
    pub fn new(image: Image) -> Result<Self, PluginImageError> {
        if !image.manifest.dependencies.is_empty() || !image.manifest.path_whitelist.is_empty() {
            return Err(PluginImageError::NotWhole { image: image.info.name.to_string() });
        }
        let held = Arc::new(image.hold()?);
        Ok(Self { image, held })
    }

    /// The name that it gives itself. Only a grant that names its ID besides is meant for it.
    pub fn name(&self) -> &AcIdentifier {
        &self.image.info.name
    }

    /// Its content: component, payload and manifest.
    pub fn id(&self) -> &ImageId {
        &self.image.info.id
    }

    /// The plugin's component.
    ///
    /// # Errors
    /// There is none where it has to be, or what is there is no plain file.
    pub fn component(&self) -> Result<File, PluginImageError> {
        let name = || self.name().to_string();
        let failed = |cause| PluginImageError::Read { image: name(), cause };
        let root = Root::open(&self.image.rootfs()).map_err(failed)?;
        let path = Path::new(COMPONENT);
        let stat = match root.stat_nofollow(path) {
            Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => {
                return Err(PluginImageError::NoComponent { image: name() });
            }
            stat => stat.map_err(failed)?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(PluginImageError::NotPlain { image: name() });
        }
        // Nothing in the store changes, so this is what was looked at.
        root.open_file(path).map_err(failed)
    }

    /// The image's files.
    pub fn payload(&self) -> Payload {
        Payload { root: self.image.rootfs(), _held: Arc::clone(&self.held) }
    }
}

/// Why an image is not that of a plugin.
#[derive(Debug, thiserror::Error)]
pub enum PluginImageError {
    /// Its files are not all that it has.
    #[error(
        "image {image} is not that of a plugin: it has dependencies or a path whitelist, and a plugin's has neither"
    )]
    NotWhole {
        /// What the image calls itself.
        image: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has no component.
    #[error("image {image} is not that of a plugin: it has no {COMPONENT}")]
    NoComponent {
        /// What the image calls itself.
        image: String,
    },
    /// Something else is in the component's place.
    #[error("image {image} is not that of a plugin: its {COMPONENT} is no plain file")]
    NotPlain {
        /// What the image calls itself.
        image: String,
    },
    /// Its files cannot be read.
    #[error("cannot read {COMPONENT} of image {image}")]
    Read {
        /// What the image calls itself.
        image: String,
        /// Why.
        #[source]
        cause: rkt_sys::Error,
    },
}
