//! The end of pods: marked, undone, removed. Each step is a rename or happens under the pod's lock, so
//! that whoever is interrupted leaves what the next finds.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::os::fd::AsFd as _;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use rkt_sys::lock::Lock;
use rkt_sys::remove::remove_tree;

use crate::files;
use crate::hold::{Held, hold};
use crate::pod::Pod;
use crate::pods::{Pods, PodsError, open_directory};
use crate::records::RecordsError;
use crate::state::{Stage, State};
use crate::uuid::Uuid;

/// How long a pod whose monitor has ended may be somebody's, until whoever wants to remove it is refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many pods are removed at a time, at most.
const WORKERS: usize = 4;

/// How long pods are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Exited pods, from when they were marked.
    pub exited: Duration,
    /// Prepared pods that nobody starts.
    pub prepared: Duration,
    /// Whether garbage is only marked, and nothing removed.
    pub mark_only: bool,
}

/// One step of a collection.
#[derive(Debug)]
pub enum Event {
    /// An exited pod was marked.
    Exited(Uuid),
    /// A preparation that ended without completing was marked.
    FailedPrepare(Uuid),
    /// A prepared pod that nobody started was marked.
    Expired(Uuid),
    /// An exited pod is being removed.
    Removing(Uuid),
    /// An exited pod is kept for now.
    WithinGrace(Uuid),
    /// A record was beyond what is kept, and was removed.
    Forgotten(Uuid),
    /// What is to be remembered of a pod could not be kept; the pod is removed nevertheless.
    NotRecorded(RecordsError),
    /// Something could not be done; the rest goes on.
    Failed(RemoveError),
    /// A pod could not be looked at; the rest goes on.
    Unreadable(PodsError),
}

impl Pods {
    /// Marks what is over and removes what was marked long enough ago. Pods that somebody else holds
    /// are left alone.
    ///
    /// # Errors
    /// Where the directories of pods cannot be read. What fails for one pod is reported.
    pub fn collect(&self, keep: &Keep, now: SystemTime, report: &mut dyn FnMut(Event)) -> Result<(), PodsError> {
        self.each(Stage::Run, report, |pod| self.mark(pod, Stage::ExitedGarbage, Event::Exited))?;
        self.each(Stage::Prepare, report, |pod| self.mark(pod, Stage::Garbage, Event::FailedPrepare))?;
        // Whoever makes one locks it at once, and makes another where this came first.
        self.each(Stage::Embryo, report, |pod| self.mark(pod, Stage::Garbage, Event::FailedPrepare))?;
        if keep.mark_only {
            return Ok(());
        }
        self.each(Stage::Prepared, report, |pod| match age(pod, now)? {
            age if age >= keep.prepared => self.mark(pod, Stage::Garbage, Event::Expired),
            _ => Ok(None),
        })?;
        let pods = self.list(&[Stage::ExitedGarbage, Stage::Garbage])?;
        each_at_once(pods, report, |pod, report| match pod.stage() {
            Stage::ExitedGarbage => self.collect_exited(pod, keep, now, report),
            _ => self.remove_garbage(pod),
        });
        Ok(())
    }

