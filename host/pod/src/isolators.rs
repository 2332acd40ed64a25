//! Isolators of manifests, as flavors see them: who asked for what, in the units of limits.
//!
//! What this rkt cannot apply is refused by name; nothing that was asked for is passed over.

use std::collections::BTreeMap;

use rkt_appc::isolator::{Isolator, SyscallName, SyscallSet};
use rkt_appc::{AcName, Isolators, Quantity};
use rkt_plan::{
    Asked, CapabilityChange, CapabilitySet, LimitKind, Origin, SeccompFilter, SeccompMode, UnknownCapability,
};

/// The least memory that is taken for meant (rkt's own rule).
const LEAST_MEMORY: u64 = 4096;

/// What the isolators of one app ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    pub(crate) limits: BTreeMap<LimitKind, Asked<u64>>,
    pub(crate) capabilities: Option<Asked<CapabilityChange>>,
    pub(crate) seccomp: Option<Asked<SeccompFilter>>,
    pub(crate) no_new_privileges: Option<Origin>,
    pub(crate) oom_score: Option<Asked<i16>>,
}

/// The image's isolators with the user's in the place of those of the same kind.
pub(crate) fn merged(image: &Isolators, user: &[Isolator]) -> Isolators {
    let mut merged = image.clone();
    for isolator in user {
        merged.replace(isolator.clone());
    }
    merged
}

/// Reads the merged isolators of an app. Those that are also the user's were asked for by the user.
pub(crate) fn of_app(
    app: &AcName,
    merged: &Isolators,
    users: &[Isolator],
    by: Origin,
) -> Result<Confinement, IsolatorError> {
    let mut asked = Confinement::default();
    for isolator in merged.iter() {
        let by = if users.contains(isolator) { by } else { Origin::Image };
        let whose = || format!("app {:?}", app.as_str());
        let failed = |cause| IsolatorError { whose: whose(), isolator: isolator.name(), by, cause };
        asked.add(isolator, by).map_err(failed)?;
    }
    Ok(asked)
}

/// Reads the isolators of a pod as a whole, which limit all of its apps together.
pub(crate) fn of_pod(isolators: &Isolators, by: Origin) -> Result<BTreeMap<LimitKind, Asked<u64>>, IsolatorError> {
    let mut asked = Confinement::default();
    for isolator in isolators.iter() {
        let added = if is_shared(isolator) { asked.add(isolator, by) } else { Err(IsolatorProblem::OfAnApp) };
        let whose = "the pod".to_owned();
        added.map_err(|cause| IsolatorError { whose, isolator: isolator.name(), by, cause })?;
    }
    Ok(asked.limits)
}

/// Whether it is about what the apps of a pod share. Others say what one app may do.
fn is_shared(isolator: &Isolator) -> bool {
    match isolator {
        Isolator::Memory(_)
        | Isolator::Cpu(_)
        | Isolator::CpuShares(_)
        | Isolator::PidsLimit(_)
        | Isolator::BlockBandwidth(_)
        | Isolator::BlockIops(_)
        | Isolator::NetworkBandwidth(_)
        | Isolator::Sysctl(_) => true,
        Isolator::CapabilitiesRetain(_)
        | Isolator::CapabilitiesRemove(_)
        | Isolator::SeccompRetain(_)
        | Isolator::SeccompRemove(_)
        | Isolator::NoNewPrivileges(_)
        | Isolator::OomScoreAdj(_)
        | Isolator::SelinuxContext(_)
        | Isolator::ApparmorProfile(_) => false,
    }
}

impl Confinement {
    fn add(&mut self, isolator: &Isolator, by: Origin) -> Result<(), IsolatorProblem> {
        match isolator {
            Isolator::Memory(resource) => self.limit(LimitKind::Memory, resource.limit.map(bytes).transpose()?, by),
            Isolator::Cpu(resource) => self.limit(LimitKind::Cpu, resource.limit.map(thousandths).transpose()?, by),
            Isolator::CpuShares(shares) => self.limit(LimitKind::CpuShares, Some(positive(shares.get())), by),
            Isolator::PidsLimit(limit) => self.limit(LimitKind::Pids, Some(positive(limit.get())), by),
            Isolator::CapabilitiesRetain(set) => {
                self.capabilities(CapabilityChange::Retain(capabilities(set)?), by)?;
            }
            Isolator::CapabilitiesRemove(set) => {
                self.capabilities(CapabilityChange::Remove(capabilities(set)?), by)?;
            }
            Isolator::SeccompRetain(set) => self.seccomp = Some(filter(SeccompMode::Retain, set, by)),
            Isolator::SeccompRemove(set) => self.seccomp = Some(filter(SeccompMode::Remove, set, by)),
            Isolator::NoNewPrivileges(asked) => self.no_new_privileges = asked.then_some(by),
            Isolator::OomScoreAdj(score) => {
                let value = i16::try_from(score.get()).expect("an adjustment is at most 1000");
                self.oom_score = Some(Asked { value, by });
            }
            Isolator::BlockBandwidth(_)
            | Isolator::BlockIops(_)
            | Isolator::NetworkBandwidth(_)
            | Isolator::SelinuxContext(_)
            | Isolator::ApparmorProfile(_)
            | Isolator::Sysctl(_) => return Err(IsolatorProblem::NotYet),
        }
        Ok(())
    }

