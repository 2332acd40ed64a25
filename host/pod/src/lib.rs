//! The life of a pod: directories, states, locks, manifests, records, and what becomes of it all.
//!
//! State is directories, renames and locks; there is no daemon and no database. Nothing here mounts,
//! makes a namespace or runs a plugin: it hands a checked plan to the static program, and reads what
//! that leaves behind.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod change;
mod configuration;
mod control;
mod environment;
mod export;
pub mod facts;
mod files;
mod gc;
mod hold;
mod home;
mod images;
mod isolators;
mod keep_records;
mod new;
mod plugin_image;
mod pod;
mod pods;
mod policy;
mod prepared;
mod record;
mod records;
mod replay;
mod request;
mod resolve;
mod sources;
mod state;
mod stop;
mod user;
mod uuid;
mod verdict;
mod volumes;
mod wait;

pub use change::{ChangeError, Edit};
pub use configuration::{Configuration, ConfigurationError};
pub use control::RunningError;
pub use export::ExportError;
pub use gc::{Activity, Event, Keep, RemoveError};
pub use images::InUseError;
pub use isolators::{IsolatorError, IsolatorProblem};
pub use keep_records::KeepRecords;
pub use new::{Monitor, NewPod, NewPodError, Written};
pub use plugin_image::{Payload, PluginImage, PluginImageError};
pub use pod::{AppExit, Pod, PodError, PodMount};
pub use pods::{Pods, PodsError};
pub use policy::{Defaults, NotGranted, Policy, PolicyError, WhyNotGranted};
pub use prepared::{PreparedError, PreparedPod};
pub use record::{PluginIdentity, Proposal, Record};
pub use records::{PastExit, PastPod, Records, RecordsError};
pub use replay::{Replay, ReplayError};
pub use request::{
    AppImage, AppImageError, AppRequest, ImageFiles, ManifestRequest, Overrides, PodEnvironment, PodRequest, Storage,
};
pub use resolve::{ResolveError, ResolvedPod, Warning, host_architecture, resolve, resolve_manifest};
pub use sources::NoVolume;
pub use state::{Stage, State};
pub use stop::{Stop, StopError};
pub use user::UserError;
pub use uuid::{NoUuid, Uuid};
pub use verdict::{JudgeError, Verdict, Waivers, judge};
pub use volumes::VolumeError;
pub use wait::{Awaited, WaitError};
