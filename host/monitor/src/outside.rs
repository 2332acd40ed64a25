//! The monitor: it makes the pod from outside, hands on its output, answers on its control socket,
//! writes down how its apps end, and leaves the host as it was.
//!
//! It waits for nothing but events: no client, app or init that is slow or silent holds it up.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use rkt_executor::process::failed;
use rkt_executor::{Failure, Hold, Launch, Prepared, undo, undo_after_the_last};
use rkt_monitor::frame::{Frame, Stream};
use rkt_monitor::link::Link;
use rkt_monitor::start::Arguments;
use rkt_sys::pidfd::Exit;
use rkt_sys::poll::{PollFd, PollFlags};
use rkt_sys::process;
use rkt_sys::signal::Signals;
use rustix::process::Signal;

use self::apps::Apps;
use self::change::Change;
use self::clients::Clients;
use self::debug::Debug;
use self::ending::Ending;
use self::guest::{Expected, Guest};
use self::meeting::Awaited;
use self::output::Outputs;
use self::programs::{Cell, Entry, Heard, Helpers};
use self::record::Record;
use crate::between::{CALL, Event, Order, app_of};
use crate::idle::Idle;

mod apps;
mod change;
mod clients;
mod debug;
mod ending;
mod errand;
mod guest;
mod meeting;
mod notify;
mod output;
mod programs;
mod record;

/// The largest launch that is read, in bytes.
const LARGEST_LAUNCH: u64 = 64 * 1024 * 1024;

/// One line for people, on standard error. Parts of it may be a guest's words, so it has no control characters.
pub(crate) fn say(line: &str) {
    let line: String = line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    // There is nowhere to say that this failed.
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("run: {line}\n").as_bytes());
}

/// How a pod ended.
struct Ended {
    code: u8,
    /// Whether init itself said that nothing of the pod lives any more.
    was_clean: bool,
}

/// What a wait was ended by, beside what is looked at each time.
struct Events {
    init_has_ended: bool,
    signals: bool,
    newcomers: bool,
}

struct Monitor {
    /// The pod's first process, or that of the jail of the plan's program.
    first: Cell,
    /// Where that runs a guest with an init of its own.
    guest: Option<Guest>,
    entry: Entry,
    helpers: Helpers,
    signals: Signals,
    apps: Apps,
    ending: Ending,
    outputs: Outputs,
    /// The number of the output of what is first, the first app or the program.
    voices: usize,
    clients: Clients,
    record: Record,
    /// The pod's directory, and its lock.
    pod: OwnedFd,
    /// What the pod was made from, and after each change what it became.
    launch: OwnedFd,
    change: Option<Change>,
    debug: Debug,
    idle: Idle,
}

/// Runs a pod to its end; its code.
pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    let mut debug = Debug::new(arguments.debug);
    let inherited = |number| process::inherited(number).map_err(failed("take over what rkt opened"));
    let pod = inherited(arguments.pod)?;
    let control = UnixListener::from(inherited(arguments.control)?);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    process::set_dumpable(false).map_err(failed("hide the monitor's memory"))?;
    let source = inherited(arguments.launch)?;
    let launch = read_launch(&source)?;
    debug.step("read the launch");
    let started = start(&launch, source, &pod, control, debug);
    drop(launch);
    let result = started.and_then(|monitor| monitor.serve(&pod));
    let undone = match &result {
        Ok(Ended { was_clean: true, .. }) => undo_after_the_last(&pod),
        _ => undo(&pod),
    };
    let code = result?.code;
    undone.map(|()| code).map_err(|failure| failure.within("leave the host as it was"))
}

fn read_launch(source: &OwnedFd) -> Result<Launch, Failure> {
    let mut json = Vec::new();
    let file = source.try_clone().map(File::from).map_err(failed("read what is to be started"))?;
    file.take(LARGEST_LAUNCH).read_to_end(&mut json).map_err(failed("read what is to be started"))?;
    serde_json::from_slice(&json).map_err(failed("understand what is to be started"))
}

