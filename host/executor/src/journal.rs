//! The journal: what a pod did to the host that outlives its processes, written before it is done.
//!
//! It is the file `journal` in the pod's directory, a JSON value on each line, only ever appended to.
//! It is not made durable: nothing that it names outlives the kernel.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
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
    /// The control group in one hierarchy of a program outside of its jail, with all groups below it.
    Program(PathBuf),
    /// A scope of this name, by systemd, with all that runs in it.
    Scope(String),
    /// Processes in the host's pid namespace, whose root is a file system of this name.
    Processes(String),
    /// All before this was undone.
    Undone,
}

/// A journal that is being written. There is no file before the first effect: most pods have none.
#[derive(Debug)]
pub(crate) struct Journal {
    pod: OwnedFd,
    file: Option<File>,
    written: Vec<Effect>,
}

impl Journal {
    /// The journal of the pod in this directory, to be gone on with.
    pub(crate) fn open(pod: impl AsFd) -> Result<Self, Failure> {
        let pod = pod.as_fd().try_clone_to_owned().map_err(Failure::of(|| "open the pod's journal"))?;
        Ok(Self { pod, file: None, written: Vec::new() })
    }

    /// Writes down what is about to be done, once.
    pub(crate) fn write(&mut self, effect: &Effect) -> Result<(), Failure> {
        if self.written.contains(effect) {
            return Ok(());
        }
        let failed = || "write to the pod's journal";
        let mut line = serde_json::to_vec(effect).map_err(Failure::of(failed))?;
        line.push(b'\n');
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open_file()?,
        };
        let written = file.write_all(&line).map_err(Failure::of(failed));
        self.file = Some(file);
        written?;
        self.written.push(effect.clone());
        Ok(())
    }

    fn open_file(&self) -> Result<File, Failure> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.pod, NAME, flags, Mode::from_raw_mode(0o640))
            .map(File::from)
            .map_err(Failure::of(|| "open the pod's journal"))
    }
}

/// The effects in the journal of the pod in this directory that are not undone. A line that was not
/// written whole was never acted on.
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
    let effects: Vec<Effect> =
        lines.map(|line| serde_json::from_slice(line).map_err(Failure::of(failed))).collect::<Result<_, _>>()?;
    let done = effects.iter().rposition(|effect| *effect == Effect::Undone).map_or(0, |index| index + 1);
    Ok(effects[done..].to_vec())
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
        journal.file.as_mut().unwrap().write_all(br#"{"group":"/sys/fs/cg"#).unwrap();
        assert_eq!(read(&pod).unwrap(), effects);
    }

    #[test]
    fn what_is_undone_is_done_with() {
        let directory = tempfile::tempdir().unwrap();
        let pod = File::open(directory.path()).unwrap();
        let effect = Effect::Processes("rkt:u".into());
        Journal::open(&pod).unwrap().write(&effect).unwrap();
        Journal::open(&pod).unwrap().write(&Effect::Undone).unwrap();
        assert_eq!(read(&pod).unwrap(), []);
        Journal::open(&pod).unwrap().write(&effect).unwrap();
        assert_eq!(read(&pod).unwrap(), [effect]);
    }

    #[test]
    fn a_line_that_says_nothing_known_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(NAME), "{\"link\":\"veth0\"}\n").unwrap();
        assert!(read(File::open(directory.path()).unwrap()).is_err());
    }
}
