//! What a pod becomes that gets one app more, or one less.

use std::collections::{BTreeMap, BTreeSet};

use rkt_appc::{AcName, PodManifest, Volume};
use rkt_plan::Origin;

use super::{Draft, ResolveError, ResolvedPod, app, names, overrides};
use crate::environment::PodEnvironment;
use crate::home::Storage;
use crate::request::AppRequest;
use crate::volumes::Known;

/// Resolves what a pod becomes when it gets one app more, and these volumes; one that the pod has just so already is
/// that one. `own` are those of its volumes that nobody declared. What the pod as a whole was given, its environment
/// and the mounts in all of its apps, is not known any more.
///
/// # Errors
/// As [`super::resolve`].
pub(crate) fn resolve_with(
    pod: &rkt_plan::Pod,
    manifest: &PodManifest,
    own: &BTreeSet<AcName>,
    request: AppRequest,
    volumes: Vec<Volume>,
    by: Origin,
) -> Result<ResolvedPod, ResolveError> {
    let name = names::of_app(&request, manifest.apps().iter().map(|other| &other.name))?;
    let new = new_volumes(manifest, volumes)?;
    let (of_others, mut declared): (Vec<_>, Vec<_>) =
        manifest.volumes().iter().cloned().partition(|volume| own.contains(&volume.name));
    declared.extend(new.iter().cloned());
    let known = Known { declared: &declared, of_others: &of_others };
    let wanted = overrides::applied(name, &request.image, request.overrides, &PodEnvironment::default(), &[], by)?;
    let mut added = Draft::default();
    added.add(app::resolve(wanted, request.image, known)?, known)?;
    let Draft { storage, runtime, views, commands, images, implicit, seeds, warnings } = added;
    let apps = manifest.apps().iter().cloned().chain(runtime).collect();
    let volumes = new.into_iter().chain(implicit).collect();
    let manifest = manifest.with_apps(apps, volumes).map_err(ResolveError::Names)?;
    let mut view = pod.clone();
    view.apps.extend(views);
    Ok(ResolvedPod { manifest, view, commands, warnings, storage, images, seeds })
}

/// What a pod becomes without one of its apps. Volumes that somebody declared stay; what the app got for itself, which
/// is `own`, goes with it, unless another was given it too.
pub(crate) fn resolve_without(
    pod: &rkt_plan::Pod,
    manifest: &PodManifest,
    own: &BTreeSet<AcName>,
    app: &AcName,
) -> ResolvedPod {
    let mut view = pod.clone();
    view.apps.retain(|other| other.name != app.as_str());
    let stay = manifest.apps().iter().filter(|other| other.name != *app);
    let mounted: BTreeSet<&AcName> = stay.flat_map(|app| &app.mounts).map(|mount| &mount.volume).collect();
    let gone = own.iter().filter(|volume| !mounted.contains(volume)).cloned().collect();
    ResolvedPod {
        manifest: manifest.without(app, &gone),
        view,
        commands: BTreeMap::new(),
        warnings: Vec::new(),
        storage: Storage::default(),
        images: BTreeMap::new(),
        seeds: Vec::new(),
    }
}

/// Those of the volumes that the pod does not have.
fn new_volumes(manifest: &PodManifest, mut volumes: Vec<Volume>) -> Result<Vec<Volume>, ResolveError> {
    volumes.retain(|volume| !manifest.volumes().contains(volume));
    let is_taken = |volume: &&Volume| manifest.volumes().iter().any(|other| other.name == volume.name);
    match volumes.iter().find(is_taken) {
        Some(volume) => Err(ResolveError::VolumeTaken { volume: volume.name.clone() }),
        None => Ok(volumes),
    }
}
