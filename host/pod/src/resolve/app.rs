//! One app: from how it is to be run to what a flavor sees of it and what it executes.

use rkt_appc::{App, Isolator, RuntimeApp, UnixId, VolumeKind};
use rkt_executor::Command;
use rkt_plan::{Asked, Credentials, Origin};

use super::{ResolveError, ResolvedImage, Seed, Warning, platform};
use crate::request::AppImage;
use crate::volumes::{self, Askers, Implicit, Known};
use crate::{environment, isolators, user};

/// An app as it is to be, and who said what of it.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As the pod's manifest is to say it, but for mounts that nobody wrote.
    pub(super) runtime: RuntimeApp,
    /// How it is run: the manifest's section, or else its image's.
    pub(super) section: App,
    /// Who wrote the mounts, and that the root is read-only.
    pub(super) by: Origin,
    /// Who wrote the section, but for what others said in it.
    pub(super) of_section: Origin,
    /// Who said as whom it runs.
    pub(super) of_user: Origin,
    /// The isolators in the section that `by` wrote.
    pub(super) users_isolators: Vec<Isolator>,
}

/// An app with nothing left open but how it is isolated.
pub(super) struct ResolvedApp {
    pub(super) runtime: RuntimeApp,
    pub(super) view: rkt_plan::App,
    pub(super) command: Command,
    pub(super) image: ResolvedImage,
    /// Its volumes that nobody declared.
    pub(super) implicit: Vec<Implicit>,
    pub(super) seeds: Vec<Seed>,
    pub(super) warnings: Vec<Warning>,
}

/// Resolves what is open of an app, in a pod of these volumes.
pub(super) fn resolve(wanted: Wanted, image: AppImage, volumes: Known<'_>) -> Result<ResolvedApp, ResolveError> {
    let name = wanted.runtime.name.clone();
    check_section(&wanted, &image)?;
    let mut warnings: Vec<Warning> = platform::check(&name, &image.manifest)?.into_iter().collect();
    let user = resolve_user(&wanted, &image)?;
    let Wanted { mut runtime, section, by, of_section, users_isolators, .. } = wanted;
    let confinement = isolators::of_app(&name, &section.isolators, &users_isolators, by)?;
    let askers = Askers { mounts: by, points: of_section };
    let mut found = volumes::of_app(&name, &section, &runtime.mounts, volumes, askers)
        .map_err(|cause| ResolveError::Volume { app: name.clone(), cause })?;
    let seeds = found.implicit.iter_mut().filter_map(|implicit| seed(implicit, &image)).collect();
    warnings.extend(found.implicit.iter().map(|of| Warning::ImplicitVolume { mount_point: of.point.clone() }));
    let view = rkt_plan::App {
        name: name.to_string(),
        user,
        read_only_root: runtime.read_only_root_fs.then_some(by),
        volumes: found.asked,
        limits: confinement.limits,
        capabilities: confinement.capabilities,
        seccomp: confinement.seccomp,
        no_new_privileges: confinement.no_new_privileges,
        oom_score: confinement.oom_score,
    };
    let command = Command {
        file: None,
        arguments: section.exec,
        environment: environment::of_process(name.as_str(), &section.environment),
        working_directory: section.working_directory.path().to_owned(),
    };
    runtime.mounts = found.mounts;
    let image = ResolvedImage { manifest: image.manifest, trees: image.trees, rendering: image.rendering };
    Ok(ResolvedApp { runtime, view, command, image, implicit: found.implicit, seeds, warnings })
}

/// What this rkt can run at all.
fn check_section(wanted: &Wanted, image: &AppImage) -> Result<(), ResolveError> {
    if !wanted.section.event_handlers.is_empty() {
        return Err(ResolveError::EventHandlers { app: wanted.runtime.name.clone() });
    }
    if wanted.section.exec.first().is_none_or(String::is_empty) {
        return Err(ResolveError::EmptyExec { image: image.manifest.name.to_string() });
    }
    Ok(())
}

fn resolve_user(wanted: &Wanted, image: &AppImage) -> Result<Asked<Credentials>, ResolveError> {
    let section = &wanted.section;
    let names = user::Wanted {
        user: &section.user,
        group: &section.group,
        supplementary: &section.supplementary_gids,
        group_may_follow_user: image.is_from_docker(),
    };
    let value = user::resolve(&image.files, &names)
        .map_err(|cause| ResolveError::User { app: wanted.runtime.name.clone(), cause })?;
    Ok(Asked { value, by: wanted.of_user })
}

/// What an implicit volume begins as: in Docker's images that is the directory which it covers.
fn seed(implicit: &mut Implicit, image: &AppImage) -> Option<Seed> {
    if !image.is_from_docker() {
        return None;
    }
    let directory = image.directory(&implicit.target)?;
    let id = |id: u32| UnixId::try_from(i64::from(id)).ok();
    let mode = u16::try_from(directory.st_mode & 0o7777).ok()?;
    implicit.volume.kind = VolumeKind::Empty { mode, uid: id(directory.st_uid)?, gid: id(directory.st_gid)? };
    Some(Seed {
        volume: implicit.volume.name.to_string(),
        trees: image.trees.clone(),
        directory: implicit.target.clone(),
    })
}
