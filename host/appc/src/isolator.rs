//! Isolators: what an app or pod asks for by way of limits and confinement (specification,
//! "Isolators"). Whether and how it is enforced is decided elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::texts_by_name;

pub use limits::{CpuShares, OomScoreAdj, PidsLimit, Resource, Throughput};
pub use security::{ApparmorProfile, ProfileName, SelinuxContext};
pub use sets::{CapabilityName, CapabilitySet, ErrnoName, SyscallName, SyscallSet};

mod limits;
mod security;
mod sets;

/// One isolator: its name in a manifest says which, and what form its value has.
///
/// An unknown name is an error: to leave out a confinement that somebody asked for is not safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "value")]
pub enum Isolator {
    /// Cores of CPU; `500m` is half a core.
    #[serde(rename = "resource/cpu")]
    Cpu(Resource),
    /// Bytes of memory.
    #[serde(rename = "resource/memory")]
    Memory(Resource),
    /// Bytes a second to and from block devices.
    #[serde(rename = "resource/block-bandwidth")]
    BlockBandwidth(Throughput),
    /// Operations a second on block devices.
    #[serde(rename = "resource/block-iops")]
    BlockIops(Throughput),
    /// Bytes a second to and from the network.
    #[serde(rename = "resource/network-bandwidth")]
    NetworkBandwidth(Throughput),
    /// The only capabilities that the app may have.
    #[serde(rename = "os/linux/capabilities-retain-set")]
    CapabilitiesRetain(CapabilitySet),
    /// Capabilities that the app may not have, out of the default ones.
    #[serde(rename = "os/linux/capabilities-remove-set")]
    CapabilitiesRemove(CapabilitySet),
    /// The only system calls that the app may make.
    #[serde(rename = "os/linux/seccomp-retain-set")]
    SeccompRetain(SyscallSet),
    /// System calls that the app may not make.
    #[serde(rename = "os/linux/seccomp-remove-set")]
    SeccompRemove(SyscallSet),
    /// Whether exec may give the app rights that it has not (prctl(2), `PR_SET_NO_NEW_PRIVS`).
    #[serde(rename = "os/linux/no-new-privileges")]
    NoNewPrivileges(bool),
    /// What is added to the app's badness when memory runs out (proc(5), `oom_score_adj`).
    #[serde(rename = "os/linux/oom-score-adj")]
    OomScoreAdj(OomScoreAdj),
    /// The app's weight against others when CPU is scarce.
    #[serde(rename = "os/linux/cpu-shares")]
    CpuShares(CpuShares),
    /// The `SELinux` context that the app runs in.
    #[serde(rename = "os/linux/selinux-context")]
    SelinuxContext(SelinuxContext),
    /// The `AppArmor` profile that the app runs under.
    #[serde(rename = "os/linux/apparmor-profile")]
    ApparmorProfile(ApparmorProfile),
    /// Kernel parameters of the pod's namespaces, by name.
    #[serde(rename = "os/unix/sysctl", deserialize_with = "texts_by_name")]
    Sysctl(BTreeMap<String, String>),
    /// Processes and threads of the app. It is rkt's own: the specification has none.
    #[serde(rename = "rkt/pids-limit")]
    PidsLimit(PidsLimit),
}

impl Isolator {
    /// The name in manifests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "resource/cpu",
            Self::Memory(_) => "resource/memory",
            Self::BlockBandwidth(_) => "resource/block-bandwidth",
            Self::BlockIops(_) => "resource/block-iops",
            Self::NetworkBandwidth(_) => "resource/network-bandwidth",
            Self::CapabilitiesRetain(_) => "os/linux/capabilities-retain-set",
            Self::CapabilitiesRemove(_) => "os/linux/capabilities-remove-set",
            Self::SeccompRetain(_) => "os/linux/seccomp-retain-set",
            Self::SeccompRemove(_) => "os/linux/seccomp-remove-set",
            Self::NoNewPrivileges(_) => "os/linux/no-new-privileges",
            Self::OomScoreAdj(_) => "os/linux/oom-score-adj",
            Self::CpuShares(_) => "os/linux/cpu-shares",
            Self::SelinuxContext(_) => "os/linux/selinux-context",
            Self::ApparmorProfile(_) => "os/linux/apparmor-profile",
            Self::Sysctl(_) => "os/unix/sysctl",
            Self::PidsLimit(_) => "rkt/pids-limit",
        }
    }

    /// Whether a later one of the same name replaces it; of the others there may be but one.
    fn may_repeat(&self) -> bool {
        match self {
            Self::Cpu(_)
            | Self::Memory(_)
            | Self::BlockBandwidth(_)
            | Self::BlockIops(_)
            | Self::NetworkBandwidth(_)
            | Self::CapabilitiesRetain(_)
            | Self::CapabilitiesRemove(_)
            | Self::NoNewPrivileges(_) => true,
            Self::SeccompRetain(_)
            | Self::SeccompRemove(_)
            | Self::OomScoreAdj(_)
            | Self::CpuShares(_)
            | Self::SelinuxContext(_)
            | Self::ApparmorProfile(_)
            | Self::Sysctl(_)
            | Self::PidsLimit(_) => false,
        }
    }
}

