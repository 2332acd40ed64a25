//! An app's processes: the first, and those that enter later. One function starts them all, which is
//! why none can have more rights than another.

use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rkt_sys::mount::{Attributes, FileSystem};
use rkt_sys::namespace::{self, Namespace, Namespaces};
use rkt_sys::pidfd::PidFd;
use rkt_sys::pty::{self, Pty};
use rkt_sys::spawn::{Child, Spawn};
use rkt_sys::{process, socket};
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Signal, Uid};

use crate::assemble::assemble;
use crate::confine;
use crate::failure::{Failure, on_one_line};
use crate::launch::Command;
use crate::order::{self, PreparedApp};
use crate::scaffold;
use crate::words::limit;

/// The code of a process whose program could not be run, as systemd.exec(5) has it (EXIT_EXEC).
pub const CODE_OF_NO_PROGRAM: i32 = 203;

/// The code of a process that failed before; nobody sees it but in a message.
const CODE_OF_FAILURE: i32 = 1;

/// The most that a process says about its failure, in bytes.
const LONGEST_FAILURE: u64 = 64 * 1024;

/// What a process has as 0, 1 and 2.
#[derive(Debug)]
pub enum Stdio {
    /// A file each; without an input it is the null device.
    Files {
        /// 0.
        input: Option<OwnedFd>,
        /// 1.
        output: OwnedFd,
        /// 2.
        error: OwnedFd,
    },
    /// One terminal, which becomes the controlling one.
    Terminal(OwnedFd),
}

/// An app's namespaces, held so that they can be entered however its processes come and go.
#[derive(Debug)]
pub struct Pinned {
    mounts: OwnedFd,
    cgroups: Option<OwnedFd>,
    devpts: Option<OwnedFd>,
}

impl Pinned {
    /// The app's terminals, where it sees any.
    pub fn devpts(&self) -> Option<BorrowedFd<'_>> {
        self.devpts.as_ref().map(AsFd::as_fd)
    }
}

/// A process on its way to its program.
#[derive(Debug)]
pub struct Starting {
    /// Its pid, as the caller sees it.
    pub pid: Pid,
    /// The process.
    pub process: PidFd,
    status: OwnedFd,
    said: Vec<u8>,
    pinned: Vec<OwnedFd>,
}

/// How far a process has come.
#[derive(Debug)]
pub enum Progress {
    /// Not there yet: ask again when the descriptor is readable.
    Underway,
    /// It runs its program. Of an app's first process, what others enter by.
    Running(Option<Pinned>),
    /// It did not get there, and has ended or is about to.
    Failed(Failure),
}

/// Starts an app's first process, in namespaces of its own for mounts and control groups. Before it becomes
/// its program it waits to be told so ([`Starting::go`]).
///
/// # Errors
/// No process could be made.
pub fn start(app: &PreparedApp, stdio: &Stdio) -> Result<Starting, Failure> {
    let namespaces = Namespaces::NONE.with(Namespace::Mount);
    spawn(app, namespaces, |status| {
        prepare_process(app)?;
        if app.own_cgroup_namespace {
            namespace::unshare(Namespaces::NONE.with(Namespace::Cgroup))
                .map_err(Failure::of(|| "part from the host's control groups"))?;
        }
        let pin = |kind| namespace::open_own(kind).map_err(Failure::of(|| "hold a namespace"));
        let mounts = pin(Namespace::Mount)?;
        let cgroups = app.own_cgroup_namespace.then(|| pin(Namespace::Cgroup)).transpose()?;
        take_stdio(app, stdio)?;
        let devpts = assemble(app)?;
        send_pinned(status, &Pinned { mounts, cgroups, devpts })?;
        wait_to_go(status)?;
        match confine::confine(app, &app.command, &app.handles, status)? {}
    })
}

/// Starts another process of an app, in the namespaces of the first.
///
/// # Errors
/// No process could be made.
pub fn enter(app: &PreparedApp, pinned: &Pinned, command: &Command, stdio: &Stdio) -> Result<Starting, Failure> {
    spawn(app, Namespaces::NONE, |status| {
        prepare_process(app)?;
        take_stdio(app, stdio)?;
        let entered = |fd: &OwnedFd, kind| namespace::enter(fd.as_fd(), kind).map_err(Failure::of(|| "enter the app"));
        if let Some(cgroups) = &pinned.cgroups {
            entered(cgroups, Namespace::Cgroup)?;
        }
        entered(&pinned.mounts, Namespace::Mount)?;
        match confine::confine(app, command, &[], status)? {}
    })
}

/// What every process does first: it parts from the caller's terminal, and is counted from now on.
fn prepare_process(app: &PreparedApp) -> Result<(), Failure> {
    rustix::process::setsid().map_err(Failure::of(|| "begin a session"))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    if let Some(limits) = &app.limits {
        limits.enter()?;
    }
    order::set_oom_score(app)
}

