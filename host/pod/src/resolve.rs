//! From what is asked for to a pod: manifests, users, volumes, environment and isolators, resolved
//! once for all flavors. Reads files of images and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rkt_appc::{AcIdentifier, AcName, AcVersion, ImageManifest, PodManifest, RuntimeApp, Volume};
use rkt_executor::Command;
use rkt_image::Rendering;
use rkt_plan::{Asked, CleanPath, Origin};

use self::app::ResolvedApp;
use crate::home::Storage;
use crate::request::{ManifestRequest, PodRequest};
use crate::uuid::Uuid;
use crate::volumes::Known;

pub(crate) use self::change::{resolve_with, resolve_without};
pub use self::error::ResolveError;
pub use self::platform::host_architecture;
pub use self::warning::Warning;

mod app;
mod change;
mod error;
mod names;
mod overrides;
mod platform;
mod warning;
mod written;

/// The annotation of a pod by which its manifest says whether it outlives its apps, for old tools.
const MUTABLE: &str = "coreos.com/rkt/stage1/mutable";

/// A pod with nothing left open but how it is isolated.
#[derive(Debug)]
pub struct ResolvedPod {
    /// For the pod's directory, and for old tools.
    pub manifest: PodManifest,
    /// For the flavor.
    pub view: rkt_plan::Pod,
    /// What each app runs.
    pub commands: BTreeMap<String, Command>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// How its apps' roots are kept; of an app that comes later, as those of the others.
    pub(crate) storage: Storage,
    /// What each app is run from.
    pub(crate) images: BTreeMap<AcName, ResolvedImage>,
    /// What its new volumes begin with.
    pub(crate) seeds: Vec<Seed>,
}

/// What stays of an app's image.
#[derive(Debug)]
pub(crate) struct ResolvedImage {
    pub(crate) manifest: ImageManifest,
    /// Topmost first.
    pub(crate) trees: Vec<PathBuf>,
    /// What keeps them in the store until the pod's directory says that it needs them.
    pub(crate) rendering: Option<Rendering>,
}

/// A directory of an image whose content a new volume begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seed {
    /// What plans call the volume.
    pub(crate) volume: String,
    /// The image's trees, topmost first.
    pub(crate) trees: Vec<PathBuf>,
    /// The directory in them.
    pub(crate) directory: CleanPath,
}

/// Resolves a pod of images that `by` asks for.
///
/// # Errors
/// Where something asked for does not exist, contradicts itself, or cannot be given.
pub fn resolve(uuid: Uuid, request: PodRequest, by: Origin) -> Result<ResolvedPod, ResolveError> {
    if request.apps.is_empty() {
        return Err(ResolveError::NoApp);
    }
    let PodRequest { apps, volumes, mounts, environment, hostname, storage, settings } = request;
    let manifest = PodManifest::new(version(), Vec::new(), volumes).map_err(ResolveError::Names)?;
    let known = Known { declared: manifest.volumes(), of_others: &[] };
    let mut pod = Draft { storage, ..Draft::default() };
    for request in apps {
        let name = names::of_app(&request, pod.images.keys())?;
        let wanted = overrides::applied(name, &request.image, request.overrides, &environment, &mounts, by)?;
        pod.add(app::resolve(wanted, request.image, known)?, known)?;
    }
    let hostname = hostname.map(|value| Asked { value, by });
    let limits = BTreeMap::new();
    let about = rkt_plan::Pod { uuid: uuid.to_string(), hostname, apps: Vec::new(), limits, settings };
    pod.finish(about, &manifest)
}

