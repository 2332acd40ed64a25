//! What became of each request.

use serde::{Deserialize, Serialize};

use crate::pod::Origin;

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The plan shows it.
    Visible,
    /// The plugin says that it is met where the host cannot see it.
    Claimed {
        /// How.
        how: String,
    },
    /// The plugin says that it is not met.
    Waived {
        /// Why.
        reason: String,
    },
}

/// A request with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The request's identifier.
    pub request: String,
    /// What was asked, for people.
    pub asked: String,
    /// By whom.
    pub by: Origin,
    /// What became of it.
    pub answer: Answer,
}
