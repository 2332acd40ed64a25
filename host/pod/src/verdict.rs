//! Whether a pod may be run as its flavor proposes.

use rkt_plan::{Answer, Answered, CheckedPlan, CleanPath, Inside, Refusal};

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

    /// The devices that the plugin asked about and was told not to count on, with the answer, and whether
    /// the plan uses them all the same.
    pub fn doubtful(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let devices = self.proposal.facts.iter().filter_map(|(question, answer)| {
            let answer = answer.as_deref().filter(|answer| ["absent", "fails"].contains(answer))?;
            Some((question.strip_prefix("device:")?, answer))
        });
        devices.map(|(device, answer)| (device, answer, self.used().any(|used| used.as_str() == device)))
    }

    /// The devices that an init of which the host will hear is started with, where the plugin asked about them
    /// and was not told that they work.
    pub(crate) fn untried(&self) -> Vec<CleanPath> {
        if self.plan.program.as_ref().is_none_or(|main| main.inside == Inside::Opaque) {
            return Vec::new();
        }
        let answer = |device: &CleanPath| self.proposal.facts.get(&format!("device:{}", device.as_str()));
        let is_untried = |device: &&CleanPath| answer(device).is_some_and(|it| it.as_deref() != Some("works"));
        self.used().filter(is_untried).cloned().collect()
    }

    /// The devices of the plan's program.
    fn used(&self) -> impl Iterator<Item = &CleanPath> {
        self.plan.program.iter().flat_map(|main| &main.program.jail.devices)
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
