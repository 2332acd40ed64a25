//! The monitor: it makes the pod from outside, hands on its output, answers on its control socket,
//! writes down how its apps end, and leaves the host as it was.
//!
//! It waits for nothing but events: no client, app or init that is slow or silent holds it up.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use rkt_executor::process::failed;
use rkt_executor::{Failure, Journal, Launch, Prepared, undo, undo_after_the_last};
use rkt_monitor::link::Link;
use rkt_monitor::start::Arguments;
use rkt_sys::pidfd::Exit;
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::signal::Signals;
use rkt_sys::spawn::{Child, Spawn};
use rkt_sys::{process, socket};
use rustix::process::Signal;

use self::apps::Apps;
use self::clients::Clients;
use self::debug::Debug;
use self::ending::{Ending, PATIENCE};
use self::output::Outputs;
use self::record::Record;
use crate::between::{CALL, Event, Order};
use crate::idle::Idle;
use crate::inside;

mod apps;
mod clients;
mod debug;
mod ending;
mod output;
mod record;

/// The largest launch that is read, in bytes.
const LARGEST_LAUNCH: u64 = 64 * 1024 * 1024;

/// One line for people, on standard error.
pub(crate) fn say(line: &str) {
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
    init: Child,
    link: Link,
    signals: Signals,
    apps: Apps,
    ending: Ending,
    outputs: Outputs,
    clients: Clients,
    record: Record,
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
    let launch = read_launch(inherited(arguments.launch)?)?;
    debug.step("read the launch");
    let result = start(&launch, &pod, control, debug).and_then(|monitor| monitor.serve(&pod));
    let undone = match &result {
        Ok(Ended { was_clean: true, .. }) => undo_after_the_last(&pod),
        _ => undo(&pod),
    };
    let code = result?.code;
    undone.map(|()| code).map_err(|failure| failure.within("leave the host as it was"))
}

fn read_launch(file: OwnedFd) -> Result<Launch, Failure> {
    let mut json = Vec::new();
    File::from(file).take(LARGEST_LAUNCH).read_to_end(&mut json).map_err(failed("read what is to be started"))?;
    serde_json::from_slice(&json).map_err(failed("understand what is to be started"))
}

fn start(launch: &Launch, pod: &OwnedFd, control: UnixListener, mut debug: Debug) -> Result<Monitor, Failure> {
    let plan = launch.check().map_err(|refusal| {
        Failure::new(refusal.to_string()).within(format!("the plan of {} is refused", launch.plugin))
    })?;
    debug.step("check the plan");
    let signals =
        Signals::block(&[Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT]).map_err(failed("take over signals"))?;
    let mut journal = Journal::open(pod)?;
    if plan.program.is_some() || !plan.helpers.is_empty() {
        return Err(Failure::new("this monitor starts no programs"));
    }
    let prepared = Prepared::apps_of(launch, &plan, &mut journal)?;
    debug.step("prepare mounts and groups");
    let (outputs, theirs) = Outputs::make(&prepared)?;
    let (ours, inits) = socket::pair().map_err(failed("make a connection to init"))?;
    let spawn = Spawn { namespaces: prepared.namespaces(), cgroup: None };
    let init = spawn
        .run(|| inside::run(&prepared, inits.as_fd(), pod.as_fd(), &theirs))
        .map_err(failed("make the pod's first process"))?;
    debug.step("make the pod's first process");
    let apps = Apps::new(prepared.apps().iter().map(|app| app.name().to_owned()));
    // What is init's now is let go of: an end of a pipe that is held here would never end.
    drop((prepared, theirs, inits));
    let link = Link::new(ours).map_err(failed("make a connection to init"))?;
    let record = Record::begin(pod, init.pid)?;
    let clients = Clients::new(control)?;
    debug.step("write down who runs");
    Ok(Monitor {
        init,
        link,
        signals,
        apps,
        ending: Ending::default(),
        outputs,
        clients,
        record,
        debug,
        idle: Idle::default(),
    })
}

