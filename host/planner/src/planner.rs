//! rkt's side of a planner process: starting it, asking it for a plan, and not waiting too long.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rkt_plan::{Plan, Pod};
use rkt_sys::memfd;
use rkt_sys::pidfd::{Exit, PidFd};
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal};

use crate::child::PROGRAM_NAME;
use crate::error::{End, Error};
use crate::limits::Limits;
use crate::message::{self, FactAnswer, LONGEST_REPLY, ReadError, Reply, Request};
use crate::plugin::Plugin;

/// Answers plugins' questions about the host. The contract lists them (`wit/facts.wit`).
pub trait Facts {
    /// The answer to one question; none where it is not known.
    fn fact(&self, name: &str) -> Option<String>;
}

/// What a plugin answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The plan, as it was spoken: not yet checked.
    pub plan: Plan,
    /// The facts that the plugin asked for, with the answers that it got.
    pub facts: BTreeMap<String, Option<String>>,
}

/// A plugin's process, which loads the plugin while its pod is still being made ready.
///
/// Dropped before its end, the process is killed.
#[derive(Debug)]
pub struct Planner {
    plugin: String,
    limits: Limits,
    socket: UnixStream,
    /// None once the process was waited for.
    process: Option<PidFd>,
}

impl Planner {
    /// Starts a plugin's process and returns at once.
    ///
    /// `program` is one that becomes a planner where it is called [`PROGRAM_NAME`]: rkt itself, by
    /// `/proc/self/exe`. It gets no environment, and no descriptor but a socket and the code.
    ///
    /// # Errors
    /// The system has no room for another process.
    pub fn start(program: &Path, plugin: &Plugin, limits: Limits) -> Result<Self, Error> {
        let start = |cause| Error::Start { plugin: plugin.name().to_owned(), cause };
        let (socket, theirs) = UnixStream::pair().map_err(start)?;
        let code = memfd::sealed(plugin.name(), plugin.code()).map_err(io::Error::from).map_err(start)?;
        let child = Command::new(program)
            .arg0(PROGRAM_NAME)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(code)
            .stderr(Stdio::null())
            .spawn()
            .map_err(start)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
        // Not waited for yet, so the pid is still the child's.
        let process = PidFd::open(pid).map_err(io::Error::from).map_err(start)?;
        Ok(Self { plugin: plugin.name().to_owned(), limits, socket, process: Some(process) })
    }

    /// Asks for the plan of a pod, answers the plugin's questions, and sees the process end.
    ///
    /// # Errors
    /// The plugin refuses the pod, fails, breaks a limit or does not end in time.
    pub fn plan(mut self, pod: &Pod, facts: &dyn Facts) -> Result<Planned, Error> {
        let deadline = Instant::now() + self.limits.time;
        let request = Request { pod: pod.clone(), limits: self.limits.clone() };
        // A process that failed early hung up before it read; it said why.
        match message::write(self.until(deadline), &request) {
            Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => return Err(self.silent(&cause, deadline)),
            _ => {}
        }
        let mut asked = BTreeMap::new();
        let reply = loop {
            match self.read(deadline)? {
                Reply::Fact { name } => self.answer(name, &mut asked, facts, deadline)?,
                last => break last,
            }
        };
        self.see_end(deadline)?;
        match reply {
            Reply::Planned(plan) => self.accept(Planned { plan, facts: asked }),
            Reply::Problem { message, hint } => Err(Error::Refused { plugin: self.plugin.clone(), message, hint }),
            Reply::Failed(failure) => Err(Error::Failed { plugin: self.plugin.clone(), failure }),
            Reply::Fact { .. } => unreachable!("questions were answered above"),
        }
    }

    /// The process counts the words; a broken one may have miscounted.
    fn accept(&self, planned: Planned) -> Result<Planned, Error> {
        if planned.plan.words.len() > self.limits.words {
            return Err(self.malformed(format!("a plan of {} words", planned.plan.words.len())));
        }
        Ok(planned)
    }

    fn answer(
        &mut self,
        name: String,
        asked: &mut BTreeMap<String, Option<String>>,
        facts: &dyn Facts,
        deadline: Instant,
    ) -> Result<(), Error> {
        if asked.len() >= self.limits.questions {
            return Err(self.malformed(format!("more than {} questions", self.limits.questions)));
        }
        let answer = asked.entry(name).or_insert_with_key(|name| facts.fact(name)).clone();
        message::write(self.until(deadline), &FactAnswer(answer)).map_err(|cause| self.silent(&cause, deadline))
    }

    fn read(&mut self, deadline: Instant) -> Result<Reply, Error> {
        message::read(self.until(deadline), LONGEST_REPLY).map_err(|error| match error {
            ReadError::Io(cause) => self.silent(&cause, deadline),
            error => self.malformed(error.to_string()),
        })
    }

    fn until(&self, deadline: Instant) -> Until<'_> {
        Until { socket: &self.socket, deadline }
    }

    /// The process's end counts before its reply: only one that ended well is believed.
    fn see_end(&mut self, deadline: Instant) -> Result<(), Error> {
        match self.end(deadline) {
            Some(Exit::Code(0)) => Ok(()),
            Some(exit) => Err(self.ended(End::from(exit))),
            None => Err(self.ended(End::Hang { limit: self.limits.time })),
        }
    }

    /// Nothing came, or nothing was taken: the process died, or it hangs.
    fn silent(&mut self, cause: &io::Error, deadline: Instant) -> Error {
        let timed_out = matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        match self.end(deadline) {
            Some(exit) if !timed_out => self.ended(End::from(exit)),
            _ => self.ended(End::Hang { limit: self.limits.time }),
        }
    }

    /// How the process ended; none, and it is killed, where it does not end in time.
    fn end(&mut self, deadline: Instant) -> Option<Exit> {
        let process = self.process.take()?;
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        let in_time = poll(&mut ended, Some(time_left(deadline))).is_ok_and(|ready| ready > 0);
        if !in_time {
            kill(&process);
            return None;
        }
        process.wait().ok()
    }

    fn ended(&self, end: End) -> Error {
        Error::Ended { plugin: self.plugin.clone(), end }
    }

    fn malformed(&self, what: String) -> Error {
        Error::Malformed { plugin: self.plugin.clone(), what }
    }
}

impl Drop for Planner {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            kill(&process);
        }
    }
}

/// Ends a process and waits for it. It is our child, so both can only fail where it is gone.
fn kill(process: &PidFd) {
    let _ = process.signal(Signal::KILL);
    let _ = process.wait();
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A socket that is read and written until a point in time, however slowly the other side drips.
struct Until<'s> {
    socket: &'s UnixStream,
    deadline: Instant,
}

impl Until<'_> {
    fn wait_for(&self, flags: PollFlags) -> io::Result<()> {
        let mut sockets = [PollFd::from_borrowed_fd(self.socket.as_fd(), flags)];
        match poll(&mut sockets, Some(time_left(self.deadline)))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait_for(PollFlags::IN)?;
        self.socket.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.wait_for(PollFlags::OUT)?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
