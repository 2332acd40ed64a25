//! The system calls that are left in a cage. Any other ends the process.

use std::collections::BTreeMap;

use rustix::process::getpid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition as Condition,
    SeccompFilter, SeccompRule as Rule, TargetArch,
};

use super::{CageError, Loading, failed};

/// What a computation needs that has all its descriptors: reading and writing them, memory, time,
/// the end.
const COMPUTATION: [libc::c_long; 19] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
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

/// What the loader of libraries needs besides, of files that Landlock lets it open.
const LOADING: [libc::c_long; 4] = [libc::SYS_newfstatat, libc::SYS_fstat, libc::SYS_pread64, libc::SYS_lseek];

/// Flags of an `openat` that could do more than read what is there.
const CHANGING: libc::c_int = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_PATH;

pub(super) fn allow(loading: Loading) -> Result<(), CageError> {
    let mut rules: BTreeMap<i64, Vec<Rule>> = COMPUTATION.into_iter().map(|call| (call, Vec::new())).collect();
    // What memory is for is in the third argument. None that there is becomes executable.
    let not_executable = rule(2, Compare::MaskedEq(bits(libc::PROT_EXEC)), 0)?;
    rules.insert(libc::SYS_mprotect, vec![not_executable.clone()]);
    rules.insert(libc::SYS_mmap, vec![not_executable]);
    if loading == Loading::Libraries {
        rules.extend(LOADING.map(|call| (call, Vec::new())));
        rules.insert(libc::SYS_openat, vec![rule(2, Compare::MaskedEq(bits(CHANGING)), bits(libc::O_RDONLY))?]);
        // Code is what a file has: it is never written.
        let code = rule(2, Compare::MaskedEq(bits(libc::PROT_WRITE)), 0)?;
        rules.entry(libc::SYS_mmap).or_default().push(code);
    }
    // There is one thread, which wakes others that are not there and never waits for them: whoever can
    // sleep could outlive its limit of processor time.
    rules.insert(libc::SYS_futex, vec![rule(1, Compare::MaskedEq(bits(FUTEX_COMMAND)), bits(libc::FUTEX_WAKE))?]);
    // abort(3) signals itself.
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    rules.insert(libc::SYS_tgkill, vec![rule(0, Compare::Eq, own)?]);
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(failed("filter system calls"))?;
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .map_err(failed("filter system calls"))?;
    seccompiler::apply_filter(&program).map_err(failed("filter system calls"))
}

/// The bits of a futex(2) operation that are not flags.
const FUTEX_COMMAND: libc::c_int = !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);

/// Flags, as the kernel's filter sees an argument of 32 bits.
fn bits(flags: libc::c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}

fn rule(argument: u8, compare: Compare, value: u64) -> Result<Rule, CageError> {
    Condition::new(argument, Length::Dword, compare, value)
        .and_then(|condition| Rule::new(vec![condition]))
        .map_err(failed("filter system calls"))
}