impl Monitor {
    /// Serves until init has ended and all output was handed on.
    fn serve(mut self, pod: &OwnedFd) -> Result<Ended, Failure> {
        let served = self.serve_init();
        if served.is_err() {
            self.end_now()?;
        }
        let exit = self.init.process.wait().map_err(failed("wait for init"))?;
        self.debug.step("the pod has ended");
        if exit != Exit::Code(0) {
            // What init left running would hold its output open for ever.
            undo(pod)?;
        }
        self.outputs.finish(&self.signals, self.ending.time_for_output())?;
        served?;
        if exit != Exit::Code(0) {
            say("init was killed, and the pod with it");
        }
        for (index, ended) in self.apps.kill_rest() {
            self.ended(index, ended)?;
        }
        Ok(Ended { code: self.apps.code(), was_clean: exit == Exit::Code(0) })
    }

    /// Ends the pod from wherever it is. Init is given time to end all that is below it, which nobody
    /// else does where the pod has no pid namespace.
    fn end_now(&mut self) -> Result<(), Failure> {
        self.link.close();
        let mut fds = [PollFd::new(&self.init.process, PollFlags::IN)];
        poll(&mut fds, Some(PATIENCE)).map_err(failed("wait for init"))?;
        // It may have ended.
        let _ = self.init.process.signal(Signal::KILL);
        Ok(())
    }

    fn serve_init(&mut self) -> Result<(), Failure> {
        loop {
            let _ = self.link.flush();
            let events = self.wait()?;
            if events.signals {
                self.hear_signals();
            }
            self.hear_init(events.init_has_ended)?;
            self.outputs.advance();
            if events.newcomers {
                self.clients.accept();
            }
            self.clients.advance(&mut self.link, &mut self.ending, &self.apps, self.init.pid);
            self.carry_out_ending();
            if events.init_has_ended && self.link.has_ended() {
                return Ok(());
            }
        }
    }

    /// Waits for the next event.
    fn wait(&mut self) -> Result<Events, Failure> {
        let mut fds = vec![
            PollFd::new(&self.init.process, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
            self.clients.newcomers(),
        ];
        self.link.add_to(&mut fds);
        self.outputs.add_to(&mut fds);
        self.clients.add_to(&mut fds);
        self.idle.poll(&mut fds, self.ending.time_left()).map_err(failed("wait for events"))?;
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
            self.link.receive().map_err(failed("hear init"))?;
            let mut heard = false;
            while let Some((stream, frame)) = self.link.next_frame().map_err(failed("hear init"))? {
                heard = true;
                if stream.call != CALL {
                    self.clients.hear_init(stream, &frame, &mut self.link);
                } else if let rkt_monitor::frame::Frame::Message(json) = frame {
                    let event = serde_json::from_slice(&json).map_err(failed("understand init"))?;
                    self.hear_event(event)?;
                }
            }
            // Once init has ended, all that it said is heard before anything else.
            if !all || (!heard && self.link.has_ended()) {
                return Ok(());
            }
        }
    }

    fn hear_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Made { app, pid } => {
                self.apps.made(app, pid)?;
                self.outputs.name(app, self.apps.name(app)?, pid);
            }
            Event::Up { app } => {
                self.debug.step(&format!("app {} is up", self.apps.name(app)?));
                self.record.app_started(self.apps.name(app)?)?;
                if self.apps.up(app)? {
                    self.record.ready()?;
                }
            }
            Event::Failed { app: Some(app), failure } => {
                let failure = failure.within(format!("app {}", self.apps.name(app)?));
                if !failure.is_of_program() {
                    return Err(failure);
                }
                say(&rkt_executor::failure::on_one_line(&failure));
            }
            Event::Failed { app: None, failure } => return Err(failure),
            Event::Exited { app, ended } => self.ended(app, ended)?,
        }
        Ok(())
    }

    fn ended(&mut self, app: usize, ended: rkt_monitor::Ended) -> Result<(), Failure> {
        let code = self.apps.ended(app, ended, self.ending.has_begun())?;
        self.record.app_ended(self.apps.name(app)?, code)?;
        if code != 0 {
            self.ending.begin();
        }
        Ok(())
    }

    fn carry_out_ending(&mut self) {
        if self.ending.is_to_ask() {
            self.link.send_message(CALL, &Order::Signal(Signal::TERM.as_raw()));
        }
        if self.ending.is_to_kill() {
            // At the end of the connection init ends the pod.
            self.link.close();
        }
    }
}
