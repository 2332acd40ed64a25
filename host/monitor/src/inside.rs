//! Init: the pod's first process. It sets the pod up, starts its apps, lets commands in, and reaps.
//!
//! It knows the plan and nothing of the host. When the monitor's end of the connection closes, all of
//! the pod ends.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rkt_executor::order::Prepared;
use rkt_executor::process::{self, CODE_OF_NO_PROGRAM, Progress, Starting, Stdio};
use rkt_executor::{Command, Failure};
use rkt_monitor::frame::{Channel, Frame, Stream};
use rkt_monitor::link::{Link, LinkError};
use rkt_monitor::{Ended, Reply, Request};
use rkt_sys::pidfd::{Exit, PidFd, reap_any};
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::process as own;
use rkt_sys::signal::{self, Signals};
use rustix::process::{Pid, Signal};

use self::command::Entered;
use crate::between::{CALL, Event, Order};
use crate::idle::Idle;

mod command;
pub(crate) mod source;

/// Commands that may run in a pod at a time, beside its apps.
const MOST_COMMANDS: usize = 64;

/// Write ends of an app's output.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) output: OwnedFd,
    pub(crate) error: OwnedFd,
}

struct Init<'a> {
    pod: &'a Prepared,
    link: Link,
    signals: Signals,
    apps: Vec<App>,
    commands: BTreeMap<u32, Entered>,
    idle: Idle,
}

enum App {
    Starting(Starting),
    Running { pid: Pid, process: PidFd, pinned: Option<process::Pinned> },
    Ended,
}

/// Runs as init until the pod has ended; returns the process's code. Everything that the caller holds
/// is a copy of the monitor's: what is not handed over here is closed.
pub(crate) fn run(pod: &Prepared, link: BorrowedFd<'_>, lock: BorrowedFd<'_>, outputs: &[Output]) -> i32 {
    let Ok(mut link) = greet(pod, link, lock, outputs) else {
        return 1;
    };
    let begun = begin(pod).and_then(|signals| Ok((signals, start_all(pod, outputs)?)));
    match begun {
        Ok((signals, apps)) => {
            let mut init = Init { pod, link, signals, apps, commands: BTreeMap::new(), idle: Idle::default() };
            // Where the monitor is gone there is nobody to tell.
            let _ = init.serve();
        }
        Err((app, failure)) => {
            link.send_message(CALL, &Event::Failed { app, failure });
            let _ = send_all(&mut link);
        }
    }
    end_all(pod)
}

fn greet(
    pod: &Prepared,
    link: BorrowedFd<'_>,
    lock: BorrowedFd<'_>,
    outputs: &[Output],
) -> Result<Link, Box<dyn std::error::Error>> {
    let mut kept = pod.descriptors();
    kept.extend(outputs.iter().flat_map(|output| [output.output.as_fd(), output.error.as_fd()]));
    kept.push(link);
    if pod.shares_pids() {
        // This process may outlive the monitor, to end the pod; until then the pod is locked. Elsewhere
        // it dies with the monitor, and a directory of the host in its hands would be a way out.
        kept.push(lock);
    }
    own::close_all_but(&kept)?;
    Ok(Link::new(link.try_clone_to_owned()?)?)
}

/// Everything before the apps.
fn begin(pod: &Prepared) -> Result<Signals, (Option<usize>, Failure)> {
    let begun = || -> Result<Signals, Failure> {
        process::become_init(!pod.shares_pids())?;
        own::set_name(c"rkt-init").map_err(process::failed("take a name"))?;
        pod.enter_pod()?;
        process::drop_stdio()?;
        Signals::block(&[Signal::CHILD]).map_err(process::failed("watch for the end of processes"))
    };
    begun().map_err(|failure| (None, failure))
}

fn start_all(pod: &Prepared, outputs: &[Output]) -> Result<Vec<App>, (Option<usize>, Failure)> {
    let apps = pod.apps().iter().zip(outputs).enumerate();
    apps.map(|(index, (app, output))| {
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(process::failed("copy a descriptor"));
        let started = copy(&output.output).and_then(|stdout| {
            let stdio = Stdio::Files { input: None, output: stdout, error: copy(&output.error)? };
            process::start(app, &stdio)
        });
        started.map(App::Starting).map_err(|failure| (Some(index), failure))
    })
    .collect()
}

