//! From flags to what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;

use rkt_appc::isolator::{CapabilityName, CapabilitySet, Resource, SyscallSet};
use rkt_appc::{Isolator, Mount, Quantity, Variable};
use rkt_plan::CapabilitySet as Capabilities;
use rkt_pod::{AppImage, AppRequest, Overrides, PodEnvironment, PodRequest};

use crate::arguments::{AppFlags, PodFlags};
use crate::insecure::{Check, Insecure};
use crate::report::{Failure, Said};
use crate::{file, values};

/// A pod of these images, as the flags say, with these options of its flavor.
pub(crate) fn pod(
    flags: &PodFlags,
    insecure: &Insecure,
    settings: BTreeMap<String, String>,
    mounts: Vec<Mount>,
    apps: Vec<(AppImage, AppFlags, Vec<String>)>,
) -> Result<PodRequest, Failure> {
    let app = |(image, flags, arguments)| AppRequest { image, overrides: overrides(flags, arguments, insecure) };
    Ok(PodRequest {
        apps: apps.into_iter().map(app).collect(),
        volumes: flags.volume.clone(),
        mounts,
        environment: environment(flags)?,
        hostname: None,
        settings,
    })
}

/// An app that comes to a pod that runs. As ever there, its arguments take the place of its image's.
pub(crate) fn added_app(
    image: AppImage,
    flags: AppFlags,
    arguments: Vec<String>,
    mounts: impl IntoIterator<Item = Mount>,
    insecure: &Insecure,
) -> AppRequest {
    let mut overrides = Overrides { arguments_replace: true, ..overrides(flags, arguments, insecure) };
    overrides.mounts.extend(mounts);
    AppRequest { image, overrides }
}

fn overrides(flags: AppFlags, arguments: Vec<String>, insecure: &Insecure) -> Overrides {
    let isolators = isolators(&flags, insecure);
    Overrides {
        name: flags.name,
        exec: flags.exec,
        arguments,
        arguments_replace: false,
        user: flags.user,
        group: flags.group,
        supplementary_gids: flags.supplementary_gids.map(|list| list.0),
        working_directory: flags.working_dir,
        environment: flags.environment,
        read_only_root: flags.readonly_rootfs.unwrap_or(false),
        mounts: flags.mount,
        isolators,
    }
}

fn isolators(flags: &AppFlags, insecure: &Insecure) -> Vec<Isolator> {
    let both = |amount: Quantity| Resource { request: Some(amount), limit: Some(amount) };
    let capabilities = flags.caps_retain.clone().map(Isolator::CapabilitiesRetain);
    let capabilities = capabilities.or_else(|| flags.caps_remove.clone().map(Isolator::CapabilitiesRemove));
    let all_capabilities = || insecure.leaves_out(Check::Capabilities).then(every_capability);
    let no_filter = || insecure.leaves_out(Check::Seccomp).then(every_call);
    [
        flags.memory.map(|amount| Isolator::Memory(both(amount))),
        flags.cpu.map(|amount| Isolator::Cpu(both(amount))),
        flags.cpu_shares.map(Isolator::CpuShares),
        flags.pids_limit.map(Isolator::PidsLimit),
        capabilities.or_else(all_capabilities),
        flags.seccomp.clone().or_else(no_filter),
        flags.oom_score_adj.map(Isolator::OomScoreAdj),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `--insecure-options=capabilities` asks to keep all of them.
fn every_capability() -> Isolator {
    let names = Capabilities::ALL.iter().map(|capability| capability.name().parse::<CapabilityName>());
    let names = names.collect::<Result<_, _>>().expect("the kernel's names are names");
    Isolator::CapabilitiesRetain(CapabilitySet::new(names).expect("there are some"))
}

/// `--insecure-options=seccomp` asks for no filter (specification, "os/linux/seccomp-retain-set").
fn every_call() -> Isolator {
    let all = "@appc.io/all".parse().expect("it is the name of a set");
    Isolator::SeccompRetain(SyscallSet::new(vec![all], None).expect("there is one"))
}

fn environment(flags: &PodFlags) -> Result<PodEnvironment, Failure> {
    if let Some(name) = repeated(&flags.set_env) {
        return Err(Failure::said(format!("key {name:?} already set")));
    }
    let mut files = Vec::new();
    for path in &flags.set_env_file {
        files.extend(environment_file(path)?);
    }
    if let Some(name) = repeated(&files) {
        return Err(Failure::said(format!("key {name:?} already set")));
    }
    let inherited = if flags.inherit_env { own_environment() } else { Vec::new() };
    Ok(PodEnvironment { inherited, files, set: flags.set_env.clone() })
}

fn repeated(variables: &[Variable]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    variables.iter().map(Variable::name).find(|name| !seen.insert(*name))
}

/// Lines of `NAME=VALUE`; empty ones and those that begin with `#` or `;` are passed over.
fn environment_file(path: &Path) -> Result<Vec<Variable>, Failure> {
    let failed = |why: String| Said(format!("{why} (file {:?})", path.display().to_string()));
    let text = file::read_text(path).map_err(|error| failed(error.to_string()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(['#', ';']));
    lines.map(|line| values::variable(line).map_err(|error| failed(error.to_string()).into())).collect()
}

/// What a manifest can carry of rkt's own environment: shells export functions under names that are
/// none, and those stay out.
fn own_environment() -> Vec<Variable> {
    let text = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter_map(|(name, value)| Variable::new(name, value).ok()).collect()
}