/// Resolves a pod whose manifest the user wrote. It is kept as it is, but for what this rkt has always added and for
/// the volumes that mount points get which nobody gave one.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_manifest(uuid: Uuid, request: ManifestRequest) -> Result<ResolvedPod, ResolveError> {
    let ManifestRequest { manifest, images, isolators, hostname, storage, settings } = request;
    written::check(&manifest)?;
    let limits = crate::isolators::of_pod(&manifest.isolators, Origin::PodManifest)?;
    let known = Known { declared: manifest.volumes(), of_others: &[] };
    let mut pod = Draft { storage, ..Draft::default() };
    for (runtime, image) in manifest.apps().iter().zip(images) {
        names::check(&runtime.name, pod.images.keys())?;
        pod.add(app::resolve(written::wanted(runtime, &image, &isolators)?, image, known)?, known)?;
    }
    let hostname = hostname.map(|value| Asked { value, by: Origin::CommandLine });
    let about = rkt_plan::Pod { uuid: uuid.to_string(), hostname, apps: Vec::new(), limits, settings };
    pod.finish(about, &manifest)
}

/// rkt writes its own version into pod manifests; what reads them expects that.
fn version() -> AcVersion {
    env!("CARGO_PKG_VERSION").parse().expect("the version of this crate is one")
}

/// What has been resolved so far.
#[derive(Default)]
struct Draft {
    storage: Storage,
    runtime: Vec<RuntimeApp>,
    views: Vec<rkt_plan::App>,
    commands: BTreeMap<String, Command>,
    images: BTreeMap<AcName, ResolvedImage>,
    implicit: Vec<Volume>,
    seeds: Vec<Seed>,
    warnings: Vec<Warning>,
}

impl Draft {
    fn add(&mut self, app: ResolvedApp, known: Known<'_>) -> Result<(), ResolveError> {
        let name = app.runtime.name.clone();
        for implicit in app.implicit {
            let volume = implicit.volume;
            if known.all().chain(&self.implicit).any(|other| other.name == volume.name) {
                return Err(ResolveError::ImplicitTaken { app: name, point: implicit.point, volume: volume.name });
            }
            self.implicit.push(volume);
        }
        self.runtime.push(app.runtime);
        self.views.push(app.view);
        self.commands.insert(name.to_string(), app.command);
        self.images.insert(name, app.image);
        self.seeds.extend(app.seeds);
        self.warnings.extend(app.warnings);
        Ok(())
    }

    /// The pod of these apps. `about` is what there is to say of the pod besides, `written` its manifest without them.
    fn finish(mut self, about: rkt_plan::Pod, written: &PodManifest) -> Result<ResolvedPod, ResolveError> {
        let mounts = self.views.iter().flat_map(|app| &app.volumes);
        let used: BTreeSet<&str> = mounts.map(|mount| mount.value.volume.as_str()).collect();
        let unused = written.volumes().iter().filter(|volume| !used.contains(volume.name.as_str()));
        self.warnings.extend(unused.map(|volume| Warning::UnusedVolume { volume: volume.name.clone() }));
        let mut manifest = written.with_apps(self.runtime, self.implicit).map_err(ResolveError::Names)?;
        let mutable: AcIdentifier = MUTABLE.parse().expect("it is an identifier");
        manifest.annotations.set(mutable, "false".to_owned()).expect("its value has no form of its own");
        Ok(ResolvedPod {
            manifest,
            view: rkt_plan::Pod { apps: self.views, ..about },
            commands: self.commands,
            warnings: self.warnings,
            storage: self.storage,
            images: self.images,
            seeds: self.seeds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{AppImage, AppRequest, ImageFiles, Overrides};

    pub(super) fn image(name: &str, app: &str) -> AppImage {
        let json = format!(
            r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"{name}",
                "labels":[{{"name":"os","value":"linux"}},{{"name":"arch","value":"{}"}}]{app}}}"#,
            host_architecture()
        );
        AppImage {
            id: format!("sha512-{}", "0".repeat(128)).parse().unwrap(),
            manifest: ImageManifest::from_json(json.as_bytes()).unwrap(),
            files: ImageFiles::Archive { passwd: None, group: None },
            trees: vec!["/tree".into()],
            rendering: None,
        }
    }

    pub(super) const APP: &str = r#","app":{"exec":["/bin/a","-v"],"user":"0","group":"0","environment":[{"name":"X","value":"1"}],
        "mountPoints":[{"name":"data","path":"/data"}]}"#;

