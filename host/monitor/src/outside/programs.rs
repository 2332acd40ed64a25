//! Programs of the plan: the one that starts what is inside, helpers beside it, and how an opaque pod is
//! entered and stopped.
//!
//! Each runs in a jail whose first process is rkt's init, made as a pod's is: so it dies with the monitor,
//! and its signals, output and end are known in the same way.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rkt_executor::process::failed;
use rkt_executor::{Failure, Hold, Jailed, Launch, Prepared, ready};
use rkt_monitor::frame::Frame;
use rkt_monitor::link::Link;
use rkt_monitor::{Ended, Enter, Terminal};
use rkt_plan::{Argument, Channel, CheckedPlan, Helper, Inside, MainProgram, Piece, ProgramFile, Role, Template};
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::socket;
use rkt_sys::spawn::Child;
use rustix::process::Signal;

use super::ending::PATIENCE;
use super::output::Outputs;
use super::say;
use crate::between::{CALL, Event};
use crate::inside;

/// How long a helper has until it is ready.
const TIME_TO_BE_READY: Duration = Duration::from_secs(30);

/// The first process of namespaces, and the connection to it.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) init: Child,
    pub(super) link: Link,
    /// Whether init stays among the host's mounts.
    pub(super) stays_with_host: bool,
}

impl Cell {
    /// Starts it: init, and below it what was prepared. What is init's is moved there: an end of a pipe that is
    /// held here would never end.
    pub(super) fn start(prepared: Prepared, pod: &OwnedFd, outputs: Vec<inside::Output>) -> Result<Self, Failure> {
        let (ours, inits) = socket::pair().map_err(failed("make a connection to init"))?;
        let stays_with_host = prepared.stays_with_host();
        let init = prepared.spawn(|prepared| inside::run(prepared, inits.as_fd(), Some(pod.as_fd()), outputs))?;
        let link = Link::new(ours).map_err(failed("make a connection to init"))?;
        Ok(Self { init, link, stays_with_host })
    }

    /// Sees to it that init runs. One that somebody stopped from outside does nothing until it is told to go on.
    pub(super) fn wake(&self) {
        // It may have ended.
        let _ = self.init.process.signal(Signal::CONT);
    }

    /// Kills an init that does not do what it is told.
    pub(super) fn give_up(&self) {
        // It may have ended.
        let _ = self.init.process.signal(Signal::KILL);
    }

    /// Ends all that is in it.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.kill()?;
        self.init.process.wait().map(drop).map_err(failed("wait for init"))
    }

    /// Ends all that is in it, from wherever it is; how it ended is still to be waited for. Init is given
    /// time to end all that is below it, which nobody else does where there is no pid namespace.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.wake();
        self.link.close();
        let mut fds = [PollFd::new(&self.init.process, PollFlags::IN)];
        poll(&mut fds, Some(PATIENCE)).map_err(failed("wait for init"))?;
        self.give_up();
        Ok(())
    }
}

/// Prepares the plan's own program; the templates that run in its jail come with it.
pub(super) fn prepare(
    launch: &Launch,
    plan: &CheckedPlan,
    main: &MainProgram,
    channel: Option<BorrowedFd<'_>>,
    hold: &mut Hold,
) -> Result<Prepared, Failure> {
    let templates: Vec<(Role, &Template)> = [(Role::Enter, &plan.enter), (Role::Stop, &plan.stop)]
        .into_iter()
        .filter_map(|(role, template)| Some((role, template.as_ref()?)))
        .collect();
    let (number, program) = (plan.helpers.len(), &main.program);
    let socket = match &main.inside {
        Inside::Init { channel: Channel::Socket(path), .. } => Some(path),
        Inside::Init { channel: Channel::Descriptor, .. } | Inside::Opaque => None,
    };
    let jailed = Jailed { role: &Role::Main, number, program, templates: &templates, channel, socket };
    Prepared::program(&jailed, launch, hold)
}

/// All helpers of a pod.
#[derive(Debug, Default)]
pub(super) struct Helpers {
    helpers: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    /// Its output's number.
    voice: usize,
    cell: Cell,
    has_ended: bool,
}

