//! What a pod's app is run from: the trees of an image and of those that it depends on, stacked, or merged into
//! one tree that is kept and shared.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rkt_appc::{ImageId, ImageKey};
use rkt_sys::lock::Lock;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use super::dependencies::{DependencyError, Layer};
use super::merge::{self, Source};
use super::staging::{IMPORT, Staging};
use super::{Image, Store, StoreError};
use crate::Verification;

/// The most trees that are stacked: Linux before 6.5 takes an overlay's layers in one option of 255 bytes,
/// which is room for 14, and the pod's own is one of them.
const MOST_STACKED: usize = 12;

/// The name of a tree that is merged of images: `deps-sha512-` and 64 digits. The same images, with the same
/// whitelists for the same of them, give the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(String);

impl TreeId {
    const PREFIX: &str = "deps-";

    pub(super) fn of(layers: &[Layer]) -> Self {
        let mut digest = Sha512::new();
        for layer in layers {
            digest.update(layer.image.key().as_str());
            for (owner, _) in &layer.whitelists {
                digest.update(" ");
                digest.update(owner.as_str());
            }
            digest.update("\n");
        }
        let id = ImageId::from_sha512(&digest.finalize().into());
        Self(format!("{}{}", Self::PREFIX, id.key()))
    }

    /// The name as text; none where it is no such name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let key = name.strip_prefix(Self::PREFIX)?;
        key.parse::<ImageKey>().ok().map(|_| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the store knows of a tree that it merged.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TreeInfo {
    /// The image that is topmost.
    pub(super) image: ImageKey,
}

/// Why there is nothing that an app could be run from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// What it depends on.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One tree cannot be made.
    #[error("cannot render image {image}")]
    Merge {
        /// Of which image.
        image: ImageKey,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// An image with all that it depends on, kept from being removed as long as this value lives.
#[derive(Debug)]
pub struct Rendering {
    store: Store,
    layers: Vec<Layer>,
    id: TreeId,
    trees: Vec<PathBuf>,
    /// One for each image, and one for a merged tree.
    holds: Vec<Lock>,
}

impl Store {
    /// Finds what an image is run from. Where a whitelist, or that there are very many, asks for one tree that is
    /// merged of all, that is made if it is not there yet, and durable.
    ///
    /// # Errors
    /// Where a dependency is missing or may not be used, or the tree cannot be made.
    pub fn render(&self, image: &Image, verification: Verification) -> Result<Rendering, RenderError> {
        let layers = self.stack(image, verification)?;
        let holds = layers.iter().map(|layer| layer.image.hold()).collect::<Result<_, _>>()?;
        let trees = layers.iter().map(|layer| layer.image.rootfs()).collect();
        let id = TreeId::of(&layers);
        let mut rendering = Rendering { store: self.clone(), layers, id, trees, holds };
        if rendering.layers.iter().any(|layer| !layer.whitelists.is_empty()) || rendering.layers.len() > MOST_STACKED {
            let (tree, hold) = rendering.merged()?;
            rendering.trees = vec![tree];
            rendering.holds.push(hold);
        }
        Ok(rendering)
    }
}

/// One tree with all of these, for what cannot stack them: trees of images of one store, topmost first, as
/// [`Rendering::trees`] gives them. It is made if it is not there yet.
///
/// # Errors
/// Where it cannot be made, or one is no tree of an image.
pub fn one_tree(trees: &[PathBuf]) -> Result<PathBuf, RenderError> {
    if let [tree] = trees {
        return Ok(tree.clone());
    }
    // Trees are stacked where no whitelist leaves anything out.
    let layer = |tree: &PathBuf| Ok(Layer { image: Store::of_tree(tree)?, whitelists: Vec::new() });
    let layers = trees.iter().map(layer).collect::<Result<Vec<_>, StoreError>>()?;
    let store = layers.first().map(|layer| layer.image.store.clone()).ok_or_else(|| no_tree(Path::new("")))?;
    let holds = layers.iter().map(|layer| layer.image.hold()).collect::<Result<_, _>>()?;
    let (id, trees) = (TreeId::of(&layers), trees.to_vec());
    Ok(Rendering { store, layers, id, trees, holds }.merged()?.0)
}

fn no_tree(path: &Path) -> StoreError {
    StoreError::io("find the image of", path, io::ErrorKind::NotFound.into())
}

impl Store {
    /// The image whose tree is at this path: `DATA/cas/image/KEY/rootfs`.
    fn of_tree(tree: &Path) -> Result<Image, StoreError> {
        let missing = || no_tree(tree);
        let directory = tree.parent().ok_or_else(missing)?;
        let key = directory.file_name().and_then(|name| name.to_str()?.parse().ok()).ok_or_else(missing)?;
        let cas = directory.parent().and_then(Path::parent).ok_or_else(missing)?;
        Store { cas: cas.to_owned() }.load(&key)?.ok_or_else(missing)
    }
}

impl Rendering {
    /// The trees, topmost first, to be read only.
    pub fn trees(&self) -> &[PathBuf] {
        &self.trees
    }

    /// The names of all that must not be removed while somebody uses it: images, and the tree that is or could be
    /// merged of them.
    pub fn needs(&self) -> Vec<String> {
        let keys = self.layers.iter().map(|layer| layer.image.key().to_string());
        let mut names: Vec<String> = keys.collect();
        if let [layer] = &self.layers[..]
            && layer.whitelists.is_empty()
        {
            return names;
        }
        names.push(self.id.to_string());
        names
    }

    /// Notes that what its image depends on is used now: of the image itself that was noted when it was found.
    pub fn mark_dependencies_used(&self) {
        self.layers.iter().skip(1).for_each(|layer| layer.image.mark_used());
    }

    /// The tree that is merged of all, made if it is not there, and what keeps it.
    fn merged(&self) -> Result<(PathBuf, Lock), RenderError> {
        let directory = self.store.rendered().join(self.id.as_str());
        loop {
            let held = super::hold(&directory).map_err(|cause| StoreError::io("hold tree", &directory, cause))?;
            match held {
                Some(lock) => return Ok((directory.join("rootfs"), lock)),
                None => self.make(&directory)?,
            }
        }
    }

    fn make(&self, directory: &Path) -> Result<(), RenderError> {
        let failed = |cause| RenderError::Merge { image: self.layers[0].image.key(), cause };
        self.store.make_directories()?;
        let staging = Staging::create(&self.store.staging(), IMPORT).map_err(failed)?;
        merge_into(&self.layers, staging.path(), |_, layer| layer.image.rootfs()).map_err(failed)?;
        let info = TreeInfo { image: self.layers[0].image.key() };
        let json = serde_json::to_vec(&info).expect("it has only text keys");
        fs::write(staging.path().join("info"), json).map_err(failed)?;
        staging.publish(directory).map_err(failed)
    }
}

/// Makes `rootfs` in a directory, merged of the trees of images, which are where `tree` says.
pub(super) fn merge_into(
    layers: &[Layer],
    directory: &Path,
    tree: impl Fn(usize, &Layer) -> PathBuf,
) -> io::Result<()> {
    let source = |(index, layer)| Source { tree: tree(index, layer), whitelists: &layer.whitelists };
    let sources: Vec<Source<'_>> = layers.iter().enumerate().map(source).collect();
    let rootfs = directory.join("rootfs");
    fs::create_dir(&rootfs)?;
    merge::merge(&sources, &rootfs).map_err(io::Error::other)
}

impl Store {
    /// The trees that were merged, with the image that is topmost in each; none where that is not known.
    pub(super) fn merged_trees(&self) -> Result<Vec<(TreeId, Option<ImageKey>)>, StoreError> {
        let path = self.rendered();
        let failed = |cause| StoreError::io("list trees in", &path, cause);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut trees = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let Some(id) = name.to_str().and_then(TreeId::parse) else { continue };
            let info = fs::read(path.join(id.as_str()).join("info")).ok();
            let info = info.and_then(|json| serde_json::from_slice::<TreeInfo>(&json).ok());
            trees.push((id, info.map(|info| info.image)));
        }
        trees.sort_unstable();
        Ok(trees)
    }
}
