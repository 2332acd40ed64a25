//! Isolators that are sets: of capabilities and of system calls. Which of their names this kernel
//! knows is not decided here.

use serde::{Deserialize, Serialize};

use crate::InvalidValue;
use crate::text::checked_text;

/// Some capabilities, at least one (capabilities(7)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawCapabilitySet", into = "RawCapabilitySet")]
pub struct CapabilitySet(Vec<CapabilityName>);

/// `CAP_` and more: whether the kernel knows it is not said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CapabilityName(String);

checked_text!(CapabilityName);

impl CapabilityName {
    fn check(text: &str) -> Result<(), InvalidValue> {
        let is_sound = |name: &str| {
            let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            !name.is_empty() && name.chars().all(allowed)
        };
        match text.strip_prefix("CAP_") {
            Some(name) if is_sound(name) => Ok(()),
            _ => Err(InvalidValue::new("capability", text, "it looks like CAP_NET_ADMIN")),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct RawCapabilitySet {
    set: Vec<CapabilityName>,
}

impl CapabilitySet {
    /// Those of `names`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn new(names: Vec<CapabilityName>) -> Result<Self, InvalidValue> {
        if names.is_empty() {
            return Err(InvalidValue::new("set of capabilities", "", "it holds at least one"));
        }
        Ok(Self(names))
    }

    /// The names, in the order of the manifest.
    pub fn names(&self) -> &[CapabilityName] {
        &self.0
    }
}

impl TryFrom<RawCapabilitySet> for CapabilitySet {
    type Error = InvalidValue;

    fn try_from(raw: RawCapabilitySet) -> Result<Self, Self::Error> {
        Self::new(raw.set)
    }
}

impl From<CapabilitySet> for RawCapabilitySet {
    fn from(set: CapabilitySet) -> Self {
        Self { set: set.0 }
    }
}

/// Some system calls, at least one, and what a refused call answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawSyscallSet", into = "RawSyscallSet")]
pub struct SyscallSet {
    calls: Vec<SyscallName>,
    errno: Option<ErrnoName>,
}

/// The name of a system call, or `@` and the name of a group of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SyscallName(String);

/// The name of an error number, `EPERM` for example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ErrnoName(String);

checked_text!(SyscallName);
checked_text!(ErrnoName);

impl SyscallName {
    fn check(text: &str) -> Result<(), InvalidValue> {
        let is_call = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_group = |c: char| is_call(c) || matches!(c, '-' | '.' | '/');
        let is_sound = match text.strip_prefix('@') {
            Some(group) => !group.is_empty() && group.chars().all(is_group),
            None => !text.is_empty() && text.chars().all(is_call),
        };
        if is_sound {
            return Ok(());
        }
        let rule = "it looks like mount or @docker/default-whitelist";
        Err(InvalidValue::new("system call or group of them", text, rule))
    }
}

impl ErrnoName {
    fn check(text: &str) -> Result<(), InvalidValue> {
        let is_sound = |rest: &str| rest.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        match text.strip_prefix('E') {
            Some(rest) if is_sound(rest) => Ok(()),
            _ => Err(InvalidValue::new("error name", text, "it looks like EPERM")),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct RawSyscallSet {
    set: Vec<SyscallName>,
    /// Empty in what Go wrote where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    errno: String,
}

impl SyscallSet {
    /// These calls; refused ones answer `errno`, or the app is killed where there is none.
    ///
    /// # Errors
    /// Where there is no call.
    pub fn new(calls: Vec<SyscallName>, errno: Option<ErrnoName>) -> Result<Self, InvalidValue> {
        if calls.is_empty() {
            return Err(InvalidValue::new("set of system calls", "", "it holds at least one"));
        }
        Ok(Self { calls, errno })
    }

    /// The calls and groups, in the order of the manifest.
    pub fn calls(&self) -> &[SyscallName] {
        &self.calls
    }

    /// What a refused call answers; without one the app is killed by SIGSYS.
    pub fn errno(&self) -> Option<&ErrnoName> {
        self.errno.as_ref()
    }
}

impl TryFrom<RawSyscallSet> for SyscallSet {
    type Error = InvalidValue;

    fn try_from(raw: RawSyscallSet) -> Result<Self, Self::Error> {
        let errno = match raw.errno.as_str() {
            "" => None,
            name => Some(name.parse()?),
        };
        Self::new(raw.set, errno)
    }
}

impl From<SyscallSet> for RawSyscallSet {
    fn from(set: SyscallSet) -> Self {
        Self { set: set.calls, errno: set.errno.map(String::from).unwrap_or_default() }
    }
}
