//! The sign by which a helper is known to be ready: something that it makes in an empty place of its jail.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_plan::{CleanPath, Jail, Mount, Source};
use rkt_sys::root::Root;
use rustix::fs::inotify;

use crate::failure::Failure;
use crate::launch::Launch;

/// The sign, watched for from outside.
#[derive(Debug)]
pub struct Sign {
    directory: Root,
    name: PathBuf,
    watch: OwnedFd,
}

impl Sign {
    /// What this path of a jail is on the host: it lies right in an empty place, which is made already.
    ///
    /// # Errors
    /// It lies elsewhere, or cannot be watched.
    pub fn of(path: &CleanPath, jail: &Jail, launch: &Launch) -> Result<Self, Failure> {
        let failed = || format!("watch for {path}");
        let place = jail.mounts.iter().find_map(|mount| match mount {
            Mount::Bind { source: Source::Empty(name), target, .. } => Some((name, below(target, path)?)),
            Mount::Bind { .. } | Mount::FileSystem { .. } => None,
        });
        let (place, name) = place.ok_or_else(|| Failure::new("it is not in an empty place").within(failed()))?;
        let at = launch.places.empty.join(place);
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(Failure::of(failed))?;
        let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, &at, events).map_err(Failure::of(failed))?;
        // Watched first, so that nothing happens between a look and the watch.
        let directory = Root::open(&at).map_err(Failure::of(failed))?;
        Ok(Self { directory, name: PathBuf::from(name), watch })
    }

    /// Whether it is there now. Readable again when it may have come.
    pub fn is_there(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        while reader.next().is_ok() {}
        self.directory.stat_nofollow(&self.name).is_ok()
    }
}

impl AsFd for Sign {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

/// The name that `path` has right below `top`; none where it is deeper or elsewhere.
fn below<'a>(top: &CleanPath, path: &'a CleanPath) -> Option<&'a str> {
    let at = Path::new(path.as_str());
    (at.parent()? == Path::new(top.as_str())).then(|| at.file_name()?.to_str()).flatten()
}
