//! What a program says, and how it ends.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::process;
use crate::wait::DEADLINE;

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// All that it wrote to standard output; what is not UTF-8 replaced.
    pub stdout: String,
    /// Likewise to standard error.
    pub stderr: String,
}

#[expect(clippy::return_self_not_must_use, reason = "assertions hand the output on for whoever looks further")]
impl Output {
    /// Runs a command to its end. One that does not end by itself is killed, and has then failed.
    ///
    /// # Panics
    /// It cannot be executed.
    pub fn of(command: &mut Command) -> Self {
        Self::within(command, DEADLINE)
    }

    /// The same for one that may take longer.
    ///
    /// # Panics
    /// It cannot be executed.
    pub fn within(command: &mut Command, deadline: Duration) -> Self {
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = child.id();
        let (ended, watched) = mpsc::channel::<()>();
        let watch = thread::spawn(move || {
            if watched.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
                process::signal(pid, Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("it is our child");
        drop(ended);
        watch.join().expect("it does nothing that panics");
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that it ended with this code.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "signal {:?}\n{self}", self.status.signal());
        self
    }

    /// Asserts that it succeeded.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    /// Asserts that it is a refusal: the general failure code, and these words on standard error.
    #[track_caller]
    pub fn refuses(self, words: &[&str]) -> Self {
        let refused = self.ends_with(254);
        for word in words {
            assert!(refused.stderr.contains(word), "{word:?} is not in what it says:\n{refused}");
        }
        assert!(!refused.stderr.contains("panicked"), "{refused}");
        refused
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// What an app wrote to standard output, a line each: as it wrote it, or without the time, name and
    /// process id that a log puts before each line.
    pub fn lines_of(&self, app: &str) -> Vec<String> {
        lines_of(&self.stdout, app)
    }

    /// The same of its standard error.
    pub fn errors_of(&self, app: &str) -> Vec<String> {
        lines_of(&self.stderr, app)
    }
}

pub(crate) fn lines_of(text: &str, app: &str) -> Vec<String> {
    text.lines().filter_map(|line| without_prefix(line.trim_end_matches('\r'), app)).map(str::to_owned).collect()
}

/// `[ 28959.906955] hello[4]: Hello` is `Hello`. A line without such a prefix is as it is; one with
/// another app's name is none.
fn without_prefix<'l>(line: &'l str, app: &str) -> Option<&'l str> {
    let Some((time, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else { return Some(line) };
    if time.trim().parse::<f64>().is_err() {
        return Some(line);
    }
    let (who, text) = rest.split_once("]: ").or_else(|| Some((rest.strip_suffix("]:")?, "")))?;
    let (name, pid) = who.split_once('[')?;
    (name == app && pid.parse::<u32>().is_ok()).then_some(text)
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_prefix_is_taken_off_and_other_apps_lines_left_out() {
        let text =
            "[ 28959.906955] hello[4]: Hello\n[28959.906955] other[5]: x\nraw\n[note] kept\n[ 1.000000] hello[4]: \n";
        assert_eq!(lines_of(text, "hello"), ["Hello", "raw", "[note] kept", ""]);
    }
}
