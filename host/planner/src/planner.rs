//! rkt's side of a planner process: starting it, asking it for a plan, and not waiting too long.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rkt_plan::{Plan, Pod};
use rkt_sys::pidfd::Exit;
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::{memfd, own_file};

use crate::error::{End, Error};
use crate::limits::Limits;
use crate::message::{self, FactAnswer, LONGEST_REPLY, LastReply, Part, ReadError, Reply, Request, Start};
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

/// A plugin's process that was asked for a plan.
#[derive(Debug)]
pub struct Asked {
    planner: Planner,
    /// When it must have ended.
    deadline: Instant,
    /// Its questions so far, with their answers.
    facts: BTreeMap<String, Option<String>>,
    last: Option<LastReply>,
}

impl Asked {
    /// Answers the questions that have come by now. A plugin that has asked waits.
    ///
    /// # Errors
    /// The plugin breaks a limit, or its process fails.
    pub fn answer(&mut self, facts: &dyn Facts) -> Result<(), Error> {
        while self.last.is_none() && self.planner.has_spoken() {
            self.hear(facts)?;
        }
        Ok(())
    }

    fn hear(&mut self, facts: &dyn Facts) -> Result<(), Error> {
        match self.planner.read(self.deadline)? {
            Reply::Fact { name } => self.planner.answer(name, &mut self.facts, facts, self.deadline),
            Reply::Last(reply) => {
                self.last = Some(reply);
                Ok(())
            }
        }
    }

    /// Answers the plugin's questions, takes its plan, and sees the process end. Until it has, `judge` is
    /// asked about the plan; what that says counts only where the process ended well.
    ///
    /// # Errors
    /// The plugin refuses the pod, fails, breaks a limit or does not end in time.
    pub fn judged<T>(mut self, facts: &dyn Facts, judge: impl FnOnce(Planned) -> T) -> Result<T, Error> {
        let reply = loop {
            match self.last.take() {
                Some(reply) => break reply,
                None => self.hear(facts)?,
            }
        };
        let Self { mut planner, deadline, facts, .. } = self;
        // The process counts words itself; a broken one may have miscounted.
        let judged = match reply {
            LastReply::Planned(plan) if plan.words.len() > planner.limits.words => {
                Err(planner.malformed(format!("a plan of {} words", plan.words.len())))
            }
            LastReply::Planned(plan) => Ok(judge(Planned { plan, facts })),
            LastReply::Problem { message, hint } => {
                Err(Error::Refused { plugin: planner.plugin.clone(), message, hint })
            }
            LastReply::Failed(failure) => Err(Error::Failed { plugin: planner.plugin.clone(), failure }),
        };
        planner.see_end(deadline)?;
        judged
    }
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
        let (file, part) = code_of(plugin).map_err(|error| start(error.into()))?;
        let (socket, theirs) = sockets().map_err(start)?;
        // A few bytes into an empty socket: this waits for nobody.
        message::write(&socket, &Start { limits: limits.clone(), part }).map_err(start)?;
        let process = Process::start(program, theirs.as_fd(), file.as_fd()).map_err(start)?;
        Ok(Self { plugin: plugin.name().to_owned(), limits, socket, process })
    }

    /// Asks for the plan of a pod. The process goes about it while the caller does other things.
    ///
    /// # Errors
    /// The process takes no question, and has not said why.
    pub fn ask(mut self, pod: &Pod) -> Result<Asked, Error> {
        let deadline = Instant::now() + self.limits.time;
        match message::write(self.until(deadline), &Request(pod.clone())) {
            // A process that failed early hung up before it read; what it says is why.
            Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => Err(self.silent(&cause, deadline)),
            _ => Ok(Asked { planner: self, deadline, facts: BTreeMap::new(), last: None }),
        }
    }

    /// Asks for the plan of a pod and waits for it.
    ///
    /// # Errors
    /// The plugin refuses the pod, fails, breaks a limit or does not end in time.
    pub fn plan(self, pod: &Pod, facts: &dyn Facts) -> Result<Planned, Error> {
        self.ask(pod)?.judged(facts, |planned| planned)
    }

    /// Whether there is something to read, if only that the process has hung up.
    fn has_spoken(&self) -> bool {
        let mut sockets = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut sockets, Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
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

/// A file with a plugin's code, and where in it that is; none: all of it. What is part of this program
/// needs no copy.
fn code_of(plugin: &Plugin) -> rkt_sys::Result<(OwnedFd, Option<Part>)> {
    let own = plugin.embedded_code().map(|code| Ok((own_file::holding(code)?, code.len()))).transpose()?;
    match own {
        Some((Some((file, offset)), length)) => Ok((file, Some(Part { offset, length }))),
        _ => Ok((memfd::sealed("rkt-plugin", plugin.code())?, None)),
    }
}
