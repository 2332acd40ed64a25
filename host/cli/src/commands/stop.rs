//! `rkt stop`. It returns when the pods are down.

use std::process::ExitCode;

use rkt_pod::State;

use super::{Context, Outcome};
use crate::arguments::Stop;
use crate::report::{Failure, print};

pub(super) fn stop(context: &Context, stop: &Stop) -> Outcome {
    let mut failed = 0;
    for uuid in Context::uuids(&stop.pods)? {
        if let Err(failure) = stop_one(context, &uuid, stop.force) {
            context.report.failure(&failure);
            failed += 1;
        }
    }
    match failed {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(Failure::said(format!("failed to stop {count} pod(s)"))),
    }
}

fn stop_one(context: &Context, uuid: &str, force: bool) -> Result<(), Failure> {
    let pod = context.pods().find(uuid)?;
    match pod.state() {
        State::Running => {
            pod.stop(force)?;
            print(&format!("\"{}\"\n", pod.uuid()))
        }
        state if state.has_ended() => print(&format!("pod \"{}\" is already stopped\n", pod.uuid())),
        _ => Err(Failure::said(format!("pod \"{}\" is not running", pod.uuid()))),
    }
}
