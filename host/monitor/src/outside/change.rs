//! A pod that becomes another while it runs: with one app more, or one less.
//!
//! Whoever asks says what the pod is to be. What that is, and whether it may be, is judged by a process of the
//! monitor's own, from the plans alone; it also brings what a new app takes from the host into the pod. Init
//! starts and ends apps. The monitor knows how far it is, and waits for none of them.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use rkt_executor::places::{self, Parts};
use rkt_executor::process::failed;
use rkt_executor::{Failure, Hold, Launch, undo_apps_but};
use rkt_monitor::Reply;
use rkt_monitor::parcel::Outgoing;
use rkt_plan::{AppChange, CheckedPlan, Stdio, change};
use rkt_sys::memfd;
use rkt_sys::pidfd::PidFd;
use rkt_sys::poll::{PollFd, PollFlags};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::clients::{Asker, Wanted};
use super::ending::PATIENCE;
use super::errand::Errand;
use super::{Monitor, inside};
use crate::between::{CALL, NewApp, Order, launch_stream, output_call};
use crate::idle::Idle;

/// A change that is being made.
#[derive(Debug)]
pub(crate) struct Change {
    asker: Asker,
    /// The launch of the pod as it is to be.
    launch: OwnedFd,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Init, until now among the host's mounts, gets some of its own.
    Parting,
    /// It is judged, and prepared, for an app that would have this number.
    Judging { number: usize, errand: Errand },
    /// An app comes: init is told, and starts it.
    Starting { app: usize, parcel: Option<Outgoing> },
    /// An app goes: it was asked to end.
    Asking { app: usize, until: Instant },
    /// Init kills all that is left of an app: one that goes, or one that came to nothing.
    Killing { app: usize, failure: Option<Failure> },
    /// What it had on the host is taken away.
    Clearing { errand: Errand, failure: Option<Failure> },
}

/// What a change is, found out by looking at the plans.
#[derive(Debug, Serialize, Deserialize)]
enum Verdict {
    /// This app comes, and what it takes from the host is in its places.
    Add { app: String, is_raw: bool },
    /// This app goes.
    Remove { app: String },
}

impl Change {
    /// Adds what it waits for.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if let Step::Judging { errand, .. } | Step::Clearing { errand, .. } = &self.step {
            fds.push(PollFd::new(errand, PollFlags::IN));
        }
    }

    /// How long until something is to be done.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        match &self.step {
            Step::Asking { until, .. } => Some(until.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }

    /// The pod ends, and with it all that this is about.
    pub(crate) fn abandon(&self) {
        if let Step::Judging { errand, .. } | Step::Clearing { errand, .. } = &self.step {
            errand.end(PATIENCE);
        }
    }
}

impl Monitor {
    /// Goes as far with the change as it goes now.
    pub(super) fn advance_change(&mut self) -> Result<(), Failure> {
        if let Some(wanted) = self.clients.take_wanted() {
            self.begin_change(wanted);
        }
        let Some(change) = &mut self.change else { return Ok(()) };
        match &mut change.step {
            Step::Judging { number, errand } => {
                let number = *number;
                match errand.result() {
                    None => Ok(()),
                    Some(Ok(Verdict::Add { app, is_raw })) => self.add(number, app, is_raw),
                    Some(Ok(Verdict::Remove { app })) => self.remove(&app),
                    // It may have made control groups by then.
                    Some(Err(failure)) => {
                        self.clear(Some(failure));
                        Ok(())
                    }
                }
            }
            Step::Starting { app, parcel } => {
                if let Some(outgoing) = parcel
                    && outgoing.advance(inside(&mut self.first, &mut self.guest))
                {
                    let app = NewApp { number: *app, name: self.apps.name(*app)?.to_owned() };
                    *parcel = None;
                    inside(&mut self.first, &mut self.guest).send_message(CALL, &Order::Add { apps: vec![app] });
                }
                Ok(())
            }
            Step::Asking { app, until } if *until <= Instant::now() => {
                let app = *app;
                self.kill(app, None)
            }
            Step::Parting | Step::Asking { .. } | Step::Killing { .. } => Ok(()),
            Step::Clearing { errand, failure } => {
                if let Some(cleared) = errand.result::<()>() {
                    let failure = failure.take().or(cleared.err());
                    self.end_change(failure);
                }
                Ok(())
            }
        }
    }