fn start(
    launch: &Launch,
    source: OwnedFd,
    pod: &OwnedFd,
    control: UnixListener,
    mut debug: Debug,
) -> Result<Monitor, Failure> {
    let plan = launch.check().map_err(|refusal| {
        Failure::new(refusal.to_string()).within(format!("the plan of {} is refused", launch.plugin))
    })?;
    debug.step("check the plan");
    let signals =
        Signals::block(&[Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT]).map_err(failed("take over signals"))?;
    let mut hold = Hold::take(pod, &launch.pod.uuid, &plan)?;
    debug.step("make room for control groups");
    let mut outputs = Outputs::new();
    let helpers = Helpers::start(launch, &plan, pod, &mut outputs, &mut hold)?;
    debug.step("start helpers");
    let mut expected = None;
    let mut prepared = match &plan.program {
        None => Prepared::apps_of(launch, &plan, &mut hold)?,
        Some(main) => {
            expected = Expected::of(main)?;
            let theirs = expected.as_ref().map(|(_, theirs)| theirs.as_fd());
            programs::prepare(launch, &plan, main, theirs, &mut hold)?
        }
    };
    let meeting = prepared.take_meeting();
    debug.step("prepare mounts and groups");
    let (voices, theirs) = outputs.add(&prepared)?;
    let first = Cell::start(prepared, pod, theirs)?;
    debug.step("make the pod's first process");
    // The program gets going meanwhile.
    let guest = match (expected, meeting) {
        (None, _) => None,
        (Some((expected, _)), None) => Some(Guest::machine(launch, &plan, expected, pod, &mut outputs)?),
        (Some((expected, theirs)), Some(meeting)) => {
            let of = (launch, &source);
            let awaited = Awaited::prepare(meeting, theirs, of, &plan, &mut hold, &mut outputs)?;
            Some(Guest::awaited(launch, expected, awaited, pod)?)
        }
    };
    let record = Record::begin(pod, first.init.pid)?;
    let clients = Clients::new(control)?;
    let pod = pod.try_clone().map_err(failed("hold the pod's directory"))?;
    debug.step("write down who runs");
    Ok(Monitor {
        first,
        guest,
        entry: Entry::new(&plan),
        helpers,
        signals,
        apps: Apps::new(launch.pod.apps.iter().map(|app| app.name.clone())),
        ending: Ending::default(),
        outputs,
        voices,
        clients,
        record,
        pod,
        launch: source,
        change: None,
        debug,
        idle: Idle::default(),
    })
}

/// The connection to the init that starts the apps.
fn inside<'a>(first: &'a mut Cell, guest: &'a mut Option<Guest>) -> &'a mut Link {
    guest.as_mut().map_or(&mut first.link, |guest| &mut guest.link)
}

impl Monitor {
    /// The number of the first app's output.
    fn first_voice(&self) -> usize {
        self.guest.as_ref().map_or(self.voices, |guest| guest.voices)
    }

    /// Serves until init has ended and all output was handed on.
    fn serve(mut self, pod: &OwnedFd) -> Result<Ended, Failure> {
        let served = self.serve_init();
        if let Some(change) = self.change.take() {
            change.abandon();
        }
        if served.is_err() {
            self.first.kill()?;
        }
        let exit = self.first.init.process.wait().map_err(failed("wait for init"))?;
        // What an init that never came was to have is still held here: apps' output would never end.
        self.guest = None;
        self.debug.step("the pod has ended");
        self.helpers.end()?;
        if exit != Exit::Code(0) {
            // What init left running would hold its output open for ever.
            undo(pod)?;
        }
        self.outputs.finish(&mut self.first.link, &self.signals, self.ending.time_for_output())?;
        served?;
        if exit != Exit::Code(0) {
            say("init was killed, and the pod with it");
        }
        for (index, ended) in self.apps.kill_rest() {
            self.ended(index, ended)?;
        }
        Ok(Ended { code: self.apps.code(), was_clean: exit == Exit::Code(0) })
    }

    fn serve_init(&mut self) -> Result<(), Failure> {
        loop {
            let _ = self.first.link.flush();
            if let Some(guest) = &mut self.guest {
                guest.send();
            }
            let events = self.wait()?;
            if events.signals {
                self.hear_signals();
            }
            self.hear_init(events.init_has_ended)?;
            self.hear_guest(events.init_has_ended)?;
            self.hear_helpers()?;
            self.outputs.advance(inside(&mut self.first, &mut self.guest));
            if events.newcomers {
                self.clients.accept();
            }
            let init_pid = self.guest.as_ref().and_then(Guest::init).map_or(self.first.init.pid, |init| init.pid);
            let pod = clients::Pod {
                init: inside(&mut self.first, &mut self.guest),
                ending: &mut self.ending,
                apps: &self.apps,
                init_pid,
                entry: &self.entry,
                is_changing: self.change.is_some(),
            };
            self.clients.advance(pod);
            self.advance_change()?;
            self.carry_out_ending();
            if events.init_has_ended {
                return Ok(());
            }
        }
    }

    /// Waits for the next event.
    fn wait(&mut self) -> Result<Events, Failure> {
        let mut fds = vec![
            PollFd::new(&self.first.init.process, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
            self.clients.newcomers(),
        ];
        self.first.link.add_to(&mut fds);
        if let Some(guest) = &self.guest {
            guest.add_to(&mut fds);
        }
        self.helpers.add_to(&mut fds);
        self.outputs.add_to(&mut fds);
        self.clients.add_to(&mut fds);
        let change = self.change.as_ref();
        if let Some(change) = change {
            change.add_to(&mut fds);
        }
        let silence = self.guest.as_ref().and_then(Guest::time_left);
        let changed = change.and_then(Change::time_left);
        let left = self.ending.time_left().into_iter().chain(changed).chain(silence).min();
        self.idle.poll(&mut fds, left).map_err(failed("wait for events"))?;
        let happened = |index: usize| !fds[index].revents().is_empty();
        Ok(Events { init_has_ended: happened(0), signals: happened(1), newcomers: happened(2) })
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(received)) = self.signals.read() {
            self.ending.hear_signal(received.number);
        }
    }

