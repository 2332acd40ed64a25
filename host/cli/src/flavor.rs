//! From a flavor's name to what policy says of it, its process, and its proposal for a pod.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rkt_appc::ImageId;
use rkt_plan::{Permissions, Refusal, Trust};
use rkt_planner::{Facts, Limits, Planner};
use rkt_pod::{
    Defaults, JudgeError, NotGranted, Payload, PluginIdentity, PluginImage, Policy, Proposal, Record, Verdict, Waivers,
};

use self::choice::{Wanted, meant, wanted};
use crate::arguments::{Choice, Globals};
use crate::escape::cell;
use crate::install;
use crate::plugin::{self, Early, Found};
use crate::report::Failure;

mod choice;

/// The configuration that comes with rkt.
const DEFAULTS: Defaults = Defaults {
    grants: &include!(concat!(env!("OUT_DIR"), "/grants.rs")),
    flavors: include_str!("../defaults/stage1.toml"),
};

/// What can be done where the plugin of a record is gone, and all that is wanted is a plan.
const OTHERS_PLAN_TOO: &str = "--plugin names a flavor to plan the pod with instead";

/// The same, where a pod was prepared for it.
const PREPARE_ANEW: &str = "prepare the pod anew";

/// The same, where the pod runs.
const NOBODY_ELSE_PLANS: &str =
    "a pod that runs is planned again by the plugin that planned it: run the pod anew to change it";

/// A flavor with what policy says about it.
#[derive(Debug)]
pub(crate) struct Flavor {
    found: Found,
    /// Its process, where that was started early.
    planner: Option<Planner>,
    /// As records name it.
    identity: PluginIdentity,
    policy: Policy,
    /// The data directory.
    data: PathBuf,
}

impl Flavor {
    /// The flavor that is chosen, or the one of pods that choose none.
    pub(crate) fn find(globals: &Globals, choice: Option<&Choice>) -> Result<Self, Failure> {
        Self::find_or_take(globals, choice, None)
    }

    /// The same, where one may have been started early: nothing else has the name of one that comes with rkt.
    pub(crate) fn find_or_take(
        globals: &Globals,
        choice: Option<&Choice>,
        early: Option<Early>,
    ) -> Result<Self, Failure> {
        let policy = read_policy(globals)?;
        let wanted = match (choice, policy.default_flavor()) {
            (Some(choice), _) => wanted(globals, &policy, choice)?,
            (None, Some(name)) => Wanted::named(globals, meant(&policy, name)),
            (None, None) => {
                return Err(Failure::said("no flavor is named and none is the default").hint(format!(
                    "name one with --stage1, or in {}",
                    globals.local_config.join("stage1.toml").display()
                )));
            }
        };
        let (found, planner) = match early.filter(|early| early.plugin.name() == wanted.name) {
            Some(early) => (Found::without_image(early.plugin), Some(early.planner)),
            None => (plugin::load(globals, &wanted.name, wanted.verification)?, None),
        };
        Ok(Self { identity: found.identity(), found, planner, policy, data: globals.dir.clone() })
    }

    /// The very flavor that planned a pod that runs, whatever has its name by now. What it may propose is what
    /// policy gives it now.
    pub(crate) fn of(globals: &Globals, record: &Record) -> Result<Self, Failure> {
        Self::pinned(globals, &record.proposal.plugin, NOBODY_ELSE_PLANS)
    }

    /// The same for the one that a pod was prepared for.
    pub(crate) fn of_prepared(globals: &Globals, plugin: &PluginIdentity) -> Result<Self, Failure> {
        Self::pinned(globals, plugin, PREPARE_ANEW)
    }

    fn pinned(globals: &Globals, identity: &PluginIdentity, hint: &str) -> Result<Self, Failure> {
        let found = plugin::recorded(globals, identity, hint)?;
        let found = Found { image: plugin::recorded_image(globals, identity), ..found };
        let (identity, policy) = (identity.clone(), read_policy(globals)?);
        Ok(Self { found, identity, planner: None, policy, data: globals.dir.clone() })
    }

    /// Whether a name is that of a flavor, rather than the beginning of a UUID.
    pub(crate) fn is_named(globals: &Globals, name: &str) -> Result<bool, Failure> {
        let policy = read_policy(globals)?;
        Ok(plugin::is_named(meant(&policy, name)))
    }

    /// Its name, by which policy knows it.
    pub(crate) fn name(&self) -> &str {
        self.found.plugin.name()
    }

