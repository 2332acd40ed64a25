//! Waiting for events, and what to do when none come for a while: a pod may run for years, and what was
//! needed to start it is not needed any more.

use std::time::Duration;

use rkt_sys::poll::{PollFd, poll};

/// How long nothing has to happen.
const WHILE: Duration = Duration::from_secs(1);

/// Whether the process has settled.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    has_settled: bool,
}

impl Idle {
    /// Waits as [`poll`] does.
    pub(crate) fn poll(&mut self, fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> rkt_sys::Result<usize> {
        if self.has_settled || timeout.is_some() {
            return poll(fds, timeout);
        }
        let events = poll(fds, Some(WHILE))?;
        if events > 0 {
            return Ok(events);
        }
        self.has_settled = true;
        // It costs memory, and nothing else, where this does not work.
        let _ = rkt_sys::memory::let_go_of_code();
        poll(fds, None)
    }
}