    fn begin_change(&mut self, wanted: Wanted) {
        let Wanted { asker, launch } = wanted;
        let begun = self.first_step(&launch).and_then(|step| {
            let launch = memfd::sealed("rkt-launch", &launch).map_err(failed("keep what the pod is to be"))?;
            Ok(Change { asker, launch, step })
        });
        match begun {
            Ok(change) => self.change = Some(change),
            Err(failure) => self.clients.answer(asker, &refusal(&failure)),
        }
        self.idle = Idle::default();
    }

    fn first_step(&mut self, wanted: &[u8]) -> Result<Step, Failure> {
        if self.guest.is_none() && self.first.stays_with_host {
            self.first.link.send_message(CALL, &Order::Part);
            return Ok(Step::Parting);
        }
        self.judge(wanted)
    }

    fn judge(&self, wanted: &[u8]) -> Result<Step, Failure> {
        let number = self.apps.next();
        let (pid, process) = match &self.guest {
            None => (self.first.init.pid, &self.first.init.process),
            Some(guest) => {
                let init = guest.init().ok_or_else(|| Failure::new("the pod's init is not there yet"))?;
                (init.pid, &init.process)
            }
        };
        let kept = [self.launch.as_fd(), self.pod.as_fd(), process.as_fd()];
        let errand = Errand::start(&kept, || {
            let (verdict, launch, plan) = look(&self.launch, wanted)?;
            if let Verdict::Add { app, .. } = &verdict {
                bring(&launch, &plan, app, number, &self.pod, (pid, process))?;
            }
            Ok(verdict)
        })?;
        Ok(Step::Judging { number, errand })
    }

    fn step(&mut self, step: Step) {
        if let Some(change) = &mut self.change {
            change.step = step;
        }
    }

    fn add(&mut self, number: usize, app: String, is_raw: bool) -> Result<(), Failure> {
        let Some(change) = &mut self.change else { return Ok(()) };
        let launch = match self.record.forget_app(&app).and_then(|()| read(&change.launch)) {
            Ok(launch) => launch,
            Err(failure) => {
                self.clear(Some(failure));
                return Ok(());
            }
        };
        change.step = Step::Starting { app: number, parcel: Some(Outgoing::new(launch_stream(), launch)) };
        self.apps.add(app);
        self.outputs.add_forwarded(output_call(number), if is_raw { Stdio::Raw } else { Stdio::Log });
        self.advance_change()
    }

    fn remove(&mut self, app: &str) -> Result<(), Failure> {
        let Some(app) = self.apps.find(app) else {
            self.clear(Some(Failure::new("the pod has no such app")));
            return Ok(());
        };
        if self.apps.leave(app)? {
            return self.kill(app, None);
        }
        inside(&mut self.first, &mut self.guest)
            .send_message(CALL, &Order::SignalApp { app, number: Signal::TERM.as_raw() });
        self.step(Step::Asking { app, until: Instant::now() + PATIENCE });
        Ok(())
    }

    fn kill(&mut self, app: usize, failure: Option<Failure>) -> Result<(), Failure> {
        self.apps.leave(app)?;
        inside(&mut self.first, &mut self.guest).send_message(CALL, &Order::Remove { app });
        self.step(Step::Killing { app, failure });
        Ok(())
    }

    /// Takes away the control groups of apps that the pod does not have.
    fn clear(&mut self, failure: Option<Failure>) {
        let names = self.apps.names();
        match Errand::start(&[self.pod.as_fd()], || undo_apps_but(&self.pod, &names)) {
            Ok(errand) => self.step(Step::Clearing { errand, failure }),
            // It is done at the end of the pod.
            Err(cause) => self.end_change(Some(failure.unwrap_or(cause))),
        }
    }

    /// The end of a change that came to nothing, or of an app that is gone.
    fn end_change(&mut self, failure: Option<Failure>) {
        let Some(change) = self.change.take() else { return };
        let done = failure.map_or_else(|| self.record.commit(false), Err);
        let reply = if let Err(failure) = done {
            refusal(&failure)
        } else {
            self.launch = change.launch;
            Reply::Done {}
        };
        self.clients.answer(change.asker, &reply);
    }

    /// Init has parted from the host's mounts, or why not.
    pub(super) fn change_hears_parted(&mut self, failure: Option<Failure>) {
        let Some(Change { step: Step::Parting, launch, .. }) = &self.change else { return };
        self.first.stays_with_host = failure.is_some();
        let judged = failure.map_or_else(|| read(launch), Err).and_then(|wanted| self.judge(&wanted));
        match judged {
            Ok(step) => self.step(step),
            Err(failure) => self.end_change(Some(failure)),
        }
    }

