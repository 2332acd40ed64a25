//! What a pod becomes that gets one app more, or one less.

use std::collections::{BTreeMap, BTreeSet};

use rkt_appc::{AcName, PodManifest, Volume};
use rkt_plan::Origin;

use super::{ResolveError, ResolvedPod, check_volumes, names, resolve_app};
use crate::environment::PodEnvironment;
use crate::request::AppRequest;
use crate::volumes::{Known, own_of};

/// Resolves what a pod becomes when it gets one app more, and these volumes; one that the pod has just so already is
/// that one. What the pod as a whole was given, its environment and the mounts in all of its apps, is not known any
/// more.
///
/// # Errors
/// As [`super::resolve`].
pub(crate) fn resolve_with(
    pod: &rkt_plan::Pod,
    manifest: &PodManifest,
    app: AppRequest,
    volumes: Vec<Volume>,
    by: Origin,
) -> Result<ResolvedPod, ResolveError> {
    check_volumes(&volumes)?;
    let name = names::of_app(&app, manifest.apps().iter().map(|other| &other.name))?;
    let mut new = new_volumes(manifest, volumes)?;
    let own: BTreeSet<&AcName> = manifest.apps().iter().flat_map(own_of).collect();
    let (of_others, mut declared): (Vec<_>, Vec<_>) =
        manifest.volumes().iter().cloned().partition(|volume| own.contains(&volume.name));
    declared.extend(new.iter().cloned());
    let known = Known { declared: &declared, of_others: &of_others };
    let mut app = resolve_app(&name, app, known, &[], &PodEnvironment::default(), by)?;
    new.append(&mut app.implicit);
    let manifest = manifest.with(app.runtime, new).map_err(ResolveError::Manifest)?;
    let mut view = pod.clone();
    view.apps.push(app.view);
    let commands = BTreeMap::from([(name.to_string(), app.command)]);
    let images = BTreeMap::from([(name, app.image)]);
    Ok(ResolvedPod { manifest, view, commands, warnings: app.warnings, images })
}

/// What a pod becomes without one of its apps. Volumes that somebody declared stay; what the app got for itself goes
/// with it, unless another was given it too.
pub(crate) fn resolve_without(pod: &rkt_plan::Pod, manifest: &PodManifest, app: &AcName) -> ResolvedPod {
    let mut view = pod.clone();
    view.apps.retain(|other| other.name != app.as_str());
    let (gone, stay): (Vec<_>, Vec<_>) = manifest.apps().iter().partition(|other| other.name == *app);
    let mounted: BTreeSet<&AcName> = stay.iter().flat_map(|app| &app.mounts).map(|mount| &mount.volume).collect();
    let own = gone.into_iter().flat_map(own_of).filter(|volume| !mounted.contains(volume)).cloned().collect();
    let (commands, images) = (BTreeMap::new(), BTreeMap::new());
    ResolvedPod { manifest: manifest.without(app, &own), view, commands, warnings: Vec::new(), images }
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
