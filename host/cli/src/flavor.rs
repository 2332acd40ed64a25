//! From a flavor's name to what policy says of it, its process, and its proposal for a pod.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rkt_plan::{Permissions, Refusal, Trust};
use rkt_planner::{Facts, Limits, Planner};
use rkt_pod::{Defaults, JudgeError, NotGranted, PluginImage, Policy, Proposal, Record, Verdict, Waivers};

use crate::arguments::Globals;
use crate::escape::cell;
use crate::install;
use crate::plugin::{self, Found};
use crate::report::Failure;

/// The configuration that comes with rkt.
const DEFAULTS: Defaults<'_> = Defaults {
    grants: &include!(concat!(env!("OUT_DIR"), "/grants.rs")),
    flavors: include_str!("../defaults/stage1.toml"),
    records: include_str!("../defaults/records.toml"),
};

/// A flavor with what policy says about it.
#[derive(Debug)]
pub(crate) struct Flavor {
    found: Found,
    policy: Policy,
    /// The data directory.
    data: PathBuf,
}

impl Flavor {
    /// The flavor of this name, or the one of pods that name none.
    pub(crate) fn find(globals: &Globals, name: Option<&str>) -> Result<Self, Failure> {
        let policy = read_policy(globals)?;
        let Some(name) = name.or(policy.default_flavor()) else {
            return Err(Failure::said("no flavor is named and none is the default").hint(format!(
                "name one with --stage1, or in {}",
                globals.local_config.join("stage1.toml").display()
            )));
        };
        let found = plugin::load(globals, meant(&policy, name))?;
        Ok(Self { found, policy, data: globals.dir.clone() })
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

    /// The options that its pods get, of which these are asked for.
    pub(crate) fn options(&self, asked: BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.policy.options(self.name(), asked)
    }

    /// Starts its process, which loads the plugin while other things are done.
    pub(crate) fn start(self) -> Result<Started, Failure> {
        let granted = self.granted()?;
        let plugin = &self.found.plugin;
        let planner = Planner::start(&install::planner(plugin.trust())?, plugin, Limits::default())?;
        Ok(Started { flavor: self, planner, granted })
    }

    fn granted(&self) -> Result<Permissions, Failure> {
        let plugin = &self.found.plugin;
        let granted = match &self.found.image {
            Some(image) => self.policy.granted_to_image(plugin.name(), image.id(), plugin.trust()),
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
            self.found.image.as_ref().map_or(self.found.plugin.digest(), |image| image.id().as_str()),
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
    /// Sees to it that it can plan this pod again.
    pub(crate) fn keep(&self, globals: &Globals) {
        self.flavor.found.keep(globals);
    }

    /// The root of the image that it came in.
    pub(crate) fn payload(&self) -> Option<PathBuf> {
        self.flavor.found.image.as_ref().map(PluginImage::payload)
    }

    /// The kernel that the operator names for guests.
    pub(crate) fn kernel(&self) -> Option<PathBuf> {
        self.flavor.policy.kernel().map(Path::to_owned)
    }

    /// Has a pod planned, and judges the plan.
    pub(crate) fn verdict(self, pod: &rkt_plan::Pod, waivers: Waivers) -> Result<Verdict, Failure> {
        let Self { flavor, planner, granted } = self;
        let planned = planner.plan(pod, &HostFacts { data: &flavor.data }).map_err(of_planner)?;
        let proposal = Proposal {
            plugin: flavor.found.identity(),
            facts: planned.facts,
            plan: planned.plan,
            declared: flavor.found.plugin.permissions().clone(),
            granted,
        };
        rkt_pod::judge(pod, proposal, waivers).map_err(|error| match &error {
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
        Some(name) => plugin::load(globals, meant(&read_policy(globals)?, name))?,
        None => plugin::recorded(globals, &record.proposal.plugin)?,
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

/// What the operator decided.
pub(crate) fn read_policy(globals: &Globals) -> Result<Policy, Failure> {
    let directories: Vec<PathBuf> =
        [&globals.system_config, &globals.local_config].into_iter().chain(&globals.user_config).cloned().collect();
    Ok(Policy::read(&DEFAULTS, &directories, &globals.local_config)?)
}

/// The flavor that a name stands for. The files of rkt 1's flavors stand for ours wherever they were.
fn meant<'a>(policy: &'a Policy, name: &'a str) -> &'a str {
    let file = Path::new(name).file_name().and_then(|file| file.to_str()).unwrap_or(name);
    match policy.flavor(name) {
        same if same == name && policy.flavor(file) != file => policy.flavor(file),
        other => other,
    }
}