    /// Removes a pod that is not in use, whatever it is.
    ///
    /// # Errors
    /// Where it is in use, or something of it cannot be undone or removed.
    pub fn remove(&self, pod: &Pod, report: &mut dyn FnMut(Event)) -> Result<(), RemoveError> {
        let again = || self.get(pod.uuid()).map_err(RemoveError::Directory);
        let lock = match hold(pod).map_err(|cause| failed(pod, cause))? {
            Held::Ours(lock) => lock,
            Held::Theirs => {
                let Some(pod) = again()? else { return Ok(()) };
                // What is left of a pod, or a collector that moves it, lets go of it in a moment.
                let is_let_go = pod.has_lost_its_monitor() && wait_for_end(&pod)?;
                return if is_let_go { self.remove(&pod, report) } else { Err(busy(&pod)) };
            }
            Held::Gone => return again()?.map_or(Ok(()), |pod| self.remove(&pod, report)),
        };
        let uuid = pod.uuid();
        let marked = match pod.stage() {
            Stage::Embryo | Stage::Prepare => Some((Stage::Garbage, Event::FailedPrepare(uuid))),
            Stage::Prepared => Some((Stage::Garbage, Event::Expired(uuid))),
            Stage::Run => Some((Stage::ExitedGarbage, Event::Exited(uuid))),
            Stage::ExitedGarbage | Stage::Garbage => None,
        };
        let mut stage = pod.stage();
        if let Some((to, event)) = marked {
            self.move_to(pod, to)?;
            report(event);
            stage = to;
        }
        self.delete(pod, stage, &lock, report)
    }

    fn each(
        &self,
        stage: Stage,
        report: &mut dyn FnMut(Event),
        act: impl Fn(&Pod) -> Result<Option<Event>, RemoveError>,
    ) -> Result<(), PodsError> {
        for pod in self.list(&[stage])? {
            match pod {
                Err(error) => report(Event::Unreadable(error)),
                // It moved on meanwhile, and is somebody else's affair.
                Ok(pod) if pod.stage() != stage => {}
                Ok(pod) => match act(&pod) {
                    Ok(event) => event.into_iter().for_each(&mut *report),
                    Err(error) => report(Event::Failed(error)),
                },
            }
        }
        Ok(())
    }

    /// Moves a pod that nobody holds to where garbage is.
    fn mark(&self, pod: &Pod, to: Stage, event: fn(Uuid) -> Event) -> Result<Option<Event>, RemoveError> {
        let Some(_lock) = lock(pod)? else { return Ok(None) };
        self.move_to(pod, to)?;
        Ok(Some(event(pod.uuid())))
    }

    fn collect_exited(
        &self,
        pod: &Pod,
        keep: &Keep,
        now: SystemTime,
        report: &mut dyn FnMut(Event),
    ) -> Result<(), RemoveError> {
        let Some(lock) = lock(pod)? else { return Ok(()) };
        if age(pod, now)? < keep.exited {
            report(Event::WithinGrace(pod.uuid()));
            return Ok(());
        }
        report(Event::Removing(pod.uuid()));
        self.delete(pod, Stage::ExitedGarbage, &lock, report)
    }

    fn remove_garbage(&self, pod: &Pod) -> Result<(), RemoveError> {
        let Some(lock) = lock(pod)? else { return Ok(()) };
        self.delete(pod, Stage::Garbage, &lock, &mut |_| {})
    }

    fn move_to(&self, pod: &Pod, to: Stage) -> Result<(), RemoveError> {
        self.make_stage(to).map_err(RemoveError::Directory)?;
        let moved = rustix::fs::rename(self.path(pod.uuid(), pod.stage()), self.path(pod.uuid(), to));
        moved.map_err(|cause| failed(pod, cause.into()))
    }

    /// Undoes what outlived the pod's processes, moves what is remembered of a pod that ran to where it is
    /// kept, then removes the pod's directory, the manifest last: what is left when this is interrupted
    /// still says what it is.
    fn delete(&self, pod: &Pod, stage: Stage, _held: &Lock, report: &mut dyn FnMut(Event)) -> Result<(), RemoveError> {
        let undone = |cause| RemoveError::Undo { uuid: pod.uuid(), cause };
        rkt_executor::undo(pod.as_fd()).map_err(undone)?;
        // What cannot be remembered, as on a disk that is full, is no reason to keep all of the pod.
        if stage == Stage::ExitedGarbage
            && let Err(error) = self.records().keep(pod)
        {
            report(Event::NotRecorded(error));
        }
        let removed = |cause| RemoveError::Remove { uuid: pod.uuid(), cause };
        for entry in
            files::names(pod.as_fd()).map_err(|cause| removed(rkt_sys::Error::new("getdents", pod.uuid(), cause)))?
        {
            if entry != "pod" {
                remove_tree(pod.as_fd(), OsStr::new(&entry)).map_err(removed)?;
            }
        }
        let parent = open_directory(&self.stage_path(stage)).map_err(|cause| failed(pod, cause.into()))?;
        remove_tree(parent.as_fd(), OsStr::new(&pod.uuid().to_string())).map_err(removed)
    }
}

