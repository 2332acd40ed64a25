//! `rkt prepare`: from images to a pod that is started later. Nothing but its UUID is written to standard output.

use std::process::ExitCode;

use rkt_appc::Mount;
use rkt_plan::Origin;

use super::{Context, Outcome, as_root, run};
use crate::arguments::Prepare;
use crate::flavor::Flavor;
use crate::invocation::ImageArguments;
use crate::report::print;
use crate::request;

pub(super) fn prepare(
    context: &Context,
    prepare: &Prepare,
    images: Vec<ImageArguments>,
    everywhere: Vec<Mount>,
) -> Outcome {
    as_root()?;
    run::need_images(&images)?;
    let flavor = Flavor::find(&context.globals, prepare.pod.flavor.choice().as_ref())?;
    let options = flavor.options(prepare.pod.settings());
    let apps = run::apps(context, images)?;
    let request = request::pod(&prepare.pod, &context.globals.insecure_options, options, everywhere, apps)?;

    let new = context.pods().create()?;
    let pod = rkt_pod::resolve(new.uuid(), request, Origin::CommandLine)?;
    for warning in &pod.warnings {
        context.report.line(&warning.to_string());
    }
    new.write_manifest(&pod)?;
    // Before the pod names it: what nothing names may be collected.
    flavor.keep(&context.globals);
    let uuid = new.keep(pod, flavor.identity().clone())?;
    print(&format!("{uuid}\n"))?;
    Ok(ExitCode::SUCCESS)
}
