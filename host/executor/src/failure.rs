//! Why a step of enacting a plan failed, as a value that crosses from process to process.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A step that failed: what was tried on what, and why, level by level.
///
/// `Display` says the outermost level only; [`Error::source`] goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried.
    text: String,
    /// Why it failed.
    cause: Option<Box<Failure>>,
    /// Whether all was in place and only the program could not be run.
    program: bool,
}

impl Failure {
    /// A failure that has no deeper cause.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), cause: None, program: false }
    }

    /// For `map_err`: what was tried, with the error and all its sources as the reason. The text is
    /// made only when it is needed.
    pub(crate) fn of<E: Error, T: Into<String>>(what: impl FnOnce() -> T) -> impl FnOnce(E) -> Self {
        move |error| Self { text: what().into(), cause: Some(Box::new(Self::from_error(&error))), program: false }
    }

    /// The failure of a larger step, of which this one was a part.
    #[must_use]
    pub fn within(self, what: impl Into<String>) -> Self {
        let program = self.program;
        Self { text: what.into(), cause: Some(Box::new(self)), program }
    }

    /// The same, of a program that cannot be run.
    #[must_use]
    pub(crate) fn of_program(self) -> Self {
        Self { program: true, ..self }
    }

    /// Whether all was in place and only the program could not be run.
    pub fn is_of_program(&self) -> bool {
        self.program
    }

    fn from_error(error: &dyn Error) -> Self {
        let cause = error.source().map(|source| Box::new(Self::from_error(source)));
        Self { text: error.to_string(), cause, program: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// A failure with all its causes, on one line.
pub fn on_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_said_once_and_survives_the_way_between_processes() {
        let cause = std::io::Error::from_raw_os_error(2);
        let failure = Failure::of::<std::io::Error, _>(|| "bind /srv on /data")(cause).within("start app db");
        let text = "start app db: bind /srv on /data: No such file or directory (os error 2)";
        assert_eq!(on_one_line(&failure), text);
        let wire = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&wire).unwrap(), failure);
    }
}
