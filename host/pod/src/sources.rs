//! What volumes are on the host: looked at before anything is made, so that what cannot be given is refused.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rkt_appc::{AcName, PodManifest, Volume, VolumeKind};
use rkt_plan::{Access, App, Channel, CheckedPlan, Inside};

use crate::home::Home;
use crate::volumes;

/// Where the volumes are that these apps of a pod mount, by what plans call them. What is of the host is where its
/// links lead; what is empty is where it will be once the pod runs.
pub(crate) fn find(
    home: Home<'_>,
    manifest: &PodManifest,
    apps: &[App],
) -> Result<BTreeMap<String, PathBuf>, NoVolume> {
    let mut places = BTreeMap::new();
    for (place, volume) in volumes::of_pod(manifest) {
        let mounts = apps.iter().flat_map(|app| &app.volumes).filter(|mount| mount.value.volume == place);
        let Some(least) = mounts.map(|mount| mount.value.access).min() else { continue };
        let path = match &volume.kind {
            VolumeKind::Host { source, .. } => look(volume, source, least)?,
            VolumeKind::Empty { .. } => home.empty(&place),
        };
        places.insert(place, path);
    }
    Ok(places)
}

/// Where the source of a volume is. `least` is how little an app is to have of it.
fn look(volume: &Volume, source: &str, least: Access) -> Result<PathBuf, NoVolume> {
    let failed = |cause| NoVolume::Source { volume: volume.name.clone(), source: source.to_owned(), cause };
    let path = fs::canonicalize(source).map_err(failed)?;
    let kind = fs::metadata(&path).map_err(failed)?.file_type();
    if is_device(kind) && least == Access::ReadOnly {
        return Err(NoVolume::DeviceForReading { volume: volume.name.clone(), path });
    }
    Ok(path)
}

/// Refuses what cannot be reached from inside a virtual machine. Files there are the host's, and what is behind a
/// socket or a device is not: it would be the guest's own.
pub(crate) fn check_reach(plan: &CheckedPlan, places: &BTreeMap<String, PathBuf>) -> Result<(), NoVolume> {
    if !plan
        .program
        .as_ref()
        .is_some_and(|main| matches!(main.inside, Inside::Init { channel: Channel::Descriptor, .. }))
    {
        return Ok(());
    }
    for (place, path) in places {
        if let Some(what) = special(path) {
            return Err(NoVolume::OutOfReach { place: place.clone(), path: path.clone(), what });
        }
    }
    Ok(())
}

/// What is at a path, where it is no file and no directory. What is not there yet is going to be a directory.
fn special(path: &Path) -> Option<&'static str> {
    let kind = fs::symlink_metadata(path).ok()?.file_type();
    match kind {
        kind if is_device(kind) => Some("a device"),
        kind if kind.is_socket() => Some("a socket"),
        kind if kind.is_fifo() => Some("a pipe"),
        _ => None,
    }
}

fn is_device(kind: FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}

/// A volume that cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum NoVolume {
    /// What it is to be is not there.
    #[error("source {source:?} of volume {:?}", .volume.as_str())]
    Source {
        /// Its name.
        volume: AcName,
        /// The path of the host that it is to be.
        source: String,
        /// Why it cannot be used.
        #[source]
        cause: io::Error,
    },
    /// A read-only mount keeps nobody from writing to a device.
    #[error("volume {:?}: {path:?} is a device, which cannot be given for reading only: leave readOnly out to let the app write to it too", .volume.as_str())]
    DeviceForReading {
        /// Its name.
        volume: AcName,
        /// The path of the host that it is.
        path: PathBuf,
    },
    /// The pod is to be a virtual machine.
    #[error(
        "volume {place:?}: {path:?} is {what} of the host, which cannot be reached from a virtual machine: run the pod with another flavor"
    )]
    OutOfReach {
        /// What plans call it.
        place: String,
        /// The path of the host that it is.
        path: PathBuf,
        /// What that is.
        what: &'static str,
    },
}
