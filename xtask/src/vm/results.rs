//! What a machine tells, beside what it has to tell: a test has passed if its name was said, and only
//! then.

use std::collections::BTreeSet;

use crate::shell::Failure;

/// How lines of the machine's own begin, among what tests write.
pub(super) const MARK: &str = "rkt-vm: ";

/// A program that has to end well, and the tests that have to pass in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its path and its arguments, with a space between any two.
    pub(super) command: String,
    /// Their names; none where it is no program of tests.
    pub(super) tests: BTreeSet<String>,
}

impl Expected {
    /// A command without tests.
    pub(super) fn whole(command: String) -> Self {
        Self { command, tests: BTreeSet::new() }
    }
}

/// What was told so far.
#[derive(Debug)]
pub(super) struct Results {
    machine: &'static str,
    expected: Vec<Expected>,
    current: String,
    passed: BTreeSet<(String, String)>,
    /// Commands that ended well.
    ended: BTreeSet<String>,
    all_run: bool,
}

impl Results {
    pub(super) fn new(machine: &'static str, expected: Vec<Expected>) -> Self {
        Self {
            machine,
            expected,
            current: String::new(),
            passed: BTreeSet::new(),
            ended: BTreeSet::new(),
            all_run: false,
        }
    }

    /// Takes a line of the machine.
    pub(super) fn hear(&mut self, line: &str) {
        if let Some(told) = line.strip_prefix(MARK) {
            if let Some(command) = told.strip_prefix("begin ") {
                command.clone_into(&mut self.current);
            } else if let Some(command) = told.strip_prefix("end 0 ") {
                self.ended.insert(command.to_owned());
            } else if told == "all run" {
                self.all_run = true;
            }
        } else if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok")) {
            let name = test.strip_suffix(" - should panic").unwrap_or(test);
            self.passed.insert((self.current.clone(), name.to_owned()));
        }
    }

    /// How many tests passed, if all did that have to.
    pub(super) fn verdict(&self) -> Result<usize, Failure> {
        let mut missing: Vec<String> = Vec::new();
        for expected in &self.expected {
            let has_passed = |test: &&String| !self.passed.contains(&(expected.command.clone(), (*test).clone()));
            missing.extend(expected.tests.iter().filter(has_passed).cloned());
            if !self.ended.contains(&expected.command) {
                missing.push(format!("{} as a whole", expected.command));
            }
        }
        if !missing.is_empty() {
            let missing = missing.join("\n  ");
            return Err(Failure::new(format!("in `{}` did not pass, or did not run:\n  {missing}", self.machine)));
        }
        let count = self.expected.iter().map(|expected| expected.tests.len()).sum();
        match (self.all_run, count) {
            (false, _) => Err(Failure::new(format!("`{}` ended before it said that all was run", self.machine))),
            (true, 0) => Err(Failure::new(format!("there was no test to run in `{}`", self.machine))),
            (true, count) => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let tests = ["one", "two"].map(str::to_owned).into();
        Results::new("m", vec![Expected { command: "/t/p a".to_owned(), tests }])
    }

    fn told(lines: &[&str]) -> Result<usize, String> {
        let mut results = results();
        for line in lines {
            results.hear(line);
        }
        results.verdict().map_err(|failure| failure.to_string())
    }

    const WHOLE: [&str; 5] =
        ["rkt-vm: begin /t/p a", "test one ... ok", "test two ... ok", "rkt-vm: end 0 /t/p a", "rkt-vm: all run"];

    #[test]
    fn all_that_was_told_counts_and_nothing_less() {
        assert_eq!(told(&WHOLE), Ok(2));
        for (at, line) in WHOLE.iter().enumerate() {
            let mut lines = WHOLE.to_vec();
            lines.remove(at);
            assert!(told(&lines).is_err(), "without {line:?}");
        }
        assert!(told(&[]).is_err());
    }

    #[test]
    fn what_failed_or_was_ignored_has_not_passed() {
        for line in ["test two ... FAILED", "test two ... ignored", "test twofold ... ok", "x test two ... ok"] {
            let mut lines = WHOLE.to_vec();
            lines[2] = line;
            assert!(told(&lines).unwrap_err().contains("two"), "{line}");
        }
        let mut lines = WHOLE.to_vec();
        lines[3] = "rkt-vm: end 101 /t/p a";
        assert!(told(&lines).unwrap_err().contains("/t/p a as a whole"));
    }

    #[test]
    fn nothing_to_run_is_no_success() {
        let mut results = Results::new("m", Vec::new());
        results.hear("rkt-vm: all run");
        assert!(results.verdict().is_err());
    }
}
