//! `rkt run`: from images to a pod. This process becomes the pod's monitor, and its exit code the
//! pod's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rkt_appc::Mount;
use rkt_executor::Command;
use rkt_image::{Image, Policy, Reference};
use rkt_plan::Answer;
use rkt_pod::{AppImage, Monitor, NewPod, Verdict, Waivers, Written};

use super::wanted::Words;
use super::{Context, Outcome, as_root};
use crate::arguments::{Run, StartFlags};
use crate::debug::{Steps, show_plan};
use crate::escape::cell;
use crate::flavor::Flavor;
use crate::install;
use crate::invocation::ImageArguments;
use crate::plugin::Early;
use crate::report::{Failure, plainly};
use crate::values::Network;

pub(super) fn run(
    context: &Context,
    run: &Run,
    images: Vec<ImageArguments>,
    everywhere: Vec<Mount>,
    early: Option<Early>,
) -> Outcome {
    as_root()?;
    let words = Words { flags: &run.pod, images, everywhere };
    words.check()?;
    let mut steps = Steps::new(&context.report);
    if let Some(early) = &early {
        steps.took("start a plugin's process", early.took);
    }
    let monitor = Monitor { program: install::monitor()?, debug: context.report.is_debug() };
    // Its process loads the plugin while images are looked up.
    let flavor = Flavor::find_or_take(&context.globals, run.pod.flavor.choice().as_ref(), early)?;
    let options = flavor.options(run.pod.settings());
    let flavor = flavor.start()?;
    steps.done("find the plugin");
    let wanted = words.find(context, options, run.start.hostname.as_deref(), stored)?;
    steps.done("find the images");

    let new = context.pods().create()?;
    if let Some(file) = &run.uuid_file_save {
        save_uuid(&new, file)?;
    }
    let pod = wanted.resolve(new.uuid())?;
    for warning in &pod.warnings {
        context.report.line(&warning.to_string());
    }
    steps.done("make the pod's directory");
    let (payload, kernel) = (flavor.payload(), flavor.kernel());
    // The plugin plans while the pod's directory is filled.
    let mut flavor = flavor.ask(&pod.view)?;
    steps.done("ask the plugin for a plan");
    new.write_manifest(&pod)?;
    flavor.answer()?;
    let written = new.make_places(&pod, payload)?;
    flavor.keep(&context.globals);
    steps.done("fill the pod's directory");
    let verdict = flavor.verdict(&pod.view, waivers(&run.start))?;
    steps.done("wait for the plan and check it");
    let planned = Planned { new, view: pod.view, commands: pod.commands, written, verdict, kernel };
    start(context, &run.start, planned, &monitor)
}

/// A pod that only has to be started.
pub(super) struct Planned {
    pub(super) new: NewPod,
    pub(super) view: rkt_plan::Pod,
    pub(super) commands: BTreeMap<String, Command>,
    pub(super) written: Written,
    pub(super) verdict: Verdict,
    /// The kernel that the operator names for guests.
    pub(super) kernel: Option<PathBuf>,
}

/// Starts it: returns only to say why not.
pub(super) fn start(context: &Context, flags: &StartFlags, planned: Planned, monitor: &Monitor) -> Outcome {
    let Planned { new, view, commands, mut written, verdict, kernel } = planned;
    show_plan(&context.report, &verdict);
    check_network(flags, &verdict)?;
    warn_of_waivers(context, &verdict, &[]);
    warn_of_devices(context, &verdict);
    new.make_artifacts(&verdict, &mut written.places, monitor, kernel.as_deref())?;
    Err(new.start(view, commands, written, verdict, monitor).into())
}

/// An image in the store, which it is taken into where it is not there.
pub(super) fn stored(context: &Context, image: &str) -> Result<AppImage, Failure> {
    Ok(AppImage::stored(&resolve(context, image)?, context.verification())?)
}

pub(super) fn resolve(context: &Context, image: &str) -> Result<Image, Failure> {
    let reference = Reference::parse(image)?;
    let image = context.store().resolve(&reference, context.verification(), &Policy::default(), &mut |_| {});
    let image = image.map_err(|error| context.not_found(error))?;
    image.mark_used();
    Ok(image)
}

/// Written before the pod is prepared, so that whoever started it can remove what a failure leaves.
fn save_uuid(pod: &NewPod, file: &Path) -> Result<(), Failure> {
    let saved = fs::write(file, pod.uuid().to_string());
    saved.map_err(|error| Failure::said(format!("cannot write the UUID to {}: {}", file.display(), plainly(&error))))
}

pub(super) fn waivers(flags: &StartFlags) -> Waivers {
    if flags.strict { Waivers::Refused } else { Waivers::Told }
}

/// Until there are networks, a flavor has one kind, and `--net` can only ask for that.
pub(super) fn check_network(flags: &StartFlags, verdict: &Verdict) -> Result<(), Failure> {
    let is_shared = verdict.plan().shared.contains(&rkt_plan::Namespace::Network);
    let plugin = &verdict.proposal().plugin.name;
    match flags.net {
        Some(Network::Host) if !is_shared => Err(Failure::said(format!(
            "--net=host is not supported by {plugin}, which gives the pod a network of its own"
        ))),
        Some(Network::None) if is_shared => Err(Failure::said(format!(
            "--net=none is not supported by {plugin}, which gives the pod the host's network"
        ))),
        _ => Ok(()),
    }
}

/// What was asked for and is not given is never passed over in silence; of requests that are `known` it was said
/// before.
pub(super) fn warn_of_waivers(context: &Context, verdict: &Verdict, known: &[String]) {
    for waived in verdict.waived().filter(|waived| !known.contains(&waived.request)) {
        if let Answer::Waived { reason } = &waived.answer {
            let plugin = &verdict.proposal().plugin.name;
            context.report.line(&format!("warning: {plugin} does not give {}: {}", waived.asked, cell(reason)));
        }
    }
}

/// How a pod is run because of a device that does not work is not found out by its slowness.
fn warn_of_devices(context: &Context, verdict: &Verdict) {
    let plugin = &verdict.proposal().plugin.name;
    for (device, answer, is_used) in verdict.doubtful() {
        let what = match answer {
            "absent" => format!("there is no {device}"),
            _ => format!("{device} did not work when it was last used"),
        };
        let so = if is_used { "uses it again" } else { "does without it" };
        context.report.line(&format!("warning: {what}, and {plugin} {so}"));
    }
}
