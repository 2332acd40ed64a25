//! What was decided about a pod, kept in its directory: enough to explain it, to compare it with
//! another plan, and to plan again, without the plugin that planned it.

use std::collections::BTreeMap;

use rkt_appc::ImageId;
use rkt_executor::trial::Trial;
use rkt_executor::{Command, Launch, Places};
use rkt_plan::{Answered, CheckedPlan, Permissions, Plan, Pod, Refusal, Trust};
use serde::{Deserialize, Serialize};

/// What was asked for, what was known, what was proposed, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The pod as its flavor saw it. It has no values of environment variables.
    pub pod: Pod,
    /// What was proposed, and by whom.
    #[serde(flatten)]
    pub proposal: Proposal,
    /// What became of each request.
    pub answers: Vec<Answered>,
}

impl Record {
    /// Its name in the pod's directory.
    pub(crate) const FILE: &'static str = "record.json";

    pub(crate) fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only text keys")
    }

    /// What the static program is told, as it is told: what was decided, and what this host has for it.
    pub(crate) fn into_launch(self, places: Places, commands: BTreeMap<String, Command>, trial: Trial) -> Vec<u8> {
        let launch = Launch {
            pod: self.pod,
            plan: self.proposal.plan,
            declared: self.proposal.declared,
            granted: self.proposal.granted,
            plugin: self.proposal.plugin.name,
            places,
            commands,
            trial,
        };
        serde_json::to_vec(&launch).expect("a launch has only text keys and paths of this host")
    }

    /// The plan, checked again.
    ///
    /// # Errors
    /// Where this rkt refuses what the one that made the record allowed.
    pub fn plan(&self) -> Result<CheckedPlan, Refusal> {
        self.proposal.check(&self.pod)
    }
}

/// A plan with all that is needed to judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who proposes.
    pub plugin: PluginIdentity,
    /// What the plugin asked about the host, and the answers; none: the host did not know the question.
    pub facts: BTreeMap<String, Option<String>>,
    /// Its words.
    pub plan: Plan,
    /// What its component says that it needs.
    pub declared: Permissions,
    /// What policy gives it.
    pub granted: Permissions,
}

impl Proposal {
    /// Judges the plan for a pod.
    ///
    /// # Errors
    /// Everything that speaks against it.
    pub fn check(&self, pod: &Pod) -> Result<CheckedPlan, Refusal> {
        rkt_plan::check(pod, &self.plan, &self.declared, &self.granted)
    }
}

/// Which plugin it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginIdentity {
    /// Its name, by which policy knows it.
    pub name: String,
    /// Its content, as `sha256:HEX`.
    pub digest: String,
    /// The image that it came in, with its payload; none where it came as a file or with rkt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// What kept it from reaching beyond its words.
    pub trust: Trust,
}

/// The part of a record that says which component is needed to plan again.
#[derive(Deserialize)]
pub(crate) struct Names {
    plugin: PluginIdentity,
}

impl Names {
    /// The image that the plugin came in.
    pub(crate) fn image(&self) -> Option<&ImageId> {
        self.plugin.image.as_ref()
    }

    /// `sha256:HEX`.
    pub(crate) fn component(self) -> String {
        self.plugin.digest
    }
}
