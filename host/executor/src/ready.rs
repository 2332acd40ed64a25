//! The sign by which a helper is known to be ready: something that it makes in an empty place of its jail.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_plan::{CleanPath, Jail, Mount, Source};
use rkt_sys::root::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, inotify};

use crate::failure::Failure;
use crate::launch::Launch;
use crate::words::user;

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

    /// Lets the pod's programs connect to it, where it is a socket: to connect is to write to it (unix(7)),
    /// and what is made by root is nobody else's to write.
    ///
    /// # Errors
    /// It is gone, or cannot be given away.
    pub fn hand_over(&self) -> Result<(), Failure> {
        let failed = || "hand over the socket";
        let there = self.directory.open_path_nofollow(&self.name).map_err(Failure::of(failed))?;
        let stat = rustix::fs::fstat(&there).map_err(Failure::of(failed))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            return Ok(());
        }
        let group = Some(Gid::from_raw(user::own_group()));
        rustix::fs::chownat(&there, c"", None, group, AtFlags::EMPTY_PATH).map_err(Failure::of(failed))?;
        // Through the descriptor: whatever is at the path by now, this is what was looked at.
        let own = format!("/proc/self/fd/{}", there.as_raw_fd());
        let mode = Mode::from_raw_mode(stat.st_mode & 0o777) | Mode::RGRP | Mode::WGRP;
        rustix::fs::chmod(own, mode).map_err(Failure::of(failed))
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
