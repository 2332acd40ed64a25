//! Whether a pod may be run as its flavor proposes.

use rkt_plan::{Answer, Answered, CheckedPlan, Refusal};

use crate::record::Proposal;

/// What a request that is not met means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waivers {
    /// The user is told.
    Told,
    /// The pod is refused (`--strict`).
    Refused,
}

/// A proposal that may be enacted. Only [`judge`] makes one.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub(crate) proposal: Proposal,
    pub(crate) plan: CheckedPlan,
}

impl Verdict {
    /// What will be done.
    pub fn plan(&self) -> &CheckedPlan {
        &self.plan
    }

    /// What was proposed.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// The requests that are not met, with the reasons.
    pub fn waived(&self) -> impl Iterator<Item = &Answered> {
        waived(&self.plan)
    }
}

/// Judges a proposal for a pod.
///
/// # Errors
/// Where the check has something against it, it names a payload that the plugin does not have, or a request
/// is not met and that is to be refused.
pub fn judge(pod: &rkt_plan::Pod, proposal: Proposal, waivers: Waivers) -> Result<Verdict, JudgeError> {
    let plan = match proposal.check(pod) {
        Ok(plan) => plan,
        Err(refusal) => return Err(JudgeError::Refused { plugin: proposal.plugin.name, refusal }),
    };
    if proposal.plugin.image.is_none()
        && let Some(path) = plan.payload()
    {
        let path = path.to_string();
        return Err(JudgeError::NoPayload { plugin: proposal.plugin.name, path });
    }
    let unmet: Vec<Answered> = waived(&plan).cloned().collect();
    if waivers == Waivers::Refused && !unmet.is_empty() {
        return Err(JudgeError::Unmet { plugin: proposal.plugin.name, unmet });
    }
    Ok(Verdict { proposal, plan })
}

fn waived(plan: &CheckedPlan) -> impl Iterator<Item = &Answered> {
    plan.answers.iter().filter(|answered| matches!(answered.answer, Answer::Waived { .. }))
}

/// Why a pod is not run as proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// The plan breaks rules.
    #[error("the plan of {plugin} is refused")]
    Refused {
        /// Whose plan.
        plugin: String,
        /// Which rules.
        #[source]
        refusal: Refusal,
    },
    /// The plan needs what is not there.
    #[error("{plugin} names {path} of its payload, and has none: it did not come in an image")]
    NoPayload {
        /// Whose plan.
        plugin: String,
        /// What it names.
        path: String,
    },
    /// Something that was asked for is not given.
    #[error("{plugin} does not give what was asked for, and --strict refuses that: {}", list(.unmet))]
    Unmet {
        /// Which flavor.
        plugin: String,
        /// What, and why.
        unmet: Vec<Answered>,
    },
}

fn list(unmet: &[Answered]) -> String {
    let items = unmet.iter().map(|answered| match &answered.answer {
        // A plugin's own words: on one line, whatever they are.
        Answer::Waived { reason } => format!("{} ({})", answered.asked, reason.replace(char::is_control, "?")),
        Answer::Visible | Answer::Claimed { .. } => answered.asked.clone(),
    });
    items.collect::<Vec<_>>().join("; ")
}
