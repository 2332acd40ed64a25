//! Waiting for something to become true, never for time to pass.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, even on a busy machine: reaching it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Looks again and again until there is an answer.
///
/// # Panics
/// There is none by the deadline.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_for_within(what, DEADLINE, look)
}

/// The same where it may take longer.
///
/// # Panics
/// There is none by the deadline.
pub fn wait_for_within<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < deadline, "waited {} s in vain for {what}", deadline.as_secs());
        thread::sleep(Duration::from_millis(2));
    }
}

/// Looks again and again until it is so.
///
/// # Panics
/// It is not so by the deadline.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}
