//! `rkt replay`: a recorded pod is planned again, from what is recorded alone.

use std::process::ExitCode;

use rkt_plan::Strictness;
use rkt_pod::{PluginIdentity, Replay as Outcome, Uuid};
use serde::Serialize;

use super::{Context, differences, pod_json};
use crate::arguments::{OutputFormat, Replay};
use crate::escape::escaped;
use crate::flavor;
use crate::report::print;

/// What is told to programs.
#[derive(Debug, Serialize)]
struct Told<'a> {
    pod: Uuid,
    /// The plugin that planned the pod.
    recorded: &'a PluginIdentity,
    /// The plugin that planned it now.
    plugin: &'a PluginIdentity,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

pub(super) fn replay(context: &Context, replay: &Replay) -> super::Outcome {
    let (pod, record) = context.pods().recorded(&Context::one_uuid(&replay.pod)?)?;
    let proposal = flavor::plan_again(&context.globals, &record, replay.plugin.as_deref())?;
    let outcome = record.replay(&proposal)?;
    let told = Told { pod, recorded: &record.proposal.plugin, plugin: &proposal.plugin, outcome: &outcome };
    print(&match replay.output.format {
        OutputFormat::Text => escaped(&text(&told)).into_owned(),
        format => pod_json::text(&told, format),
    })?;
    Ok(code(outcome.strictness))
}

/// In an order in which what is at most stricter is at most 1.
fn code(strictness: Strictness) -> ExitCode {
    ExitCode::from(match strictness {
        Strictness::Same => 0,
        Strictness::Stricter => 1,
        Strictness::Weaker => 2,
        Strictness::Other => 3,
    })
}

fn text(told: &Told<'_>) -> String {
    let Told { pod, recorded, plugin, outcome } = told;
    let named = differences::name;
    let whose = if plugin.digest == recorded.digest {
        "as it planned it".to_owned()
    } else {
        format!("planned by {}", named(recorded))
    };
    let head = format!("{}\n{} compared with pod {pod}, {whose}\n", outcome.strictness.name(), named(plugin));
    let listed = |what: &str, list: &[String]| {
        if list.is_empty() { String::new() } else { format!("  {what}: {}\n", list.join(", ")) }
    };
    let same = if outcome.identical { "the same, word for word" } else { "the same, in other words" };
    [
        head,
        "checked against what was granted then, and told what was known then\n".to_owned(),
        listed("was not granted", &outcome.not_granted),
        listed("was not asked for, and is told to be unknown", &outcome.unanswered),
        differences::lines(&outcome.differences, same),
    ]
    .concat()
}
