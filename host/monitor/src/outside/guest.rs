//! The init that the plan's program starts, as the monitor knows it: by a connection. A guest's is its serial line,
//! which is in hostile hands from the first byte on; one of this kernel is met on a socket first.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rkt_executor::failure::on_one_line;
use rkt_executor::process::failed;
use rkt_executor::trial::{Outcome, Trial};
use rkt_executor::{Failure, Launch};
use rkt_monitor::Ended;
use rkt_monitor::frame::{Channel, Frame, Stream};
use rkt_monitor::link::Link;
use rkt_monitor::parcel::Outgoing;
use rkt_plan::{CheckedPlan, Inside, MainProgram};
use rkt_sys::poll::{PollFd, PollFlags};
use rkt_sys::socket;
use rustix::process::Signal;

use super::meeting::{Awaited, Init};
use super::output::Outputs;
use super::{Monitor, programs, say};
use crate::between::{CALL, Event, app_of, launch_stream, output_call};

/// The connection to an init that a program starts.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) link: Link,
    kind: Kind,
    started: Instant,
    speaks_within: Duration,
    /// What the user could do where it does not.
    hint: Option<String>,
    /// What its first word, or that there is none, shows; none: it was noted.
    trial: Option<Trial>,
    /// The pod's directory.
    pod: OwnedFd,
    /// The number of the first app's output.
    pub(super) voices: usize,
    /// Whether it has said all that it has to say.
    has_finished: bool,
}

/// What it is, and how it learns what to do.
#[derive(Debug)]
enum Kind {
    /// A machine, out of reach: it is sent what is to be started once it has spoken.
    Machine { launch: Outgoing },
    /// A process of this kernel, which is given all when it comes.
    Awaited(Box<Awaited>),
    /// It has come.
    Met(Init),
}

/// A guest that is to come: our end of the connection, and what it is told of init in it.
#[derive(Debug)]
pub(super) struct Expected {
    ours: OwnedFd,
    speaks_within: Duration,
    hint: Option<String>,
}

impl Expected {
    /// Of the plan's program, where that starts an init; with the end that goes there.
    pub(super) fn of(main: &MainProgram) -> Result<Option<(Self, OwnedFd)>, Failure> {
        let Inside::Init { speaks_within, hint, .. } = &main.inside else { return Ok(None) };
        let (ours, theirs) = socket::pair().map_err(failed("make a connection to a guest"))?;
        let speaks_within = Duration::from_secs((*speaks_within).into());
        Ok(Some((Self { ours, speaks_within, hint: hint.clone() }, theirs)))
    }
}

impl Guest {
    /// The machine that the plan's program runs, at the other end of this connection.
    pub(super) fn machine(
        launch: &Launch,
        plan: &CheckedPlan,
        expected: Expected,
        pod: &OwnedFd,
        outputs: &mut Outputs,
    ) -> Result<Self, Failure> {
        let mut theirs = launch.clone();
        // The host's paths are none of its business.
        theirs.places.roots.clear();
        theirs.places.volumes.clear();
        theirs.places.artifacts.clear();
        theirs.places.payload = None;
        theirs.places.empty = PathBuf::new();
        theirs.trial = Trial::default();
        let json = serde_json::to_vec(&theirs).map_err(failed("say what is to be started"))?;
        let apps = plan.apps.iter().zip((0..).map(output_call));
        let voices: Vec<usize> = apps.map(|(app, call)| outputs.add_forwarded(call, app.stdio)).collect();
        let kind = Kind::Machine { launch: Outgoing::new(launch_stream(), json) };
        Self::new(expected, kind, voices.first().copied().unwrap_or_default(), launch.trial.clone(), pod)
    }

    /// The init of this kernel that the plan's program starts; `voices` is the number of the first app's output.
    pub(super) fn awaited(
        launch: &Launch,
        expected: Expected,
        (awaited, voices): (Awaited, usize),
        pod: &OwnedFd,
    ) -> Result<Self, Failure> {
        Self::new(expected, Kind::Awaited(Box::new(awaited)), voices, launch.trial.clone(), pod)
    }

