//! The journal: what a pod did to the host that outlives its processes, written before it is done.
//!
//! It is the file `journal` in the pod's directory, a JSON value on each line, only ever appended to.
//! It is not made durable: nothing that it names outlives the kernel.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

const NAME: &str = "journal";

/// The largest journal that is read, in bytes: many times what any pod writes.
const MOST: u64 = 1024 * 1024;

/// Something that outlives the process that did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// A pod's control group in one hierarchy, with all groups below it.
    Group(PathBuf),
    /// Processes in the host's pid namespace, whose root is a file system of this name.
    Processes(String),
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    written: Vec<Effect>,
}

impl Journal {
    /// Opens the journal of the pod in this directory, or begins it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(pod: impl AsFd) -> Result<Self, Failure> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file: OwnedFd = rustix::fs::openat(pod, NAME, flags, Mode::from_raw_mode(0o640))
            .map_err(Failure::of(|| "open the pod's journal"))?;
        Ok(Self { file: file.into(), written: Vec::new() })
    }

    /// Writes down what is about to be done, once.
    pub(crate) fn write(&mut self, effect: &Effect) -> Result<(), Failure> {
        if self.written.contains(effect) {
            return Ok(());
        }
        let failed = || "write to the pod's journal";
        let mut line = serde_json::to_vec(effect).map_err(Failure::of(failed))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Failure::of(failed))?;
        self.written.push(effect.clone());
        Ok(())
    }
}

/// The effects in the journal of the pod in this directory. A line that was not written whole was
/// never acted on.
pub(crate) fn read(pod: impl AsFd) -> Result<Vec<Effect>, Failure> {
    let failed = || "read the pod's journal";
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(pod, NAME, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => File::from(other.map_err(Failure::of(failed))?),
    };
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text).map_err(Failure::of(failed))?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end);
    let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(Failure::of(failed))).collect()
}

/// Removes the journal of the pod in this directory: everything in it is undone.
pub(crate) fn remove(pod: impl AsFd) -> Result<(), Failure> {
    match rustix::fs::unlinkat(pod, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(cause) => Err(Failure::of(|| "remove the pod's journal")(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_read_back_once_each_and_a_torn_line_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let pod = File::open(directory.path()).unwrap();
        assert_eq!(read(&pod).unwrap(), []);
        let effects = [Effect::Group("/sys/fs/cgroup/rkt/u".into()), Effect::Processes("rkt:u".into())];
        let mut journal = Journal::open(&pod).unwrap();
        for effect in effects.iter().chain(&effects) {
            journal.write(effect).unwrap();
        }
        assert_eq!(read(&pod).unwrap(), effects);
        journal.file.write_all(br#"{"group":"/sys/fs/cg"#).unwrap();
        assert_eq!(read(&pod).unwrap(), effects);
    }

    #[test]
    fn a_line_that_says_nothing_known_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(NAME), "{\"link\":\"veth0\"}\n").unwrap();
        assert!(read(File::open(directory.path()).unwrap()).is_err());
    }
}
