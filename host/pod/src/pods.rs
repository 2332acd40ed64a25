//! The directory of all pods: finding, listing, making.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rkt_executor::trial::Notes;
use rkt_sys::lock;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::new::NewPod;
use crate::pod::Pod;
use crate::record::Record;
use crate::records::{Records, RecordsError};
use crate::state::{Stage, State};
use crate::uuid::Uuid;

/// Mode of the directories above pods: nobody but root and its group looks in.
pub(crate) const DIRECTORY_MODE: u32 = 0o750;

/// All pods of a data directory.
#[derive(Debug, Clone)]
pub struct Pods {
    /// `DATA/pods`.
    directory: PathBuf,
    records: Records,
    notes: Notes,
}

impl Pods {
    /// The pods of this data directory; it need not exist yet.
    pub fn open(data: &Path) -> Self {
        Self { directory: data.join("pods"), records: Records::open(data), notes: Notes::of(data) }
    }

    /// What is remembered of those that were removed.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What pods have shown of devices.
    pub(crate) fn notes_about_devices(&self) -> Notes {
        self.notes.clone()
    }

    /// A new pod, in preparation and locked; removed when it is dropped before it was started.
    ///
    /// # Errors
    /// Where its directory cannot be made.
    pub fn create(&self) -> Result<NewPod, PodsError> {
        for stage in [Stage::Embryo, Stage::Prepare] {
            self.make_stage(stage)?;
        }
        loop {
            let uuid = Uuid::random().map_err(|cause| PodsError::Random { cause: cause.into() })?;
            if let Some(new) = NewPod::create(self, uuid).map_err(|cause| PodsError::Create { uuid, cause })? {
                return Ok(new);
            }
        }
    }

    /// The pods in the given directories, in the order of their UUIDs. One that moves meanwhile is
    /// there once; one that is removed meanwhile is not there. Each is opened when it is its turn, so
    /// that there may be more of them than a process may have descriptors.
    ///
    /// # Errors
    /// Where a directory cannot be read. Each pod that cannot be opened is an error of its own.
    pub fn list(&self, stages: &[Stage]) -> Result<impl Iterator<Item = Result<Pod, PodsError>>, PodsError> {
        let mut uuids = BTreeSet::new();
        for stage in stages {
            uuids.extend(self.uuids(*stage)?.into_iter().map(|uuid| (uuid, *stage)));
        }
        let mut last = None;
        uuids.retain(|(uuid, _)| last.replace(*uuid) != Some(*uuid));
        Ok(uuids.into_iter().filter_map(|(uuid, stage)| self.get_from(uuid, stage).transpose()))
    }

    /// The pod whose UUID begins with this text, in upper or lower case, among those that users hear of.
    ///
    /// # Errors
    /// Where no pod or more than one is meant.
    pub fn find(&self, prefix: &str) -> Result<Pod, PodsError> {
        let uuid = the_one(prefix, &self.listed()?)?;
        self.get(uuid)?.ok_or_else(|| PodsError::NoMatch { prefix: prefix.to_owned() })
    }

    /// What was decided about the pod whose UUID begins with this text, also where it was removed since.
    ///
    /// # Errors
    /// Where no pod or more than one is meant, it was never started, or its record cannot be read.
    pub fn recorded(&self, prefix: &str) -> Result<(Uuid, Record), RecordsError> {
        let mut all = self.listed()?;
        all.extend(self.records.uuids()?);
        let uuid = the_one(prefix, &all)?;
        // In the order in which a record moves.
        if let Some(pod) = self.get(uuid)?
            && let Some(record) = pod.record()?
        {
            return Ok((uuid, record));
        }
        let past = self.records.get(uuid)?.ok_or(RecordsError::NeverStarted { uuid })?;
        Ok((uuid, past.record))
    }

    /// The digests of the components by which pods, also those that were removed, were planned or are to be.
    ///
    /// # Errors
    /// Where a directory or a pod cannot be read.
    pub fn components(&self) -> Result<BTreeSet<String>, RecordsError> {
        let mut digests = BTreeSet::new();
        for pod in self.list(&[Stage::Prepared, Stage::Run, Stage::ExitedGarbage])? {
            digests.extend(pod?.component()?);
        }
        // Afterwards: what is moved meanwhile is met again.
        digests.extend(self.records.components()?);
        Ok(digests)
    }