    /// A request without a limit asks for nothing that this host could promise.
    fn limit(&mut self, kind: LimitKind, value: Option<u64>, by: Origin) {
        if let Some(value) = value {
            self.limits.insert(kind, Asked { value, by });
        }
    }

    fn capabilities(&mut self, value: CapabilityChange, by: Origin) -> Result<(), IsolatorProblem> {
        if self.capabilities.is_some() {
            return Err(IsolatorProblem::BothWays);
        }
        self.capabilities = Some(Asked { value, by });
        Ok(())
    }
}

fn bytes(quantity: Quantity) -> Result<u64, IsolatorProblem> {
    let bytes = u64::try_from(quantity.bytes()).unwrap_or(0);
    if bytes < LEAST_MEMORY { Err(IsolatorProblem::TooLittleMemory { bytes }) } else { Ok(bytes) }
}

fn thousandths(quantity: Quantity) -> Result<u64, IsolatorProblem> {
    u64::try_from(quantity.milli()).ok().filter(|milli| *milli > 0).ok_or(IsolatorProblem::NoProcessor)
}

fn positive(number: i32) -> u64 {
    u64::try_from(number).expect("the isolator's type admits positive numbers only")
}

fn capabilities(set: &rkt_appc::isolator::CapabilitySet) -> Result<CapabilitySet, IsolatorProblem> {
    let names = set.names().iter().map(rkt_appc::isolator::CapabilityName::as_str);
    CapabilitySet::from_names(names).map_err(IsolatorProblem::Capability)
}

fn filter(mode: SeccompMode, set: &SyscallSet, by: Origin) -> Asked<SeccompFilter> {
    let errno = set.errno().map(|errno| errno.as_str().to_owned());
    let names: Vec<&str> = set.calls().iter().map(SyscallName::as_str).collect();
    let (mode, calls) = match (mode, names.as_slice()) {
        // To remove nothing has always meant rkt's default, not to have no filter.
        (SeccompMode::Remove, ["@appc.io/empty"]) => (SeccompMode::Retain, vec!["@default".to_owned()]),
        (mode, names) => (mode, names.iter().map(|name| current(name).to_owned()).collect()),
    };
    Asked { value: SeccompFilter { mode, calls, errno }, by }
}

/// The names that sets had in the specification and in rkt, as this rkt calls them. What is not known
/// here is refused by the check.
fn current(name: &str) -> &str {
    match name {
        "@docker/default-whitelist" | "@rkt/default-whitelist" => "@default",
        "@docker/default-blacklist" | "@rkt/default-blacklist" => "@default-denied",
        "@appc.io/all" => "@all",
        "@appc.io/empty" => "@empty",
        name => name,
    }
}

/// An isolator that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("isolator {isolator} of {whose}, asked for by {}", asker(*.by))]
pub struct IsolatorError {
    /// Whose: an app's, or the pod's.
    pub whose: String,
    /// Its name in manifests.
    pub isolator: &'static str,
    /// By whom it was asked for.
    pub by: Origin,
    /// Why not.
    #[source]
    pub cause: IsolatorProblem,
}

fn asker(by: Origin) -> &'static str {
    match by {
        Origin::CommandLine => "the command line",
        Origin::PodManifest => "the pod manifest",
        Origin::Image => "the image",
    }
}

