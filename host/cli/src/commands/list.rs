//! `rkt list`

use std::process::ExitCode;
use std::time::SystemTime;

use rkt_appc::{AcVersion, RuntimeApp};
use rkt_pod::{Pod, PodError, PodsError, Stage, State};

use super::pod_json::{self, PodJson};
use super::{Context, Outcome};
use crate::arguments::{List, OutputFormat};
use crate::report::{in_short, print};
use crate::table::Table;
use crate::time;

/// Characters of a UUID that are shown.
const SHORT_UUID: usize = 8;
/// Characters of an image's ID that are shown: `sha512-` and 12 digits.
const SHORT_ID: usize = 19;

pub(super) fn list(context: &Context, list: &List) -> Outcome {
    let mut errors = Vec::new();
    let text = match list.output.format {
        OutputFormat::Text => table(context, list, &mut errors)?,
        format => json(context, format, &mut errors)?,
    };
    print(&text)?;
    if !errors.is_empty() {
        tell(context, &errors);
    }
    Ok(ExitCode::SUCCESS)
}

fn json(context: &Context, format: OutputFormat, errors: &mut Vec<String>) -> Result<String, PodsError> {
    let mut told = Vec::new();
    for pod in context.pods().list(&Stage::LISTED)? {
        match pod.map_err(|error| in_short(&error)).and_then(|pod| PodJson::of(&pod).map_err(|error| in_short(&error)))
        {
            Ok(pod) => told.push(pod),
            Err(error) => errors.push(error),
        }
    }
    // No pods have always been told as null.
    Ok(if told.is_empty() { "null\n".to_owned() } else { pod_json::text(&told, format) })
}

fn table(context: &Context, list: &List, errors: &mut Vec<String>) -> Result<String, PodsError> {
    let full = list.table.full;
    let mut table = Table::default();
    if !list.table.no_legend {
        let id = full.then_some("IMAGE ID");
        let head = ["UUID", "APP", "IMAGE NAME"].into_iter().chain(id);
        table.line(head.chain(["STATE", "CREATED", "STARTED", "NETWORKS"]));
    }
    let now = SystemTime::now();
    for pod in context.pods().list(&Stage::LISTED)? {
        let added = pod
            .map_err(|error| in_short(&error))
            .and_then(|pod| add(&mut table, &pod, full, now, errors).map_err(|error| in_short(&error)));
        errors.extend(added.err());
    }
    Ok(table.text())
}

/// A line for each app; what is about the pod stands in the first.
fn add(table: &mut Table, pod: &Pod, full: bool, now: SystemTime, errors: &mut Vec<String>) -> Result<(), PodError> {
    let when = |time: Option<SystemTime>| match time {
        None => String::new(),
        Some(time) if full => time::full(time),
        Some(time) => time::relative(time, now),
    };
    let uuid = pod.uuid().to_string();
    let uuid = if full { &uuid } else { &uuid[..SHORT_UUID] };
    let about_pod = [pod.state().to_string(), when(pod.created()?), when(pod.started()?), String::new()];
    let apps = match pod.manifest() {
        Ok(manifest) => manifest.apps().iter().map(app_cells).collect(),
        Err(error) => {
            // In its youth a pod has no manifest, and when all else of it is removed, which is no error.
            let is_gone = !pod.is_there().unwrap_or(true);
            if matches!(pod.state(), State::Running | State::Exited) && !is_gone {
                errors.push(in_short(&error));
            }
            Vec::new()
        }
    };
    let no_app = ["-", "-", "-"].map(str::to_owned);
    let mut first = true;
    for [name, image, id] in if apps.is_empty() { vec![no_app] } else { apps } {
        let uuid = if first { uuid } else { "" };
        let about = if first { about_pod.clone() } else { Default::default() };
        let id = full.then_some(id);
        table.line([uuid.to_owned(), name, image].into_iter().chain(id).chain(about));
        first = false;
    }
    Ok(())
}

fn app_cells(app: &RuntimeApp) -> [String; 3] {
    let image = match (&app.image.name, app.image.labels.get("version")) {
        (Some(name), Some(version)) => format!("{name}:{version}"),
        (Some(name), None) => name.to_string(),
        (None, _) => "--".to_owned(),
    };
    let id = app.image.id.as_str();
    [app.name.to_string(), image, id.get(..SHORT_ID).unwrap_or(id).to_owned()]
}

/// What could not be read, between rulers, as people were asked to report it.
fn tell(context: &Context, errors: &[String]) {
    let ruler = "-".repeat(40);
    let mut lines = vec![format!("{} error(s) encountered when listing pods:", errors.len()), ruler.clone()];
    for error in errors {
        lines.extend([error.clone(), ruler.clone()]);
    }
    lines.extend(["misc:".to_owned(), format!("  rkt's appc version: {}", AcVersion::CURRENT), String::new()]);
    for line in lines {
        context.report.line(&line);
    }
}
