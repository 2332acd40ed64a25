//! `rkt app rm`: the pod is planned again without the app, which is ended and taken out.

use std::process::ExitCode;

use rkt_plan::Unchangeable;
use rkt_pod::{ChangeError, Waivers};

use super::{Context, Outcome, as_root, pod_json};
use crate::arguments::{AppRm, OutputFormat};
use crate::flavor::Flavor;
use crate::report::{Failure, print};

pub(super) fn app_rm(context: &Context, rm: &AppRm) -> Outcome {
    as_root()?;
    let uuid = rm.uuid.as_deref().ok_or_else(|| Failure::said("must provide the pod UUID"))?;
    let app = rm.app.as_ref().ok_or_else(|| Failure::said("must provide the app to remove"))?;
    let pod = context.pods().find(uuid)?;
    let edit = pod.edit()?;
    let wanted = edit.without(app).map_err(|error| {
        let is_last = matches!(error, ChangeError::Unchangeable { cause: Unchangeable::Last, .. });
        let failure = Failure::from(error);
        if is_last { failure.hint(format!("rkt stop {}", pod.uuid())) } else { failure }
    })?;
    let flavor = Flavor::of(&context.globals, edit.record())?.start()?;
    let verdict = flavor.ask(&wanted.view)?.verdict_again(edit.record(), &wanted.view, Waivers::Told)?;
    let manifest = edit.manifest().clone();
    edit.enact(wanted, verdict, None)?;
    print(&match rm.output.format {
        OutputFormat::Text => format!("\"{app}\"\n"),
        format => pod_json::of_app(&pod, &manifest, app, format)?,
    })?;
    Ok(ExitCode::SUCCESS)
}
