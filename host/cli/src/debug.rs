//! What `--debug` adds, on standard error: what libraries tell, and how long each step of a start took.

use std::time::{Duration, Instant};

use tracing_subscriber::filter::LevelFilter;

use crate::report::Report;

/// From now on the steps are shown.
pub(crate) fn show_steps() {
    let shown = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .try_init();
    // It is called once, at the start.
    debug_assert!(shown.is_ok());
}

/// The steps of a command, each told with the time since the one before.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    /// None where steps are not shown.
    report: Option<&'a Report>,
    last: Instant,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(report: &'a Report) -> Self {
        Self { report: report.is_debug().then_some(report), last: Instant::now() }
    }

    /// A step was done.
    pub(crate) fn done(&mut self, what: &str) {
        let now = Instant::now();
        self.took(what, now - self.last);
        self.last = now;
    }

    /// A step was done elsewhere.
    pub(crate) fn took(&self, what: &str, time: Duration) {
        if let Some(report) = self.report {
            report.line(&format!("{what} ({} \u{b5}s)", time.as_micros()));
        }
    }
}
