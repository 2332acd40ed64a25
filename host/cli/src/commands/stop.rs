//! `rkt stop`. It returns when the pods are down.

use std::process::ExitCode;

use rkt_pod::{RunningError, State, StopError};

use super::{Context, Outcome};
use crate::arguments::Stop;
use crate::report::{Failure, print};

pub(super) fn stop(context: &Context, stop: &Stop) -> Outcome {
    let how = if stop.force { rkt_pod::Stop::Force } else { rkt_pod::Stop::Ask(stop.timeout) };
    let mut failed = 0;
    for uuid in Context::uuids(&stop.pods)? {
        if let Err(failure) = stop_one(context, &uuid, how) {
            context.report.failure(&failure);
            failed += 1;
        }
    }
    match failed {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(Failure::said(format!("failed to stop {count} pod(s)"))),
    }
}

fn stop_one(context: &Context, uuid: &str, how: rkt_pod::Stop) -> Result<(), Failure> {
    let pod = context.pods().find(uuid)?;
    match pod.state() {
        State::Running => {
            pod.stop(how).map_err(|error| match (&error, how) {
                (
                    StopError::TooLong { .. } | StopError::Running(RunningError::Unreachable { .. }),
                    rkt_pod::Stop::Ask(_),
                ) => Failure::from(error).hint(format!("rkt stop --force {}", pod.uuid())),
                _ => error.into(),
            })?;
            print(&format!("\"{}\"\n", pod.uuid()))
        }
        state if state.has_ended() => print(&format!("pod \"{}\" is already stopped\n", pod.uuid())),
        _ => Err(Failure::said(format!("pod \"{}\" is not running", pod.uuid()))),
    }
}
