//! Filters of system calls: what a filter's names mean, and which of two is stricter.
//!
//! This is the meaning only; making a filter of it and giving it to the kernel is elsewhere.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use syscalls::{Errno, Sysno};

use crate::pod::{SeccompFilter, SeccompMode};
use crate::syscalls::{DEFAULT, DEFAULT_DENIED};

/// A filter with its sets spelled out.
///
/// A refused call answers `errno`. Where none is given: `EPERM` for a call in the running
/// architecture's table, `ENOSYS` for any other and for `clone3`, so that programs fall back to calls that
/// the filter can judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompPolicy {
    /// Only these calls are allowed.
    Allow {
        /// Names; some only under a condition.
        calls: BTreeMap<&'static str, Option<Condition>>,
        /// The number of the error.
        errno: Option<i32>,
    },
    /// These calls are refused, all others allowed, those that nobody knows yet among them.
    Refuse {
        /// Names.
        calls: BTreeSet<&'static str>,
        /// The number of the error.
        errno: Option<i32>,
    },
}

/// When a call is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// `clone` without any CLONE_NEW* flag: a pod does not make namespaces, least of all user namespaces.
    NoNewNamespaces,
    /// `personality` with the values that only say how a program was built: 0, 8, 0x20000, 0x20008 and
    /// asking for the present one, 0xffffffff. Others turn off address randomization and more.
    HarmlessPersonality,
}

impl SeccompPolicy {
    /// Gives a filter its meaning.
    ///
    /// # Errors
    /// A name that is no call of this architecture and no set, an error name that is none, or a list
    /// that is empty.
    pub fn from_filter(filter: &SeccompFilter) -> Result<Self, SeccompError> {
        if filter.calls.is_empty() {
            return Err(SeccompError::Empty);
        }
        let errno = filter.errno.as_deref().map(errno_number).transpose()?;
        let mut calls = BTreeMap::new();
        for name in &filter.calls {
            add(&mut calls, name)?;
        }
        Ok(match filter.mode {
            // As in rkt, retaining all calls is no filter at all: those of later kernels pass too.
            SeccompMode::Retain if filter.calls.iter().any(|name| name == "@all") => {
                Self::Refuse { calls: BTreeSet::new(), errno }
            }
            SeccompMode::Retain => Self::Allow { calls, errno },
            SeccompMode::Remove => Self::Refuse { calls: calls.into_keys().collect(), errno },
        })
    }

    /// The names of all calls that the running architecture has.
    pub fn known_calls() -> impl Iterator<Item = &'static str> {
        Sysno::iter().map(|call| call.name())
    }

    /// Whether every call that this filter allows, the other allows too.
    pub fn is_within(&self, other: &Self) -> bool {
        Self::known_calls().all(|call| self.allowance(call) <= other.allowance(call))
            && (self.allows_unknown() <= other.allows_unknown())
    }

    /// The calls of which it allows more than the other, with a `+` before them, or less, with a `-`.
    pub(crate) fn changes_from(&self, other: &Self) -> Vec<String> {
        let sign = |call| match self.allowance(call).cmp(&other.allowance(call)) {
            Ordering::Less => Some('-'),
            Ordering::Equal => None,
            Ordering::Greater => Some('+'),
        };
        let unknown = match self.allows_unknown().cmp(&other.allows_unknown()) {
            Ordering::Less => Some("-later calls".to_owned()),
            Ordering::Equal => None,
            Ordering::Greater => Some("+later calls".to_owned()),
        };
        let known = Self::known_calls().filter_map(|call| sign(call).map(|sign| format!("{sign}{call}")));
        known.chain(unknown).collect()
    }

    /// Whether every call can be made, those that nobody knows yet too.
    pub(crate) fn refuses_nothing(&self) -> bool {
        matches!(self, Self::Refuse { calls, .. } if calls.is_empty())
    }

    /// How many of the known calls can be made.
    pub fn allowed_count(&self) -> usize {
        Self::known_calls().filter(|call| self.allowance(call) > Allowance::Never).count()
    }

    fn allowance(&self, call: &str) -> Allowance {
        match self {
            Self::Allow { calls, .. } => match calls.get(call) {
                None => Allowance::Never,
                Some(Some(_)) => Allowance::Sometimes,
                Some(None) => Allowance::Always,
            },
            Self::Refuse { calls, .. } if calls.contains(call) => Allowance::Never,
            Self::Refuse { .. } => Allowance::Always,
        }
    }

    fn allows_unknown(&self) -> bool {
        matches!(self, Self::Refuse { .. })
    }
}

/// Each call has at most one condition, so the order is whole.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Allowance {
    Never,
    Sometimes,
    Always,
}