fn spawn(
    app: &PreparedApp,
    namespaces: Namespaces,
    body: impl FnOnce(&mut ManuallyDrop<OwnedFd>) -> Result<std::convert::Infallible, Failure>,
) -> Result<Starting, Failure> {
    let failed = || "make a process";
    let (ours, theirs) = socket::pair().map_err(Failure::of(failed))?;
    let (mut ours, mut theirs) = (Some(ours), ManuallyDrop::new(theirs));
    let spawn = Spawn { namespaces, cgroup: app.limits.as_ref().and_then(limit::Place::unified) };
    let child = spawn
        .run(|| {
            // With a copy of the caller's end this process would not see the caller's end.
            drop(ours.take());
            let Err(failure) = body(&mut theirs);
            tell(&theirs, &failure)
        })
        .map_err(Failure::of(failed));
    // The child's copy is the child's.
    drop(ManuallyDrop::into_inner(theirs));
    let Child { pid, process } = child?;
    let ours = ours.expect("it was taken out of the child's copy of it");
    rustix::io::ioctl_fionbio(&ours, true).map_err(Failure::of(failed))?;
    Ok(Starting { pid, process, status: ours, said: Vec::new(), pinned: Vec::new() })
}

/// The last words of a process that failed. Where a filter keeps it from speaking, its code tells.
fn tell(status: &OwnedFd, failure: &Failure) -> i32 {
    let words = serde_json::to_vec(failure).unwrap_or_else(|_| on_one_line(failure).into_bytes());
    let _ = rustix::io::write(status, &words);
    if failure.is_of_program() { CODE_OF_NO_PROGRAM } else { CODE_OF_FAILURE }
}

fn take_stdio(app: &PreparedApp, stdio: &Stdio) -> Result<(), Failure> {
    let failed = || "take its input and output";
    match stdio {
        Stdio::Files { input, output, error } => {
            // Programs open /dev/stdout again, which asks the pipe's owner and mode.
            for file in input.iter().chain([output, error]) {
                give(app, file)?;
            }
            let null;
            let input = if let Some(input) = input {
                input
            } else {
                null = scaffold::open_null(app.base.null())?;
                &null
            };
            become_stdio(input, output, error).map_err(Failure::of(failed))
        }
        Stdio::Terminal(terminal) => {
            give(app, terminal)?;
            rustix::process::ioctl_tiocsctty(terminal).map_err(Failure::of(failed))?;
            become_stdio(terminal, terminal, terminal).map_err(Failure::of(failed))
        }
    }
}

fn give(app: &PreparedApp, file: &OwnedFd) -> Result<(), Failure> {
    let user = &app.user;
    if user.uid == 0 {
        return Ok(());
    }
    rustix::fs::fchown(file, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .map_err(Failure::of(|| "give its input and output to the user"))
}

fn become_stdio(input: &OwnedFd, output: &OwnedFd, error: &OwnedFd) -> rustix::io::Result<()> {
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(error)
}

/// Says with one byte which of the optional descriptors come.
fn send_pinned(status: &OwnedFd, pinned: &Pinned) -> Result<(), Failure> {
    let which = u8::from(pinned.cgroups.is_some()) | u8::from(pinned.devpts.is_some()) << 1;
    let all: Vec<_> = [Some(&pinned.mounts), pinned.cgroups.as_ref(), pinned.devpts.as_ref()]
        .into_iter()
        .flatten()
        .map(AsFd::as_fd)
        .collect();
    socket::send_descriptors(status.as_fd(), &[which], &all).map_err(Failure::of(|| "hand its namespaces to init"))
}

fn wait_to_go(status: &OwnedFd) -> Result<(), Failure> {
    match rustix::io::read(status, &mut [0; 1]).map_err(Failure::of(|| "wait for init"))? {
        0 => Err(Failure::new("init has ended")),
        _ => Ok(()),
    }
}

impl Starting {
    /// Lets an app's first process become its program: all is done that has to be done before.
    pub fn go(&self) {
        // Where it has ended already, that is what is heard of it.
        let _ = rustix::io::write(&self.status, &[0]);
    }

    /// Looks how far it has come, without waiting.
    pub fn progress(&mut self) -> Progress {
        loop {
            let mut bytes = [0; 4096];
            match socket::receive_descriptors(self.status.as_fd(), &mut bytes, &mut self.pinned) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Underway,
                Ok(0) => return self.arrived(),
                // It ended before it had read that it may go on.
                Err(error) if error.errno() == Some(Errno::CONNRESET) => return self.arrived(),
                Err(error) => return Progress::Failed(Failure::of(|| "hear of a process that starts")(error)),
                Ok(length) => self.said.extend_from_slice(&bytes[..length]),
            }
            if self.said.len() as u64 > LONGEST_FAILURE {
                return Progress::Failed(Failure::new("a process that starts says too much"));
            }
        }
    }

    /// The other end is closed: by the program that runs, or by the end of the process.
    fn arrived(&mut self) -> Progress {
        let (which, words) = if self.pinned.is_empty() {
            (None, &self.said[..])
        } else {
            match self.said.split_first() {
                Some((which, words)) => (Some(*which), words),
                None => (None, &self.said[..]),
            }
        };
        if !words.is_empty() {
            let failure = serde_json::from_slice(words);
            return Progress::Failed(failure.unwrap_or_else(|_| Failure::new("a process failed and did not say why")));
        }
        let mut pinned = std::mem::take(&mut self.pinned).into_iter();
        Progress::Running(which.and_then(|which| {
            Some(Pinned {
                mounts: pinned.next()?,
                cgroups: if which & 1 == 0 { None } else { pinned.next() },
                devpts: if which & 2 == 0 { None } else { pinned.next() },
            })
        }))
    }
}