    fn hear_init(&mut self, all: bool) -> Result<(), Failure> {
        loop {
            let may_be_more = self.first.link.receive().map_err(failed("hear init"))?;
            while let Some((stream, frame)) = self.first.link.next_frame().map_err(failed("hear init"))? {
                self.hear_frame(stream, frame)?;
            }
            // Once init has ended, all that it said is heard before anything else. The connection need not have
            // ended with it: a process that it had just made has a copy of its end.
            if !all || !may_be_more {
                return Ok(());
            }
        }
    }

    fn hear_frame(&mut self, stream: Stream, frame: Frame) -> Result<(), Failure> {
        if let Some(app) = app_of(stream.call) {
            return if app < self.apps.next() { self.outputs.take(stream, frame) } else { Err(apps::unknown()) };
        }
        if stream.call != CALL {
            self.clients.hear_init(stream, &frame, &mut self.first.link);
            return Ok(());
        }
        if let Frame::Credit(more) = frame {
            self.change_hears_credit(more);
            return Ok(());
        }
        match (programs::event(stream.call, &frame)?, &self.entry) {
            (None, _) => Ok(()),
            (Some(event), Entry::Apps) if self.guest.is_some() => self.hear_machine(event),
            (Some(event), Entry::Apps) => self.hear_event(event),
            (Some(event), Entry::Opaque { .. }) => self.hear_program(event),
        }
    }

    fn hear_helpers(&mut self) -> Result<(), Failure> {
        let is_over = self.guest.as_ref().is_some_and(Guest::has_finished);
        for heard in self.helpers.hear(is_over)? {
            match heard {
                Heard::Made { voice, name, pid } => self.outputs.name(voice, &name, pid),
                Heard::Ended(ended) => {
                    self.apps.helper_ended(ended);
                    self.ending.begin();
                }
            }
        }
        Ok(())
    }

    /// Of an opaque pod the program is all that there is to hear of: its apps run as long as it does.
    fn hear_program(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Made { pid, .. } => {
                let name = self.apps.only_name().unwrap_or("program").to_owned();
                self.outputs.name(self.voices, &name, pid);
                self.apps.numbers().into_iter().try_for_each(|app| self.apps.made(app, pid))
            }
            Event::Failed { failure, .. } => Err(failure.within("program")),
            Event::Up { .. } => self.apps.numbers().into_iter().try_for_each(|app| self.hear_event(Event::Up { app })),
            Event::Exited { ended, .. } => self.apps.numbers().into_iter().try_for_each(|app| self.ended(app, ended)),
            Event::Parted { .. } | Event::Removed { .. } => Ok(()),
        }
    }

    fn hear_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Made { app, pid } => {
                self.apps.made(app, pid)?;
                self.outputs.name(self.first_voice() + app, self.apps.name(app)?, pid);
            }
            Event::Up { app } => {
                self.debug.step(&format!("app {} is up", self.apps.name(app)?));
                self.record.app_started(self.apps.name(app)?)?;
                if self.apps.up(app)? && self.record.ready()? {
                    notify::ready();
                }
                self.change_hears_up(app)?;
            }
            Event::Failed { app: Some(app), failure } => {
                let failure = failure.within(format!("app {}", self.apps.failed(app)?));
                if self.change_hears_failure(app, &failure)? {
                    return Ok(());
                }
                if !failure.is_of_program() {
                    return Err(failure);
                }
                say(&rkt_executor::failure::on_one_line(&failure));
            }
            Event::Failed { app: None, failure } => return Err(failure),
            Event::Exited { app, ended } => self.ended(app, ended)?,
            Event::Parted { failure } => self.change_hears_parted(failure),
            Event::Removed { app } => self.change_hears_removed(app),
        }
        Ok(())
    }

    fn ended(&mut self, app: usize, ended: rkt_monitor::Ended) -> Result<(), Failure> {
        let (code, counts) = self.apps.ended(app, ended, self.ending.has_begun())?;
        self.record.app_ended(self.apps.name(app)?, code)?;
        if code != 0 && counts {
            self.ending.begin();
        }
        self.change_hears_end(app)
    }

    fn carry_out_ending(&mut self) {
        if self.ending.is_to_ask() {
            self.first.wake();
            let inside = inside(&mut self.first, &mut self.guest);
            match self.entry.stop() {
                Some(enter) => self.clients.run(&enter, inside),
                None => inside.send_message(CALL, &Order::Signal(Signal::TERM.as_raw())),
            }
        }
        if self.ending.is_to_kill() {
            self.first.wake();
            // At the end of the connection init ends the pod.
            self.first.link.close();
        }
        if self.ending.is_to_give_up() {
            self.first.give_up();
        }
    }
}
