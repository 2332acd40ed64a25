//! What to do when nothing has happened for a while: a pod may run for years, and what was needed to
//! start it is not needed any more.

use std::time::Duration;

/// How long nothing has to happen.
const WHILE: Duration = Duration::from_secs(1);

/// Whether the process has settled.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    has_settled: bool,
}

impl Idle {
    /// How long to wait for events, where without this it would be `wanted`.
    pub(crate) fn limit(&self, wanted: Option<Duration>) -> Option<Duration> {
        match wanted {
            _ if self.has_settled => wanted,
            Some(wanted) => Some(wanted.min(WHILE)),
            None => Some(WHILE),
        }
    }

    /// A wait was over with this many events.
    pub(crate) fn waited(&mut self, events: usize) {
        if events == 0 && !self.has_settled {
            self.has_settled = true;
            // It costs memory, and nothing else, where this does not work.
            let _ = rkt_sys::memory::let_go_of_code();
        }
    }
}
