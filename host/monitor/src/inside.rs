//! Init: the pod's first process. It sets the pod up, starts its apps, lets commands in, and reaps. Apps come
//! and go while it runs, as the monitor orders.
//!
//! It knows the plan, and of the host what the pod sees of it. When the monitor's end of the connection closes, all of
//! the pod ends.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rkt_executor::order::{Prepared, leave_host};
use rkt_executor::process::{self, CODE_OF_NO_PROGRAM, Stdio};
use rkt_executor::{Command, Failure, PreparedApp};
use rkt_monitor::frame::{Channel, Frame, Stream};
use rkt_monitor::link::{Link, LinkError};
use rkt_monitor::parcel::Incoming;
use rkt_monitor::{Ended, Reply, Request};
use rkt_sys::pidfd::{Exit, reap_any};
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::process as own;
use rkt_sys::signal::Signals;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use self::app::{App, Forwarded, News};
use self::command::Entered;
use crate::between::{CALL, Event, app_of, output_call};
use crate::idle::Idle;

pub(crate) mod app;
mod command;
mod orders;
mod source;

/// Commands that may run in a pod at a time, beside its apps.
const MOST_COMMANDS: usize = 64;

/// How often it is looked whether what was killed is gone.
const PAUSE: Duration = Duration::from_millis(20);

/// Write ends of an app's output.
#[derive(Debug)]
pub(crate) struct Output {
    output: OwnedFd,
    error: OwnedFd,
}

impl Output {
    /// Pipes for an app's output and error output: the ends to read from, which do not block, and these.
    pub(crate) fn make() -> Result<([OwnedFd; 2], Self), Failure> {
        const WHAT: &str = "make a pipe for output";
        let pipe = || {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(process::failed(WHAT))?;
            rustix::io::ioctl_fionbio(&read, true).map_err(process::failed(WHAT))?;
            Ok((read, write))
        };
        let ((from_output, output), (from_error, error)) = (pipe()?, pipe()?);
        Ok(([from_output, from_error], Self { output, error }))
    }

    /// The write ends, as they are handed over.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.output.as_fd(), self.error.as_fd()]
    }

    /// The same from copies of them, in this order; none where there are no more.
    pub(crate) fn of_descriptors(from: &mut impl Iterator<Item = OwnedFd>) -> Option<Self> {
        Some(Self { output: from.next()?, error: from.next()? })
    }

    fn into_stdio(self) -> Stdio {
        Stdio::Files { input: None, output: self.output, error: self.error }
    }
}

struct Init {
    link: Link,
    signals: Signals,
    /// By their numbers.
    apps: BTreeMap<usize, App>,
    /// What of the apps' output comes by way of this process.
    outputs: BTreeMap<usize, Forwarded>,
    commands: BTreeMap<u32, Entered>,
    /// A launch on its way here, and the last that came.
    incoming: Incoming,
    launch: Option<Vec<u8>>,
    idle: Idle,
}

/// Runs as init until the pod has ended; returns the process's code. Everything that the caller holds
/// is a copy of the monitor's: what is not handed over here is closed.
pub(crate) fn run(mut pod: Prepared, link: BorrowedFd<'_>, lock: Option<BorrowedFd<'_>>, outputs: Vec<Output>) -> i32 {
    let Ok(mut link) = greet(&pod, link, lock, &outputs) else {
        return 1;
    };
    let begun = begin(&pod).and_then(|signals| {
        let apps = start_all(pod.take_apps(), outputs)?;
        // The kernel takes its time about it.
        if !pod.stays_with_host() {
            leave_host().map_err(|failure| (None, failure))?;
        }
        apps.values().for_each(App::go);
        Ok((signals, apps))
    });
    match begun {
        Ok((signals, apps)) => {
            // Where the monitor is gone there is nobody to tell.
            let _ = Init::new(link, signals, apps).serve();
        }
        Err((app, failure)) => {
            link.send_message(CALL, &Event::Failed { app, failure });
            let _ = send_all(&mut link);
        }
    }
    end_all(&pod)
}

fn greet(
    pod: &Prepared,
    link: BorrowedFd<'_>,
    lock: Option<BorrowedFd<'_>>,
    outputs: &[Output],
) -> Result<Link, Box<dyn std::error::Error>> {
    let mut kept = pod.descriptors();
    kept.extend(outputs.iter().flat_map(|output| [output.output.as_fd(), output.error.as_fd()]));
    kept.push(link);
    if pod.shares_pids() {
        // This process may outlive the monitor, to end the pod; until then the pod is locked. Elsewhere
        // it dies with the monitor, and a directory of the host in its hands would be a way out.
        kept.extend(lock);
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
        Signals::block(&[Signal::CHILD]).map_err(process::failed("watch for the end of processes"))
    };
    begun().map_err(|failure| (None, failure))
}

fn start_all(apps: Vec<PreparedApp>, outputs: Vec<Output>) -> Result<BTreeMap<usize, App>, (Option<usize>, Failure)> {
    let apps = apps.into_iter().zip(outputs).enumerate();
    apps.map(|(number, (app, output))| {
        let started = App::start(app, &output.into_stdio());
        started.map(|app| (number, app)).map_err(|failure| (Some(number), failure))
    })
    .collect()
}

impl Init {
    fn new(link: Link, signals: Signals, apps: BTreeMap<usize, App>) -> Self {
        Self {
            link,
            signals,
            apps,
            outputs: BTreeMap::new(),
            commands: BTreeMap::new(),
            incoming: Incoming::default(),
            launch: None,
            idle: Idle::default(),
        }
    }

