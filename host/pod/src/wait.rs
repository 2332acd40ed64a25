//! Waiting for a pod: until it is ready, until it is over. Nothing is looked at again and again: the kernel says
//! that a directory moved, that a file came, or that the pod's lock is free.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rkt_sys::lock::{self, Lock};
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::files;
use crate::pod::Pod;
use crate::pods::{Pods, PodsError};
use crate::state::State;
use crate::uuid::Uuid;

/// The monitor makes this when all apps are up; the directories above it come one by one.
const READY: &str = "stage1/rootfs/rkt/supervisor-status";
const ABOVE_READY: [&str; 4] = [".", "stage1", "stage1/rootfs", "stage1/rootfs/rkt"];

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// All of its apps are up.
    Ready,
    /// No process of it lives, and none is going to.
    Finished,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "pod readiness",
            Self::Finished => "pod to finish",
        })
    }
}

impl Pods {
    /// Waits for a pod, for so long at most; none: as long as it takes. A pod that is prepared may be started yet.
    /// Returns it as it is then; one that is removed meanwhile is over, and returned as it was last seen.
    ///
    /// # Errors
    /// It took too long, the pod ended before it was ready, or it cannot be looked at.
    pub fn wait_for(&self, pod: Pod, awaited: Awaited, timeout: Option<Duration>) -> Result<Pod, WaitError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut pod = pod;
        loop {
            let failed = |cause| WaitError::Look { awaited, uuid: pod.uuid(), cause };
            // What happens from here on is told; what was before is seen.
            let news = News::of(&pod).map_err(failed)?;
            match self.get(pod.uuid()).map_err(|cause| WaitError::Pods { awaited, cause })? {
                Some(now) => pod = now,
                None if awaited == Awaited::Finished => return Ok(pod),
                None => return Err(WaitError::Over { uuid: pod.uuid() }),
            }
            let failed = |cause| WaitError::Look { awaited, uuid: pod.uuid(), cause };
            if awaited == Awaited::Ready && pod.is_ready().map_err(failed)? {
                return Ok(pod);
            }
            if is_over(pod.state()) {
                return match awaited {
                    Awaited::Finished => Ok(pod),
                    Awaited::Ready => Err(WaitError::Over { uuid: pod.uuid() }),
                };
            }
            if !news.wait(deadline).map_err(failed)? {
                return Err(WaitError::TooLong { awaited, timeout: timeout.unwrap_or_default() });
            }
        }
    }
}

impl Pod {
    /// Whether all of its apps are up.
    fn is_ready(&self) -> io::Result<bool> {
        Ok(self.state() == State::Running && files::modified(self, READY)?.is_some())
    }

    /// Returns when no process of the pod lives, each of which that matters holds the pod's lock, or after so long.
    /// Whether none lives.
    pub(crate) fn wait_for_end(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        wait_on(&[until_unlocked(self)?.as_fd()], deadline)
    }
}

/// Whether nothing of the pod is going to run any more.
fn is_over(state: State) -> bool {
    match state {
        State::Embryo | State::Preparing | State::Prepared | State::Running => false,
        State::AbortedPrepare
        | State::Exited
        | State::ExitedDeleting
        | State::ExitedGarbage
        | State::Deleting
        | State::Garbage => true,
    }
}

/// What is heard of a pod.
struct News {
    /// Its directory moves, or what says that it is ready comes.
    changes: OwnedFd,
    /// Can be read when nobody holds it, where somebody does.
    unlocked: Option<OwnedFd>,
}

impl News {
    fn of(pod: &Pod) -> io::Result<Self> {
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        for path in ABOVE_READY {
            let directory = match files::open_directory(pod, path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            };
            // Whatever the directory's path is by now.
            inotify::add_watch(&changes, format!("/proc/self/fd/{}", directory.as_raw_fd()), flags)?;
        }
        let directory = files::open_directory(pod, ".")?;
        let is_held = lock::is_held(directory.as_fd())?;
        Ok(Self { changes, unlocked: is_held.then(|| until_unlocked(pod)).transpose()? })
    }

    /// Waits for some, until then. Whether there were any.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        let descriptors: Vec<_> = [&self.changes].into_iter().chain(&self.unlocked).map(OwnedFd::as_fd).collect();
        wait_on(&descriptors, deadline)
    }
}

fn wait_on(descriptors: &[BorrowedFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let mut fds: Vec<_> = descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    Ok(poll(&mut fds, left)? > 0)
}

/// A descriptor that can be read when nobody holds the pod's lock any more. Of locks the kernel tells only those
/// who wait in line for them, which a thread does; it ends with the lock's holder or with this process.
fn until_unlocked(pod: &Pod) -> io::Result<OwnedFd> {
    let directory = files::open_directory(pod, ".")?;
    let (told, tells) = pipe_with(PipeFlags::CLOEXEC)?;
    std::thread::Builder::new().name("lock".to_owned()).spawn(move || {
        // Where the lock cannot be had, whoever waits looks again.
        let _ = Lock::shared(directory);
        drop(tells);
    })?;
    Ok(told)
}

/// Why a pod was not waited for to the end.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The time is over.
    #[error("error waiting for {awaited}: it took longer than {timeout:?}")]
    TooLong {
        /// For what.
        awaited: Awaited,
        /// How long.
        timeout: Duration,
    },
    /// It ended, or never came so far.
    #[error("error waiting for pod readiness: pod \"{uuid}\" has ended")]
    Over {
        /// Which.
        uuid: Uuid,
    },
    /// It cannot be looked at.
    #[error("error waiting for {awaited}: cannot watch pod \"{uuid}\"")]
    Look {
        /// For what.
        awaited: Awaited,
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It cannot be found again.
    #[error("error waiting for {awaited}")]
    Pods {
        /// For what.
        awaited: Awaited,
        /// Why.
        #[source]
        cause: PodsError,
    },
}
