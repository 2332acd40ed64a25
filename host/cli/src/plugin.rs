//! From a name to a plugin: one that comes with rkt, one in a file or an image, or one that was kept for
//! the records that name it. What policy says about it is not known here.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rkt_image::{Image, Reference, ReferenceError, Store, StoreError, Verification};
use rkt_plan::Trust;
use rkt_planner::{InstallError, Kept, Limits, Planner, Plugin};
use rkt_pod::{PluginIdentity, PluginImage};

use crate::arguments::Globals;
use crate::file;
use crate::install;
use crate::report::Failure;

/// A flavor that is part of this program.
struct BuiltIn {
    name: &'static str,
    /// Its compiled code, as an artifact.
    code: &'static [u8],
    /// What that was made of, so that a later rkt can make its own of it.
    component: &'static [u8],
}

/// Bytes that begin a page of the program's file, so that what is among them can be mapped from there.
#[repr(align(4096))]
struct Pages<const LENGTH: usize>([u8; LENGTH]);

impl BuiltIn {
    fn find(name: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|known| known.name == name)
    }
}

/// The one that pods get that name none, unless the operator says otherwise.
const DEFAULT: &str = include!(concat!(env!("OUT_DIR"), "/default.rs"));

const BUILT_IN: &[BuiltIn] = &include!(concat!(env!("OUT_DIR"), "/flavors.rs"));

/// A flavor that comes with rkt and its process, started before it was known whether it is meant.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) plugin: Plugin,
    pub(crate) planner: Planner,
    /// How long that took.
    pub(crate) took: Duration,
}

/// Starts the process of the one that `rkt run` seems to mean, before the line is understood and policy
/// read: what it does until it is asked, in its cage, takes longer than that. None where none of them seems
/// to be meant or something is wrong: then it is started when the plugin is known, and that is said.
pub(crate) fn start_early(words: &[OsString]) -> Option<Early> {
    if !words.iter().any(|word| word == "run") {
        return None;
    }
    let begun = Instant::now();
    let named = words.iter().rev().find_map(|word| word.to_str()?.strip_prefix("--stage1="));
    let flavor = BuiltIn::find(named.unwrap_or(DEFAULT))?;
    let plugin = Plugin::embedded(flavor.name, flavor.code).ok()?;
    let planner = Planner::start(&install::planner(Trust::Wasm).ok()?, &plugin, Limits::default()).ok()?;
    Some(Early { plugin, planner, took: begun.elapsed() })
}

/// A plugin, and the image that it came in.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) plugin: Plugin,
    /// None where it came as a file or with rkt.
    pub(crate) image: Option<PluginImage>,
}

impl Found {
    pub(crate) fn without_image(plugin: Plugin) -> Self {
        Self { plugin, image: None }
    }

    /// How records name it.
    pub(crate) fn identity(&self) -> PluginIdentity {
        PluginIdentity {
            name: self.plugin.name().to_owned(),
            digest: self.plugin.digest().to_owned(),
            image: self.image.as_ref().map(|image| image.id().clone()),
            trust: self.plugin.trust(),
        }
    }

    /// Sees to it that it can plan again what it plans now, whatever becomes of its file or of this rkt.
    /// What came from elsewhere was kept when it was compiled.
    pub(crate) fn keep(&self, globals: &Globals) {
        if self.image.is_none()
            && let Some(flavor) = BuiltIn::find(self.plugin.name())
        {
            kept(globals).keep_component(self.plugin.digest(), flavor.component);
        }
    }
}

/// Where plugins are kept.
pub(crate) fn kept(globals: &Globals) -> Kept {
    Kept::at(&globals.dir.join("plugins"))
}

/// Whether a name is that of a plugin, rather than the beginning of a UUID.
pub(crate) fn is_named(name: &str) -> bool {
    name.contains('/') || name.starts_with("sha512-") || is_component(name) || BuiltIn::find(name).is_some()
}

