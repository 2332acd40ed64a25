//! From flags to what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;

use rkt_appc::isolator::{CapabilityName, CapabilitySet, Resource, SyscallSet};
use rkt_appc::{Annotation, Annotations, Isolator, Mount, Quantity, Variable};
use rkt_plan::CapabilitySet as Capabilities;
use rkt_pod::{AppImage, AppRequest, Overrides, PodEnvironment, PodRequest, Storage};

use crate::arguments::{AppFlags, PodFlags};
use crate::insecure::{Check, Insecure};
use crate::report::{Failure, Said, plainly};
use crate::{file, values};

/// A pod of these images, as the flags say, with these options of its flavor.
pub(crate) fn pod(
    flags: &PodFlags,
    insecure: &Insecure,
    settings: BTreeMap<String, String>,
    mounts: Vec<Mount>,
    apps: Vec<(AppImage, AppFlags, Vec<String>)>,
) -> Result<PodRequest, Failure> {
    let app = |(image, flags, arguments)| {
        overrides(flags, arguments, insecure).map(|overrides| AppRequest { image, overrides })
    };
    Ok(PodRequest {
        apps: apps.into_iter().map(app).collect::<Result<_, _>>()?,
        volumes: flags.volume.clone(),
        mounts,
        environment: environment(flags)?,
        hostname: None,
        storage: storage(flags),
        settings,
    })
}

/// How apps' roots are kept.
pub(crate) fn storage(flags: &PodFlags) -> Storage {
    if flags.no_overlay { Storage::Copies } else { Storage::Layers }
}

/// An app that comes to a pod that runs. As ever there, its arguments take the place of its image's.
pub(crate) fn added_app(
    image: AppImage,
    flags: AppFlags,
    arguments: Vec<String>,
    mounts: impl IntoIterator<Item = Mount>,
    insecure: &Insecure,
) -> Result<AppRequest, Failure> {
    let mut overrides = Overrides { arguments_replace: true, ..overrides(flags, arguments, insecure)? };
    overrides.mounts.extend(mounts);
    Ok(AppRequest { image, overrides })
}

fn overrides(flags: AppFlags, arguments: Vec<String>, insecure: &Insecure) -> Result<Overrides, Failure> {
    let isolators = isolators(&flags, insecure);
    let mut annotations = Annotations::default();
    for Annotation { name, value } in flags.annotation {
        annotations.set(name, value)?;
    }
    Ok(Overrides {
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
        annotations,
        user_annotations: map(flags.user_annotation),
        user_labels: map(flags.user_label),
    })
}

/// The last of each name; none where nothing was said.
fn map(pairs: Vec<(String, String)>) -> Option<BTreeMap<String, String>> {
    (!pairs.is_empty()).then(|| pairs.into_iter().collect())
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

/// What the checks that are left out say of an app about which nothing else is said.
pub(crate) fn unconfined(insecure: &Insecure) -> Vec<Isolator> {
    let capabilities = insecure.leaves_out(Check::Capabilities).then(every_capability);
    capabilities.into_iter().chain(insecure.leaves_out(Check::Seccomp).then(every_call)).collect()
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
        if let Some(name) = repeated(&files) {
            let file = path.display().to_string();
            return Err(Failure::said(format!("key {name:?} already set (file {file:?})")));
        }
    }
    let inherited = if flags.inherit_env { own_environment() } else { Vec::new() };
    Ok(PodEnvironment { inherited, files, set: flags.set_env.clone() })
}

fn repeated(variables: &[Variable]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    variables.iter().map(Variable::name).find(|name| !seen.insert(*name))
}

/// Lines of `NAME=VALUE`, of which the value is all that is behind the first `=`; empty lines and those whose first
/// character is `#` or `;` are passed over.
fn environment_file(path: &Path) -> Result<Vec<Variable>, Failure> {
    let file = path.display().to_string();
    let unreadable = |error| Said(format!("cannot read the environment (file {file:?}): {}", plainly(&error)));
    let text = file::read_text(path).map_err(unreadable)?;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with(['#', ';'])
    });
    lines
        .map(|(number, line)| {
            let wrong = |error| Said(format!("{error} (file {file:?}), line {}", number + 1));
            values::variable(line).map_err(|error| wrong(error).into())
        })
        .collect()
}

/// What a manifest can carry of rkt's own environment: shells export functions under names that are
/// none, and those stay out.
fn own_environment() -> Vec<Variable> {
    let text = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter_map(|(name, value)| Variable::new(name, value).ok()).collect()
}
