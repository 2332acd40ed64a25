//! rkt's side of a planner process: starting it, asking it for a plan, and not waiting too long.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use rkt_plan::{Plan, Pod};
use rkt_sys::memfd;
use rkt_sys::pidfd::Exit;

use crate::error::{End, Error};
use crate::limits::Limits;
use crate::message::{self, FactAnswer, LONGEST_REPLY, LastReply, ReadError, Reply, Request, Start};
use crate::plugin::Plugin;
use crate::process::{Process, Until, sockets, unexpected};

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
    process: Process,
}

impl Planner {
    /// Starts a plugin's process and returns at once.
    ///
    /// `program` is the planner program. It gets no arguments, no environment, and no descriptor but a
    /// socket and the code.
    ///
    /// # Errors
    /// The system has no room for another process.
    pub fn start(program: &Path, plugin: &Plugin, limits: Limits) -> Result<Self, Error> {
        let start = |cause| Error::Start { plugin: plugin.name().to_owned(), cause };
        let (socket, theirs) = sockets().map_err(start)?;
        // A few bytes into an empty socket: this waits for nobody.
        message::write(&socket, &Start(limits.clone())).map_err(start)?;
        let code = memfd::sealed("rkt-plugin", plugin.code()).map_err(|error| start(error.into()))?;
        let process = Process::start(program, theirs.into(), code).map_err(start)?;
        Ok(Self { plugin: plugin.name().to_owned(), limits, socket, process })
    }

    /// Asks for the plan of a pod, answers the plugin's questions, and sees the process end.
    ///
    /// # Errors
    /// The plugin refuses the pod, fails, breaks a limit or does not end in time.
    pub fn plan(mut self, pod: &Pod, facts: &dyn Facts) -> Result<Planned, Error> {
        let deadline = Instant::now() + self.limits.time;
        match message::write(self.until(deadline), &Request(pod.clone())) {
            // A process that failed early hung up before it read; what it says is why.
            Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => return Err(self.silent(&cause, deadline)),
            _ => {}
        }
        let mut asked = BTreeMap::new();
        let reply = loop {
            match self.read(deadline)? {
                Reply::Fact { name } => self.answer(name, &mut asked, facts, deadline)?,
                Reply::Last(reply) => break reply,
            }
        };
        self.see_end(deadline)?;
        match reply {
            LastReply::Planned(plan) => self.accept(Planned { plan, facts: asked }),
            LastReply::Problem { message, hint } => Err(Error::Refused { plugin: self.plugin, message, hint }),
            LastReply::Failed(failure) => Err(Error::Failed { plugin: self.plugin, failure }),
        }
    }

    fn answer(
        &mut self,
        name: String,
        asked: &mut BTreeMap<String, Option<String>>,
        facts: &dyn Facts,
        deadline: Instant,
    ) -> Result<(), Error> {
        if asked.len() >= self.limits.questions || name.len() > self.limits.text {
            return Err(self.malformed("more or longer questions than are allowed".to_owned()));
        }
        let answer = asked.entry(name).or_insert_with_key(|name| facts.fact(name)).clone();
        message::write(self.until(deadline), &FactAnswer(answer)).map_err(|cause| self.silent(&cause, deadline))
    }

    /// The process counts words itself; a broken one may have miscounted.
    fn accept(self, planned: Planned) -> Result<Planned, Error> {
        if planned.plan.words.len() > self.limits.words {
            return Err(self.malformed(format!("a plan of {} words", planned.plan.words.len())));
        }
        Ok(planned)
    }

    /// The process's end counts before its reply: only one that ended well is believed.
    fn see_end(&mut self, deadline: Instant) -> Result<(), Error> {
        match self.process.end(deadline) {
            Ok(Exit::Code(0)) => Ok(()),
            end => Err(self.ended(unexpected(end, self.limits.time))),
        }
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

    /// Nothing came, or nothing was taken: the process hangs, or it died.
    fn silent(&mut self, cause: &io::Error, deadline: Instant) -> Error {
        if cause.kind() == io::ErrorKind::TimedOut {
            return self.ended(End::Hang { limit: self.limits.time });
        }
        let end = self.process.end(deadline);
        self.ended(unexpected(end, self.limits.time))
    }

    fn ended(&self, end: End) -> Error {
        Error::Ended { plugin: self.plugin.clone(), end }
    }

    fn malformed(&self, what: String) -> Error {
        Error::Malformed { plugin: self.plugin.clone(), what }
    }
}