/// Acts on pods, several at a time: most of the work is the kernel's, which does it for each on a processor of its own.
/// What there is to report is reported here.
fn each_at_once(
    pods: impl Iterator<Item = Result<Pod, PodsError>> + Send,
    report: &mut dyn FnMut(Event),
    act: impl Fn(&Pod, &mut dyn FnMut(Event)) -> Result<(), RemoveError> + Sync,
) {
    let pods = Mutex::new(pods);
    let next = || pods.lock().expect("nobody panics with it").next();
    let work = |told: Sender<Event>| {
        // The receiver lives as long as anybody sends.
        let mut tell = |event| drop(told.send(event));
        while let Some(pod) = next() {
            match pod {
                Err(error) => tell(Event::Unreadable(error)),
                Ok(pod) => act(&pod, &mut tell).unwrap_or_else(|error| tell(Event::Failed(error))),
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS);
    let (told, heard) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (work, told) = (&work, told.clone());
            scope.spawn(move || work(told));
        }
        drop(told);
        heard.iter().for_each(report);
    });
}

/// The pod's lock, or none where a process of the pod, or another remover, has or had it.
fn lock(pod: &Pod) -> Result<Option<Lock>, RemoveError> {
    match hold(pod).map_err(|cause| failed(pod, cause))? {
        Held::Ours(lock) => Ok(Some(lock)),
        Held::Theirs | Held::Gone => Ok(None),
    }
}

fn wait_for_end(pod: &Pod) -> Result<bool, RemoveError> {
    pod.wait_for_end(Some(PATIENCE)).map_err(|cause| failed(pod, cause))
}

fn age(pod: &Pod, now: SystemTime) -> Result<Duration, RemoveError> {
    let moved = pod.moved().map_err(|cause| failed(pod, cause))?;
    Ok(now.duration_since(moved).unwrap_or_default())
}

fn busy(pod: &Pod) -> RemoveError {
    let activity = match pod.state() {
        State::Embryo | State::Preparing | State::AbortedPrepare | State::Prepared => Activity::Prepared,
        State::Running | State::Exited => Activity::Running,
        State::ExitedDeleting | State::ExitedGarbage | State::Deleting | State::Garbage => Activity::Deleted,
    };
    RemoveError::Busy { uuid: pod.uuid(), activity }
}

fn failed(pod: &Pod, cause: io::Error) -> RemoveError {
    RemoveError::Directory(PodsError::Open { uuid: pod.uuid(), cause })
}

/// What somebody is doing with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It runs.
    Running,
    /// It is being prepared.
    Prepared,
    /// It is being deleted.
    Deleted,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Prepared => "being prepared",
            Self::Deleted => "being deleted",
        })
    }
}

/// Why a pod was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Somebody holds it.
    #[error("pod \"{uuid}\" is currently {activity}")]
    Busy {
        /// Which.
        uuid: Uuid,
        /// What it is held for.
        activity: Activity,
    },
    /// What outlived its processes is still there; the directory is kept for the next attempt.
    #[error("cannot undo what is left of pod \"{uuid}\"")]
    Undo {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: rkt_executor::Failure,
    },
    /// Its files.
    #[error("unable to remove pod \"{uuid}\"")]
    Remove {
        /// Which.
        uuid: Uuid,
        /// Why.
        #[source]
        cause: rkt_sys::Error,
    },
    /// Its place among pods.
    #[error(transparent)]
    Directory(PodsError),
}
