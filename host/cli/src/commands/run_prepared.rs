//! `rkt run-prepared`: a prepared pod is planned, by the plugin that it was prepared for, and started. Where that
//! fails it is still prepared.

use rkt_plan::{Asked, Origin};
use rkt_pod::Monitor;

use super::{Context, Outcome, as_root, run};
use crate::arguments::RunPrepared;
use crate::debug::Steps;
use crate::flavor::Flavor;
use crate::install;

pub(super) fn run_prepared(context: &Context, run: &RunPrepared) -> Outcome {
    as_root()?;
    let mut steps = Steps::new(&context.report);
    let mut pod = context.pods().take_prepared(&Context::one_uuid(&run.pod)?)?;
    let monitor = Monitor { program: install::monitor()?, debug: context.report.is_debug() };
    if let Some(hostname) = &run.start.hostname {
        pod.ask_for_hostname(Asked { value: hostname.clone(), by: Origin::CommandLine });
    }
    let flavor = Flavor::of_prepared(&context.globals, pod.plugin())?.start()?;
    steps.done("find the pod and its plugin");
    let (payload, kernel) = (flavor.payload(), flavor.kernel());
    let flavor = flavor.ask(pod.view())?;
    let written = pod.find_places(payload)?;
    let verdict = flavor.verdict(pod.view(), run::waivers(&run.start))?;
    steps.done("wait for the plan and check it");
    let (new, view, commands) = pod.into_parts();
    run::start(context, &run.start, run::Planned { new, view, commands, written, verdict, kernel }, &monitor)
}