/// The image of the store that a recorded plugin came in, for what it brought; none where it is not there.
pub(crate) fn recorded_image(globals: &Globals, plugin: &PluginIdentity) -> Option<PluginImage> {
    let id = plugin.image.as_ref()?;
    let verification = globals.insecure_options.verification();
    PluginImage::new(resolve(globals, id.as_str(), verification).ok()?).ok()
}

/// The very component that a record names, without the payload that it may have had: to plan needs none. `hint` is
/// for those who have it no more.
pub(crate) fn recorded(globals: &Globals, wanted: &PluginIdentity, hint: &str) -> Result<Found, Failure> {
    if let Some(flavor) = BuiltIn::find(&wanted.name) {
        let plugin = Plugin::embedded(flavor.name, flavor.code)?;
        if plugin.digest() == wanted.digest {
            return Ok(Found::without_image(plugin));
        }
    }
    let plugin = rkt_planner::reinstall(&wanted.name, &wanted.digest, &kept(globals), &install::compiler()?);
    plugin.map(Found::without_image).map_err(|error| {
        let is_gone = matches!(error, InstallError::NotKept { .. });
        let failure = Failure::from(error);
        if is_gone { failure.hint(hint) } else { failure }
    })
}

/// The plugin of this name, compiled here unless it comes with rkt; where it is in an image, that is verified so.
pub(crate) fn load(globals: &Globals, name: &str, verification: Verification) -> Result<Found, Failure> {
    if let Some(flavor) = BuiltIn::find(name) {
        return Ok(Found::without_image(Plugin::embedded(flavor.name, flavor.code)?));
    }
    if is_component(name) {
        return Ok(Found::without_image(from_file(globals, Path::new(name))?));
    }
    match resolve(globals, name, verification) {
        Ok(image) => from_image(globals, image),
        Err(ReferenceError::Store(StoreError::NoSuchName { .. })) => {
            let known: Vec<&str> = BUILT_IN.iter().map(|flavor| flavor.name).collect();
            Err(Failure::said(format!("there is no flavor {name:?}")).hint(format!(
                "flavors are {}, plugins in files NAME.wasm and NAME.so, and images: a file, or a name or an ID in the store",
                known.join(", ")
            )))
        }
        Err(error) => Err(error.into()),
    }
}

/// A plugin's component, compiled here, or a native plugin. Its name, by which policy knows it, is the file's.
fn from_file(globals: &Globals, path: &Path) -> Result<Plugin, Failure> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    refuse_name_of_ours(&name, &path.display().to_string(), "policy knows a plugin by the name of its file")?;
    let file = file::open(path).map_err(|error| Failure::said(format!("cannot open {}: {error}", path.display())))?;
    compiled(globals, &name, file)
}

/// A plugin in an image of the store, compiled here. Its name is the image's.
fn from_image(globals: &Globals, image: Image) -> Result<Found, Failure> {
    image.mark_used();
    let image = PluginImage::new(image)?;
    let name = image.name().as_str();
    refuse_name_of_ours(name, &format!("image {}", image.id()), "policy knows a plugin by the name of its image")?;
    let plugin = compiled(globals, name, image.component()?)?;
    Ok(Found { plugin, image: Some(image) })
}

fn compiled(globals: &Globals, name: &str, component: File) -> Result<Plugin, Failure> {
    Ok(rkt_planner::install(name, component, &kept(globals), &install::compiler()?)?)
}

/// What policy gives a flavor that comes with rkt was not meant for whatever else has its name.
fn refuse_name_of_ours(name: &str, whose: &str, because: &str) -> Result<(), Failure> {
    if BuiltIn::find(name).is_none() {
        return Ok(());
    }
    Err(Failure::said(format!("{whose} has the name of a flavor that comes with rkt"))
        .hint(format!("{because}: give it one of its own")))
}

/// The image of a plugin, verified as any is.
fn resolve(globals: &Globals, name: &str, verification: Verification) -> Result<Image, ReferenceError> {
    Store::at(&globals.dir).resolve(&Reference::parse(name)?, verification, &rkt_image::Policy::default(), &mut |_| {})
}

/// Whether a name is that of a file with a component or with native code; others that are no flavors of
/// ours are images.
fn is_component(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("wasm" | "so"))
}
