//! What a pod is started from: the plan and what proves it, and where its names lead on this host.
//!
//! It is handed from `rkt` to the static program in sealed memory and never written to a disk: the
//! commands have environment values in them, which may be secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rkt_plan::{Artifact, CheckedPlan, Permissions, Plan, Pod, Refusal, Role};
use serde::{Deserialize, Serialize};

use crate::trial::Trial;

/// All that it takes to start a pod.
///
/// The plan is not believed: whoever enacts it checks it again, by [`Launch::check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// What was asked for.
    pub pod: Pod,
    /// What the plugin answered.
    pub plan: Plan,
    /// What the plugin's component says that it needs.
    pub declared: Permissions,
    /// What policy gives it.
    pub granted: Permissions,
    /// The plugin's name, for messages.
    pub plugin: String,
    /// Where the plan's places are.
    pub places: Places,
    /// What each app runs, by the app's name.
    pub commands: BTreeMap<String, Command>,
    /// What it will have shown of devices.
    pub trial: Trial,
}

impl Launch {
    /// Judges the plan, as it was judged before it was handed on.
    ///
    /// # Errors
    /// Everything that speaks against the plan.
    pub fn check(&self) -> Result<CheckedPlan, Refusal> {
        rkt_plan::check(&self.pod, &self.plan, &self.declared, &self.granted)
    }
}

/// Paths of the host behind the names that a plan uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Each app's root, by the app's name.
    pub roots: BTreeMap<String, Root>,
    /// Each volume of the pod: a directory, file, socket or device node that exists.
    pub volumes: BTreeMap<String, PathBuf>,
    /// A directory, the pod's own, in which the plan's empty places are made; made with the first of them.
    pub empty: PathBuf,
    /// The root of the image that the plugin came in; none where it came as a file or with rkt.
    pub payload: Option<PathBuf>,
    /// What was made or found for the plan.
    pub artifacts: Vec<Made>,
}

/// An artifact, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Which.
    pub artifact: Artifact,
    /// A file that is never written.
    pub path: PathBuf,
}

/// An app's root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Trees of the store, topmost first, at least one; they are never written.
    pub lower: Vec<PathBuf>,
    /// Where the app writes to.
    #[serde(flatten)]
    pub changes: Changes,
}

/// What takes the changes of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Changes {
    /// A layer over the trees.
    Layer {
        /// An existing directory that takes the app's changes.
        upper: PathBuf,
        /// An existing empty directory on the same file system as `upper`, for the kernel's use.
        work: PathBuf,
    },
    /// A copy of the trees, which is the app's own.
    Copy {
        /// Its directory.
        copy: PathBuf,
    },
}

/// A program to run in the root of an app or a program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The file that is executed, where the plan names one; else the first argument says which.
    pub file: Option<Role>,
    /// The program as it was named, and its arguments. At least the first.
    pub arguments: Vec<String>,
    /// Names and values, in order; a name occurs once.
    pub environment: Vec<(String, String)>,
    /// An absolute path in the app's root.
    pub working_directory: String,
}

/// Names of the environment only: values may be secrets.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Command")
            .field("file", &self.file)
            .field("arguments", &self.arguments)
            .field("environment", &names)
            .field("working_directory", &self.working_directory)
            .finish()
    }
}
