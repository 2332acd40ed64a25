//! System call filters (`seccomp(2)`): from rules by name to a program for the kernel, and its
//! installation.
//!
//! Which calls are allowed is the caller's affair.
//!
//! The program is a search tree over runs of call numbers with the same verdict. (The usual chain of
//! comparisons, one for each call, is an order of magnitude longer, and the kernel's work when it
//! takes a program, translating it and trying it with every call, grows with its length: 0.7 ms for
//! 340 calls, against some tens of microseconds for the tree.)
#![allow(unsafe_code, reason = "seccomp(2)")]

use std::io;
use std::str::FromStr as _;

use libc::sock_filter;
use rustix::io::Errno;
use syscalls::Sysno;

use crate::{Error, Result};

mod tree;

/// A system call of the architecture that this program was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Syscall(u32);

impl Syscall {
    /// The call with the kernel's name; `None` where this architecture has none.
    pub fn parse(name: &str) -> Option<Self> {
        let number = Sysno::from_str(name).ok()?.id();
        Some(Self(number.cast_unsigned()))
    }

    /// Every call that this program knows for its architecture, by name.
    pub fn all() -> impl Iterator<Item = (&'static str, Self)> {
        Sysno::iter().map(|call| (call.name(), Self(call.id().cast_unsigned())))
    }
}

/// What the kernel does about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It runs.
    Allow,
    /// It runs and is logged.
    Log,
    /// It does not run and returns this error.
    Refuse(Errno),
    /// It does not run and the thread gets SIGSYS.
    Trap,
    /// The process ends by SIGSYS.
    Kill,
}

impl Action {
    fn code(self) -> u32 {
        match self {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Log => libc::SECCOMP_RET_LOG,
            Action::Refuse(errno) => {
                let errno = errno.raw_os_error().cast_unsigned();
                libc::SECCOMP_RET_ERRNO | (errno & libc::SECCOMP_RET_DATA)
            }
            Action::Trap => libc::SECCOMP_RET_TRAP,
            Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// Holds where an argument of the call, masked, has a value. The kernel passes 64 bits of every
/// argument, also where the call looks at 32 of them: there the mask is `0xffff_ffff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument.
    pub argument: Argument,
    /// The bits that count.
    pub mask: u64,
    /// What they have to be.
    pub value: u64,
}

/// The place of an argument of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Argument {
    First,
    Second,
    Third,
    Fourth,
    Fifth,
    Sixth,
}

/// What becomes of one call where all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The call.
    pub syscall: Syscall,
    /// All of these; none for every use of the call.
    pub conditions: Vec<Condition>,
    /// What the kernel does.
    pub action: Action,
}

/// Rules and what becomes of all other calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Of several rules for one call, the first whose conditions hold decides.
    pub rules: Vec<Rule>,
    /// For calls that no rule decides.
    pub otherwise: Action,
    /// For calls by another architecture's numbers (i386 and x32 on x86-64), which no rule can mean.
    pub foreign: Action,
}

/// A filter as the kernel takes it.
#[derive(Debug, Clone)]
pub struct Program(Vec<sock_filter>);

impl Filter {
    /// The program for the architecture that this program was built for.
    ///
    /// # Errors
    /// Where it is longer than the kernel takes (`BPF_MAXINSNS`, 4096 instructions), or one rule has
    /// more conditions than a jump can span (about 40).
    pub fn compile(&self) -> Result<Program> {
        let mut rules: Vec<&Rule> = self.rules.iter().collect();
        // Stable: rules for one call keep their order.
        rules.sort_by_key(|rule| rule.syscall);
        let program = tree::compile(&rules, self.otherwise.code(), self.foreign.code())
            .ok_or_else(|| Error::refused("seccomp", "a filter", "a rule has too many conditions"))?;
        if program.len() > libc::BPF_MAXINSNS as usize {
            let reason = format!("{} instructions; the kernel takes {}", program.len(), libc::BPF_MAXINSNS);
            return Err(Error::refused("seccomp", "a filter", reason));
        }
        Ok(Program(program))
    }
}

impl Program {
    /// Installs the filter on the calling thread, for good, for itself and all it will become. Of
    /// several installed filters the most restrictive answer counts.
    ///
    /// # Errors
    /// `EACCES` with neither [`crate::process::set_no_new_privileges`] nor `CAP_SYS_ADMIN`.
    pub fn install(&self) -> Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).map_err(|_| Error::new("seccomp", "a filter", Errno::INVAL))?,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: `program` and the instructions that it points to outlive the call, which only reads
        // them; the kernel checks the program itself.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if result == 0 {
            return Ok(());
        }
        Err(Error::new("seccomp", "SECCOMP_SET_MODE_FILTER", io::Error::last_os_error()))
    }
}

#[cfg(test)]
mod tests;
