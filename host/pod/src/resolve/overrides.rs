//! What a command line says about an app, in the place of what its image says.

use rkt_appc::{AcName, App, ImageId, ImageManifest, Isolator, Mount, Owner, RuntimeApp, RuntimeImage, UnixId};
use rkt_plan::Origin;

use super::ResolveError;
use super::app::Wanted;
use crate::environment::PodEnvironment;
use crate::isolators;
use crate::request::{AppImage, Overrides};

/// An app of this image as `by` wants it; `mounts` are in every app of the pod.
pub(super) fn applied(
    name: AcName,
    image: &AppImage,
    overrides: Overrides,
    environment: &PodEnvironment,
    mounts: &[Mount],
    by: Origin,
) -> Result<Wanted, ResolveError> {
    let manifest = &image.manifest;
    let mut section = app_section(&image.id, manifest, &overrides)?;
    section.environment = environment.merged(&section.environment, &overrides.environment);
    section.isolators = isolators::merged(&section.isolators, &overrides.isolators);
    let names_a_user = overrides.user.is_some() || overrides.group.is_some() || overrides.supplementary_gids.is_some();
    let is_the_users = |isolator: &Isolator| overrides.isolators.contains(isolator);
    let users_isolators = section.isolators.iter().filter(|isolator| is_the_users(isolator)).cloned().collect();
    let runtime = RuntimeApp {
        name,
        image: RuntimeImage {
            name: Some(manifest.name.clone()),
            id: image.id.clone(),
            labels: manifest.labels.clone(),
        },
        app: Some(section.clone()),
        read_only_root_fs: overrides.read_only_root,
        mounts: overrides.mounts.into_iter().chain(mounts.iter().cloned()).collect(),
        annotations: overrides.annotations,
    };
    let of_section = Origin::Image;
    Ok(Wanted {
        runtime,
        section,
        by,
        of_section,
        of_user: if names_a_user { by } else { of_section },
        users_isolators,
    })
}

/// What the image says about running it, with what the user says in its place.
fn app_section(id: &ImageId, manifest: &ImageManifest, overrides: &Overrides) -> Result<App, ResolveError> {
    let mut app = match (&manifest.app, &overrides.exec) {
        (Some(app), _) => app.clone(),
        (None, Some(_)) => {
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            App::new(Vec::new(), callers(user.as_raw())?, callers(group.as_raw())?)
        }
        (None, None) => return Err(ResolveError::NoExec { id: id.clone() }),
    };
    if let Some(exec) = &overrides.exec {
        app.exec = vec![exec.clone()];
    }
    if overrides.arguments_replace && !overrides.arguments.is_empty() {
        app.exec.truncate(1);
    }
    app.exec.extend(overrides.arguments.iter().cloned());
    if let Some(user) = &overrides.user {
        app.user = user.clone();
    }
    if let Some(group) = &overrides.group {
        app.group = group.clone();
    }
    if let Some(gids) = &overrides.supplementary_gids {
        app.supplementary_gids.clone_from(gids);
    }
    if let Some(directory) = &overrides.working_directory {
        app.working_directory = directory.clone();
    }
    if let Some(annotations) = &overrides.user_annotations {
        app.user_annotations.clone_from(annotations);
    }
    if let Some(labels) = &overrides.user_labels {
        app.user_labels.clone_from(labels);
    }
    Ok(app)
}

fn callers(id: u32) -> Result<Owner, ResolveError> {
    UnixId::try_from(i64::from(id)).map(Owner::Id).map_err(ResolveError::Caller)
}
