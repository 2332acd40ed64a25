//! `rkt app add`: the pod is planned again as it is to be, by the plugin that planned it.

use std::process::ExitCode;

use rkt_appc::{AcName, Mount, Volume};
use rkt_plan::Origin;
use rkt_pod::{AppImage, Waivers};

use super::{Context, Outcome, as_root, pod_json, run};
use crate::arguments::{AppAdd, OutputFormat};
use crate::flavor::Flavor;
use crate::invocation::ImageArguments;
use crate::report::{Failure, print};
use crate::request;

pub(super) fn app_add(context: &Context, add: &AppAdd, images: Vec<ImageArguments>, everywhere: Vec<Mount>) -> Outcome {
    as_root()?;
    let uuid = add.uuid.as_deref().ok_or_else(|| Failure::said("must provide the pod UUID"))?;
    let [words] = <[ImageArguments; 1]>::try_from(images).map_err(|_| Failure::said("must give only one app"))?;
    let pod = context.pods().find(uuid)?;
    let image = AppImage::stored(&run::resolve(context, &words.image)?, context.verification())?;
    let (volumes, mounts): (Vec<Volume>, Vec<Mount>) = add.mnt_volume.iter().cloned().unzip();
    let mounts = mounts.into_iter().chain(everywhere);
    let insecure = &context.globals.insecure_options;
    let app = request::added_app(image, words.flags, words.arguments, mounts, insecure)?;

    let edit = pod.edit()?;
    let flavor = Flavor::of(&context.globals, edit.record())?.start()?;
    let wanted = edit.with(app, volumes, Origin::CommandLine)?;
    let name = wanted.manifest.apps().last().map(|app| app.name.clone());
    for warning in &wanted.warnings {
        context.report.line(&warning.to_string());
    }
    let waivers = if add.strict { Waivers::Refused } else { Waivers::Told };
    let payload = flavor.payload();
    let verdict = flavor.ask(&wanted.view)?.verdict_again(edit.record(), &wanted.view, waivers)?;
    let known: Vec<String> = edit.record().answers.iter().map(|answered| answered.request.clone()).collect();
    run::warn_of_waivers(context, &verdict, &known);
    edit.enact(wanted, verdict, payload.as_ref())?;
    tell(context, &pod.uuid().to_string(), name.as_ref(), add.output.format)
}

/// Says which app came.
fn tell(context: &Context, uuid: &str, name: Option<&AcName>, format: OutputFormat) -> Outcome {
    if let Some(name) = name {
        let pod = context.pods().find(uuid)?;
        print(&match format {
            OutputFormat::Text => format!("\"{name}\"\n"),
            format => pod_json::of_app(&pod, &pod.manifest()?, name, format)?,
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
