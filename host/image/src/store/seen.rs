//! Remembers which image a file held, so that running it again does not import it again.
//!
//! A note is only a hint: it counts for a file that is still the same by everything that the kernel
//! changes with its content, on file systems where it does, and only names an image that is in the
//! store. Who could forge that could as well have changed the file before it was first imported.

use std::fs::{self, File};
use std::io;
use std::time::SystemTime;

use rkt_appc::ImageId;
use serde::{Deserialize, Serialize};

use super::source::{Identity, Source};
use super::{Image, Store, StoreError};

#[derive(Serialize, Deserialize)]
struct Note {
    file: Identity,
    image: ImageId,
}

/// File systems of this host alone, which change the time of change with the content: ext2 to ext4,
/// xfs, btrfs, tmpfs, overlayfs (statfs(2)).
const TRUSTED: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630];

/// A time of change this old, in nanoseconds, cannot be that of a later change as well: the clock that
/// gives it ticks at least every 10 ms.
const SETTLED: i128 = 100_000_000;

impl Store {
    /// The image that the file was imported as, where that is known and still in the store.
    pub(super) fn recall(&self, source: &Source) -> Result<Option<Image>, StoreError> {
        let path = self.seen().join(source.identity.file_name());
        let note = fs::read(path).ok();
        let note = note.and_then(|json| serde_json::from_slice::<Note>(&json).ok());
        match note {
            Some(note) if note.file == source.identity && is_trusted(&source.file) => self.load(&note.image.key()),
            _ => Ok(None),
        }
    }

    /// Notes which image the file was imported as; `opened` is when it was opened for that.
    pub(super) fn remember(&self, source: &Source, opened: SystemTime, image: &ImageId) {
        if !is_settled(source.identity.changed(), opened) || !is_trusted(&source.file) {
            return;
        }
        let note = Note { file: source.identity, image: image.clone() };
        let json = serde_json::to_vec(&note).expect("a note has only text keys");
        let path = self.seen().join(source.identity.file_name());
        // A torn or mixed note is no JSON, and then none.
        if let Err(error) = fs::write(&path, json) {
            tracing::debug!(?path, %error, "cannot note which image the file held");
        }
    }

    /// Removes notes about images that are no longer in the store.
    pub(super) fn forget_removed(&self) -> io::Result<()> {
        let entries = match fs::read_dir(self.seen()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let note = fs::read(&path).ok();
            let note = note.and_then(|json| serde_json::from_slice::<Note>(&json).ok());
            let is_kept = |note: Note| self.images().join(note.image.key().as_str()).exists();
            if !note.is_some_and(is_kept) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn is_trusted(file: &File) -> bool {
    let kind = rustix::fs::fstatfs(file).map(|statfs| statfs.f_type);
    kind.is_ok_and(|kind| u64::try_from(kind).is_ok_and(|kind| TRUSTED.contains(&kind)))
}

/// Whether a file that changed then and was opened at `opened` cannot have changed again without
/// that being seen. Times of whole seconds are those of file systems that keep no finer ones.
fn is_settled(changed: (i64, i64), opened: SystemTime) -> bool {
    let (seconds, nanoseconds) = changed;
    let changed = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let opened = opened.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_nanos());
    let opened = i128::try_from(opened.unwrap_or_default()).unwrap_or_default();
    nanoseconds != 0 && opened - changed > SETTLED
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_file_that_cannot_have_changed_unseen_is_remembered() {
        let opened = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let millis = |millis: i64| (millis / 1000, millis % 1000 * 1_000_000);
        assert!(is_settled(millis(5500), opened));
        assert!(is_settled(millis(9899), opened));
        assert!(!is_settled(millis(9900), opened));
        assert!(!is_settled(millis(9999), opened));
        assert!(!is_settled(millis(10_001), opened), "a clock that was set back");
        assert!(!is_settled(millis(5000), opened), "a file system of whole seconds");
    }
}