/// The isolators of an app or pod, in the order of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Isolator>", into = "Vec<Isolator>")]
pub struct Isolators(Vec<Isolator>);

/// Isolators that cannot stand together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolatorConflict {
    /// One of which there may be but one is given twice.
    #[error("isolators set contains too many instances of type {0}")]
    Repeated(&'static str),
    /// A list of system calls to keep and one to remove.
    #[error("isolators set contains incompatible types: a seccomp retain set and a remove set")]
    SeccompBothWays,
}

impl Isolators {
    /// Each that counts: of those with the same name, the last.
    pub fn iter(&self) -> impl Iterator<Item = &Isolator> {
        let is_last = |(index, isolator): &(usize, &Isolator)| {
            let later = &self.0[index + 1..];
            later.iter().all(|other| other.name() != isolator.name())
        };
        self.0.iter().enumerate().filter(is_last).map(|(_, isolator)| isolator)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `isolator` in the place of all those of its kind. The two sets of capabilities are of one
    /// kind, and so are the two of system calls.
    pub fn replace(&mut self, isolator: Isolator) {
        let kind = kind(&isolator);
        self.0.retain(|other| self::kind(other) != kind);
        self.0.push(isolator);
    }
}

/// The name without the direction of a set.
fn kind(isolator: &Isolator) -> &'static str {
    let name = isolator.name();
    let set = name.strip_suffix("-retain-set").or_else(|| name.strip_suffix("-remove-set"));
    set.unwrap_or(name)
}

impl TryFrom<Vec<Isolator>> for Isolators {
    type Error = IsolatorConflict;

    fn try_from(isolators: Vec<Isolator>) -> Result<Self, Self::Error> {
        for (index, isolator) in isolators.iter().enumerate() {
            let earlier = &isolators[..index];
            let is_repeated = earlier.iter().any(|other| other.name() == isolator.name());
            if is_repeated && !isolator.may_repeat() {
                return Err(IsolatorConflict::Repeated(isolator.name()));
            }
        }
        let has = |wanted: fn(&Isolator) -> bool| isolators.iter().any(wanted);
        if has(|isolator| matches!(isolator, Isolator::SeccompRetain(_)))
            && has(|isolator| matches!(isolator, Isolator::SeccompRemove(_)))
        {
            return Err(IsolatorConflict::SeccompBothWays);
        }
        Ok(Self(isolators))
    }
}

