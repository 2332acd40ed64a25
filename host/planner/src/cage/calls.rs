//! The system calls that are left in a cage. Any other ends the process.

use std::collections::BTreeMap;

use rustix::process::getpid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition as Condition,
    SeccompFilter, SeccompRule as Rule, TargetArch,
};

use super::{CageError, failed};

/// What a computation needs that has all its descriptors: reading and writing them, memory, time,
/// the end.
const COMPUTATION: [libc::c_long; 20] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The calls that make memory, or change what it is for; the third argument says what. Nothing in a
/// cage becomes executable.
const MEMORY: [libc::c_long; 2] = [libc::SYS_mmap, libc::SYS_mprotect];

pub(super) fn allow_computation() -> Result<(), CageError> {
    let mut rules: BTreeMap<i64, Vec<Rule>> = COMPUTATION.into_iter().map(|call| (call, Vec::new())).collect();
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    for call in MEMORY {
        rules.insert(call, vec![rule(2, Compare::MaskedEq(executable), 0)?]);
    }
    // abort(3) signals itself.
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    rules.insert(libc::SYS_tgkill, vec![rule(0, Compare::Eq, own)?]);
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(failed("filter system calls"))?;
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .map_err(failed("filter system calls"))?;
    seccompiler::apply_filter(&program).map_err(failed("filter system calls"))
}

fn rule(argument: u8, compare: Compare, value: u64) -> Result<Rule, CageError> {
    Condition::new(argument, Length::Dword, compare, value)
        .and_then(|condition| Rule::new(vec![condition]))
        .map_err(failed("filter system calls"))
}
