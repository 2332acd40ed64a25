//! Planning a recorded pod again: how what a plugin says now compares with what was decided then.
//!
//! The pod, the answers about the host and the grants are those of the record, so that a difference is
//! the plugin's, or this rkt's.

use rkt_plan::{CheckedPlan, Difference, Permissions, Refusal, Strictness};
use serde::Serialize;

use crate::record::{Proposal, Record};

/// What came of planning a recorded pod again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// How the plan compares with the recorded one as a whole.
    pub strictness: Strictness,
    /// Whether the two say the same words in the same order.
    pub identical: bool,
    /// What the plan needs and policy did not give then, as it is written in grants.
    pub not_granted: Vec<String>,
    /// What the plugin asked about the host and had not asked then. The answer was that it is unknown.
    pub unanswered: Vec<String>,
    /// How the plan differs from the recorded one.
    pub differences: Vec<Difference>,
}

impl Record {
    /// What a plugin was told about the host; that it is unknown where it did not ask.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.proposal.facts.get(name)?.as_deref()
    }

    /// Compares what is proposed for this pod now with what was decided then. What the plan needs beyond
    /// the recorded grants does not stop the comparison, and is said.
    ///
    /// # Errors
    /// Where this rkt refuses one of the two plans for another reason than what was granted.
    pub fn replay(&self, now: &Proposal) -> Result<Replay, ReplayError> {
        let then = self.plan().map_err(|refusal| ReplayError::Then { refusal })?;
        let (plan, missing) = self.judge(now)?;
        let differences = rkt_plan::diff(&then, &plan);
        Ok(Replay {
            strictness: Strictness::of_all(&differences),
            identical: self.proposal.plan == now.plan,
            not_granted: missing.iter().map(ToString::to_string).collect(),
            unanswered: now.facts.keys().filter(|name| !self.proposal.facts.contains_key(*name)).cloned().collect(),
            differences,
        })
    }

    /// The plan, and the permissions that it has to be given beyond those that the record has.
    fn judge(&self, now: &Proposal) -> Result<(CheckedPlan, Permissions), ReplayError> {
        let granted = &self.proposal.granted;
        let mut missing = Vec::new();
        loop {
            let all: Permissions = granted.iter().chain(&missing).cloned().collect();
            match rkt_plan::check(&self.pod, &now.plan, &now.declared, &all) {
                Ok(plan) => return Ok((plan, missing.into_iter().collect())),
                // A refusal lists a few objections only: there may be more next time.
                Err(refusal) => match refusal.not_granted() {
                    more if more.is_empty() => {
                        return Err(ReplayError::Now { plugin: now.plugin.name.clone(), refusal });
                    }
                    more => missing.extend(more.into_iter().cloned()),
                },
            }
        }
    }
}

/// Why two plans cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The recorded one.
    #[error("this rkt refuses the plan that was recorded")]
    Then {
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The new one.
    #[error("the plan of {plugin} is refused")]
    Now {
        /// Whose it is.
        plugin: String,
        /// Why.
        #[source]
        refusal: Refusal,
    },
}
