//! `rkt plan`: what would happen, and how that differs from another flavor or a pod.

use std::process::ExitCode;

use rkt_appc::Mount;
use rkt_image::{Policy, Reference};
use rkt_plan::{Change, CheckedPlan, Difference, Origin, Strictness};
use rkt_pod::{AppImage, Pod, Proposal, Record, ResolvedPod, Uuid, Verdict};
use serde::Serialize;

use super::{Context, Outcome, run};
use crate::arguments::{OutputFormat, Plan};
use crate::escape::escaped;
use crate::flavor::Flavor;
use crate::invocation::ImageArguments;
use crate::report::{Failure, print};
use crate::request;

pub(super) fn plan(context: &Context, plan: &Plan, images: Vec<ImageArguments>, everywhere: Vec<Mount>) -> Outcome {
    if images.is_empty() {
        return Err(Failure::said("must provide at least one image"));
    }
    let other = plan.diff.as_deref().map(|name| Other::find(context, name)).transpose()?;
    let flavor = Flavor::find(&context.globals, plan.pod.flavor().as_deref())?;
    let name = flavor.name().to_owned();
    let flavor = flavor.start()?;
    let mut apps = Vec::new();
    for words in images {
        apps.push((look_at(context, &words.image)?, words.flags, words.arguments));
    }
    let request = request::pod(&plan.pod, &context.globals.insecure_options, everywhere, apps)?;
    let uuid = other.as_ref().map_or(Uuid::NIL, Other::uuid);
    let pod = rkt_pod::resolve(uuid, request, Origin::CommandLine)?;
    let verdict = flavor.verdict(&pod.view, run::waivers(&plan.pod))?;
    run::check_network(&plan.pod, &verdict)?;
    let format = plan.output.format;
    print(&match other {
        None => shown(&pod, &verdict, format),
        Some(other) => {
            let (theirs, whose) = other.plan(&pod)?;
            differences(&rkt_plan::diff(&theirs, verdict.plan()), &name, &whose, format)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An image as far as a plan needs it. An archive is looked into, so that neither the data directory
/// nor root's rights are needed.
fn look_at(context: &Context, image: &str) -> Result<AppImage, Failure> {
    match Reference::parse(image)? {
        Reference::File(file) => {
            Ok(AppImage::peeked(rkt_image::peek(&file, context.verification(), &Policy::default())?))
        }
        reference => {
            let image = context.store().resolve(&reference, context.verification(), &Policy::default(), &mut |_| {})?;
            Ok(AppImage::stored(&image)?)
        }
    }
}

/// What a plan is compared with.
enum Other {
    Flavor(Box<Flavor>),
    Pod(Pod, Box<Record>),
}

impl Other {
    /// A flavor of this name, or else the pod whose UUID begins so.
    fn find(context: &Context, name: &str) -> Result<Self, Failure> {
        if Flavor::is_named(&context.globals, name)? {
            return Ok(Self::Flavor(Box::new(Flavor::find(&context.globals, Some(name))?)));
        }
        let pod = context.pods().find(name)?;
        match pod.record()? {
            Some(record) => Ok(Self::Pod(pod, Box::new(record))),
            None => Err(Failure::said(format!("pod \"{}\" was never started, so nothing is recorded", pod.uuid()))),
        }
    }

    /// The pod is planned under the name of the one that it is compared with, so that names do not
    /// differ.
    fn uuid(&self) -> Uuid {
        match self {
            Self::Flavor(_) => Uuid::NIL,
            Self::Pod(pod, _) => pod.uuid(),
        }
    }

    fn plan(self, pod: &ResolvedPod) -> Result<(CheckedPlan, String), Failure> {
        match self {
            Self::Flavor(flavor) => {
                let name = flavor.name().to_owned();
                let verdict = flavor.start()?.verdict(&pod.view, rkt_pod::Waivers::Told)?;
                Ok((verdict.plan().clone(), name))
            }
            Self::Pod(pod, record) => Ok((record.plan()?, format!("pod {}", pod.uuid()))),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    pod: &'a rkt_plan::Pod,
    #[serde(flatten)]
    proposal: &'a Proposal,
    /// The plan as it would be enacted.
    checked: &'a CheckedPlan,
}

fn shown(pod: &ResolvedPod, verdict: &Verdict, format: OutputFormat) -> String {
    let proposal = verdict.proposal();
    match format {
        OutputFormat::Text => {
            let plugin = &proposal.plugin;
            let image: Vec<String> = plugin.image.iter().map(|image| format!(", image {image}")).collect();
            let head = format!("{} ({}, {}{})\n", plugin.name, plugin.trust, plugin.digest, image.concat());
            let warnings = pod.warnings.iter().map(|warning| format!("warning: {warning}\n"));
            let text: Vec<String> =
                [head].into_iter().chain(warnings).chain([rkt_plan::explain(verdict.plan())]).collect();
            escaped(&text.concat()).into_owned()
        }
        _ => super::pod_json::text(&Shown { pod: &pod.view, proposal, checked: verdict.plan() }, format),
    }
}

fn differences(differences: &[Difference], name: &str, whose: &str, format: OutputFormat) -> String {
    if format != OutputFormat::Text {
        return super::pod_json::text(&differences, format);
    }
    let mut lines = vec![format!("{name} compared with {whose}")];
    if differences.is_empty() {
        lines.push("  the same".to_owned());
    }
    let mut last = "";
    for difference in differences {
        if difference.subject != last {
            lines.push(difference.subject.clone());
            last = &difference.subject;
        }
        lines.push(line(difference));
    }
    escaped(&(lines.join("\n") + "\n")).into_owned()
}

fn line(difference: &Difference) -> String {
    let how = match difference.strictness {
        Strictness::Stricter => "stricter",
        Strictness::Weaker => "weaker",
        Strictness::Other => "other",
    };
    let change = match &difference.change {
        Change::Added(new) => format!("+ {new}"),
        Change::Removed(old) => format!("- {old}"),
        Change::Changed { from, to } => format!("{from} -> {to}"),
    };
    format!("  {how:<9} {:<14} {change}", difference.aspect)
}
