//! All that rkt says: results on standard output, everything else on standard error with the
//! command's name before it. An error is said once, with the cause that matters.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::escape::escaped;

/// The exit code of a command that failed.
pub(crate) const FAILURE: u8 = 254;

/// Says things for one command.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// The command's name.
    command: String,
    /// Whether every level of an error is said.
    debug: bool,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

/// A failure in words, where no library has a type for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Said(pub(crate) String);

/// What was being done when something failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Within {
    what: String,
    #[source]
    cause: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure in words.
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Said(text.into()).into()
    }

    /// The same, said of what was being done.
    pub(crate) fn within(self, what: impl Into<String>) -> Self {
        Self { error: Box::new(Within { what: what.into(), cause: self.error }), hint: self.hint }
    }

    /// What could be done about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: Box::new(error), hint: None }
    }
}

impl Report {
    pub(crate) fn new(command: impl Into<String>, debug: bool) -> Self {
        Self { command: command.into(), debug }
    }

    /// Whether every step is to be said.
    pub(crate) fn is_debug(&self) -> bool {
        self.debug
    }

    /// A failure, with what could be done about it.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.error(failure.error.as_ref());
        if let Some(hint) = &failure.hint {
            say(&format!("hint: {}", escaped(hint)));
        }
    }

    /// An error: what failed and the innermost reason, or every level on a line of its own.
    pub(crate) fn error(&self, error: &(dyn Error + 'static)) {
        self.line(&if self.debug { levels(error) } else { in_short(error) });
    }

    /// Something that the user should know.
    pub(crate) fn line(&self, text: &str) {
        say(&format!("{}: {}", self.command, escaped(text)));
    }
}

/// Writes a result to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes lines to standard error. Where that is closed, there is nobody to tell.
pub(crate) fn say(text: &str) {
    let text = format!("{}\n", text.trim_end_matches('\n'));
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// What failed and the innermost reason. What the executor says of a failure is said whole: it leads from an app to
/// a step to a file, and each level names what the others do not.
pub(crate) fn in_short(error: &(dyn Error + 'static)) -> String {
    let mut reason = error;
    let mut is_outermost = true;
    while let Some(cause) = reason.source() {
        if reason.is::<rkt_executor::Failure>() {
            break;
        }
        reason = cause;
        is_outermost = false;
    }
    let whole = without_number(rkt_executor::failure::on_one_line(reason));
    if is_outermost { whole } else { format!("{error}: {whole}") }
}

/// Each level on a line, the inner ones farther to the right.
fn levels(error: &(dyn Error + 'static)) -> String {
    let mut text = plainly(error);
    let mut depth = 1;
    let mut next = error.source();
    while let Some(cause) = next {
        write!(text, "\n{:width$}└─{}", "", plainly(cause), width = depth * 2).expect("text takes all");
        depth += 1;
        next = cause.source();
    }
    text
}

/// An error in words, without those that led to it.
pub(crate) fn plainly(error: &(dyn Error + 'static)) -> String {
    without_number(error.to_string())
}

/// The kernel's number of an error, which the standard library adds, tells people nothing.
fn without_number(text: String) -> String {
    match text.rfind(" (os error ") {
        Some(end) if text.ends_with(')') => text[..end].to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Level(&'static str, #[source] Option<Box<Level>>);

    #[test]
    fn an_error_is_short_unless_all_of_it_is_wanted() {
        let chain = Level("outer", Some(Box::new(Level("middle", Some(Box::new(Level("inner", None)))))));
        assert_eq!(in_short(&chain), "outer: inner");
        assert_eq!(levels(&chain), "outer\n  └─middle\n    └─inner");
        assert_eq!(in_short(&Level("alone", None)), "alone");
        assert_eq!(in_short(&Level("no", Some(Box::new(Level("gone (os error 2)", None))))), "no: gone");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("start the pod")]
    struct Start(#[source] rkt_executor::Failure);

    #[test]
    fn what_the_executor_says_is_said_whole() {
        let failure = rkt_executor::Failure::new("gone (os error 2)").within("open /boot/vmlinuz").within("kernel");
        assert_eq!(in_short(&failure), "kernel: open /boot/vmlinuz: gone");
        assert_eq!(in_short(&Start(failure)), "start the pod: kernel: open /boot/vmlinuz: gone");
    }
}
