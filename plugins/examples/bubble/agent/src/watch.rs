//! The helper: a lease that is a file.

use std::fs::File;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

use crate::when;

/// Makes the file, and returns when it is gone: for a vendor the place where a license server, a lock of
/// a cluster or a device would be asked.
pub(crate) fn run(file: &Path) -> Result<u8, String> {
    let failed = || format!("watch {}", file.display());
    let directory = file.parent().ok_or_else(|| format!("{} is in no directory", file.display()))?;
    let watch = inotify::init(CreateFlags::CLOEXEC).map_err(when(failed()))?;
    inotify::add_watch(&watch, directory, WatchFlags::DELETE | WatchFlags::MOVED_FROM).map_err(when(failed()))?;
    // Watched first, so that nothing happens unseen.
    File::create(file).map_err(when(format!("make {}", file.display())))?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(&watch, &mut buffer);
    while file.try_exists().map_err(when(failed()))? {
        events.next().map_err(when(failed()))?;
    }
    Ok(0)
}
