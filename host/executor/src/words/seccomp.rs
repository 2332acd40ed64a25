//! `seccomp`: a filter of system calls, from names to the kernel's program.

use rkt_plan::{Condition as Rule, SeccompPolicy};
use rkt_sys::seccomp::{self, Action, Argument, Condition, Filter, Program, Syscall};
use rustix::io::Errno;

use crate::failure::Failure;

/// The flags of clone(2) that make namespaces: CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET and, in
/// the bits that are otherwise of the signal, TIME (linux/sched.h).
const NEW_NAMESPACES: u64 = 0x7e02_0080;

/// The personalities of programs that are just old or 32 bits wide, and the question for the present
/// one (sys/personality.h): PER_LINUX, PER_LINUX32, UNAME26, both.
const HARMLESS_PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Makes the program for a policy.
pub(crate) fn compile(policy: &SeccompPolicy) -> Result<Program, Failure> {
    filter(policy).compile().map_err(Failure::of(|| "make the filter of system calls"))
}

fn filter(policy: &SeccompPolicy) -> Filter {
    let (errno, otherwise) = match policy {
        SeccompPolicy::Allow { errno, .. } => (errno, Action::Refuse(given(*errno).unwrap_or(Errno::NOSYS))),
        SeccompPolicy::Refuse { errno, .. } => (errno, Action::Allow),
    };
    let mut rules = Vec::new();
    for (name, syscall) in Syscall::all() {
        let ways = ways(policy, name);
        let is_free = ways.iter().any(Vec::is_empty);
        rules.extend(ways.into_iter().map(|conditions| seccomp::Rule { syscall, conditions, action: Action::Allow }));
        if !is_free {
            let action = Action::Refuse(given(*errno).unwrap_or(errno_of_refused(name)));
            rules.push(seccomp::Rule { syscall, conditions: Vec::new(), action });
        }
    }
    // Numbers of another architecture would pass under names that nobody judged.
    Filter { rules, otherwise, foreign: Action::Kill }
}

fn given(errno: Option<i32>) -> Option<Errno> {
    errno.map(Errno::from_raw_os_error)
}

/// Each way in which a call is allowed, as conditions that hold together: none where it is refused, one
/// without conditions where it is free.
fn ways(policy: &SeccompPolicy, name: &str) -> Vec<Vec<Condition>> {
    match policy {
        SeccompPolicy::Allow { calls, .. } => match calls.get(name) {
            None => Vec::new(),
            Some(None) => vec![Vec::new()],
            Some(Some(rule)) => conditions(*rule),
        },
        SeccompPolicy::Refuse { calls, .. } if calls.contains(name) => Vec::new(),
        SeccompPolicy::Refuse { .. } => vec![Vec::new()],
    }
}

/// What a refused call of the table answers where the filter says nothing. The arguments of `clone3`
/// lie in memory, where no filter sees them: programs are to fall back to `clone`.
fn errno_of_refused(name: &str) -> Errno {
    if name == "clone3" { Errno::NOSYS } else { Errno::PERM }
}

/// Each way in which a rule is kept.
fn conditions(rule: Rule) -> Vec<Vec<Condition>> {
    match rule {
        Rule::NoNewNamespaces => vec![vec![Condition { argument: Argument::First, mask: NEW_NAMESPACES, value: 0 }]],
        Rule::HarmlessPersonality => HARMLESS_PERSONALITIES
            .map(|value| vec![Condition { argument: Argument::First, mask: 0xffff_ffff, value }])
            .into(),
    }
}
