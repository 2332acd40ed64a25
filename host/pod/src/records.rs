//! What is remembered of pods that were removed: `records/UUID` in the data directory, a file a pod.
//!
//! A record comes here whole, by a rename, before anything else of its pod goes: whoever is interrupted
//! leaves either the pod or its record, or both and the next does the same again. Afterwards it is only
//! read, until there are too many or it is too old. It has no values of environment variables, as the
//! record of a pod has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::files;
use crate::gc::Event;
use crate::keep_records::KeepRecords;
use crate::pod::{Pod, PodError};
use crate::pods::{DIRECTORY_MODE, PodsError, open_directory, uuids_in};
use crate::record::Record;
use crate::uuid::Uuid;

/// The version of the form that is written. Later ones may add fields without another number.
const VERSION: u32 = 1;

/// The name in a pod's own directory of what is about to be moved: what an interruption leaves is gone
/// with the pod.
const PENDING: &str = "record.past";

/// A pod that is no more. Times are in nanoseconds since 1970.
///
/// What was decided is written as it stands in the pod's own record, and understood when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastPod<R = Record> {
    version: u32,
    /// Its name.
    pub uuid: Uuid,
    /// When it was made.
    pub created: Option<u64>,
    /// When it was started.
    pub started: Option<u64>,
    /// When the last of its apps ended, as far as their ends are known.
    pub ended: Option<u64>,
    /// How its apps ended. One that was killed with its monitor has no end that is known.
    pub exits: BTreeMap<String, PastExit>,
    /// What was decided about it.
    pub record: R,
}

/// How an app ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastExit {
    /// Its exit code, or the number of the signal that killed it.
    pub code: i32,
    /// When.
    pub at: u64,
}

/// The part of a record that names the apps.
#[derive(Deserialize)]
struct Apps {
    pod: AppsOfPod,
}

#[derive(Deserialize)]
struct AppsOfPod {
    apps: Vec<NameOfApp>,
}

#[derive(Deserialize)]
struct NameOfApp {
    name: String,
}

impl PastPod<Box<RawValue>> {
    /// None where the pod was never started, or what is remembered of it was moved already.
    fn of(pod: &Pod) -> Result<Option<Self>, PodError> {
        let Some(record) = pod.record_text()? else { return Ok(None) };
        let apps: Apps =
            serde_json::from_str(record.get()).map_err(|cause| PodError::Record { uuid: pod.uuid(), cause })?;
        let mut exits = BTreeMap::new();
        for app in apps.pod.apps {
            let Ok(name) = app.name.parse() else { continue };
            exits.extend(pod.exit(&name)?.map(|exit| {
                let past = PastExit { code: exit.code, at: nanoseconds(exit.at) };
                (app.name, past)
            }));
        }
        Ok(Some(Self {
            version: VERSION,
            uuid: pod.uuid(),
            created: pod.created()?.map(nanoseconds),
            started: pod.started()?.map(nanoseconds),
            ended: exits.values().map(|exit| exit.at).max(),
            exits,
            record,
        }))
    }
}

impl PastPod {
    fn from_json(uuid: Uuid, json: &[u8]) -> Result<Self, RecordsError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let torn = |cause| RecordsError::Torn { uuid, cause };
        let Versioned { version } = serde_json::from_slice(json).map_err(torn)?;
        if version > VERSION {
            return Err(RecordsError::Later { uuid, version });
        }
        serde_json::from_slice(json).map_err(torn)
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// The records of removed pods of a data directory.
#[derive(Debug, Clone)]
pub struct Records {
    /// `DATA/records`.
    directory: PathBuf,
}

impl Records {
    /// The records of this data directory; it need not exist yet.
    pub fn open(data: &Path) -> Self {
        Self { directory: data.join("records") }
    }

    /// What is remembered of the pod of this name; none where nothing is.
    ///
    /// # Errors
    /// Where its record cannot be read.
    pub fn get(&self, uuid: Uuid) -> Result<Option<PastPod>, RecordsError> {
        let Some(directory) = self.directory()? else { return Ok(None) };
        let read = files::read(&directory, &uuid.to_string());
        let json = read.map_err(|cause| RecordsError::Record { uuid, cause })?;
        json.map(|json| PastPod::from_json(uuid, &json)).transpose()
    }

    /// The names of all pods that something is remembered of.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn uuids(&self) -> Result<Vec<Uuid>, RecordsError> {
        Ok(uuids_in(&self.directory)?)
    }

