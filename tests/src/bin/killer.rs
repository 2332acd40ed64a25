//! Kills a program at the Nth system call that it, or whoever it starts, makes.
//!
//! strace can kill as well, but counts for each process and each kind of call by itself. This counts all calls in
//! the order in which they come, so that each number up to the last is a moment of its own: the calls before it have
//! been made, and it is not. Apps, which are probes, are let go of: their calls are nobody's business here.
//!
//! `killer REPORT WHOM N PROGRAM WORDS..` runs a program; `killer REPORT WHOM N PID` takes one that runs, with all
//! below it. `REPORT` is a file that is made when counting begins, and holds a JSON object in the end:
//! [`rkt_tests::kills::Report`].

#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "to tell is what it is for")]

use std::collections::BTreeSet;
use std::error::Error;
use std::process::{Command, ExitCode};
use std::{env, fs};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rkt_tests::kills::{Report, Whom};
use rkt_tests::process;
use syscalls::Sysno;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What begins a stop that is neither a signal's nor a call's (ptrace(2)).
const EVENT_STOP: i32 = 128;
const EVENT_EXEC: i32 = 4;
/// A stop at a call that is about to be made (`PTRACE_SYSCALL_INFO_ENTRY`).
const ENTRY: u8 = 1;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("killer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let [report, whom, at, program, rest @ ..] = words else {
        return Err("usage: killer REPORT first|caller|all N PROGRAM|PID [WORDS..]".into());
    };
    let whom: Whom = whom.parse()?;
    let at = at.parse()?;
    let mut tracer = match program.parse() {
        Ok(pid) => Tracer::attach(Pid::from_raw(pid), whom, at)?,
        Err(_) => Tracer::start(program, rest, whom, at)?,
    };
    fs::write(report, "")?;
    let code = tracer.follow()?;
    let told = Report { calls: tracer.calls, killed: tracer.killed, code };
    Ok(fs::write(report, serde_json::to_string(&told)?)?)
}

struct Tracer {
    whom: Whom,
    /// Whom all others come from.
    first: Pid,
    at: u64,
    traced: BTreeSet<Pid>,
    /// A program that is started is not that program yet.
    is_counting: bool,
    calls: u64,
    killed: Option<String>,
}

impl Tracer {
    fn start(program: &str, words: &[String], whom: Whom, at: u64) -> Result<Self> {
        // Stopped, it can be taken before it is the program.
        let child =
            Command::new("sh").args(["-c", r#"kill -STOP $$; exec "$@""#, "sh", program]).args(words).spawn()?;
        let first = Pid::from_raw(i32::try_from(child.id())?);
        waitpid(first, Some(WaitPidFlag::WUNTRACED))?;
        let mut tracer = Self::new(first, whom, at, false);
        tracer.take(first)?;
        kill(first, Signal::SIGCONT)?;
        Ok(tracer)
    }

    fn attach(first: Pid, whom: Whom, at: u64) -> Result<Self> {
        let mut tracer = Self::new(first, whom, at, true);
        let mut open = vec![first];
        while let Some(pid) = open.pop() {
            if is_app(pid) {
                continue;
            }
            tracer.take(pid)?;
            ptrace::interrupt(pid)?;
            if whom != Whom::First {
                let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
                open.extend(children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
            }
        }
        Ok(tracer)
    }

    fn new(first: Pid, whom: Whom, at: u64, is_counting: bool) -> Self {
        Self { whom, first, at, traced: BTreeSet::new(), is_counting, calls: 0, killed: None }
    }

    fn take(&mut self, pid: Pid) -> Result<()> {
        let threads = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACECLONE;
        let children = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        ptrace::seize(pid, if self.whom == Whom::First { threads } else { threads | children })?;
        self.traced.insert(pid);
        Ok(())
    }

    /// Until the first of them has ended; its exit code, if it has one.
    fn follow(&mut self) -> Result<Option<i32>> {
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::PtraceSyscall(pid) => {
                    if self.is_counting && is_at_entry(pid) {
                        self.count(pid)?;
                    }
                    self.go_on(pid, None)?;
                }
                WaitStatus::PtraceEvent(pid, _, event) => self.hear(pid, event)?,
                WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal))?,
                WaitStatus::Exited(pid, code) if pid == self.first => return Ok(Some(code)),
                WaitStatus::Signaled(pid, _, _) if pid == self.first => return Ok(None),
                WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) => {
                    self.traced.remove(&pid);
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, pid: Pid, event: i32) -> Result<()> {
        let is_others = self.whom == Whom::First && process_of(pid) != Some(self.first);
        let is_let_go = match event {
            EVENT_EXEC => {
                self.is_counting |= pid == self.first;
                is_app(pid)
            }
            EVENT_STOP => is_others,
            _ => false,
        };
        if is_let_go {
            self.traced.remove(&pid);
            return gone_is_fine(ptrace::detach(pid, None));
        }
        self.traced.insert(pid);
        self.go_on(pid, None)
    }

    fn count(&mut self, pid: Pid) -> Result<()> {
        if self.killed.is_some() {
            return Ok(());
        }
        self.calls += 1;
        if self.calls < self.at {
            return Ok(());
        }
        self.killed = Some(format!("{} of {}", call_of(pid), process::name(pid.as_raw().unsigned_abs())));
        match self.whom {
            Whom::First => gone_is_fine(kill(self.first, Signal::SIGKILL)),
            Whom::Caller => gone_is_fine(kill(process_of(pid).unwrap_or(pid), Signal::SIGKILL)),
            Whom::All => self.traced.iter().try_for_each(|pid| gone_is_fine(kill(*pid, Signal::SIGKILL))),
        }
    }

    /// What is killed is not in the way of the rest.
    fn go_on(&self, pid: Pid, signal: Option<Signal>) -> Result<()> {
        gone_is_fine(if self.killed.is_some() { ptrace::cont(pid, signal) } else { ptrace::syscall(pid, signal) })
    }
}

/// Whoever is killed is gone at any time.
fn gone_is_fine(done: nix::Result<()>) -> Result<()> {
    match done {
        Err(Errno::ESRCH) => Ok(()),
        other => Ok(other?),
    }
}

fn is_at_entry(pid: Pid) -> bool {
    ptrace::syscall_info(pid).is_ok_and(|info| info.op == ENTRY)
}

fn is_app(pid: Pid) -> bool {
    process::name(pid.as_raw().unsigned_abs()) == "probe"
}

/// The process that a thread is of.
fn process_of(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    Some(Pid::from_raw(line.trim().parse().ok()?))
}

/// The name of the call that a thread is about to make.
fn call_of(thread: Pid) -> String {
    let call = fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
    let number = call.split(' ').next().and_then(|number| number.parse().ok());
    number.and_then(Sysno::new).map_or_else(|| "a call".to_owned(), |call| call.name().to_owned())
}
