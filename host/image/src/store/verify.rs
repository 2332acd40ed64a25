//! Whether what is in the store is what its IDs say, and trees made anew where they are not.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::Crc;
use rkt_appc::ImageKey;
use rustix::fs::{CWD, RenameFlags};

use super::compare::difference;
use super::dependencies::Layer;
use super::import::{self, Unpacked};
use super::remove::{InUse, RemoveError, lock_alone};
use super::rendering::{TreeId, merge_into};
use super::staging::{IMPORT, Staging};
use super::{Image, Info, Store, StoreError};
use crate::{ArchiveError, Policy, Verification};

/// What came of the verification of one thing in the store.
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeState {
    /// It is as it should be.
    Sound,
    /// It was not, and has been made anew.
    Rebuilt {
        /// What was wrong.
        damage: String,
    },
}

/// One thing in the store that was verified.
#[derive(Debug)]
pub struct VerifiedTree {
    /// What it is called: an image's name, or a tree's ID.
    pub name: String,
    /// What came of it.
    pub state: TreeState,
}

/// What is damaged and stays so, or cannot be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The archive is not as it came. Nothing else has what was in it.
    #[error("the archive of image {image} is damaged: remove the image with rkt image rm, and fetch it again")]
    Archive {
        /// Of which image.
        image: ImageKey,
        /// How that is known.
        #[source]
        cause: ArchiveDamage,
    },
    /// The tree is damaged, and in use.
    #[error("the tree of {name} is damaged ({damage}), and cannot be made anew while it is used")]
    Used {
        /// Of which image, or which tree.
        name: String,
        /// What is wrong with it.
        damage: String,
        /// By whom.
        #[source]
        cause: Box<RemoveError>,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something cannot be unpacked or compared.
    #[error("cannot verify {name}")]
    Failed {
        /// What.
        name: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// How it is known that an archive is damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveDamage {
    /// By its checksum.
    #[error("its checksum is another than when it was imported")]
    Checksum,
    /// By its ID.
    #[error("what is in it has another ID")]
    OtherId,
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(ArchiveError),
}

impl Store {
    /// Verifies an image, what it depends on, and the tree that was merged of them, each with what came of it. What
    /// is damaged is made anew from the archives, unless a pod uses it. `in_use` says what pods need.
    ///
    /// # Errors
    /// Those of `in_use`, and where an archive is damaged, a damaged tree is in use, or something cannot be read.
    pub fn verify<E: From<VerifyError>>(
        &self,
        image: &Image,
        (verification, policy): (Verification, &Policy),
        in_use: &mut dyn FnMut() -> Result<InUse, E>,
    ) -> Result<Vec<VerifiedTree>, E> {
        // Without all that it depends on nothing was merged of it, and it can be verified itself.
        let layers = self.stack(image, verification);
        let layers = layers.unwrap_or_else(|_| vec![Layer { image: image.clone(), whitelists: Vec::new() }]);
        let mut verified = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for layer in &layers {
            if seen.insert(layer.image.key()) {
                let state = self.verify_image(&layer.image, policy, in_use)?;
                verified.push(VerifiedTree { name: layer.image.info.name.to_string(), state });
            }
        }
        let id = TreeId::of(&layers);
        if let Some(state) = self.verify_merged(&layers, &id, in_use)? {
            verified.push(VerifiedTree { name: id.to_string(), state });
        }
        Ok(verified)
    }

    fn verify_image<E: From<VerifyError>>(
        &self,
        image: &Image,
        policy: &Policy,
        in_use: &mut dyn FnMut() -> Result<InUse, E>,
    ) -> Result<TreeState, E> {
        let name = format!("image {}", image.key());
        let failed = |cause| VerifyError::Failed { name: name.clone(), cause };
        let held = image.hold().map_err(VerifyError::Store)?;
        check_archive(image)?;
        self.make_directories().map_err(VerifyError::Store)?;
        let staging = Staging::create(&self.staging(), IMPORT).map_err(failed)?;
        let unpacked = unpack(image, &staging, policy)?;
        let mut damage = repair_records(image, &unpacked, &staging).map_err(failed)?;
        if let Some(wrong) = in_trees(&image.rootfs(), &staging.path().join("rootfs")) {
            // It is locked alone before it is changed.
            drop(held);
            replace(&image.directory, &name, &staging, &wrong, in_use)?;
            damage = Some(wrong);
        }
        Ok(damage.map_or(TreeState::Sound, |damage| TreeState::Rebuilt { damage }))
    }

    /// None where there is no merged tree.
    fn verify_merged<E: From<VerifyError>>(
        &self,
        layers: &[Layer],
        id: &TreeId,
        in_use: &mut dyn FnMut() -> Result<InUse, E>,
    ) -> Result<Option<TreeState>, E> {
        let directory = self.rendered().join(id.as_str());
        let failed = |cause| VerifyError::Failed { name: id.to_string(), cause };
        if super::hold(&directory).map_err(failed)?.is_none() {
            return Ok(None);
        }
        let staging = Staging::create(&self.staging(), IMPORT).map_err(failed)?;
        merge_into(layers, staging.path(), |_, layer| layer.image.rootfs()).map_err(failed)?;
        let Some(damage) = in_trees(&directory.join("rootfs"), &staging.path().join("rootfs")) else {
            return Ok(Some(TreeState::Sound));
        };
        replace(&directory, id.as_str(), &staging, &damage, in_use)?;
        Ok(Some(TreeState::Rebuilt { damage }))
    }
}

/// Puts the tree of `staging` into the place of the one in `directory`, which nobody uses.
fn replace<E: From<VerifyError>>(
    directory: &Path,
    name: &str,
    staging: &Staging,
    damage: &str,
    in_use: &mut dyn FnMut() -> Result<InUse, E>,
) -> Result<(), E> {
    let used = |cause| VerifyError::Used { name: name.to_owned(), damage: damage.to_owned(), cause: Box::new(cause) };
    let object = directory.file_name().unwrap_or_default().to_string_lossy();
    let _alone = lock_alone(directory, name).map_err(used)?;
    in_use()?.check(&object, name).map_err(used)?;
    let failed = |cause| VerifyError::Failed { name: name.to_owned(), cause };
    staging.sync().map_err(failed)?;
    swap(&staging.path().join("rootfs"), &directory.join("rootfs")).map_err(failed)?;
    // What was made of the damaged tree is made again when it is wanted.
    for made in ["root.erofs", "root.new"] {
        remove_file(&directory.join(made)).map_err(failed)?;
    }
    Ok(())
}

/// What is wrong with a tree, in words; none where it is as it should be.
fn in_trees(is: &Path, should: &Path) -> Option<String> {
    match difference(is, should) {
        Ok(difference) => difference.map(|difference| difference.to_string()),
        Err(error) => Some(format!("it cannot be read: {error}")),
    }
}

/// Changes two directories for each other; the second may be missing.
fn swap(new: &Path, place: &Path) -> io::Result<()> {
    let flags = if place.symlink_metadata().is_ok() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    Ok(rustix::fs::renameat_with(CWD, new, CWD, place, flags)?)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Compression hides some bits of an archive from its ID; its checksum has them all.
fn check_archive(image: &Image) -> Result<(), VerifyError> {
    let damaged = |cause| VerifyError::Archive { image: image.key(), cause };
    let Some(wanted) = image.info.archive_crc else { return Ok(()) };
    let unreadable = |cause| damaged(ArchiveDamage::Unreadable(ArchiveError::Read(cause)));
    let mut archive = File::open(image.archive()).map_err(unreadable)?;
    let mut crc = Crc::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match archive.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            length => crc.update(&buffer[..length]),
        }
    }
    if crc.sum() == wanted { Ok(()) } else { Err(damaged(ArchiveDamage::Checksum)) }
}

