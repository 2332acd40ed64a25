//! What is known of devices of this host that open and may still not work: whether an init that a program
//! with the device started has ever spoken.
//!
//! That holds for a kernel of the host and until it is started anew. It is kept in a directory beside pods, a
//! file a device; each is replaced as a whole, so that whoever reads finds the one or the other.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rkt_plan::CleanPath;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// How Linux names one time of running from another (random(4)).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// An init has spoken.
    Works,
    /// One was given its time and did not, or the program crashed before.
    Fails,
}

/// What is noted about devices of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    directory: PathBuf,
}

/// A pod's part in it: what its program shows of these devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Where it is noted.
    pub notes: Notes,
    /// The devices of which it is not known that they work.
    pub devices: Vec<CleanPath>,
}

/// A note, as it is in a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    device: String,
    outcome: Outcome,
    #[serde(flatten)]
    host: Host,
}

/// For what a note holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Host {
    boot: String,
    kernel: String,
}

impl Notes {
    /// The notes in a data directory; there need not be any.
    pub fn of(data: &Path) -> Self {
        Self { directory: data.join("devices") }
    }

    /// What is known of a device; none where nothing is, or nobody may know.
    pub fn about(&self, device: &CleanPath) -> Option<Outcome> {
        let note: Note = serde_json::from_slice(&fs::read(self.file(device)).ok()?).ok()?;
        (note.device == device.as_str() && note.host == Host::this().ok()?).then_some(note.outcome)
    }

    /// What is being written is in the pod's directory, so that it goes with the pod whatever happens.
    fn write(&self, device: &CleanPath, outcome: Outcome, pod: BorrowedFd<'_>) -> io::Result<()> {
        const DRAFT: &str = "trial";
        let note = Note { device: device.as_str().to_owned(), outcome, host: Host::this()? };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(pod, DRAFT, flags, Mode::from_raw_mode(0o640))?;
        File::from(file).write_all(&serde_json::to_vec(&note)?)?;
        match rustix::fs::mkdir(&self.directory, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(rustix::fs::renameat(pod, DRAFT, CWD, self.file(device))?)
    }

    /// Two devices may share a name; each note says whose it is.
    fn file(&self, device: &CleanPath) -> PathBuf {
        self.directory.join(device.as_str().trim_start_matches('/').replace('/', "-"))
    }
}

impl Host {
    fn this() -> io::Result<Self> {
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        Ok(Self { boot: fs::read_to_string(BOOT)?.trim().to_owned(), kernel })
    }
}

impl Trial {
    /// Notes what came of it. `pod` is the pod's directory, which is in the same data directory.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn end(&self, outcome: Outcome, pod: BorrowedFd<'_>) -> Result<(), Failure> {
        self.devices.iter().try_for_each(|device| {
            let written = self.notes.write(device, outcome, pod);
            written.map_err(Failure::of(|| format!("note what came of using {}", device.as_str())))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_last_note_about_a_device_holds_on_this_kernel_until_the_host_is_started_anew() {
        let data = tempfile::tempdir().unwrap();
        let pod = File::open(data.path()).unwrap();
        let device = |path: &str| path.parse::<CleanPath>().unwrap();
        let (notes, full) = (Notes::of(data.path()), device("/dev/full"));
        assert_eq!(notes.about(&full), None);
        let trial = Trial { notes: notes.clone(), devices: vec![full.clone(), device("/dev/a-b")] };
        for outcome in [Outcome::Fails, Outcome::Works, Outcome::Fails] {
            trial.end(outcome, pod.as_fd()).unwrap();
            assert_eq!(notes.about(&full), Some(outcome));
        }
        // Of the same name, and another's.
        assert_eq!(notes.about(&device("/dev/a/b")), None);
        assert!(!data.path().join("trial").exists());

        let file = data.path().join("devices/dev-full");
        let text = fs::read_to_string(&file).unwrap();
        let host = Host::this().unwrap();
        for (was, is) in [(host.boot.as_str(), "another"), (&host.kernel, "6.0.0"), ("fails", "sometimes"), ("}", "")] {
            fs::write(&file, text.replace(was, is)).unwrap();
            assert_eq!(notes.about(&full), None, "{is}");
        }
    }
}