fn add(calls: &mut BTreeMap<&'static str, Option<Condition>>, name: &str) -> Result<(), SeccompError> {
    match name {
        "@default" => {
            for name in here(DEFAULT) {
                calls.entry(name).or_insert_with(|| condition(name));
            }
        }
        "@default-denied" => calls.extend(here(DEFAULT_DENIED).map(|name| (name, None))),
        "@all" => calls.extend(SeccompPolicy::known_calls().map(|name| (name, None))),
        "@empty" => {}
        name => {
            let call: Sysno = name.parse().map_err(|()| SeccompError::Unknown { name: name.to_owned() })?;
            calls.insert(call.name(), None);
        }
    }
    Ok(())
}

/// Those of a list that the running architecture has.
fn here(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split_whitespace().filter(|name| name.parse::<Sysno>().is_ok())
}

fn condition(name: &str) -> Option<Condition> {
    match name {
        "clone" => Some(Condition::NoNewNamespaces),
        "personality" => Some(Condition::HarmlessPersonality),
        _ => None,
    }
}

fn errno_number(name: &str) -> Result<i32, SeccompError> {
    // Linux numbers its errors from 1 to 133 on every architecture that rkt runs on (errno(3)).
    (1..=133)
        .find(|number| Errno::new(*number).name() == Some(name))
        .ok_or_else(|| SeccompError::Errno { name: name.to_owned() })
}

/// Why a filter has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// It names nothing.
    #[error("the filter names no system call and no set")]
    Empty,
    /// A name that nobody knows.
    #[error("there is no system call and no set `{name}` (sets are @default, @default-denied, @all, @empty)")]
    Unknown {
        /// The name.
        name: String,
    },
    /// An error that the kernel does not have.
    #[error("there is no error `{name}` (see errno(3))")]
    Errno {
        /// The name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: SeccompMode, calls: &[&str]) -> SeccompPolicy {
        let calls = calls.iter().map(|&call| call.to_owned()).collect();
        SeccompPolicy::from_filter(&SeccompFilter { mode, calls, errno: None }).unwrap()
    }

    #[test]
    fn the_default_sets_share_no_call() {
        let denied: BTreeSet<_> = DEFAULT_DENIED.split_whitespace().collect();
        let both: Vec<_> = DEFAULT.split_whitespace().filter(|name| denied.contains(name)).collect();
        assert_eq!(both, Vec::<&str>::new());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn calls_of_new_c_libraries_are_in_the_default_set() {
        let SeccompPolicy::Allow { calls, .. } = policy(SeccompMode::Retain, &["@default"]) else { panic!("retain") };
        for name in
            ["statx", "openat2", "rseq", "faccessat2", "close_range", "futex_waitv", "epoll_pwait2", "pidfd_open"]
        {
            assert_eq!(calls.get(name), Some(&None), "{name}");
        }
        for name in ["clone3", "mount", "unshare", "bpf", "ptrace", "io_uring_setup", "keyctl"] {
            assert_eq!(calls.get(name), None, "{name}");
        }
        assert_eq!(calls["clone"], Some(Condition::NoNewNamespaces));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_known_call_is_judged_on_purpose() {
        let listed: BTreeSet<_> = here(DEFAULT).chain(here(DEFAULT_DENIED)).collect();
        // Calls that the table has and no kernel of today carries out, or that only compatibility layers make.
        let nobody = ["afs_syscall", "getpmsg", "putpmsg", "security", "tuxcall", "vserver"];
        let unlisted: Vec<_> =
            SeccompPolicy::known_calls().filter(|name| !listed.contains(name) && !nobody.contains(name)).collect();
        assert_eq!(unlisted, Vec::<&str>::new());
    }

    #[test]
    fn stricter_is_within_looser() {
        let default = policy(SeccompMode::Retain, &["@default"]);
        let all = policy(SeccompMode::Retain, &["@all"]);
        let few = policy(SeccompMode::Retain, &["read", "write", "exit_group"]);
        let plain_clone = policy(SeccompMode::Retain, &["@default", "clone"]);
        let without = policy(SeccompMode::Remove, &["mount"]);
        assert!(few.is_within(&default) && default.is_within(&all) && default.is_within(&without));
        assert!(!all.is_within(&default) && !without.is_within(&default) && !all.is_within(&without));
        assert!(all.refuses_nothing() && !without.refuses_nothing());
        assert!(default.is_within(&plain_clone) && !plain_clone.is_within(&default));
    }

    #[test]
    fn names_that_mean_nothing_are_refused() {
        let filter = |calls: &[&str], errno: Option<&str>| {
            SeccompPolicy::from_filter(&SeccompFilter {
                mode: SeccompMode::Retain,
                calls: calls.iter().map(|&call| call.to_owned()).collect(),
                errno: errno.map(str::to_owned),
            })
        };
        assert_eq!(filter(&[], None), Err(SeccompError::Empty));
        assert_eq!(filter(&["raed"], None), Err(SeccompError::Unknown { name: "raed".into() }));
        assert_eq!(filter(&["read"], Some("EHM")), Err(SeccompError::Errno { name: "EHM".into() }));
        assert!(filter(&["read"], Some("ENOSYS")).is_ok());
    }
}