    fn resolved(apps: Vec<AppRequest>) -> Result<ResolvedPod, ResolveError> {
        resolve(Uuid::random().unwrap(), PodRequest { apps, ..PodRequest::default() }, Origin::CommandLine)
    }

    fn app(name: &str, section: &str, overrides: Overrides) -> AppRequest {
        AppRequest { image: image(name, section), overrides }
    }

    #[test]
    fn an_image_alone_runs_as_it_says() {
        let pod = resolved(vec![app("example.com/some_db", APP, Overrides::default())]).unwrap();
        let name = &pod.view.apps[0].name;
        assert_eq!(name, "some-db");
        let command = &pod.commands[name];
        assert_eq!(command.arguments, ["/bin/a", "-v"]);
        assert_eq!(command.working_directory, "/");
        assert_eq!(pod.view.apps[0].user.by, Origin::Image);
        assert_eq!(pod.warnings, [Warning::ImplicitVolume { mount_point: "data".parse().unwrap() }]);
        assert_eq!(pod.manifest.volumes()[0].name.as_str(), "some-db-data");
        assert_eq!(pod.view.hostname(), format!("rkt-{}", pod.view.uuid));
    }

    #[test]
    fn what_the_user_says_counts_and_is_the_users_request() {
        let overrides = Overrides {
            name: Some("db".parse().unwrap()),
            exec: Some("/bin/b".to_owned()),
            arguments: vec!["x".to_owned()],
            group: Some("5".parse().unwrap()),
            read_only_root: true,
            ..Overrides::default()
        };
        let pod = resolved(vec![app("example.com/a", APP, overrides)]).unwrap();
        assert_eq!(pod.commands["db"].arguments, ["/bin/b", "x"]);
        let view = &pod.view.apps[0];
        assert_eq!((view.user.value.gid, view.user.by), (5, Origin::CommandLine));
        assert_eq!(view.read_only_root, Some(Origin::CommandLine));
    }

    #[test]
    fn contradictions_and_gaps_are_refused() {
        let text = |apps| resolved(apps).unwrap_err().to_string();
        let plain = |name| app(name, APP, Overrides::default());
        assert_eq!(text(vec![]), "pod must contain at least one application");
        assert_eq!(text(vec![plain("a.com/x"), plain("b.com/x")]), "error: multiple apps with name x");
        let long = format!("a.com/{}", "x".repeat(248));
        assert_eq!(
            text(vec![plain(&long)]),
            "the name of an app has 248 bytes, and may have 247: files are named after it"
        );
        resolved(vec![plain(&long[..long.len() - 1])]).unwrap();
        for (one, other) in [("a.com/x", "a.com/x-started"), ("a.com/x-started", "a.com/x")] {
            let clash = text(vec![plain(one), plain(other)]);
            assert!(clash.starts_with("apps \"x-started\" and \"x\" cannot be in one pod"), "{clash}");
        }
        let none = text(vec![app("a.com/x", "", Overrides::default())]);
        assert!(none.ends_with("has no app section and --exec argument is not provided"), "{none}");
        let empty = r#","app":{"exec":[],"user":"0","group":"0"}"#;
        let empty = text(vec![app("a.com/x", empty, Overrides::default())]);
        assert_eq!(empty, "image \"a.com/x\" has an empty \"exec\" (try --exec=BINARY)");
        let handlers = r#","app":{"exec":["/a"],"user":"0","group":"0",
            "eventHandlers":[{"name":"pre-start","exec":["/b"]}]}"#;
        assert!(text(vec![app("a.com/x", handlers, Overrides::default())]).contains("event handlers"));
    }
}