fn unpack(image: &Image, staging: &Staging, policy: &Policy) -> Result<Unpacked, VerifyError> {
    let damaged = |cause| VerifyError::Archive { image: image.key(), cause };
    let unreadable = |cause| damaged(ArchiveDamage::Unreadable(cause));
    let archive = File::open(image.archive()).map_err(|cause| unreadable(ArchiveError::Read(cause)))?;
    let unpacked = import::unpack(&archive, None, staging.path(), policy, &mut |_| {}).map_err(unreadable)?;
    if unpacked.id.key() == image.key() { Ok(unpacked) } else { Err(damaged(ArchiveDamage::OtherId)) }
}

/// Writes the manifest, and what the store knows of the image, anew where they are not what the archive says; what was
/// wrong.
fn repair_records(image: &Image, unpacked: &Unpacked, staging: &Staging) -> io::Result<Option<String>> {
    let info = Info {
        id: unpacked.id.clone(),
        name: unpacked.manifest.parsed.name.clone(),
        labels: unpacked.manifest.parsed.labels.clone(),
        archive_bytes: image.archive().metadata()?.len(),
        rootfs_bytes: unpacked.rootfs_bytes,
        ..image.info.clone()
    };
    let mut damage = None;
    if fs::read(image.directory.join("manifest"))? != unpacked.manifest.json {
        write_anew(staging, &image.directory.join("manifest"), &unpacked.manifest.json)?;
        damage = Some("its manifest is another than in the archive".to_owned());
    }
    if info != image.info {
        let json = serde_json::to_vec(&info).expect("what the store knows has only text keys");
        write_anew(staging, &image.directory.join("info"), &json)?;
        damage = Some("what the store knows of it is not what is in the archive".to_owned());
    }
    Ok(damage)
}

fn write_anew(staging: &Staging, path: &Path, content: &[u8]) -> io::Result<()> {
    let new: PathBuf = staging.path().join(path.file_name().unwrap_or_default());
    fs::write(&new, content)?;
    File::open(&new)?.sync_all()?;
    fs::rename(new, path)
}