impl Init<'_> {
    /// Serves until all apps have ended or the monitor is gone.
    fn serve(&mut self) -> Result<(), LinkError> {
        for (index, app) in self.apps.iter().enumerate() {
            if let App::Starting(starting) = app {
                let pid = starting.pid.as_raw_pid().cast_unsigned();
                self.link.send_message(CALL, &Event::Made { app: index, pid });
            }
        }
        loop {
            self.link.flush()?;
            if self.has_ended() || self.link.has_ended() {
                return send_all(&mut self.link);
            }
            self.wait()?;
            self.advance_apps();
            self.reap();
            while let Some((stream, frame)) = self.link.next_frame()? {
                self.take(stream, frame);
            }
            // Last, since both ends and frames change what there is to do for them.
            self.advance_commands();
        }
    }

    fn has_ended(&self) -> bool {
        self.apps.iter().all(|app| matches!(app, App::Ended))
    }

    fn wait(&mut self) -> Result<(), LinkError> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.link.wants_to_receive());
        flags.set(PollFlags::OUT, self.link.wants_to_send());
        let link_is_ready = {
            let mut fds = vec![PollFd::new(&self.link, flags), PollFd::new(&self.signals, PollFlags::IN)];
            for app in &self.apps {
                if let App::Starting(starting) = app {
                    fds.push(PollFd::new(starting, PollFlags::IN));
                }
            }
            for command in self.commands.values() {
                command.add_to(&mut fds);
            }
            self.idle.poll(&mut fds, None).map_err(|error| LinkError::Broken(error.into()))?;
            fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
        };
        if link_is_ready && self.link.wants_to_receive() {
            self.link.receive()?;
        }
        Ok(())
    }

    fn advance_apps(&mut self) {
        for (index, app) in self.apps.iter_mut().enumerate() {
            let App::Starting(starting) = app else { continue };
            match starting.progress() {
                Progress::Underway => {}
                Progress::Running(pinned) => {
                    let pid = starting.pid;
                    let App::Starting(starting) = std::mem::replace(app, App::Ended) else { continue };
                    *app = App::Running { pid, process: starting.process, pinned };
                    self.link.send_message(CALL, &Event::Up { app: index });
                }
                Progress::Failed(failure) => {
                    *app = App::Ended;
                    let is_of_program = failure.is_of_program();
                    self.link.send_message(CALL, &Event::Failed { app: Some(index), failure });
                    if is_of_program {
                        let ended = Ended::Code(CODE_OF_NO_PROGRAM);
                        self.link.send_message(CALL, &Event::Exited { app: index, ended });
                    }
                }
            }
        }
    }

    fn advance_commands(&mut self) {
        let link = &mut self.link;
        self.commands.retain(|call, command| command.advance(*call, link));
    }

    /// Reaps whatever has ended: apps, commands, and orphans that are nobody's.
    fn reap(&mut self) {
        // Several ends may be told as one; the processes themselves are asked.
        while let Ok(Some(_)) = self.signals.read() {}
        while let Ok(Some((pid, exit))) = reap_any() {
            let ended = of_exit(exit);
            let index = self.apps.iter().position(|app| app.pid() == Some(pid));
            if let Some(index) = index {
                self.app_ended(index, ended);
            } else if let Some(command) = self.commands.values_mut().find(|command| command.pid() == pid) {
                command.has_ended(ended);
            }
        }
    }

    /// An app that ended before its program ran, or as it did, may have said so already or not yet.
    fn app_ended(&mut self, index: usize, ended: Ended) {
        self.advance_apps();
        if matches!(self.apps[index], App::Running { .. }) {
            self.apps[index] = App::Ended;
            self.link.send_message(CALL, &Event::Exited { app: index, ended });
        }
    }

    fn take(&mut self, stream: Stream, frame: Frame) {
        match (stream.call, stream.channel, frame) {
            (CALL, Channel::Message, Frame::Message(json)) => {
                if let Ok(Order::Signal(number)) = serde_json::from_slice(&json) {
                    self.signal_apps(number);
                }
            }
            (CALL, ..) => {}
            (call, Channel::Message, Frame::Message(json)) => match serde_json::from_slice(&json) {
                Ok(Request::Enter(enter)) => {
                    if let Err(failure) = self.enter(call, &enter) {
                        let message = rkt_executor::failure::on_one_line(&failure);
                        self.link.send_message(call, &Reply::Failed { message });
                    }
                }
                Ok(Request::Resize(size)) => {
                    if let Some(command) = self.commands.get(&call) {
                        command.resize(size);
                    }
                }
                _ => {}
            },
            (call, channel, frame) => {
                if let Some(command) = self.commands.get_mut(&call) {
                    command.take(channel, frame);
                }
            }
        }
    }

    fn signal_apps(&self, number: i32) {
        let Some(signal) = signal::from_number(number) else { return };
        for app in &self.apps {
            // One that has just ended is as good as signalled.
            let _ = match app {
                App::Running { process, .. } => process.signal(signal),
                App::Starting(starting) => starting.process.signal(signal),
                App::Ended => Ok(()),
            };
        }
    }

    fn enter(&mut self, call: u32, enter: &rkt_monitor::Enter) -> Result<(), Failure> {
        if self.commands.len() >= MOST_COMMANDS || self.commands.contains_key(&call) {
            return Err(Failure::new("too many commands run in the pod"));
        }
        let named = self.pod.apps().iter().zip(&self.apps).find(|(app, _)| app.name() == enter.app);
        let (app, state) = named.ok_or_else(|| Failure::new(format!("the pod has no app {}", enter.app)))?;
        let App::Running { pinned: Some(pinned), .. } = state else {
            return Err(Failure::new(format!("app {} does not run", enter.app)));
        };
        let arguments = enter.arguments.clone();
        let mut command = Command { file: enter.file.clone(), arguments, ..app.command().clone() };
        if let Some(kind) = enter.terminal.as_ref().and_then(|terminal| terminal.kind.clone()) {
            command.environment.retain(|(name, _)| name != "TERM");
            command.environment.push(("TERM".to_owned(), kind));
        }
        let entered = Entered::start(app, pinned, &command, enter.terminal.as_ref())?;
        self.commands.insert(call, entered);
        Ok(())
    }
}

