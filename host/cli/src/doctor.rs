//! What this host can do, found out by trying, and what follows for pods.
//!
//! Each probe does what rkt would do, in a process or with a mount that nobody else sees, and leaves
//! nothing.

use std::path::Path;

use serde::Serialize;

mod kernel;
mod system;

/// One thing that a host can do, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was tried.
    pub(crate) name: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub(crate) answer: Answer,
    /// What that means for pods; nothing where it is there, or may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follows: Option<&'static str>,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "available", content = "detail", rename_all = "lowercase")]
pub(crate) enum Answer {
    /// It works; how, or which.
    Yes(String),
    /// It does not; why.
    No(String),
    /// This could not be found out; why.
    Unknown(String),
}

/// Tries everything. `data` is where images and pods are kept.
pub(crate) fn examine(data: &Path) -> Vec<Finding> {
    let mut findings = kernel::examine(data);
    findings.extend(system::examine(data));
    findings
}

impl Finding {
    /// What was found, with what follows where it is not there.
    fn new(name: &'static str, answer: Answer, without: &'static str) -> Self {
        let follows = matches!(answer, Answer::No(_)).then_some(without);
        Self { name, answer, follows }
    }
}

impl Answer {
    /// From an attempt: what it says where it worked, and the reason where it did not. Without root's
    /// rights many attempts say nothing about the host.
    fn of<E: std::error::Error>(attempt: Result<String, E>) -> Self {
        match attempt {
            Ok(detail) => Self::Yes(detail),
            Err(error) => {
                let text = in_one_line(&error);
                if rustix::process::geteuid().is_root() {
                    Self::No(text)
                } else {
                    Self::Unknown(format!("{text}; as root more can be found out"))
                }
            }
        }
    }
}

fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_answers_and_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = mounts();
        let system = system::examine(data.path());
        assert!(system.iter().all(|finding| matches!(finding.answer, Answer::No(_)) == finding.follows.is_some()));
        let overlay = kernel::overlay(data.path());
        assert!(matches!(overlay.answer, Answer::Yes(_)), "{overlay:?}");
        assert_eq!(mounts(), before);
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[test]
    fn programs_are_told_the_same_as_people() {
        let finding = Finding::new("thing", Answer::No("why".to_owned()), "it follows");
        let json = serde_json::to_string(&finding).unwrap();
        assert_eq!(json, r#"{"name":"thing","available":"no","detail":"why","follows":"it follows"}"#);
    }
}
