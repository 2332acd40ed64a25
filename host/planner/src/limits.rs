//! How much a plugin may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine;

/// What ends a plugin. All but the wall clock are the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Instructions, nearly: one unit for most of them.
    pub fuel: u64,
    /// Bytes of linear memory, at most [`engine::MEMORY`].
    pub memory: u64,
    /// Entries of one table, of which there may be eight.
    pub table_entries: usize,
    /// Words of a plan.
    pub words: usize,
    /// Bytes of one text or list of texts.
    pub text: usize,
    /// Bytes of all texts of a plan.
    pub texts: usize,
    /// Questions about the host.
    pub questions: usize,
    /// Time from the question to the process's end. It ends what holds up the engine itself.
    pub time: Duration,
}

impl Default for Limits {
    /// A thousand times what a flavor needs, and no more than a user would wait for.
    fn default() -> Self {
        Self {
            fuel: 50_000_000,
            memory: engine::MEMORY,
            table_entries: 20_000,
            words: 4096,
            text: 64 << 10,
            texts: 1 << 20,
            questions: 256,
            time: Duration::from_secs(10),
        }
    }
}
