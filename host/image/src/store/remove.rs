//! Removing images and merged trees that nobody needs.
//!
//! What goes is locked first, so that no pod can begin to need it; then it is looked which pods there are. It is
//! out of sight by one rename, and then gone: what is cut off in between is swept later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rkt_appc::ImageKey;
use rkt_sys::lock::Lock;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::lookup::{is_at, open_directory};
use super::rendering::TreeId;
use super::staging::{self, REMOVE};
use super::{Image, Store, StoreError, listed};

/// How many are locked at once: a process has not many more descriptors.
const AT_ONCE: usize = 256;

/// Who needs what of a store: pods, by what their directories say.
#[derive(Debug, Default)]
pub struct InUse(BTreeMap<String, BTreeSet<String>>);

impl InUse {
    /// Notes that a pod needs an image or a tree, by its name in the store.
    pub fn add(&mut self, name: String, pod: &str) {
        self.0.entry(name).or_default().insert(pod.to_owned());
    }

    /// # Errors
    /// Where pods need something of the store, which messages call `said`.
    pub(super) fn check(&self, name: &str, said: &str) -> Result<(), RemoveError> {
        let Some(pods) = self.0.get(name) else { return Ok(()) };
        Err(RemoveError::Used { name: said.to_owned(), pods: pods.iter().cloned().collect() })
    }
}

/// How an image was removed.
#[derive(Debug)]
pub enum Removal {
    /// All of it.
    Whole,
    /// It is no longer in the store, but some of its files are left until the next sweep.
    Stale(StoreError),
}

