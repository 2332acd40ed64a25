//! What `--debug` shows of the monitor: each step with the time since the one before.

use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Debug {
    last: Option<Instant>,
}

impl Debug {
    pub(crate) fn new(is_on: bool) -> Self {
        Self { last: is_on.then(Instant::now) }
    }

    /// A step was done.
    pub(crate) fn step(&mut self, what: &str) {
        if let Some(last) = &mut self.last {
            let now = Instant::now();
            let micros = now.duration_since(*last).as_micros();
            super::say(&format!("{what} ({micros} \u{b5}s)"));
            *last = Instant::now();
        }
    }
}
