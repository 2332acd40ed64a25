//! `rkt status`

use std::process::ExitCode;

use rkt_pod::{Awaited, Pod, PodError, State};

use super::pod_json::{self, PodJson};
use super::{Context, Outcome};
use crate::arguments::{OutputFormat, Status};
use crate::report::print;
use crate::time;
use crate::values::Wait;

pub(super) fn status(context: &Context, status: &Status) -> Outcome {
    let mut pod = context.one_pod(&status.pod)?;
    for (awaited, wait) in [(Awaited::Ready, status.wait_ready), (Awaited::Finished, status.wait)] {
        let timeout = match wait {
            Wait::No => continue,
            Wait::ForEver => None,
            Wait::AtMost(time) => Some(time),
        };
        pod = context.pods().wait_for(pod, awaited, timeout)?;
    }
    let text = match status.output.format {
        OutputFormat::Text => lines(&pod)?.into_iter().map(|line| line + "\n").collect(),
        format => pod_json::text(&PodJson::of(&pod)?, format),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn lines(pod: &Pod) -> Result<Vec<String>, PodError> {
    let state = pod.state();
    let mut lines = vec![format!("state={state}")];
    lines.extend(pod.created()?.map(|created| format!("created={}", time::full(created))));
    lines.extend(pod.started()?.map(|started| format!("started={}", time::full(started))));
    if matches!(state, State::Running | State::Exited) {
        lines.push("networks=".to_owned());
    }
    if state == State::Deleting || state.has_started() {
        lines.extend(pod.pid()?.map(|pid| format!("pid={pid}")));
        lines.push(format!("exited={}", state.has_ended()));
    }
    if state.has_ended() {
        for app in pod.manifest()?.apps() {
            lines.extend(pod.exit(&app.name)?.map(|exit| format!("app-{}={}", app.name, exit.code)));
        }
    }
    Ok(lines)
}
