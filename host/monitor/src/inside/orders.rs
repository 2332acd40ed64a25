//! What the monitor orders of init: signals, and apps that come and go.

use rkt_executor::order::part_from_host;
use rkt_executor::process;
use rkt_executor::{Failure, Launch, PreparedApp, places};
use rkt_plan::CheckedPlan;
use rkt_sys::signal;

use super::app::{App, Forwarded};
use super::{Init, say_made};
use crate::between::{CALL, Event, NewApp, Order};
use crate::idle::Idle;

impl Init {
    /// Does what is ordered.
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Signal(number) => {
                if let Some(signal) = signal::from_number(number) {
                    self.apps.values().for_each(|app| app.signal(signal));
                }
            }
            Order::SignalApp { app, number } => {
                if let (Some(app), Some(signal)) = (self.apps.get(&app), signal::from_number(number)) {
                    app.signal(signal);
                }
            }
            Order::Part => {
                let failure = part_from_host().err();
                self.link.send_message(CALL, &Event::Parted { failure });
            }
            Order::Add { apps } => self.add(&apps),
            Order::Remove { app } => match self.apps.get_mut(&app) {
                Some(app) => app.leave(),
                None => self.link.send_message(CALL, &Event::Removed { app }),
            },
        }
    }

    /// Starts apps that came later.
    fn add(&mut self, apps: &[NewApp]) {
        let launch = self.launch.take().unwrap_or_default();
        let launch = understand(&launch);
        let take = |new: &NewApp| {
            let (plan, launch) = launch.as_ref().map_err(Clone::clone)?;
            let command = launch.commands.get(&new.name).cloned();
            let command = command.ok_or_else(|| Failure::new("the launch has no command for it"))?;
            PreparedApp::from_places(plan, &new.name, command, new.number)
        };
        let taken: Vec<_> = apps.iter().map(|new| (new.number, take(new))).collect();
        // Before there is a process that would have a copy of them. Where nothing was put, nothing is there.
        let _ = places::clear();
        for (number, prepared) in taken {
            if let Err(failure) = prepared.and_then(|prepared| self.start(number, prepared)) {
                self.link.send_message(CALL, &Event::Failed { app: Some(number), failure });
            }
        }
        self.idle = Idle::default();
    }

    fn start(&mut self, number: usize, prepared: PreparedApp) -> Result<(), Failure> {
        let (output, theirs) = Forwarded::make()?;
        let app = App::start(prepared, &theirs.into_stdio())?;
        app.go();
        say_made(&mut self.link, number, &app);
        self.apps.insert(number, app);
        self.outputs.insert(number, output);
        Ok(())
    }
}

/// A launch with its plan, checked: init believes no plan either.
fn understand(json: &[u8]) -> Result<(CheckedPlan, Launch), Failure> {
    let launch: Launch = serde_json::from_slice(json).map_err(process::failed("understand what is to be started"))?;
    let plan = launch.check().map_err(|refusal| Failure::new(refusal.to_string()).within("the plan is refused"))?;
    Ok((plan, launch))
}