impl App {
    fn pid(&self) -> Option<Pid> {
        match self {
            Self::Starting(starting) => Some(starting.pid),
            Self::Running { pid, .. } => Some(*pid),
            Self::Ended => None,
        }
    }
}

fn of_exit(exit: Exit) -> Ended {
    match exit {
        Exit::Code(code) => Ended::Code(code),
        Exit::Signal(number) => Ended::Signal(number),
    }
}

/// Sends what is on its way, and waits for the monitor to take it.
fn send_all(link: &mut Link) -> Result<(), LinkError> {
    link.flush()?;
    while link.wants_to_send() {
        poll(&mut [PollFd::new(&*link, PollFlags::OUT)], None).map_err(|error| LinkError::Broken(error.into()))?;
        link.flush()?;
    }
    Ok(())
}

/// The end of the pod. The kernel kills what is left in a pid namespace with its first process;
/// elsewhere everything below this process is killed until nothing is left.
fn end_all(pod: &Prepared) -> i32 {
    if !pod.shares_pids() {
        return 0;
    }
    loop {
        match process::kill_children() {
            Ok(()) => {}
            Err(_) => return 1,
        }
        match wait_any() {
            Ok(true) => {}
            Ok(false) => return 0,
            Err(_) => return 1,
        }
    }
}

/// Waits for the end of a child; whether there was one.
fn wait_any() -> io::Result<bool> {
    match rustix::process::wait(rustix::process::WaitOptions::empty()) {
        Err(rustix::io::Errno::CHILD) => Ok(false),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(true),
        Err(cause) => Err(cause.into()),
    }
}