impl AsFd for Starting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }
}

/// Kills the children of this process, as procfs lists them. Theirs become this process's own
/// when they are gone, where it is their reaper.
///
/// # Errors
/// The list cannot be read.
pub fn kill_children() -> Result<(), Failure> {
    let failed = || "list the children of init";
    let mut list = String::new();
    let path = format!("{}/thread-self/children", scaffold::PROC);
    File::open(path).and_then(|mut file| file.read_to_string(&mut list)).map_err(Failure::of(failed))?;
    for pid in list.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw) {
        // A child that is not waited for keeps its pid, so nobody else can have it.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    Ok(())
}

/// Kills every process in an app's mount namespace, as procfs shows them. Whether there
/// was any: they end in their own time, so it is asked again.
///
/// # Errors
/// The processes cannot be listed.
pub fn kill_all_of(pinned: &Pinned) -> Result<bool, Failure> {
    let failed = || "list the processes of an app";
    let own = namespace::identity(pinned.mounts.as_fd()).map_err(Failure::of(failed))?;
    let mut were_there = false;
    for entry in std::fs::read_dir(scaffold::PROC).map_err(Failure::of(failed))?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(process) = pid.and_then(|pid| PidFd::open(pid).ok()) else { continue };
        if is_in_mounts(&entry.path(), own) {
            were_there = true;
            // It may have ended by now.
            let _ = process.signal(Signal::KILL);
        }
    }
    Ok(were_there)
}

/// Whether a thread of the process at this path of procfs is in this mount namespace. The first thread of a
/// process may have ended before the others.
fn is_in_mounts(process: &Path, namespace: u64) -> bool {
    let is_there = |task: &Path| std::fs::metadata(task.join("ns/mnt")).is_ok_and(|stat| stat.ino() == namespace);
    is_there(process)
        || std::fs::read_dir(process.join("task"))
            .is_ok_and(|mut tasks| tasks.any(|task| task.is_ok_and(|task| is_there(&task.path()))))
}

/// Makes this process the parent of every orphan of the pod, which nobody in the pod looks into. In a
/// pid namespace of its own it dies with its parent; elsewhere its parent's end of their connection
/// tells it to end the pod first.
///
/// # Errors
/// The kernel refused.
pub fn become_init(in_own_pid_namespace: bool) -> Result<(), Failure> {
    let made = if in_own_pid_namespace {
        process::set_parent_death_signal(Some(Signal::KILL))
    } else {
        process::become_child_subreaper()
    };
    made.and_then(|()| process::set_dumpable(false)).map_err(failed("become the parent of the pod's processes"))?;
    match rustix::process::setsid() {
        // Whoever made this process has begun one for it.
        Err(Errno::PERM) if rustix::process::getsid(None) == Ok(rustix::process::getpid()) => Ok(()),
        begun => begun.map(drop).map_err(failed("begin a session")),
    }
}

/// Lets go of the caller's input and output, for the null device at this place.
pub(crate) fn drop_stdio(null: &'static str) -> Result<(), Failure> {
    let null = scaffold::open_null(null)?;
    become_stdio(&null, &null, &null).map_err(failed("let go of input and output"))
}

/// A new terminal for a command in an app: of those that the app sees, or one that nobody sees.
///
/// # Errors
/// There is no terminal left.
pub fn open_terminal(pinned: &Pinned) -> Result<Pty, Failure> {
    let made;
    let devpts = if let Some(devpts) = pinned.devpts() {
        devpts
    } else {
        made = FileSystem::new("devpts")
            .and_then(|devpts| devpts.option("ptmxmode", "0600")?.mount(Attributes::MOUNT_ATTR_NOSUID))
            .map_err(failed("make terminals"))?;
        made.as_fd()
    };
    pty::open_in(devpts).map_err(failed("open a terminal"))
}

/// For `map_err`, where what was tried is said in fixed words.
pub fn failed<E: Error>(what: &'static str) -> impl FnOnce(E) -> Failure {
    Failure::of(move || what)
}
