//! `rkt gc`

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use rkt_pod::{Event, Keep, KeepRecords};

use super::{Context, Outcome, as_root};
use crate::arguments::Gc;
use crate::report::{FAILURE, Failure, plainly, print};
use crate::{plugin, time};

pub(super) fn gc(context: &Context, gc: &Gc) -> Outcome {
    as_root()?;
    let keep = Keep { exited: gc.grace_period, prepared: gc.expire_prepared, mark_only: gc.mark_only };
    let mut failed = false;
    context.pods().collect(&keep, SystemTime::now(), &mut |event| {
        failed |= matches!(event, Event::Failed(_) | Event::Unreadable(_));
        tell(context, &event, gc.grace_period);
    })?;
    if !gc.mark_only {
        failed |= sweep(context);
        forget(context)?;
    }
    Ok(if failed { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS })
}

/// What imports that were cut off have left in the store.
fn sweep(context: &Context) -> bool {
    match context.store().sweep() {
        Ok(_) => false,
        Err(error) => {
            context.report.error(&error);
            true
        }
    }
}

/// Records that are too many or too old, and then the plugins that nothing names any more.
fn forget(context: &Context) -> Result<(), Failure> {
    let (pods, now) = (context.pods(), SystemTime::now());
    let default = include_str!("../../defaults/records.toml");
    let keep = KeepRecords::read(default, &context.globals.configuration())?;
    pods.records().forget(&keep, now, &mut |event| tell(context, &event, Duration::ZERO))?;
    let collected = plugin::kept(&context.globals).collect(&pods.components()?, now);
    collected.map_err(|error| Failure::said(format!("cannot remove plugins that are not used: {}", plainly(&error))))
}

/// Says what was done.
pub(super) fn tell(context: &Context, event: &Event, grace: Duration) {
    let report = &context.report;
    match event {
        Event::Exited(uuid) => report.line(&format!("moving pod \"{uuid}\" to garbage")),
        Event::FailedPrepare(uuid) => report.line(&format!("moving failed prepare \"{uuid}\" to garbage")),
        Event::Expired(uuid) => report.line(&format!("moving expired prepared pod \"{uuid}\" to garbage")),
        Event::Removing(uuid) => {
            if let Err(failure) = print(&format!("Garbage collecting pod \"{uuid}\"\n")) {
                report.failure(&failure);
            }
        }
        Event::WithinGrace(uuid) => {
            let grace = time::go_duration(grace);
            report.line(&format!("pod \"{uuid}\" not removed: still within grace period ({grace})"));
        }
        Event::Forgotten(uuid) => report.line(&format!("removing the record of pod \"{uuid}\"")),
        Event::NotRecorded(error) => report.error(error),
        Event::Failed(error) => report.error(error),
        Event::Unreadable(error) => report.error(error),
    }
}
