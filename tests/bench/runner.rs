//! A process that starts programs and takes the time, in surroundings that it sets up once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;
use std::{env, fs, io};

use serde::{Deserialize, Serialize};

use crate::Result;

/// Where a contestant runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// The host as it is.
    Host,
    /// A mount namespace in which control groups are the unified hierarchy only, and `/run` is in memory,
    /// as on most hosts: where there are both kinds of control groups crun refuses to run and runc makes
    /// a group in each; where `/run` is on a disk their state is.
    UnifiedControlGroups,
}

/// One run of one contestant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// From before the start to after the end, in nanoseconds.
    pub(crate) wall: u64,
    /// Used by the processes of the run that were waited for, in clock ticks of 10 ms: exact only when
    /// added up over many runs.
    pub(crate) ticks: u64,
}

/// The process, seen from outside.
pub(crate) struct Runner {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    pub(crate) fn start(surroundings: Surroundings) -> Result<Self> {
        let own = env::current_exe()?;
        let mut command = match surroundings {
            Surroundings::Host => Command::new(own),
            Surroundings::UnifiedControlGroups => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation=private", "--"]).arg(own);
                command
            }
        };
        let name = match surroundings {
            Surroundings::Host => "host",
            Surroundings::UnifiedControlGroups => "unified",
        };
        let mut child = command.args(["runner", name]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take().expect("it was asked for");
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Self { child, requests, answers })
    }

    /// Runs a program once; an error where it does not succeed.
    pub(crate) fn measure(&mut self, words: &[String]) -> Result<Run> {
        writeln!(self.requests, "{}", serde_json::to_string(words)?)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(serde_json::from_str::<std::result::Result<Run, String>>(&answer)??)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process itself: a request a line, an answer a line.
pub(crate) fn serve(surroundings: &str) -> Result<()> {
    if surroundings == "unified" {
        must(Command::new("umount").args(["--recursive", "/sys/fs/cgroup"]))?;
        must(Command::new("mount").args(["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]))?;
        must(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
    }
    let mut answers = io::stdout().lock();
    for request in io::stdin().lock().lines() {
        let words: Vec<String> = serde_json::from_str(&request?)?;
        let answer = run(&words).map_err(|error| error.to_string());
        writeln!(answers, "{}", serde_json::to_string(&answer)?)?;
        answers.flush()?;
    }
    Ok(())
}

fn run(words: &[String]) -> Result<Run> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let used = ticks_of_children()?;
    let start = Instant::now();
    let status = command.status()?;
    let wall = u64::try_from(start.elapsed().as_nanos())?;
    if !status.success() {
        let again = command.stderr(Stdio::piped()).output()?;
        return Err(format!("{words:?}: {status}\n{}", String::from_utf8_lossy(&again.stderr)).into());
    }
    Ok(Run { wall, ticks: ticks_of_children()? - used })
}

/// Time used by all children that have been waited for, and theirs (proc_pid_stat(5): cutime, cstime).
pub(crate) fn ticks_of_children() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("/proc/self/stat has no name in it")?;
    let times = fields.split(' ').skip(13).take(2).map(str::parse::<u64>);
    Ok(times.collect::<std::result::Result<Vec<_>, _>>()?.iter().sum())
}

/// Runs a command that has to succeed.
pub(crate) fn must(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