    /// How it is named where it is to be found again.
    pub(crate) fn identity(&self) -> &PluginIdentity {
        &self.identity
    }

    /// Sees to it that it can plan a pod later.
    pub(crate) fn keep(&self, globals: &Globals) {
        self.found.keep(globals);
    }

    /// The options that its pods get, of which these are asked for.
    pub(crate) fn options(&self, asked: BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.policy.options(self.name(), asked)
    }

    /// Starts its process, which loads the plugin while other things are done, unless that was started early.
    pub(crate) fn start(mut self) -> Result<Started, Failure> {
        let granted = self.granted()?;
        let early = self.planner.take();
        let plugin = &self.found.plugin;
        let planner = match early {
            Some(planner) => planner,
            None => Planner::start(&install::planner(plugin.trust())?, plugin, Limits::default())?,
        };
        Ok(Started { flavor: self, planner, granted })
    }

    fn granted(&self) -> Result<Permissions, Failure> {
        let plugin = &self.found.plugin;
        let granted = match &self.identity.image {
            Some(image) => self.policy.granted_to_image(plugin.name(), image, plugin.trust()),
            None => self.policy.granted(plugin.name(), plugin.digest(), plugin.trust()),
        };
        granted.map_err(|error| {
            let hint = self.grant_to_write(&error);
            Failure::from(error).hint(hint)
        })
    }

    fn grant_to_write(&self, missing: &NotGranted) -> String {
        let allow: Vec<String> =
            self.found.plugin.permissions().iter().map(|asked| format!("    \"{asked}\",\n")).collect();
        let trust = match self.found.plugin.trust() {
            Trust::Wasm => "",
            Trust::Native => "trust = \"native\"\n",
        };
        format!(
            "to allow all that it asks for, write to {}:\nplugin = {:?}\ndigest = {:?}\n{trust}allow = [\n{}]",
            missing.file.display(),
            self.found.plugin.name(),
            self.identity.image.as_ref().map_or(self.found.plugin.digest(), ImageId::as_str),
            allow.concat()
        )
    }

    /// What the operator would do to have a refused plan accepted; none where no grant could help.
    fn hint(&self, refusal: &Refusal) -> Option<String> {
        let missing = refusal.not_granted();
        if missing.is_empty() {
            return None;
        }
        let missing: Vec<String> = missing.iter().map(|permission| format!("\"{permission}\"")).collect();
        let file = self.policy.file_for(self.found.plugin.name());
        let copy = if self.policy.is_default_for(self.found.plugin.name()) {
            ", a copy of the file that comes with rkt"
        } else {
            ""
        };
        Some(format!("add {} to allow in {}{copy}", missing.join(", "), file.display()))
    }
}

/// A flavor whose process runs.
#[derive(Debug)]
pub(crate) struct Started {
    flavor: Flavor,
    planner: Planner,
    granted: Permissions,
}

impl Started {
    /// The files of the image that it came in.
    pub(crate) fn payload(&self) -> Option<Payload> {
        self.flavor.found.image.as_ref().map(PluginImage::payload)
    }

    /// The kernel that the operator names for guests.
    pub(crate) fn kernel(&self) -> Option<PathBuf> {
        self.flavor.policy.kernel().map(Path::to_owned)
    }

    /// Has a pod planned, while other things are done.
    pub(crate) fn ask(self, pod: &rkt_plan::Pod) -> Result<Asked, Failure> {
        let Self { flavor, planner, granted } = self;
        Ok(Asked { flavor, plan: planner.ask(pod).map_err(of_planner)?, granted })
    }
}

/// A flavor that was asked for a plan.
#[derive(Debug)]
pub(crate) struct Asked {
    flavor: Flavor,
    plan: rkt_planner::Asked,
    granted: Permissions,
}

impl Asked {
    /// Sees to it that it can plan this pod again.
    pub(crate) fn keep(&self, globals: &Globals) {
        self.flavor.found.keep(globals);
    }

    /// Answers what its plugin has asked by now.
    pub(crate) fn answer(&mut self) -> Result<(), Failure> {
        self.plan.answer(&HostFacts { data: &self.flavor.data }).map_err(of_planner)
    }

    /// Takes the plan, and judges it for the pod that it was asked for.
    pub(crate) fn verdict(self, pod: &rkt_plan::Pod, waivers: Waivers) -> Result<Verdict, Failure> {
        self.judge(pod, None, waivers)
    }

