//! What `--debug` adds, on standard error: what libraries tell, how long each step of a start took, what the plugin
//! asked about the host, and its plan.

use std::io;
use std::time::{Duration, Instant};

use rkt_pod::Verdict;

use tracing_subscriber::filter::LevelFilter;

use crate::report::Report;

/// From now on what libraries tell is shown.
pub(crate) fn show_steps(report: &Report) {
    let report = report.clone();
    let shown = tracing_subscriber::fmt()
        .with_writer(move || Told(report.clone()))
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .try_init();
    // It is called once, at the start.
    debug_assert!(shown.is_ok());
}

/// What a library tells, as this command says it: it may have words of others in it.
struct Told(Report);

impl io::Write for Told {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the plugin was told about the host, and what it plans.
pub(crate) fn show_plan(report: &Report, verdict: &Verdict) {
    if !report.is_debug() {
        return;
    }
    for (question, answer) in &verdict.proposal().facts {
        report.line(&format!("fact {question}: {}", answer.as_deref().unwrap_or("unknown")));
    }
    for line in rkt_plan::explain(verdict.plan()).lines() {
        report.line(&format!("plan {line}"));
    }
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