/// Why an isolator cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolatorProblem {
    /// Nothing here applies it.
    #[error("this rkt cannot apply it yet")]
    NotYet,
    /// One that says what an app may do.
    #[error("it is one of an app, not of a pod: say it of each app")]
    OfAnApp,
    /// Less memory than any program needs.
    #[error("memory limit of {bytes} bytes too low. Try a reasonable value, such as --memory=16M")]
    TooLittleMemory {
        /// What was asked for.
        bytes: u64,
    },
    /// No time of any processor.
    #[error("a limit of no processor time lets nothing run")]
    NoProcessor,
    /// A set to keep and one to give up.
    #[error("cannot have both os/linux/capabilities-retain-set and os/linux/capabilities-remove-set")]
    BothWays,
    /// A capability that is none.
    #[error("its set")]
    Capability(#[source] UnknownCapability),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolators(json: &str) -> Isolators {
        serde_json::from_str(json).unwrap()
    }

    fn one(json: &str) -> Isolator {
        serde_json::from_str(json).unwrap()
    }

    fn read(image: &str, user: &[Isolator]) -> Result<Confinement, IsolatorError> {
        let merged = merged(&isolators(image), user);
        of_app(&"db".parse().unwrap(), &merged, user, Origin::CommandLine)
    }

    #[test]
    fn limits_come_in_the_units_of_plans() {
        let image = r#"[{"name":"resource/memory","value":{"request":"1G","limit":"64Mi"}},
                        {"name":"resource/cpu","value":{"limit":"1500m"}},
                        {"name":"os/linux/cpu-shares","value":512},
                        {"name":"rkt/pids-limit","value":7}]"#;
        let limits = read(image, &[]).unwrap().limits;
        let values: Vec<_> = limits.iter().map(|(kind, asked)| (kind.name(), asked.value, asked.by)).collect();
        let image = Origin::Image;
        assert_eq!(
            values,
            [("memory", 64 << 20, image), ("cpu", 1500, image), ("cpu-shares", 512, image), ("pids", 7, image)]
        );
    }

    #[test]
    fn what_the_user_asks_for_takes_the_place_of_the_images_and_is_the_users() {
        let image = r#"[{"name":"os/linux/capabilities-remove-set","value":{"set":["CAP_KILL"]}},
                        {"name":"os/linux/oom-score-adj","value":5}]"#;
        let retain = one(r#"{"name":"os/linux/capabilities-retain-set","value":{"set":["CAP_CHOWN"]}}"#);
        let found = read(image, &[retain]).unwrap();
        let chown = CapabilitySet::from_names(["CAP_CHOWN"]).unwrap();
        let asked = Asked { value: CapabilityChange::Retain(chown), by: Origin::CommandLine };
        assert_eq!(found.capabilities, Some(asked));
        assert_eq!(found.oom_score, Some(Asked { value: 5, by: Origin::Image }));
    }

    #[test]
    fn old_names_of_sets_mean_the_new_sets() {
        let image = r#"[{"name":"os/linux/seccomp-retain-set","value":{"set":["@rkt/default-whitelist","mount"]}}]"#;
        let filter = read(image, &[]).unwrap().seccomp.unwrap().value;
        assert_eq!(filter.calls, ["@default", "mount"]);
        let nothing = r#"[{"name":"os/linux/seccomp-remove-set","value":{"set":["@appc.io/empty"]}}]"#;
        let filter = read(nothing, &[]).unwrap().seccomp.unwrap().value;
        assert_eq!((filter.mode, filter.calls), (SeccompMode::Retain, vec!["@default".to_owned()]));
    }

    #[test]
    fn what_cannot_be_applied_is_refused_by_name() {
        for (json, why) in [
            (r#"{"name":"os/unix/sysctl","value":{"a":"b"}}"#, IsolatorProblem::NotYet),
            (r#"{"name":"os/linux/apparmor-profile","value":{"profile":"p"}}"#, IsolatorProblem::NotYet),
            (r#"{"name":"resource/memory","value":{"limit":"1k"}}"#, IsolatorProblem::TooLittleMemory { bytes: 1000 }),
            (r#"{"name":"resource/cpu","value":{"limit":"0"}}"#, IsolatorProblem::NoProcessor),
        ] {
            let error = read(&format!("[{json}]"), &[]).unwrap_err();
            assert!(json.contains(error.isolator));
            assert_eq!(error.cause, why);
            assert_eq!(error.to_string(), format!("isolator {} of app \"db\", asked for by the image", error.isolator));
        }
    }

    #[test]
    fn a_pod_as_a_whole_has_limits_and_what_is_no_limit_is_refused_by_name() {
        let json = r#"[{"name":"resource/memory","value":{"limit":"1G"}},{"name":"rkt/pids-limit","value":9}]"#;
        let limits = of_pod(&isolators(json), Origin::PodManifest).unwrap();
        let values: Vec<_> = limits.iter().map(|(kind, asked)| (kind.name(), asked.value, asked.by)).collect();
        assert_eq!(values, [("memory", 1_000_000_000, Origin::PodManifest), ("pids", 9, Origin::PodManifest)]);
        for (json, why) in [
            (r#"{"name":"os/linux/no-new-privileges","value":true}"#, IsolatorProblem::OfAnApp),
            (r#"{"name":"os/unix/sysctl","value":{"a":"b"}}"#, IsolatorProblem::NotYet),
        ] {
            let error = of_pod(&isolators(&format!("[{json}]")), Origin::PodManifest).unwrap_err();
            assert_eq!(error.cause, why);
            let expected = format!("isolator {} of the pod, asked for by the pod manifest", error.isolator);
            assert_eq!(error.to_string(), expected);
        }
    }
}
