//! From a flavor's name to a plugin, its process, and its proposal for a pod.

use std::fs::File;
use std::path::{Path, PathBuf};

use rkt_image::{Image, Reference, ReferenceError, Store, StoreError};
use rkt_plan::{Permissions, Refusal};
use rkt_planner::{Facts, Limits, Planner, Plugin};
use rkt_pod::{Defaults, JudgeError, NotGranted, PluginIdentity, PluginImage, Policy, Proposal, Verdict, Waivers};

use crate::arguments::Globals;
use crate::escape::cell;
use crate::file;
use crate::install;
use crate::report::Failure;

/// The flavors that are part of this program: names and compiled code.
const BUILT_IN: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/flavors.rs"));

/// The configuration that comes with rkt.
const DEFAULTS: Defaults<'_> = Defaults {
    grants: &include!(concat!(env!("OUT_DIR"), "/grants.rs")),
    flavors: include_str!("../defaults/stage1.toml"),
};

/// A flavor with what policy says about it.
#[derive(Debug)]
pub(crate) struct Flavor {
    plugin: Plugin,
    /// What it came in; none where it came as a file or with rkt.
    image: Option<PluginImage>,
    policy: Policy,
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
        let (plugin, image) = load(globals, meant(&policy, name))?;
        Ok(Self { plugin, image, policy })
    }

    /// Whether a name is that of a flavor, rather than the beginning of a UUID.
    pub(crate) fn is_named(globals: &Globals, name: &str) -> Result<bool, Failure> {
        let policy = read_policy(globals)?;
        let name = meant(&policy, name);
        let is_elsewhere = name.contains('/') || name.starts_with("sha512-") || is_component(name);
        Ok(is_elsewhere || BUILT_IN.iter().any(|(known, _)| *known == name))
    }

    /// Its name, by which policy knows it.
    pub(crate) fn name(&self) -> &str {
        self.plugin.name()
    }

    /// Starts its process, which loads the plugin while other things are done.
    pub(crate) fn start(self) -> Result<Started, Failure> {
        let granted = self.granted()?;
        let planner = Planner::start(&install::planner()?, &self.plugin, Limits::default())?;
        Ok(Started { flavor: self, planner, granted })
    }

    fn granted(&self) -> Result<Permissions, Failure> {
        let granted = match &self.image {
            Some(image) => self.policy.granted_to_image(self.plugin.name(), image.id()),
            None => self.policy.granted(self.plugin.name(), self.plugin.digest()),
        };
        granted.map_err(|error| {
            let hint = self.grant_to_write(&error);
            Failure::from(error).hint(hint)
        })
    }

    fn grant_to_write(&self, missing: &NotGranted) -> String {
        let allow: Vec<String> = self.plugin.permissions().iter().map(|asked| format!("    \"{asked}\",\n")).collect();
        format!(
            "to allow all that it asks for, write to {}:\nplugin = {:?}\ndigest = {:?}\nallow = [\n{}]",
            missing.file.display(),
            self.plugin.name(),
            self.image.as_ref().map_or(self.plugin.digest(), |image| image.id().as_str()),
            allow.concat()
        )
    }

    fn identity(&self) -> PluginIdentity {
        PluginIdentity {
            name: self.plugin.name().to_owned(),
            digest: self.plugin.digest().to_owned(),
            image: self.image.as_ref().map(|image| image.id().clone()),
            trust: "wasm".to_owned(),
        }
    }

    /// What the operator would do to have a refused plan accepted; none where no grant could help.
    fn hint(&self, refusal: &Refusal) -> Option<String> {
        let missing = refusal.not_granted();
        if missing.is_empty() {
            return None;
        }
        let missing: Vec<String> = missing.iter().map(|permission| format!("\"{permission}\"")).collect();
        let file = self.policy.file_for(self.plugin.name());
        let copy = if self.policy.is_default_for(self.plugin.name()) {
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
    /// The root of the image that it came in.
    pub(crate) fn payload(&self) -> Option<PathBuf> {
        self.flavor.image.as_ref().map(PluginImage::payload)
    }

    /// Has a pod planned, and judges the plan.
    pub(crate) fn verdict(self, pod: &rkt_plan::Pod, waivers: Waivers) -> Result<Verdict, Failure> {
        let Self { flavor, planner, granted } = self;
        let planned = planner.plan(pod, &HostFacts).map_err(of_planner)?;
        let proposal = Proposal {
            plugin: flavor.identity(),
            facts: planned.facts,
            plan: planned.plan,
            declared: flavor.plugin.permissions().clone(),
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

struct HostFacts;

impl Facts for HostFacts {
    fn fact(&self, name: &str) -> Option<String> {
        rkt_pod::facts::fact(name)
    }
}

fn read_policy(globals: &Globals) -> Result<Policy, Failure> {
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

/// A plugin, and the image that it came in.
type Found = (Plugin, Option<PluginImage>);

fn load(globals: &Globals, name: &str) -> Result<Found, Failure> {
    if let Some((name, code)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Ok((Plugin::embedded(name, code)?, None));
    }
    if is_component(name) {
        return Ok((from_file(globals, Path::new(name))?, None));
    }
    match resolve(globals, name) {
        Ok(image) => from_image(globals, image),
        Err(ReferenceError::Store(StoreError::NoSuchName(_))) => {
            let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            Err(Failure::said(format!("there is no flavor {name:?}")).hint(format!(
                "flavors are {}, components in files NAME.wasm, and images: a file, or a name or an ID in the store",
                known.join(", ")
            )))
        }
        Err(error) => Err(error.into()),
    }
}

/// A plugin's component, compiled here. Its name, by which policy knows it, is the file's.
fn from_file(globals: &Globals, path: &Path) -> Result<Plugin, Failure> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    refuse_name_of_ours(&name, &path.display().to_string(), "policy knows a plugin by the name of its file")?;
    let file = file::open(path).map_err(|error| Failure::said(format!("cannot open {}: {error}", path.display())))?;
    compiled(globals, &name, file)
}

/// A plugin in an image of the store, compiled here. Its name is the image's.
fn from_image(globals: &Globals, image: Image) -> Result<Found, Failure> {
    image.mark_used();
    let image = PluginImage::new(image);
    let name = image.name().as_str();
    refuse_name_of_ours(name, &format!("image {}", image.id()), "policy knows a plugin by the name of its image")?;
    let plugin = compiled(globals, name, image.component()?)?;
    Ok((plugin, Some(image)))
}

fn compiled(globals: &Globals, name: &str, component: File) -> Result<Plugin, Failure> {
    Ok(rkt_planner::install(name, component, &globals.dir.join("plugins/cache"), &install::compiler()?)?)
}

/// What policy gives a flavor that comes with rkt was not meant for whatever else has its name.
fn refuse_name_of_ours(name: &str, whose: &str, because: &str) -> Result<(), Failure> {
    if BUILT_IN.iter().all(|(known, _)| *known != name) {
        return Ok(());
    }
    Err(Failure::said(format!("{whose} has the name of a flavor that comes with rkt"))
        .hint(format!("{because}: give it one of its own")))
}

/// The image of a plugin, verified as any is.
fn resolve(globals: &Globals, name: &str) -> Result<Image, ReferenceError> {
    let (store, verification) = (Store::at(&globals.dir), globals.insecure_options.verification());
    store.resolve(&Reference::parse(name)?, verification, &rkt_image::Policy::default(), &mut |_| {})
}

/// Whether a name is that of a file with a component; others that are no flavors of ours are images.
fn is_component(name: &str) -> bool {
    Path::new(name).extension() == Some("wasm".as_ref())
}