    /// Moves what is remembered of a pod here, before the pod is removed. Whoever calls holds its lock.
    pub(crate) fn keep(&self, pod: &Pod) -> Result<(), RecordsError> {
        let Some(past) = PastPod::of(pod)? else { return Ok(()) };
        let failed = |cause| RecordsError::Record { uuid: pod.uuid(), cause };
        let json = serde_json::to_vec(&past).expect("a record has only text keys");
        remove(pod.as_fd(), PENDING).map_err(failed)?;
        files::write(pod, PENDING, 0o640, &json).map_err(failed)?;
        let directory = self.made()?;
        let moved = renameat(pod, PENDING, &directory, pod.uuid().to_string());
        moved.map_err(|cause| failed(cause.into()))?;
        // The pod's own goes first: it cannot be taken for news when half of the pod is gone.
        remove(pod.as_fd(), Record::FILE).map_err(failed)
    }

    /// Removes the oldest records that are beyond what is kept.
    ///
    /// # Errors
    /// Where the directory cannot be read, or a record not be removed.
    pub fn forget(
        &self,
        keep: &KeepRecords,
        now: SystemTime,
        report: &mut dyn FnMut(Event),
    ) -> Result<(), RecordsError> {
        let Some(directory) = self.directory()? else { return Ok(()) };
        let mut all = Vec::new();
        for uuid in self.uuids()? {
            let kept = files::modified(&directory, &uuid.to_string());
            all.extend(kept.map_err(|cause| RecordsError::Record { uuid, cause })?.map(|kept| (kept, uuid)));
        }
        all.sort_unstable();
        let surplus = all.len().saturating_sub(keep.number);
        for (index, (kept, uuid)) in all.into_iter().enumerate() {
            let is_old = now.duration_since(kept).unwrap_or_default() > keep.age;
            if index < surplus || is_old {
                remove(&directory, &uuid.to_string()).map_err(|cause| RecordsError::Record { uuid, cause })?;
                report(Event::Forgotten(uuid));
            }
        }
        Ok(())
    }

    /// The digests of the components that records name. One that cannot be understood names none.
    pub(crate) fn components(&self) -> Result<BTreeSet<String>, RecordsError> {
        #[derive(Deserialize)]
        struct Names {
            record: crate::record::Names,
        }
        let Some(directory) = self.directory()? else { return Ok(BTreeSet::new()) };
        let mut digests = BTreeSet::new();
        for uuid in self.uuids()? {
            let json = files::read(&directory, &uuid.to_string());
            let json = json.map_err(|cause| RecordsError::Record { uuid, cause })?.unwrap_or_default();
            digests.extend(serde_json::from_slice::<Names>(&json).map(|names| names.record.component()));
        }
        Ok(digests)
    }

    fn directory(&self) -> Result<Option<OwnedFd>, RecordsError> {
        match open_directory(&self.directory) {
            Err(Errno::NOENT) => Ok(None),
            other => Ok(Some(other.map_err(|cause| self.failed(cause.into()))?)),
        }
    }

    fn made(&self) -> Result<OwnedFd, RecordsError> {
        if let Some(directory) = self.directory()? {
            return Ok(directory);
        }
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.directory);
        made.map_err(|cause| self.failed(cause))?;
        open_directory(&self.directory).map_err(|cause| self.failed(cause.into()))
    }

    fn failed(&self, cause: io::Error) -> RecordsError {
        PodsError::Directory { path: self.directory.clone(), cause }.into()
    }
}

/// Removes a file that may have been removed already.
fn remove(directory: impl std::os::fd::AsFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Why what is remembered of a pod cannot be kept, found or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The directories of pods and records, and what is in them.
    #[error(transparent)]
    Pods(#[from] PodsError),
    /// A pod that is still there.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// A file with a record.
    #[error("the record of pod \"{uuid}\"")]
    Record {
        /// Of which pod.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What is in it, as a power cut may leave it.
    #[error("the record of pod \"{uuid}\" is damaged")]
    Torn {
        /// Of which pod.
        uuid: Uuid,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// Another rkt wrote it.
    #[error("the record of pod \"{uuid}\" was made by a later rkt (its version is {version}, {VERSION} is known here)")]
    Later {
        /// Of which pod.
        uuid: Uuid,
        /// The version.
        version: u32,
    },
    /// Nothing was decided about it.
    #[error("pod \"{uuid}\" was never started, so nothing is recorded")]
    NeverStarted {
        /// Which.
        uuid: Uuid,
    },
}
