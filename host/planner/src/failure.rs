//! How a plugin can fail, as its process tells it.

use serde::{Deserialize, Serialize};

/// What went wrong in a plugin's process. Each says the limit or the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The process could not give up its rights, so no plugin was run.
    #[error("its process could not be caged: {why}")]
    Cage {
        /// What failed.
        why: String,
    },
    /// The compiled code cannot be loaded.
    #[error("it cannot be loaded: {why}")]
    Load {
        /// The engine's words.
        why: String,
    },
    /// It imports what this host does not offer.
    #[error("it was made for another contract: {why}")]
    Link {
        /// The engine's words, with the import's name.
        why: String,
    },
    /// It ended itself or did what the machine forbids.
    #[error("it trapped{}: {what}", at(.function.as_ref()))]
    Trap {
        /// The kind of trap.
        what: String,
        /// The function, where the component names it.
        function: Option<String>,
    },
    /// It ran too long.
    #[error("it ran out of fuel{}: no plan after {limit} instructions", at(.function.as_ref()))]
    Fuel {
        /// Units of fuel.
        limit: u64,
        /// The function, where the component names it.
        function: Option<String>,
    },
    /// It called itself too deeply.
    #[error("it ran out of stack{}: its calls need more than {limit} bytes", at(.function.as_ref()))]
    Stack {
        /// Bytes.
        limit: usize,
        /// The function, where the component names it.
        function: Option<String>,
    },
    /// Its memory grew too large.
    #[error("it wants more than {limit} bytes of memory")]
    Memory {
        /// Bytes.
        limit: u64,
    },
    /// Its tables grew too large.
    #[error("it wants a table of more than {limit} entries")]
    Tables {
        /// Entries.
        limit: usize,
    },
    /// Its plan has too many words.
    #[error("its plan has more than {limit} words")]
    Words {
        /// Words.
        limit: usize,
    },
    /// One word, or its refusal of the pod, is too long.
    #[error("the texts of one `{word}` have more than {limit} bytes")]
    Text {
        /// The word's name in the contract.
        word: String,
        /// Bytes.
        limit: usize,
    },
    /// All texts together are too long.
    #[error("the texts of its plan have more than {limit} bytes")]
    Texts {
        /// Bytes.
        limit: usize,
    },
    /// It asks for too much about the host.
    #[error("it asks more than {limit} questions about the host")]
    Questions {
        /// Questions.
        limit: usize,
    },
    /// It passed a value that the contract does not allow, such as a text that is no text.
    #[error("it broke the contract{}: {why}", at(.function.as_ref()))]
    Contract {
        /// The engine's words.
        why: String,
        /// The function, where the component names it.
        function: Option<String>,
    },
}

impl Failure {
    /// A breach of the contract that no function of the plugin's can be named for.
    pub(crate) fn contract(why: impl Into<String>) -> Self {
        Self::Contract { why: why.into(), function: None }
    }
}

fn at(function: Option<&String>) -> String {
    function.map(|name| format!(" in `{name}`")).unwrap_or_default()
}
