//! Why what is asked for is no pod.

use std::num::NonZeroU16;

use rkt_appc::{AcName, ImageId, InvalidValue, PlatformError, RepeatedName};

use crate::isolators::IsolatorError;
use crate::user::UserError;
use crate::volumes::VolumeError;

/// Why what is asked for is no pod.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing to run.
    #[error("pod must contain at least one application")]
    NoApp,
    /// An image's name that gives no name for an app.
    #[error("name of an app")]
    Name(#[source] InvalidValue),
    /// Two apps of one name.
    #[error("error: multiple apps with name {name}")]
    SameName {
        /// The name.
        name: AcName,
    },
    /// A name that leaves no room for what is put behind it.
    #[error("the name of an app has {} bytes, and may have {most}: files are named after it", .name.as_str().len())]
    LongName {
        /// The name.
        name: AcName,
        /// The most bytes that it may have.
        most: usize,
    },
    /// Two apps of which something would be written to the same file.
    #[error("apps {:?} and {:?} cannot be in one pod: how the one ends and that the other was started is written to the same file", .ends.as_str(), .starts.as_str())]
    SameFile {
        /// The one.
        ends: AcName,
        /// The other.
        starts: AcName,
    },
    /// A volume that comes to a pod which has another of its name.
    #[error("volume {:?}: the pod has another of this name", .volume.as_str())]
    VolumeTaken {
        /// Its name.
        volume: AcName,
    },
    /// An image that says nothing about running it.
    #[error("error: image {id} has no app section and --exec argument is not provided")]
    NoExec {
        /// Which.
        id: ImageId,
    },
    /// An app of a written manifest that nobody says how to run.
    #[error("app {:?}: no app section in the pod manifest or the image manifest", .app.as_str())]
    NoSection {
        /// Which.
        app: AcName,
    },
    /// An image that leaves the program to the user.
    #[error("image {image:?} has an empty \"exec\" (try --exec=BINARY)")]
    EmptyExec {
        /// Its name.
        image: String,
    },
    /// Programs to run before and after an app.
    #[error("the image of app {:?} has event handlers, which this rkt does not run yet", .app.as_str())]
    EventHandlers {
        /// The app.
        app: AcName,
    },
    /// The caller's own id.
    #[error("the caller's own id")]
    Caller(#[source] InvalidValue),
    /// An image for something else than Linux.
    #[error("the image of app {:?}", .app.as_str())]
    Platform {
        /// The app.
        app: AcName,
        /// Why it cannot run here.
        #[source]
        cause: PlatformError,
    },
    /// A user that the image does not have.
    #[error("the user of app {:?}", .app.as_str())]
    User {
        /// The app.
        app: AcName,
        /// Why it cannot be resolved.
        #[source]
        cause: UserError,
    },
    /// Volumes that do not match.
    #[error("the volumes of app {:?}", .app.as_str())]
    Volume {
        /// The app.
        app: AcName,
        /// Why.
        #[source]
        cause: VolumeError,
    },
    /// A mount of a written manifest on a path that another is on.
    #[error("apps[{app}].mounts[{index}].path: {path:?} is where mounts[{first}] is")]
    SameTarget {
        /// Which of the apps.
        app: usize,
        /// Which of its mounts.
        index: usize,
        /// The mount that is there.
        first: usize,
        /// The path, as it was written.
        path: String,
    },
    /// An app's own volume that is described in two ways.
    #[error("apps[{app}].mounts[{index}].appVolume: {:?} is another volume than in mounts[{first}]", .volume.as_str())]
    TwoVolumes {
        /// Which of the apps.
        app: usize,
        /// Which of its mounts.
        index: usize,
        /// The mount that has the other.
        first: usize,
        /// Its name.
        volume: AcName,
    },
    /// A port of the host.
    #[error("ports[{index}]: port {host} of the host for {:?}: this rkt cannot forward ports yet", .name.as_str())]
    HostPort {
        /// Which of the ports.
        index: usize,
        /// What it is called.
        name: AcName,
        /// On the host.
        host: NonZeroU16,
    },
    /// Two volumes of one name, of which nobody wrote one.
    #[error("mount point {:?} of app {:?} would get an empty volume {:?}, and there is another of this name: give it a volume, or the other another name", .point.as_str(), .app.as_str(), .volume.as_str())]
    ImplicitTaken {
        /// The app.
        app: AcName,
        /// Its mount point.
        point: AcName,
        /// The name.
        volume: AcName,
    },
    /// An isolator that cannot be applied.
    #[error(transparent)]
    Isolator(#[from] IsolatorError),
    /// Names that contradict.
    #[error("the pod manifest")]
    Names(#[source] RepeatedName),
}