    fn new(expected: Expected, kind: Kind, voices: usize, trial: Trial, pod: &OwnedFd) -> Result<Self, Failure> {
        let Expected { ours, speaks_within, hint } = expected;
        Ok(Self {
            link: Link::new(ours).map_err(failed("make a connection to a guest"))?,
            kind,
            started: Instant::now(),
            speaks_within,
            hint,
            trial: Some(trial),
            pod: pod.try_clone().map_err(failed("hold the pod's directory"))?,
            voices,
            has_finished: false,
        })
    }

    /// Gives an init that has come what is its own. The one that came now.
    fn advance_meeting(&mut self) -> Result<Option<&Init>, Failure> {
        let Kind::Awaited(awaited) = &self.kind else { return Ok(None) };
        let Some(init) = awaited.advance()? else { return Ok(None) };
        self.kind = Kind::Met(init);
        Ok(self.init())
    }

    /// The init, where it is a process of this kernel and has come.
    pub(super) fn init(&self) -> Option<&Init> {
        match &self.kind {
            Kind::Met(init) => Some(init),
            Kind::Machine { .. } | Kind::Awaited(_) => None,
        }
    }

    /// What it is, for people.
    fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Machine { .. } => "the guest",
            Kind::Awaited(_) | Kind::Met(_) => "the pod's init",
        }
    }

    /// Sends what can be sent, the launch once the guest has spoken.
    pub(super) fn send(&mut self) {
        if let Kind::Machine { launch } = &mut self.kind
            && self.link.was_greeted()
        {
            launch.advance(&mut self.link);
        }
        // One that is gone is heard of by its end.
        let _ = self.link.flush();
    }

    /// Reads what is there: nothing while the guest leaves too much lying. Whether there may be more to be read now.
    pub(super) fn receive(&mut self) -> Result<bool, Failure> {
        if !self.link.wants_to_receive() {
            return Ok(false);
        }
        self.link.receive().map_err(failed("hear the guest"))
    }

    /// The next frame that is not about the connection itself.
    pub(super) fn next_frame(&mut self) -> Result<Option<(Stream, Frame)>, Failure> {
        while let Some((stream, frame)) = self.link.next_frame().map_err(failed("hear the guest"))? {
            match (frame, &mut self.kind) {
                (Frame::Credit(more), Kind::Machine { launch }) if stream == launch_stream() => launch.allow(more),
                (Frame::End, _) if stream == Stream::new(CALL, Channel::Message) => {
                    self.has_finished = true;
                    self.link.close();
                }
                (frame, _) => return Ok(Some((stream, frame))),
            }
        }
        Ok(None)
    }

    /// How long it has to speak, where it has not.
    pub(super) fn time_left(&self) -> Option<Duration> {
        (!self.link.was_greeted()).then(|| self.speaks_within.saturating_sub(self.started.elapsed()))
    }

    /// Refuses to wait any longer for a guest that does not speak.
    fn judge_silence(&mut self) -> Result<(), Failure> {
        if self.time_left() != Some(Duration::ZERO) {
            return Ok(());
        }
        let seconds = self.speaks_within.as_secs();
        let what = format!("{} did not speak within {seconds} s, and was killed", self.name());
        Err(self.never_spoke(&what, true))
    }

    /// The failure that a guest has not spoken, `what` says why; where that `shows` that devices fail, it is noted.
    fn never_spoke(&mut self, what: &str, shows: bool) -> Failure {
        let devices = if shows { self.learn(Outcome::Fails) } else { Vec::new() };
        let noted = match devices.as_slice() {
            [] => String::new(),
            devices => format!("; that {} does not work is noted for as long as this host runs", devices.join(", ")),
        };
        let hint = self.hint.as_deref().map_or(String::new(), |hint| format!(": {hint}"));
        Failure::new(format!("{what}{noted}{hint}"))
    }

    /// Notes once what it shows of devices; which these are.
    fn learn(&mut self, outcome: Outcome) -> Vec<String> {
        let Some(trial) = self.trial.take() else { return Vec::new() };
        match trial.end(outcome, self.pod.as_fd()) {
            Ok(()) => trial.devices.iter().map(|device| device.as_str().to_owned()).collect(),
            Err(failure) => {
                // The pod runs as well without.
                say(&on_one_line(&failure));
                Vec::new()
            }
        }
    }

    /// Whether it came to its end, rather than its program.
    pub(super) fn has_finished(&self) -> bool {
        self.has_finished
    }

    /// Adds what is waited for.
    pub(super) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        self.link.add_to(fds);
        if let Kind::Awaited(awaited) = &self.kind {
            fds.push(PollFd::new(&**awaited, PollFlags::IN));
        }
    }
}