impl From<Isolators> for Vec<Isolator> {
    fn from(isolators: Isolators) -> Self {
        isolators.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each name, in its canonical form.
    const ALL: [&str; 16] = [
        r#"{"name":"resource/cpu","value":{"request":"250m","limit":"1500m"}}"#,
        r#"{"name":"resource/memory","value":{"limit":"1G"}}"#,
        r#"{"name":"resource/block-bandwidth","value":{"default":true,"limit":"2M"}}"#,
        r#"{"name":"resource/block-iops","value":{"default":true,"limit":"1k"}}"#,
        r#"{"name":"resource/network-bandwidth","value":{"default":true,"limit":"1Gi"}}"#,
        r#"{"name":"os/linux/capabilities-retain-set","value":{"set":["CAP_NET_ADMIN"]}}"#,
        r#"{"name":"os/linux/capabilities-remove-set","value":{"set":["CAP_KILL","CAP_CHOWN"]}}"#,
        r#"{"name":"os/linux/seccomp-retain-set","value":{"set":["read","@a/b-c"],"errno":"EPERM"}}"#,
        r#"{"name":"os/linux/seccomp-remove-set","value":{"set":["reboot"]}}"#,
        r#"{"name":"os/linux/no-new-privileges","value":true}"#,
        r#"{"name":"os/linux/oom-score-adj","value":-1000}"#,
        r#"{"name":"os/linux/cpu-shares","value":262144}"#,
        r#"{"name":"os/linux/selinux-context","value":{"user":"u","role":"r","type":"t","level":"s0:c1"}}"#,
        r#"{"name":"os/linux/apparmor-profile","value":{"profile":"strict"}}"#,
        r#"{"name":"os/unix/sysctl","value":{"net.ipv4.tcp_fin_timeout":"6"}}"#,
        r#"{"name":"rkt/pids-limit","value":64}"#,
    ];

    #[test]
    fn each_isolator_reads_and_writes_the_same_text_under_its_name() {
        for json in ALL {
            let isolator: Isolator = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&isolator).unwrap(), json);
            assert!(json.contains(&format!("\"name\":\"{}\"", isolator.name())), "{json}");
        }
    }

    #[test]
    fn values_that_break_a_rule_are_refused() {
        for (name, value) in [
            ("resource/cpu", r#"{"limit":"1x"}"#),
            ("resource/cpu", r#"{"limit":"-1"}"#),
            ("resource/cpu", r#"{"default":true,"limit":"1"}"#),
            ("resource/memory", r#""1G""#),
            ("resource/block-iops", r#"{"limit":"1"}"#),
            ("resource/block-iops", r#"{"default":true}"#),
            ("resource/block-iops", r#"{"default":true,"limit":"1","request":"1"}"#),
            ("os/linux/capabilities-retain-set", r#"{"set":[]}"#),
            ("os/linux/capabilities-retain-set", r#"{"set":["NET_ADMIN"]}"#),
            ("os/linux/capabilities-retain-set", r#"{"set":["CAP_"]}"#),
            ("os/linux/capabilities-retain-set", r"{}"),
            ("os/linux/seccomp-retain-set", r#"{"set":[]}"#),
            ("os/linux/seccomp-retain-set", r#"{"set":[""]}"#),
            ("os/linux/seccomp-retain-set", r#"{"set":["@"]}"#),
            ("os/linux/seccomp-retain-set", r#"{"set":["read"],"errno":"eperm"}"#),
            ("os/linux/no-new-privileges", r#""true""#),
            ("os/linux/oom-score-adj", "-1001"),
            ("os/linux/oom-score-adj", "1001"),
            ("os/linux/cpu-shares", "1"),
            ("os/linux/cpu-shares", "262145"),
            ("os/linux/cpu-shares", "4294967298"),
            ("os/linux/selinux-context", r#"{"user":"a:b","role":"r","type":"t","level":"l"}"#),
            ("os/linux/selinux-context", r#"{"user":"","role":"r","type":"t","level":"l"}"#),
            ("os/linux/apparmor-profile", r#"{"profile":""}"#),
            ("os/unix/sysctl", r#"{"a":1}"#),
        ] {
            let json = format!(r#"{{"name":"{name}","value":{value}}}"#);
            assert!(serde_json::from_str::<Isolator>(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_unknown_isolator_is_an_error_that_names_it() {
        let json = r#"{"name":"os/linux/unknown","value":1}"#;
        let error = serde_json::from_str::<Isolator>(json).unwrap_err();
        assert!(error.to_string().contains("`os/linux/unknown`"), "{error}");
    }

    fn isolators(list: &[&str]) -> Result<Isolators, serde_json::Error> {
        serde_json::from_str(&format!("[{}]", list.join(",")))
    }

    #[test]
    fn of_some_isolators_the_last_counts_and_of_others_there_is_but_one() {
        for json in ALL {
            let repeated = isolators(&[json, json]);
            let isolator: Isolator = serde_json::from_str(json).unwrap();
            assert_eq!(repeated.is_ok(), isolator.may_repeat(), "{json}");
        }
        let first = r#"{"name":"resource/memory","value":{"limit":"1G"}}"#;
        let last = r#"{"name":"resource/memory","value":{"limit":"2G"}}"#;
        let counted = isolators(&[first, ALL[9], last]).unwrap();
        let names: Vec<_> = counted.iter().map(Isolator::name).collect();
        assert_eq!(names, ["os/linux/no-new-privileges", "resource/memory"]);
        let limit = counted.iter().find_map(|isolator| match isolator {
            Isolator::Memory(memory) => memory.limit,
            _ => None,
        });
        assert_eq!(limit.unwrap().bytes(), 2_000_000_000);
    }

    #[test]
    fn system_calls_are_kept_or_removed_but_not_both() {
        assert!(isolators(&[ALL[7], ALL[8]]).is_err());
        assert!(isolators(&[ALL[5], ALL[6]]).is_ok());
    }

    #[test]
    fn an_override_replaces_all_of_its_kind() {
        let mut isolators = isolators(&[ALL[5], ALL[7], ALL[6], ALL[1]]).unwrap();
        isolators.replace(serde_json::from_str(ALL[6]).unwrap());
        isolators.replace(serde_json::from_str(ALL[8]).unwrap());
        let names: Vec<_> = isolators.iter().map(Isolator::name).collect();
        let expected = ["resource/memory", "os/linux/capabilities-remove-set", "os/linux/seccomp-remove-set"];
        assert_eq!(names, expected);
    }
}
