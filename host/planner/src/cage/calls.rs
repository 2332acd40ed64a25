//! The system calls that are left in a cage. Any other ends the process.

use rkt_sys::seccomp::{Action, Argument, Condition, Filter, Rule, Syscall};
use rustix::process::getpid;

use super::{CageError, Loading, failed};

/// What a computation needs that has all its descriptors: reading and writing them, memory, time,
/// the end.
const COMPUTATION: [&str; 19] = [
    "read",
    "write",
    "readv",
    "writev",
    "close",
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "clock_gettime",
    "getrandom",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "getpid",
    "gettid",
    "sched_yield",
    "exit",
    "exit_group",
];

/// What the loader of libraries needs besides, of files that Landlock lets it open.
const LOADING: [&str; 4] = ["newfstatat", "fstat", "pread64", "lseek"];

/// Flags of an `openat` that could do more than read what is there.
const CHANGING: libc::c_int = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_PATH;

pub(super) fn allow(loading: Loading) -> Result<(), CageError> {
    let mut rules: Vec<Rule> = COMPUTATION.into_iter().filter_map(|call| rule(call, None)).collect();
    // What memory is for is in the third argument. None that there is becomes executable.
    let not_executable = masked(Argument::Third, libc::PROT_EXEC, 0);
    rules.extend(["mprotect", "mmap"].into_iter().filter_map(|call| rule(call, Some(not_executable))));
    if loading == Loading::Libraries {
        rules.extend(LOADING.into_iter().filter_map(|call| rule(call, None)));
        rules.extend(rule("openat", Some(masked(Argument::Third, CHANGING, libc::O_RDONLY))));
        // Code is what a file has: it is never written.
        rules.extend(rule("mmap", Some(masked(Argument::Third, libc::PROT_WRITE, 0))));
    }
    // There is one thread, which wakes others that are not there and never waits for them: whoever can
    // sleep could outlive its limit of processor time.
    rules.extend(rule("futex", Some(masked(Argument::Second, FUTEX_COMMAND, libc::FUTEX_WAKE))));
    // abort(3) signals itself.
    let own = getpid().as_raw_nonzero().get();
    rules.extend(rule("tgkill", Some(masked(Argument::First, -1, own))));
    let filter = Filter { rules, otherwise: Action::Kill, foreign: Action::Kill };
    filter.compile().and_then(|program| program.install()).map_err(failed("filter system calls"))
}

/// The bits of a futex(2) operation that are not flags.
const FUTEX_COMMAND: libc::c_int = !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);

/// Holds where an argument of 32 bits, masked, has this value.
fn masked(argument: Argument, mask: libc::c_int, value: libc::c_int) -> Condition {
    Condition { argument, mask: u64::from(mask.cast_unsigned()), value: u64::from(value.cast_unsigned()) }
}

/// Allows a call where the condition holds, if there is one; none where this architecture lacks the call.
fn rule(call: &str, condition: Option<Condition>) -> Option<Rule> {
    let conditions = condition.into_iter().collect();
    Some(Rule { syscall: Syscall::parse(call)?, conditions, action: Action::Allow })
}