    /// The same for what a pod is to become that runs as recorded: what was true of the host then is true.
    pub(crate) fn verdict_again(
        self,
        record: &Record,
        pod: &rkt_plan::Pod,
        waivers: Waivers,
    ) -> Result<Verdict, Failure> {
        self.judge(pod, Some(record), waivers)
    }

    fn judge(self, pod: &rkt_plan::Pod, pinned: Option<&Record>, waivers: Waivers) -> Result<Verdict, Failure> {
        let Self { flavor, plan, granted } = self;
        let host = HostFacts { data: &flavor.data };
        let facts: &dyn Facts = match pinned {
            None => &host,
            Some(record) => &PinnedFacts { record, host },
        };
        let judged = plan.judged(facts, |planned| {
            let proposal = Proposal {
                plugin: flavor.identity.clone(),
                facts: planned.facts,
                plan: planned.plan,
                declared: flavor.found.plugin.permissions().clone(),
                granted,
            };
            rkt_pod::judge(pod, proposal, waivers)
        });
        judged.map_err(of_planner)?.map_err(|error| match &error {
            JudgeError::Refused { refusal, .. } => match flavor.hint(refusal) {
                Some(hint) => Failure::from(error).hint(hint),
                None => error.into(),
            },
            JudgeError::NoPayload { .. } => {
                Failure::from(error).hint("name the image that it is in, as --stage1=FILE.aci")
            }
            JudgeError::Unmet { .. } => error.into(),
        })
    }
}

/// Has a recorded pod planned again, by the plugin that planned it or by the one of this name, which is
/// told what the other was told. Nothing is judged.
pub(crate) fn plan_again(globals: &Globals, record: &Record, name: Option<&str>) -> Result<Proposal, Failure> {
    let found = match name {
        Some(name) => {
            plugin::load(globals, meant(&read_policy(globals)?, name), globals.insecure_options.verification())?
        }
        None => plugin::recorded(globals, &record.proposal.plugin, OTHERS_PLAN_TOO)?,
    };
    let planner = Planner::start(&install::planner(found.plugin.trust())?, &found.plugin, Limits::default())?;
    let answer = planner.plan(&record.pod, &RecordedFacts(record)).map_err(of_planner)?;
    Ok(Proposal {
        plugin: found.identity(),
        facts: answer.facts,
        plan: answer.plan,
        declared: found.plugin.permissions().clone(),
        granted: record.proposal.granted.clone(),
    })
}

/// A plugin's own words are shown on one line, and its hint as one.
fn of_planner(error: rkt_planner::Error) -> Failure {
    match error {
        rkt_planner::Error::Refused { plugin, message, hint } => {
            let failure = Failure::said(format!("{plugin}: {}", cell(&message)));
            match hint {
                Some(hint) => failure.hint(cell(&hint)),
                None => failure,
            }
        }
        other => other.into(),
    }
}

/// What this host says, and what is noted of it in the data directory.
struct HostFacts<'a> {
    data: &'a Path,
}

impl Facts for HostFacts<'_> {
    fn fact(&self, name: &str) -> Option<String> {
        rkt_pod::facts::fact(name, self.data)
    }
}

/// What a plugin was told once.
struct RecordedFacts<'a>(&'a Record);

impl Facts for RecordedFacts<'_> {
    fn fact(&self, name: &str) -> Option<String> {
        self.0.fact(name).map(str::to_owned)
    }
}

/// What a plugin was told once, and of what it did not ask then what is so now.
struct PinnedFacts<'a> {
    record: &'a Record,
    host: HostFacts<'a>,
}

impl Facts for PinnedFacts<'_> {
    fn fact(&self, name: &str) -> Option<String> {
        self.record.proposal.facts.get(name).map_or_else(|| self.host.fact(name), Clone::clone)
    }
}

/// What the operator decided of plugins.
fn read_policy(globals: &Globals) -> Result<Policy, Failure> {
    Ok(Policy::read(DEFAULTS, &globals.configuration(), &globals.local_config)?)
}

#[cfg(test)]
mod tests {
    use rkt_plan::Grant;

    use super::*;

    #[test]
    fn each_grant_that_comes_with_rkt_is_for_the_plugin_that_its_file_is_named_after() {
        assert!(!DEFAULTS.grants.is_empty());
        for (name, text) in DEFAULTS.grants {
            assert_eq!(Grant::from_toml(text).unwrap().plugin, *name);
        }
    }
}