    fn listed(&self) -> Result<BTreeSet<Uuid>, PodsError> {
        let mut uuids = BTreeSet::new();
        for stage in Stage::LISTED {
            uuids.extend(self.uuids(stage)?);
        }
        Ok(uuids)
    }

    /// The pod of this name, wherever it is in its life; none where there is none.
    ///
    /// # Errors
    /// Where it is there and cannot be opened.
    pub fn get(&self, uuid: Uuid) -> Result<Option<Pod>, PodsError> {
        self.get_from(uuid, Stage::Embryo)
    }

    /// A pod that was seen in this directory. It may have moved on meanwhile, never back.
    fn get_from(&self, uuid: Uuid, seen: Stage) -> Result<Option<Pod>, PodsError> {
        for stage in Stage::ALL.into_iter().filter(|stage| *stage >= seen) {
            let path = self.path(uuid, stage);
            let failed = |cause: io::Error| PodsError::Open { uuid, cause };
            match open_directory(&path) {
                Err(Errno::NOENT) => {}
                Err(cause) => return Err(failed(cause.into())),
                Ok(directory) => {
                    let locked = lock::is_held(directory.as_fd()).map_err(|error| failed(error.into()))?;
                    return Ok(Some(Pod::new(uuid, stage, State::of(stage, locked), path, directory)));
                }
            }
        }
        Ok(None)
    }

    /// Where the pods in that part of their life are.
    pub(crate) fn stage_path(&self, stage: Stage) -> PathBuf {
        self.directory.join(stage.directory())
    }

    /// Where a pod of this name is in that part of its life.
    pub(crate) fn path(&self, uuid: Uuid, stage: Stage) -> PathBuf {
        self.stage_path(stage).join(uuid.to_string())
    }

    /// Makes one of the six directories, if it is missing, with those above it.
    pub(crate) fn make_stage(&self, stage: Stage) -> Result<(), PodsError> {
        let path = self.stage_path(stage);
        // One call where it exists, which is nearly always.
        match rustix::fs::mkdir(&path, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::NOENT) => DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&path),
            Err(cause) => Err(cause.into()),
        }
        .map_err(|cause| PodsError::Directory { path, cause })
    }

    fn uuids(&self, stage: Stage) -> Result<Vec<Uuid>, PodsError> {
        uuids_in(&self.stage_path(stage))
    }
}

/// The one whose UUID begins with this text, in upper or lower case.
fn the_one(prefix: &str, all: &BTreeSet<Uuid>) -> Result<Uuid, PodsError> {
    let wanted = prefix.to_ascii_lowercase();
    let found: Vec<Uuid> = all.iter().filter(|uuid| uuid.to_string().starts_with(&wanted)).copied().collect();
    match found[..] {
        [uuid] if !wanted.is_empty() => Ok(uuid),
        [] | [_] => Err(PodsError::NoMatch { prefix: prefix.to_owned() }),
        _ => Err(PodsError::Ambiguous { count: found.len() }),
    }
}

/// The entries of a directory that have the name of a pod; none where there is no such directory.
pub(crate) fn uuids_in(path: &Path) -> Result<Vec<Uuid>, PodsError> {
    let failed = |cause: Errno| PodsError::Directory { path: path.to_owned(), cause: cause.into() };
    let directory = match open_directory(path) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut uuids = Vec::new();
    for entry in rustix::fs::Dir::new(directory).map_err(failed)? {
        // Whatever else lies here is not ours.
        let name = entry.map_err(failed)?;
        uuids.extend(name.file_name().to_str().ok().and_then(|name| name.parse::<Uuid>().ok()));
    }
    Ok(uuids)
}

pub(crate) fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// Why pods cannot be found, listed or made.
#[derive(Debug, thiserror::Error)]
pub enum PodsError {
    /// No pod has a UUID like this.
    #[error("no matches found for {prefix:?}")]
    NoMatch {
        /// As it was given.
        prefix: String,
    },
    /// Several have.
    #[error("ambiguous uuid, {count} matches")]
    Ambiguous {
        /// How many.
        count: usize,
    },
    /// A directory of pods.
    #[error("directory {path}", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// One pod.
    #[error("cannot open pod \"{uuid}\"")]
    Open {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A new pod.
    #[error("cannot make the directory of pod \"{uuid}\"")]
    Create {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: rkt_sys::Error,
    },
    /// A new name.
    #[error("cannot choose a UUID")]
    Random {
        /// Why.
        #[source]
        cause: io::Error,
    },
}