/// Why something is not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Pods need it.
    #[error("{name} is used by pod {}: remove the pod first, with rkt rm", listed(pods))]
    Used {
        /// What.
        name: String,
        /// Which pods.
        pods: Vec<String>,
    },
    /// A pod that starts, or another command, uses it at this moment.
    #[error("{name} is used just now, by a pod that starts or by another command")]
    Busy {
        /// What.
        name: String,
    },
    /// Somebody else has removed it.
    #[error("{name} is not in the store any more")]
    Gone {
        /// What.
        name: String,
    },
    /// Other images depend on it.
    #[error("image {name} is what {} depends on: remove that first, or both at once", listed(images))]
    Needed {
        /// What.
        name: String,
        /// Which images.
        images: Vec<String>,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of each that was to be removed.
pub type Removed = Vec<(ImageKey, Result<Removal, RemoveError>)>;

impl Store {
    /// Removes images that no pod needs, and no image that stays; and the trees that were merged for them.
    /// `in_use` says what pods need at the moment when it is called.
    ///
    /// # Errors
    /// Those of `in_use`, and where the store cannot be read. What hinders one image is said of that one.
    pub fn remove<E: From<StoreError>>(
        &self,
        keys: &[ImageKey],
        in_use: &mut dyn FnMut() -> Result<InUse, E>,
    ) -> Result<Removed, E> {
        let mut pending = keys.to_vec();
        let mut removed = Removed::new();
        loop {
            let mut needed = Removed::new();
            let mut goes_on = false;
            for some in pending.chunks(AT_ONCE) {
                for (key, outcome) in self.remove_some(some, in_use)? {
                    goes_on |= outcome.is_ok();
                    let list =
                        if matches!(outcome, Err(RemoveError::Needed { .. })) { &mut needed } else { &mut removed };
                    list.push((key, outcome));
                }
            }
            // What depended on one of them may be gone now.
            if needed.is_empty() || !goes_on {
                removed.append(&mut needed);
                break;
            }
            pending = needed.into_iter().map(|(key, _)| key).collect();
        }
        let gone: BTreeSet<&ImageKey> = removed.iter().filter(|(_, is)| is.is_ok()).map(|(key, _)| key).collect();
        let trees = self.merged_trees()?.into_iter();
        let theirs = trees.filter(|(_, image)| image.as_ref().is_some_and(|image| gone.contains(image)));
        self.remove_trees(&theirs.map(|(id, _)| id).collect::<Vec<_>>(), in_use)?;
        Ok(removed)
    }

    fn remove_some<E: From<StoreError>>(
        &self,
        keys: &[ImageKey],
        in_use: &mut dyn FnMut() -> Result<InUse, E>,
    ) -> Result<Removed, E> {
        let mut removed = Removed::new();
        let mut going = BTreeMap::new();
        for key in keys {
            match lock_alone(&self.images().join(key.as_str()), &format!("image {key}")) {
                Ok(lock) => drop(going.insert(key.clone(), lock)),
                Err(error) => removed.push((key.clone(), Err(error))),
            }
        }
        let in_use = in_use()?;
        for key in going.keys().cloned().collect::<Vec<_>>() {
            if let Err(used) = in_use.check(key.as_str(), &format!("image {key}")) {
                going.remove(&key);
                removed.push((key, Err(used)));
            }
        }
        let dependents = self.dependents()?;
        while let Some((key, images)) = going.keys().find_map(|key| staying(&dependents, key, &going)) {
            going.remove(&key);
            let name = key.to_string();
            removed.push((key, Err(RemoveError::Needed { name, images })));
        }
        for (key, lock) in going {
            let outcome = self.discard(&self.images().join(key.as_str()), lock);
            removed.push((key, outcome.map_err(RemoveError::Store)));
        }
        Ok(removed)
    }

    /// Removes trees that were merged and that no pod needs; which those were.
    ///
    /// # Errors
    /// Those of `in_use`, and where the store cannot be read. A tree that cannot be removed stays for the next time.
    pub(super) fn remove_trees<E: From<StoreError>>(
        &self,
        trees: &[TreeId],
        in_use: &mut dyn FnMut() -> Result<InUse, E>,
    ) -> Result<Vec<TreeId>, E> {
        let mut removed = Vec::new();
        for some in trees.chunks(AT_ONCE) {
            let path = |id: &TreeId| self.rendered().join(id.as_str());
            let lock = |id: &TreeId| Some((id.clone(), lock_alone(&path(id), id.as_str()).ok()?));
            let locked: Vec<_> = some.iter().filter_map(lock).collect();
            let in_use = in_use()?;
            for (id, lock) in locked {
                if in_use.check(id.as_str(), id.as_str()).is_ok() && self.discard(&path(&id), lock).is_ok() {
                    removed.push(id);
                }
            }
        }
        Ok(removed)
    }

    /// Removes trees that no pod needs, and images that nobody needs and that were last used before a time, those
    /// first that were not used for the longest time. What is needed is passed over in silence.
    ///
    /// # Errors
    /// Those of `in_use`, and where the store cannot be read or swept.
    pub fn collect<E: From<StoreError>>(
        &self,
        before: SystemTime,
        in_use: &mut dyn FnMut() -> Result<InUse, E>,
    ) -> Result<(Vec<TreeId>, Removed), E> {
        self.sweep()?;
        let trees: Vec<TreeId> = self.merged_trees()?.into_iter().map(|(id, _)| id).collect();
        let trees = self.remove_trees(&trees, in_use)?;
        let mut old: Vec<Image> =
            self.list()?.into_iter().flatten().filter(|image| image.last_used() <= before).collect();
        old.sort_by_key(Image::last_used);
        let keys: Vec<ImageKey> = old.iter().map(Image::key).collect();
        let mut removed = self.remove(&keys, in_use)?;
        removed.retain(|(_, outcome)| matches!(outcome, Ok(_) | Err(RemoveError::Store(_))));
        self.forget_removed().map_err(|cause| StoreError::io("sweep", &self.seen(), cause))?;
        Ok((trees, removed))
    }

    /// Takes something out of the store, then removes it.
    fn discard(&self, path: &Path, lock: Lock) -> Result<Removal, StoreError> {
        let failed = |cause| StoreError::io("remove", path, cause);
        self.make_directories()?;
        let aside = self.put_aside(path).map_err(failed)?;
        let parent = path.parent().expect("it lies in the store");
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        let removed = staging::remove(&aside);
        drop(lock);
        Ok(match removed {
            Ok(()) => Removal::Whole,
            Err(cause) => Removal::Stale(failed(cause)),
        })
    }

    /// Moves something to where what is left is swept. Nothing is made for that: the disk may be full.
    fn put_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let name = path.file_name().expect("it has a name in the store").to_string_lossy();
        for number in 0_u32.. {
            let aside = self.staging().join(format!("{REMOVE}{name}-{number}"));
            match rustix::fs::renameat_with(CWD, path, CWD, &aside, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                Err(cause) => return Err(cause.into()),
                Ok(()) => return Ok(aside),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Of each image that others depend on, those others.
    fn dependents(&self) -> Result<BTreeMap<ImageKey, BTreeMap<ImageKey, String>>, StoreError> {
        let images: Vec<Image> = self.list()?.into_iter().flatten().collect();
        let mut dependents: BTreeMap<ImageKey, BTreeMap<ImageKey, String>> = BTreeMap::new();
        for image in &images {
            for dependency in &image.manifest.dependencies {
                if let Some(key) = super::dependencies::among(&images, image, dependency) {
                    dependents.entry(key).or_default().insert(image.key(), image.info.name.to_string());
                }
            }
        }
        Ok(dependents)
    }
}

/// Something of the store, locked so that nobody can begin to use it.
pub(super) fn lock_alone(path: &Path, name: &str) -> Result<Lock, RemoveError> {
    let failed = |cause| StoreError::io("lock", path, cause);
    let gone = || RemoveError::Gone { name: name.to_owned() };
    let directory = match open_directory(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone()),
        directory => directory.map_err(failed)?,
    };
    let opened = directory.metadata().map_err(failed)?;
    let lock = Lock::try_exclusive(directory.into()).map_err(|error| failed(error.into()))?;
    let lock = lock.ok_or_else(|| RemoveError::Busy { name: name.to_owned() })?;
    if is_at(path, &opened) { Ok(lock) } else { Err(gone()) }
}

/// The images that depend on one and do not go with it, where there are any.
fn staying(
    dependents: &BTreeMap<ImageKey, BTreeMap<ImageKey, String>>,
    key: &ImageKey,
    going: &BTreeMap<ImageKey, Lock>,
) -> Option<(ImageKey, Vec<String>)> {
    let stay = dependents.get(key)?.iter().filter(|(dependent, _)| !going.contains_key(*dependent));
    let names: Vec<String> = stay.map(|(_, name)| name.clone()).collect();
    (!names.is_empty()).then(|| (key.clone(), names))
}