impl Monitor {
    /// Hears what a guest says; all of it once its program has ended.
    pub(super) fn hear_guest(&mut self, all: bool) -> Result<(), Failure> {
        loop {
            let Some(guest) = &mut self.guest else { return Ok(()) };
            if all && matches!(guest.kind, Kind::Awaited(_)) {
                // It does not come any more, and its end of the connection is still here.
                return Ok(());
            }
            if let Some(init) = guest.advance_meeting()? {
                self.record.init(init.pid)?;
                self.debug.step("hand over to init");
            }
            // Nothing is read while too much waits to be sent, and nobody takes that once the program has ended.
            let _ = guest.link.flush();
            let may_be_more = guest.receive()?;
            while let Some((stream, frame)) = self.guest.as_mut().map_or(Ok(None), Guest::next_frame)? {
                self.hear_guests_frame(stream, frame)?;
            }
            let Some(guest) = &mut self.guest else { return Ok(()) };
            if guest.link.was_greeted() {
                guest.learn(Outcome::Works);
            }
            guest.judge_silence()?;
            match (&guest.kind, guest.has_finished) {
                (_, false) => {}
                // Nothing is lost with the machine now, and it need not be believed that it ends by itself.
                (Kind::Machine { .. }, true) => self.first.link.close(),
                // The program may have something to tidy up.
                (Kind::Awaited(_) | Kind::Met(_), true) => self.ending.begin(),
            }
            if !all || !may_be_more {
                return Ok(());
            }
        }
    }

    fn hear_guests_frame(&mut self, stream: Stream, frame: Frame) -> Result<(), Failure> {
        let Some(guest) = &mut self.guest else { return Ok(()) };
        if let Some(app) = app_of(stream.call) {
            self.apps.name(app)?;
            return self.outputs.take(stream, frame);
        }
        if stream.call != CALL {
            self.clients.hear_init(stream, &frame, &mut guest.link);
            return Ok(());
        }
        if let Frame::Credit(more) = frame {
            self.change_hears_credit(more);
            return Ok(());
        }
        programs::event(stream.call, &frame)?.map_or(Ok(()), |event| self.hear_event(event))
    }

    /// Hears of the program that runs a guest: of its start and its end, the rest is the guest's to say.
    pub(super) fn hear_machine(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Made { pid, .. } => self.outputs.name(self.voices, "machine", pid),
            Event::Up { .. } | Event::Parted { .. } | Event::Removed { .. } => {}
            Event::Failed { failure, .. } => return Err(failure.within("program")),
            Event::Exited { ended, .. } => {
                // It may have spoken a moment ago.
                self.hear_guest(false)?;
                let was_asked = self.ending.has_begun();
                let Some(guest) = &mut self.guest else { return Ok(()) };
                let (name, code) = (guest.name(), programs::describe(ended));
                let what = format!("the program that runs {name} has ended with {code}");
                if !guest.link.was_greeted() && !was_asked {
                    return Err(guest.never_spoke(&format!("{what} before {name} spoke"), is_fault(ended)));
                }
                if !guest.has_finished() {
                    say(&what);
                }
            }
        }
        Ok(())
    }
}

/// Whether a program was ended by what itself did, and not by anybody who ended it.
fn is_fault(ended: Ended) -> bool {
    let faults = [Signal::ILL, Signal::TRAP, Signal::ABORT, Signal::BUS, Signal::FPE, Signal::SEGV, Signal::SYS];
    matches!(ended, Ended::Signal(number) if faults.iter().any(|fault| fault.as_raw() == number))
}
