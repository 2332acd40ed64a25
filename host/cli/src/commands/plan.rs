//! `rkt plan`: what would happen, and how that differs from another flavor or a pod.

use std::collections::BTreeMap;
use std::process::ExitCode;

use rkt_appc::Mount;
use rkt_executor::failure::on_one_line;
use rkt_executor::groups::Owner;
use rkt_image::{Policy, Reference};
use rkt_plan::CheckedPlan;
use rkt_pod::{AppImage, Proposal, Record, ResolvedPod, Uuid, Verdict};
use serde::Serialize;

use super::wanted::Words;
use super::{Context, Outcome, differences, run};
use crate::arguments::{Choice, OutputFormat, Plan};
use crate::escape::escaped;
use crate::flavor::Flavor;
use crate::invocation::ImageArguments;
use crate::report::{Failure, print};

pub(super) fn plan(context: &Context, plan: &Plan, images: Vec<ImageArguments>, everywhere: Vec<Mount>) -> Outcome {
    let words = Words { flags: &plan.pod, images, everywhere };
    words.check()?;
    let other = plan.diff.as_deref().map(|name| Other::find(context, name)).transpose()?;
    let flavor = Flavor::find(&context.globals, plan.pod.flavor.choice().as_ref())?;
    let name = flavor.name().to_owned();
    let options = flavor.options(plan.pod.settings());
    let flavor = flavor.start()?;
    let wanted = words.find(context, options, plan.start.hostname.as_deref(), look_at)?;
    let uuid = other.as_ref().map_or(Uuid::NIL, Other::uuid);
    let pod = wanted.resolve(uuid)?;
    let verdict = flavor.ask(&pod.view)?.verdict(&pod.view, run::waivers(&plan.start))?;
    run::check_network(&plan.start, &verdict)?;
    let format = plan.output.format;
    print(&match other {
        None => shown(&pod, &verdict, format),
        Some(other) => {
            let (theirs, whose) = other.plan(&pod, plan.pod.settings())?;
            differences::shown(&rkt_plan::diff(&theirs, verdict.plan()), &name, &whose, format)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An image as far as a plan needs it. An archive is looked into, so that neither the data directory
/// nor root's rights are needed.
fn look_at(context: &Context, image: &str) -> Result<AppImage, Failure> {
    match Reference::parse(image)? {
        Reference::File(file) => {
            let peek = rkt_image::peek(&file, context.verification(), &Policy::default())?;
            // Users may be in what it depends on, which is seen where the image is in the store already.
            if !peek.manifest.dependencies.is_empty()
                && let Ok(image) = context.store().get_exact(&peek.id)
            {
                return Ok(AppImage::stored(&image, context.verification())?);
            }
            Ok(AppImage::peeked(peek))
        }
        reference => {
            let image = context.store().resolve(&reference, context.verification(), &Policy::default(), &mut |_| {})?;
            Ok(AppImage::stored(&image, context.verification())?)
        }
    }
}

/// What a plan is compared with.
enum Other {
    Flavor(Box<Flavor>),
    Pod(Uuid, Box<Record>),
}

impl Other {
    /// A flavor of this name, or else the pod whose UUID begins so, also where it was removed since.
    fn find(context: &Context, name: &str) -> Result<Self, Failure> {
        if Flavor::is_named(&context.globals, name)? {
            return Ok(Self::Flavor(Box::new(Flavor::find(&context.globals, Some(&Choice::Any(name.to_owned())))?)));
        }
        let (uuid, record) = context.pods().recorded(name)?;
        Ok(Self::Pod(uuid, Box::new(record)))
    }

    /// The pod is planned under the name of the one that it is compared with, so that names do not
    /// differ.
    fn uuid(&self) -> Uuid {
        match self {
            Self::Flavor(_) => Uuid::NIL,
            Self::Pod(uuid, _) => *uuid,
        }
    }

    /// `asked` are the options that are not the other flavor's own defaults.
    fn plan(self, pod: &ResolvedPod, asked: BTreeMap<String, String>) -> Result<(CheckedPlan, String), Failure> {
        match self {
            Self::Flavor(flavor) => {
                let name = flavor.name().to_owned();
                let view = rkt_plan::Pod { settings: flavor.options(asked), ..pod.view.clone() };
                let verdict = flavor.start()?.ask(&view)?.verdict(&view, rkt_pod::Waivers::Told)?;
                Ok((verdict.plan().clone(), name))
            }
            Self::Pod(uuid, record) => Ok((record.plan()?, format!("pod {uuid}"))),
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
    /// Where its control groups would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_groups: Option<String>,
}

fn shown(pod: &ResolvedPod, verdict: &Verdict, format: OutputFormat) -> String {
    let proposal = verdict.proposal();
    let control_groups = control_groups(verdict.plan());
    match format {
        OutputFormat::Text => {
            let head = format!("{}\n", differences::name(&proposal.plugin));
            let warnings = pod.warnings.iter().map(|warning| format!("warning: {warning}\n"));
            let groups = control_groups.map(|place| format!("control groups\n  {place}\n"));
            let text: Vec<String> =
                [head].into_iter().chain(warnings).chain([rkt_plan::explain(verdict.plan())]).chain(groups).collect();
            escaped(&text.concat()).into_owned()
        }
        _ => {
            super::pod_json::text(&Shown { pod: &pod.view, proposal, checked: verdict.plan(), control_groups }, format)
        }
    }
}

/// Where the control groups would be if the pod was run from here; none where it has no limit.
fn control_groups(plan: &CheckedPlan) -> Option<String> {
    plan.has_groups().then(|| match Owner::find() {
        Ok(owner) => owner.to_string(),
        Err(failure) => format!("unknown: {}", on_one_line(&failure)),
    })
}
