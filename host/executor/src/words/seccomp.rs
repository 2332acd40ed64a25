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
    let (allowed, errno): (Box<dyn Fn(&str) -> Option<Option<Rule>>>, _) = match policy {
        SeccompPolicy::Allow { calls, errno } => (Box::new(|name| calls.get(name).copied()), errno),
        SeccompPolicy::Refuse { calls, errno } => (Box::new(|name| (!calls.contains(name)).then_some(None)), errno),
    };
    let given = errno.map(Errno::from_raw_os_error);
    let mut rules = Vec::new();
    for (name, syscall) in Syscall::all() {
        let refused = Action::Refuse(given.unwrap_or(errno_of_refused(name)));
        let ways = match allowed(name) {
            None => Vec::new(),
            Some(None) => vec![Vec::new()],
            Some(Some(rule)) => conditions(rule),
        };
        let unconditional = ways.iter().any(Vec::is_empty);
        let allow = |conditions| seccomp::Rule { syscall, conditions, action: Action::Allow };
        rules.extend(ways.into_iter().map(allow));
        if !unconditional {
            rules.push(seccomp::Rule { syscall, conditions: Vec::new(), action: refused });
        }
    }
    let otherwise = match policy {
        SeccompPolicy::Allow { .. } => Action::Refuse(given.unwrap_or(Errno::NOSYS)),
        SeccompPolicy::Refuse { .. } => Action::Allow,
    };
    // Numbers of another architecture would pass under names that nobody judged.
    Filter { rules, otherwise, foreign: Action::Kill }
}

/// What a refused call of the table answers where the filter says nothing. The arguments of `clone3`
/// lie in memory, where no filter sees them: programs are to fall back to `clone`.
fn errno_of_refused(name: &str) -> Errno {
    if name == "clone3" { Errno::NOSYS } else { Errno::PERM }
}

/// Each way in which the rule is kept, as conditions that hold together.
fn conditions(rule: Rule) -> Vec<Vec<Condition>> {
    match rule {
        Rule::NoNewNamespaces => vec![vec![Condition { argument: Argument::First, mask: NEW_NAMESPACES, value: 0 }]],
        Rule::HarmlessPersonality => HARMLESS_PERSONALITIES
            .map(|value| vec![Condition { argument: Argument::First, mask: 0xffff_ffff, value }])
            .into(),
    }
}
