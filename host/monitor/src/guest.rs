//! The first process of a guest: it finds its way to the monitor and to the pod's disks, starts init as the
//! monitor does elsewhere, and carries frames between the two.
//!
//! It has nothing of the host but what is on its devices, and trusts nothing but the serial line. What apps
//! get is prepared by the same functions as on any host, with places in the guest.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use rkt_executor::process::failed;
use rkt_executor::{Failure, Hold, Launch, Prepared};
use rkt_monitor::frame::{Channel, Frame, Stream};
use rkt_monitor::link::Link;
use rkt_monitor::parcel::Incoming;
use rkt_plan::Namespace;
use rkt_sys::poll::{PollFd, poll};
use rkt_sys::socket;
use rkt_sys::spawn::Child;
use rustix::process::Signal;
use rustix::system::RebootCommand;

use crate::between::{CALL, Event, app_of, launch_stream, output_call};
use crate::inside;
use crate::inside::app::Forwarded;

mod devices;
mod roots;

/// Whether this process is the first of a guest whose initial file system rkt made.
pub(crate) fn is_here() -> bool {
    rustix::process::getpid().is_init() && Path::new(devices::MODULES).is_file()
}

/// Runs the pod, then turns the guest off. Returns only where that fails.
pub(crate) fn run() -> ExitCode {
    if let Err(failure) = begin() {
        crate::outside::say(&rkt_executor::failure::on_one_line(&failure));
    }
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    ExitCode::FAILURE
}

fn begin() -> Result<(), Failure> {
    devices::load_modules()?;
    roots::leave_the_first()?;
    let port = devices::open_port()?;
    let mut link = Link::new(port).map_err(failed("speak to the monitor"))?;
    let (launch, early) = hear_launch(&mut link)?;
    match Guest::start(launch, &mut link) {
        Ok(mut guest) => {
            for (stream, frame) in early {
                guest.hear_monitor(stream, &frame);
            }
            guest.carry(&mut link)
        }
        Err(failure) => {
            link.send_message(CALL, &Event::Failed { app: None, failure });
            finish(&mut link)
        }
    }
}

/// Waits for what is to be started. What else is said meanwhile is for init, which is not there yet.
fn hear_launch(link: &mut Link) -> Result<(Launch, Vec<(Stream, Frame)>), Failure> {
    let (mut incoming, mut early) = (Incoming::default(), Vec::new());
    loop {
        link.flush().map_err(failed("greet the monitor"))?;
        wait(link)?;
        link.receive().map_err(failed("hear the monitor"))?;
        while let Some((stream, frame)) = link.next_frame().map_err(failed("hear the monitor"))? {
            if stream != launch_stream() {
                early.push((stream, frame));
            } else if let Some(json) = incoming.take(stream, &frame, link).map_err(failed("take the launch"))? {
                let launch = serde_json::from_slice(&json).map_err(failed("understand what is to be started"))?;
                return Ok((launch, early));
            }
        }
        if link.has_ended() {
            return Err(Failure::new("the monitor is gone"));
        }
    }
}

/// What carries a pod.
struct Guest {
    init: Child,
    inner: Link,
    /// What apps write, by their numbers.
    outputs: BTreeMap<usize, Forwarded>,
}

impl Guest {
    fn start(mut launch: Launch, link: &mut Link) -> Result<Self, Failure> {
        launch.places = roots::mount_all(&launch)?;
        let mut plan = launch.check().map_err(|refusal| Failure::new(refusal.to_string()))?;
        // Users are the guest's own already.
        plan.shared.insert(Namespace::User);
        let home = File::open(roots::HOME).map_err(failed("open the guest's own directory"))?;
        let home = OwnedFd::from(home);
        let mut hold = Hold::take(&home, &launch.pod.uuid, &plan)?;
        let prepared = Prepared::apps_of(&launch, &plan, &mut hold)?;
        let (mut outputs, mut theirs) = (BTreeMap::new(), Vec::new());
        for app in 0..prepared.apps().len() {
            let (output, its) = Forwarded::make()?;
            outputs.insert(app, output);
            theirs.push(its);
        }
        let (ours, inits) = socket::pair().map_err(failed("make a connection to init"))?;
        let init = prepared.spawn(|prepared| inside::run(prepared, inits.as_fd(), Some(home.as_fd()), theirs))?;
        link.flush().map_err(failed("speak to the monitor"))?;
        Ok(Self { init, inner: Link::new(ours).map_err(failed("make a connection to init"))?, outputs })
    }

    /// Carries frames until init has ended and all was said, or the monitor is gone.
    fn carry(mut self, link: &mut Link) -> Result<(), Failure> {
        loop {
            let _ = self.inner.flush();
            link.flush().map_err(failed("speak to the monitor"))?;
            let all_was_said = self.inner.has_ended() && self.outputs.is_empty();
            if all_was_said && !link.wants_to_send() {
                break;
            }
            self.wait(link)?;
            if link.wants_to_receive() && self.inner.has_room() {
                link.receive().map_err(failed("hear the monitor"))?;
            }
            while let Some((stream, frame)) = link.next_frame().map_err(failed("hear the monitor"))? {
                self.hear_monitor(stream, &frame);
            }
            if link.has_ended() {
                let _ = self.init.process.signal(Signal::KILL);
                return self.init.process.wait().map(drop).map_err(failed("wait for init"));
            }
            self.hear_init(link)?;
        }
        self.init.process.wait().map_err(failed("wait for init"))?;
        finish(link)
    }

    fn wait(&self, link: &Link) -> Result<(), Failure> {
        let mut fds = Vec::new();
        if link.has_room() {
            self.inner.add_to(&mut fds);
            self.outputs.values().for_each(|output| output.add_to(&mut fds));
        }
        link.add_to(&mut fds);
        poll(&mut fds, None).map(drop).map_err(failed("wait for events"))
    }

    fn hear_monitor(&mut self, stream: Stream, frame: &Frame) {
        match (app_of(stream.call), frame) {
            (Some(app), frame) => {
                if let Some(output) = self.outputs.get_mut(&app) {
                    output.take(stream.channel, frame);
                }
            }
            (None, _) if stream == launch_stream() => {}
            (None, frame) => self.inner.send(stream, frame),
        }
    }

    fn hear_init(&mut self, link: &mut Link) -> Result<(), Failure> {
        if link.has_room() && !self.inner.has_ended() {
            self.inner.receive().map_err(failed("hear init"))?;
        }
        while let Some((stream, frame)) = self.inner.next_frame().map_err(failed("hear init"))? {
            // What the apps wrote is not carried yet when init has nothing more to say.
            if (stream, &frame) != (Stream::new(CALL, Channel::Message), &Frame::End) {
                link.send(stream, &frame);
            }
        }
        self.outputs.retain(|app, output| {
            output.advance(output_call(*app), link);
            !output.is_done()
        });
        Ok(())
    }
}

/// Says that nothing more comes, and waits until the monitor has heard it: what is on the line when the guest
/// is turned off is lost. The monitor may end the machine then.
fn finish(link: &mut Link) -> Result<(), Failure> {
    rustix::fs::sync();
    link.send(Stream::new(CALL, Channel::Message), &Frame::End);
    while !link.has_ended() {
        link.flush().map_err(failed("speak to the monitor"))?;
        wait(link)?;
        link.receive().map_err(failed("hear the monitor"))?;
    }
    Ok(())
}

fn wait(link: &Link) -> Result<(), Failure> {
    let mut fds: Vec<PollFd<'_>> = Vec::new();
    link.add_to(&mut fds);
    poll(&mut fds, None).map(drop).map_err(failed("wait for the monitor"))
}