/// What helpers said.
#[derive(Debug)]
pub(super) enum Heard {
    /// One runs, as this process of its jail.
    Made { voice: usize, name: String, pid: u32 },
    /// One has ended by itself.
    Ended(Ended),
}

impl Helpers {
    /// Starts them, each when those before it are ready.
    pub(super) fn start(
        launch: &Launch,
        plan: &CheckedPlan,
        pod: &OwnedFd,
        outputs: &mut Outputs,
        hold: &mut Hold,
    ) -> Result<Self, Failure> {
        let mut helpers = Self::default();
        for (number, helper) in plan.helpers.iter().enumerate() {
            let role = Role::Helper(helper.name.clone());
            let jailed =
                Jailed { role: &role, number, program: &helper.program, templates: &[], channel: None, socket: None };
            let prepared = Prepared::program(&jailed, launch, hold)?;
            let (voice, theirs) = outputs.add(&prepared)?;
            let cell = Cell::start(prepared, pod, theirs)?;
            helpers.helpers.push(Running { name: helper.name.clone(), voice, cell, has_ended: false });
            helpers.wait_until_ready(helper, launch, outputs).map_err(|cause| cause.within(role.to_string()))?;
        }
        Ok(helpers)
    }

    /// Waits until the helper that was started last runs, and what it is to make is there.
    fn wait_until_ready(&mut self, helper: &Helper, launch: &Launch, outputs: &mut Outputs) -> Result<(), Failure> {
        let deadline = Instant::now() + TIME_TO_BE_READY;
        let mut sign =
            helper.ready_when.as_ref().map(|path| ready::Sign::of(path, &helper.program.jail, launch)).transpose()?;
        let running = self.helpers.last_mut().expect("one was just added");
        let mut is_up = false;
        loop {
            while let Some((stream, frame)) = running.cell.link.next_frame().map_err(failed("hear init"))? {
                match event(stream.call, &frame)? {
                    Some(Event::Made { pid, .. }) => outputs.name(running.voice, &running.name, pid),
                    Some(Event::Up { .. }) => is_up = true,
                    Some(Event::Failed { failure, .. }) => return Err(failure),
                    Some(Event::Exited { ended, .. }) => {
                        let code = ended.code();
                        return Err(Failure::new(format!("it ended with {code} before it was ready")));
                    }
                    Some(Event::Parted { .. } | Event::Removed { .. }) | None => {}
                }
            }
            outputs.advance(&mut running.cell.link);
            let is_there = sign.as_mut().is_none_or(ready::Sign::is_there);
            if is_up && is_there {
                return sign.map_or(Ok(()), |sign| sign.hand_over());
            }
            if running.cell.link.has_ended() {
                return Err(Failure::new("it ended before it was ready"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::new(format!("it was not ready within {} s", TIME_TO_BE_READY.as_secs())));
            }
            let mut fds = Vec::new();
            running.cell.link.add_to(&mut fds);
            outputs.add_to(&mut fds);
            fds.extend(sign.as_ref().map(|sign| PollFd::new(sign, PollFlags::IN)));
            poll(&mut fds, Some(left)).map_err(failed("wait for a helper"))?;
            running.cell.link.receive().map_err(failed("hear init"))?;
        }
    }

    /// Adds what is waited for.
    pub(super) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        for helper in self.helpers.iter().filter(|helper| !helper.has_ended) {
            helper.cell.link.add_to(fds);
        }
    }

