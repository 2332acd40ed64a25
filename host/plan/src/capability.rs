//! The kernel's capabilities (capabilities(7)), by name and as a set.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names in the order of their numbers, which linux/capability.h fixes for ever.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// One capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// The kernel's name, such as `CAP_CHOWN`.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// The kernel's number, as capset(2) and prctl(2) take it.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// Takes the kernel's name.
    fn from_str(name: &str) -> Result<Self, UnknownCapability> {
        (0u8..)
            .zip(NAMES)
            .find(|(_, known)| *known == name)
            .map(|(number, _)| Self(number))
            .ok_or_else(|| UnknownCapability { name: name.to_owned() })
    }
}

/// A name that is no capability of any kernel that this program knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no capability `{name}` (see capabilities(7))")]
pub struct UnknownCapability {
    /// The name as given.
    pub name: String,
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    /// Every capability that this program knows.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The set of the named capabilities.
    ///
    /// # Errors
    /// The first name that is not one.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownCapability> {
        names.into_iter().try_fold(Self::EMPTY, |set, name| Ok(set.with(name.parse()?)))
    }

    /// This set and one more.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability.0)
    }

    /// This set and all of another.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without those of another.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether this set has all of another.
    pub fn holds(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether there is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0u8..64).filter(move |number| self.0 >> number & 1 == 1).map(Capability)
    }

    /// A bit for each, as /proc/PID/status shows sets.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl From<Capability> for CapabilitySet {
    fn from(capability: Capability) -> Self {
        Self::EMPTY.with(capability)
    }
}

impl TryFrom<Vec<String>> for CapabilitySet {
    type Error = UnknownCapability;

    fn try_from(names: Vec<String>) -> Result<Self, UnknownCapability> {
        Self::from_names(names.iter().map(String::as_str))
    }
}

impl From<CapabilitySet> for Vec<String> {
    fn from(set: CapabilitySet) -> Self {
        set.iter().map(|capability| capability.name().to_owned()).collect()
    }
}

/// `none`, `all`, or the names with commas between them.
impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EMPTY => f.write_str("none"),
            Self::ALL => f.write_str("all"),
            set => f.write_str(&set.iter().map(Capability::name).collect::<Vec<_>>().join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_kernels() {
        assert_eq!("CAP_CHOWN".parse::<Capability>().unwrap().number(), 0);
        assert_eq!("CAP_SYS_ADMIN".parse::<Capability>().unwrap().number(), 21);
        assert_eq!("CAP_CHECKPOINT_RESTORE".parse::<Capability>().unwrap().number(), 40);
        assert!("cap_chown".parse::<Capability>().is_err());
        assert!("CAP_ALL".parse::<Capability>().is_err());
    }

    #[test]
    fn a_set_survives_being_written_and_read() {
        let set = CapabilitySet::from_names(["CAP_KILL", "CAP_BPF"]).unwrap();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["CAP_KILL","CAP_BPF"]"#);
        assert_eq!(serde_json::from_str::<CapabilitySet>(&text).unwrap(), set);
        assert!(CapabilitySet::ALL.holds(set) && !set.holds(CapabilitySet::ALL));
    }
}
