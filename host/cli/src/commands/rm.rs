//! `rkt rm`

use std::process::ExitCode;

use super::{Context, Outcome, as_root, gc};
use crate::arguments::Rm;
use crate::report::{Failure, print};

pub(super) fn rm(context: &Context, rm: &Rm) -> Outcome {
    as_root()?;
    let mut failed = false;
    for uuid in Context::uuids(&rm.pods)? {
        if let Err(failure) = rm_one(context, &uuid) {
            context.report.failure(&failure);
            failed = true;
        }
    }
    if failed {
        return Err(Failure::said("failed to remove one or more pods"));
    }
    Ok(ExitCode::SUCCESS)
}

fn rm_one(context: &Context, uuid: &str) -> Result<(), Failure> {
    let pods = context.pods();
    let pod = pods.find(uuid)?;
    pods.remove(&pod, &mut |event| {
        // That an exited pod becomes garbage on the way is not worth telling.
        if !matches!(event, rkt_pod::Event::Exited(_)) {
            gc::tell(context, &event, std::time::Duration::ZERO);
        }
    })?;
    print(&format!("\"{}\"\n", pod.uuid()))
}