    /// Hears what they say, without waiting. Where the pod `is_over`, nobody wonders that they end.
    pub(super) fn hear(&mut self, is_over: bool) -> Result<Vec<Heard>, Failure> {
        let mut heard = Vec::new();
        for helper in self.helpers.iter_mut().filter(|helper| !helper.has_ended) {
            let _ = helper.cell.link.flush();
            helper.cell.link.receive().map_err(failed("hear init"))?;
            while let Some((stream, frame)) = helper.cell.link.next_frame().map_err(failed("hear init"))? {
                match event(stream.call, &frame)? {
                    Some(Event::Made { pid, .. }) => {
                        heard.push(Heard::Made { voice: helper.voice, name: helper.name.clone(), pid });
                    }
                    Some(Event::Exited { .. }) if is_over => helper.has_ended = true,
                    Some(Event::Exited { ended, .. }) => {
                        helper.has_ended = true;
                        heard.push(Heard::Ended(ended));
                        say(&format!("helper {} has ended with {}, and the pod with it", helper.name, describe(ended)));
                    }
                    Some(Event::Failed { failure, .. }) => {
                        return Err(failure.within(format!("helper {}", helper.name)));
                    }
                    Some(Event::Up { .. } | Event::Parted { .. } | Event::Removed { .. }) | None => {}
                }
            }
            if helper.cell.link.has_ended() && !helper.has_ended && !is_over {
                helper.has_ended = true;
                heard.push(Heard::Ended(Ended::Signal(Signal::KILL.as_raw())));
                say(&format!("helper {} was killed, and the pod with it", helper.name));
            }
        }
        Ok(heard)
    }

    /// Ends them, the last first.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        let mut ended = Ok(());
        for mut helper in self.helpers.drain(..).rev() {
            ended = ended.and(helper.cell.end());
        }
        ended
    }
}

/// What an init says of itself on the call that is theirs and the monitor's.
pub(super) fn event(call: u32, frame: &Frame) -> Result<Option<Event>, Failure> {
    match frame {
        Frame::Message(json) if call == CALL => {
            serde_json::from_slice(json).map(Some).map_err(failed("understand init"))
        }
        _ => Ok(None),
    }
}

pub(super) fn describe(ended: Ended) -> String {
    match ended {
        Ended::Code(code) => format!("code {code}"),
        Ended::Signal(number) => format!("signal {number}"),
    }
}

/// What clients enter.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Apps, by their names.
    Apps,
    /// The jail of the pod's program, by this template; none where the plan has none.
    Opaque {
        enter: Option<Template>,
        stop: Option<Template>,
        /// The program's name in its jail.
        program: String,
    },
}

impl Entry {
    pub(super) fn new(plan: &CheckedPlan) -> Self {
        match &plan.program {
            Some(main) if plan.is_opaque() => Self::Opaque {
                enter: plan.enter.clone(),
                stop: plan.stop.clone(),
                program: main.program.jail.name.clone(),
            },
            _ => Self::Apps,
        }
    }

    /// What init is asked for a client's words.
    pub(super) fn enter(&self, asked: Enter) -> Result<Enter, String> {
        match self {
            Self::Apps => Ok(Enter { file: None, ..asked }),
            Self::Opaque { enter: Some(template), program, .. } => {
                Ok(of_template(Role::Enter, template, program, &asked.arguments, asked.terminal))
            }
            Self::Opaque { enter: None, .. } => Err("the flavor of this pod has no way to enter it".to_owned()),
        }
    }

    /// What init is asked where a pod is to end; none: a signal.
    pub(super) fn stop(&self) -> Option<Enter> {
        match self {
            Self::Opaque { stop: Some(template), program, .. } => {
                Some(of_template(Role::Stop, template, program, &[], None))
            }
            Self::Apps | Self::Opaque { stop: None, .. } => None,
        }
    }
}

fn of_template(role: Role, template: &Template, program: &str, words: &[String], terminal: Option<Terminal>) -> Enter {
    let name = match &template.file {
        ProgramFile::Host(path) | ProgramFile::Payload(path) => path.as_str().to_owned(),
    };
    let mut arguments = vec![name];
    arguments.extend(template.arguments.iter().flat_map(|argument| fill(argument, words)));
    Enter { app: program.to_owned(), file: Some(role), arguments, terminal }
}

/// The words of whoever enters stay arguments of their own, whatever is in them.
fn fill(argument: &Argument, words: &[String]) -> Vec<String> {
    if argument.pieces() == [Piece::Words] {
        return words.to_vec();
    }
    let text = argument.pieces().iter().map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        // The check lets no other piece into a template.
        _ => "",
    });
    vec![text.collect()]
}