    /// An app runs its program: perhaps the one that was to come.
    pub(super) fn change_hears_up(&mut self, app: usize) -> Result<(), Failure> {
        let Some(change) =
            self.change.take_if(|change| matches!(change.step, Step::Starting { app: new, .. } if new == app))
        else {
            return Ok(());
        };
        match self.record.commit(true) {
            Ok(()) => {
                self.launch = change.launch;
                self.clients.answer(change.asker, &Reply::Done {});
                Ok(())
            }
            // What nobody will find written down does not run.
            Err(failure) => {
                self.change = Some(change);
                self.kill(app, Some(failure))
            }
        }
    }

    /// An app could not be started. Whether it is the one that was to come, and so the pod goes on.
    pub(super) fn change_hears_failure(&mut self, app: usize, failure: &Failure) -> Result<bool, Failure> {
        match &self.change {
            Some(Change { step: Step::Starting { app: new, .. }, .. }) if *new == app => {
                self.kill(app, Some(failure.clone()))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// An app has ended: perhaps the one that was asked to.
    pub(super) fn change_hears_end(&mut self, app: usize) -> Result<(), Failure> {
        match &self.change {
            Some(Change { step: Step::Asking { app: old, .. }, .. }) if *old == app => self.kill(app, None),
            _ => Ok(()),
        }
    }

    /// Nothing lives of an app any more.
    pub(super) fn change_hears_removed(&mut self, app: usize) {
        let Some(Change { step: Step::Killing { app: old, failure }, .. }) = &mut self.change else { return };
        if *old != app {
            return;
        }
        let failure = failure.take();
        if failure.is_some() {
            self.outputs.remove(self.first_voice() + app);
        }
        self.apps.remove(app);
        self.clear(failure);
    }

    /// Init takes more of a launch.
    pub(super) fn change_hears_credit(&mut self, more: u32) {
        if let Some(Change { step: Step::Starting { parcel: Some(parcel), .. }, .. }) = &mut self.change {
            parcel.allow(more);
        }
    }
}

fn refusal(failure: &Failure) -> Reply {
    Reply::Failed { message: rkt_executor::failure::on_one_line(failure) }
}

/// The whole of a sealed file, wherever others have read to.
fn read(file: &OwnedFd) -> Result<Vec<u8>, Failure> {
    const WHAT: &str = "read a launch again";
    let file = File::from(file.try_clone().map_err(failed(WHAT))?);
    let length = file.metadata().map_err(failed(WHAT))?.len();
    let mut bytes = vec![0; usize::try_from(length).map_err(failed(WHAT))?];
    file.read_exact_at(&mut bytes, 0).map_err(failed(WHAT))?;
    Ok(bytes)
}

/// Judges what a pod is to be against what it is.
fn look(running: &OwnedFd, wanted: &[u8]) -> Result<(Verdict, Launch, CheckedPlan), Failure> {
    let understand = |json: &[u8]| serde_json::from_slice::<Launch>(json);
    let running = understand(&read(running)?).map_err(failed("understand what runs"))?;
    let wanted = understand(wanted).map_err(failed("understand what is to be"))?;
    if running.pod.uuid != wanted.pod.uuid || running.plugin != wanted.plugin {
        return Err(Failure::new("what is to be is another pod, or planned by another plugin"));
    }
    let check = |launch: &Launch| {
        let refused = |refusal: rkt_plan::Refusal| Failure::new(refusal.to_string());
        launch.check().map_err(|refusal| refused(refusal).within(format!("the plan of {} is refused", launch.plugin)))
    };
    let (before, after) = (check(&running)?, check(&wanted)?);
    let verdict = match change((&running.plan, &before), (&wanted.plan, &after)) {
        Err(unchangeable) => return Err(Failure::new(unchangeable.to_string())),
        Ok(AppChange::Remove(app)) => Verdict::Remove { app },
        Ok(AppChange::Add(app)) => {
            let is_raw = after.apps.iter().any(|planned| planned.name == app && planned.stdio == Stdio::Raw);
            Verdict::Add { app, is_raw }
        }
    };
    Ok((verdict, wanted, after))
}

/// Brings what an app takes from the host into the pod.
fn bring(
    launch: &Launch,
    plan: &CheckedPlan,
    app: &str,
    number: usize,
    pod: &OwnedFd,
    init: (Pid, &PidFd),
) -> Result<(), Failure> {
    let planned = plan.apps.iter().find(|planned| planned.name == app);
    let planned = planned.ok_or_else(|| Failure::new("the plan has no such app"))?;
    let mut hold = Hold::of_running(pod, &launch.pod.uuid, init.0, planned)?;
    let parts = Parts::take(launch, planned, &mut hold)?;
    places::put(init, &[(number, parts)])
}