    /// Serves until all apps have ended or the monitor is gone.
    fn serve(&mut self) -> Result<(), LinkError> {
        for (number, app) in &self.apps {
            say_made(&mut self.link, *number, app);
        }
        loop {
            self.link.flush()?;
            if self.has_ended() || self.link.has_ended() {
                // What the apps said last goes as far as the monitor takes it unasked.
                self.advance_outputs();
                self.link.send(Stream::new(CALL, Channel::Message), &Frame::End);
                return send_all(&mut self.link);
            }
            self.wait()?;
            self.advance_apps();
            self.reap();
            while let Some((stream, frame)) = self.link.next_frame()? {
                self.take(stream, frame);
            }
            self.advance_removals();
            // Last, since both ends and frames change what there is to do for them.
            self.advance_commands();
            self.advance_outputs();
        }
    }

    fn has_ended(&self) -> bool {
        self.apps.values().all(App::has_ended) && self.outputs.is_empty()
    }

    fn wait(&mut self) -> Result<(), LinkError> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.link.wants_to_receive());
        flags.set(PollFlags::OUT, self.link.wants_to_send());
        let pause = self.apps.values().any(App::is_leaving).then_some(PAUSE);
        let link_is_ready = {
            let mut fds = vec![PollFd::new(&self.link, flags), PollFd::new(&self.signals, PollFlags::IN)];
            self.apps.values().for_each(|app| app.add_to(&mut fds));
            if self.link.has_room() {
                self.outputs.values().for_each(|output| output.add_to(&mut fds));
            }
            for command in self.commands.values() {
                command.add_to(&mut fds);
            }
            self.idle.poll(&mut fds, pause).map_err(|error| LinkError::Broken(error.into()))?;
            fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
        };
        if link_is_ready && self.link.wants_to_receive() {
            self.link.receive()?;
        }
        Ok(())
    }

    fn advance_apps(&mut self) {
        for (number, app) in &mut self.apps {
            match app.advance() {
                None => {}
                Some(News::Up) => self.link.send_message(CALL, &Event::Up { app: *number }),
                Some(News::Failed(failure)) => {
                    let is_of_program = failure.is_of_program();
                    self.link.send_message(CALL, &Event::Failed { app: Some(*number), failure });
                    if is_of_program {
                        let ended = Ended::Code(CODE_OF_NO_PROGRAM);
                        self.link.send_message(CALL, &Event::Exited { app: *number, ended });
                    }
                }
            }
        }
    }

    /// Sends on what apps write. Once all have ended, what they left running can say no more.
    fn advance_outputs(&mut self) {
        let have_ended = self.apps.values().all(App::has_ended);
        for (number, output) in &mut self.outputs {
            if have_ended {
                output.finish();
            }
            output.advance(output_call(*number), &mut self.link);
        }
        self.outputs.retain(|_, output| !output.is_done());
    }

    fn advance_removals(&mut self) {
        let gone: Vec<usize> =
            self.apps.iter().filter(|(_, app)| app.is_leaving() && app.is_gone()).map(|(number, _)| *number).collect();
        for number in gone {
            self.apps.remove(&number);
            self.link.send_message(CALL, &Event::Removed { app: number });
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
            let number = self.apps.iter().find(|(_, app)| app.pid() == Some(pid)).map(|(number, _)| *number);
            if let Some(number) = number {
                self.app_ended(number, ended);
            } else if let Some(command) = self.commands.values_mut().find(|command| command.pid() == pid) {
                command.has_ended(ended);
            }
        }
    }

    /// An app that ended before its program ran, or as it did, may have said so already or not yet.
    fn app_ended(&mut self, number: usize, ended: Ended) {
        self.advance_apps();
        if self.apps.get_mut(&number).is_some_and(App::ended) {
            self.link.send_message(CALL, &Event::Exited { app: number, ended });
        }
    }

    fn take(&mut self, stream: Stream, frame: Frame) {
        match (stream.call, stream.channel, frame) {
            (CALL, Channel::Message, Frame::Message(json)) => {
                if let Ok(order) = serde_json::from_slice(&json) {
                    self.obey(order);
                }
            }
            (CALL, Channel::Input, frame) => {
                // The monitor has had it in its hands: it is not too large.
                if let Ok(Some(launch)) = self.incoming.take(stream, &frame, &mut self.link) {
                    self.launch = Some(launch);
                }
            }
            (CALL, ..) => {}
            (call, channel, frame) if app_of(call).is_some() => {
                if let Some(output) = app_of(call).and_then(|app| self.outputs.get_mut(&app)) {
                    output.take(channel, &frame);
                }
            }
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

    fn enter(&mut self, call: u32, enter: &rkt_monitor::Enter) -> Result<(), Failure> {
        if self.commands.len() >= MOST_COMMANDS || self.commands.contains_key(&call) {
            return Err(Failure::new("too many commands run in the pod"));
        }
        let named = self.apps.values().find(|app| app.prepared().name() == enter.app && !app.is_leaving());
        let app = named.ok_or_else(|| Failure::new(format!("the pod has no app {}", enter.app)))?;
        let pinned = app.entrance().ok_or_else(|| Failure::new(format!("app {} does not run", enter.app)))?;
        let app = app.prepared();
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

fn say_made(link: &mut Link, number: usize, app: &App) {
    if let Some(pid) = app.pid() {
        link.send_message(CALL, &Event::Made { app: number, pid: pid.as_raw_pid().cast_unsigned() });
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
