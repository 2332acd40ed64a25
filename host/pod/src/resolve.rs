//! From what is asked for to a pod: manifests, users, volumes, environment and isolators, resolved
//! once for all flavors. Reads files of images and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rkt_appc::{
    AcName, AcVersion, App, ImageId, ImageManifest, InvalidValue, Mount, Owner, Platform, PlatformError, PodManifest,
    RuntimeApp, RuntimeImage, UnixId, Volume,
};
use rkt_executor::Command;
use rkt_image::Rendering;
use rkt_plan::{Asked, Credentials, Origin};

use crate::environment;
use crate::isolators::{self, IsolatorError};
use crate::request::{AppRequest, Overrides, PodRequest};
use crate::user::{self, UserError, Wanted};
use crate::uuid::Uuid;
use crate::volumes::{self, Known, VolumeError};

pub(crate) use self::change::{resolve_with, resolve_without};

mod change;
mod names;

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
    /// What each app is run from.
    pub(crate) images: BTreeMap<AcName, ResolvedImage>,
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

/// Something that was decided in the user's stead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// An image expects a volume that nobody gave.
    ImplicitVolume {
        /// Its mount point.
        mount_point: AcName,
    },
    /// An image for another architecture, which runs only where the kernel knows how.
    OtherArchitecture {
        /// The app.
        app: AcName,
        /// What its image is for.
        image: &'static str,
        /// What the host is.
        host: &'static str,
    },
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ImplicitVolume { mount_point } => write!(
                f,
                "no volume specified for mount point {:?}, implicitly creating an \"empty\" volume. This volume will \
                 be removed when the pod is garbage-collected.",
                mount_point.as_str()
            ),
            Self::OtherArchitecture { app, image, host } => {
                write!(f, "the image of app {:?} is for {image}, this host is {host}", app.as_str())
            }
        }
    }
}

/// Resolves a pod that `by` asks for.
///
/// # Errors
/// Where something asked for does not exist, contradicts itself, or cannot be given.
pub fn resolve(uuid: Uuid, request: PodRequest, by: Origin) -> Result<ResolvedPod, ResolveError> {
    if request.apps.is_empty() {
        return Err(ResolveError::NoApp);
    }
    check_volumes(&request.volumes)?;
    let PodRequest { apps, mut volumes, mounts, environment, hostname, settings } = request;
    let mut pod = Draft::default();
    for app in apps {
        let name = names::of_app(&app, pod.images.keys())?;
        let known = Known { declared: &volumes, of_others: &[] };
        let resolved = resolve_app(&name, app, known, &mounts, &environment, by)?;
        pod.add(name, resolved);
    }
    volumes.append(&mut pod.implicit);
    let manifest = PodManifest::new(version(), pod.runtime, volumes).map_err(ResolveError::Manifest)?;
    let hostname = hostname.map(|value| Asked { value, by });
    let view = rkt_plan::Pod { uuid: uuid.to_string(), hostname, apps: pod.views, settings };
    Ok(ResolvedPod { manifest, view, commands: pod.commands, warnings: pod.warnings, images: pod.images })
}

/// rkt writes its own version into pod manifests; what reads them expects that.
fn version() -> AcVersion {
    env!("CARGO_PKG_VERSION").parse().expect("the version of this crate is one")
}

/// What has been resolved so far.
#[derive(Default)]
struct Draft {
    runtime: Vec<RuntimeApp>,
    views: Vec<rkt_plan::App>,
    commands: BTreeMap<String, Command>,
    images: BTreeMap<AcName, ResolvedImage>,
    implicit: Vec<Volume>,
    warnings: Vec<Warning>,
}

struct ResolvedApp {
    runtime: RuntimeApp,
    view: rkt_plan::App,
    command: Command,
    image: ResolvedImage,
    implicit: Vec<Volume>,
    warnings: Vec<Warning>,
}

impl Draft {
    fn add(&mut self, name: AcName, app: ResolvedApp) {
        self.runtime.push(app.runtime);
        self.views.push(app.view);
        self.commands.insert(name.to_string(), app.command);
        self.images.insert(name, app.image);
        self.implicit.extend(app.implicit);
        self.warnings.extend(app.warnings);
    }
}

fn resolve_app(
    name: &AcName,
    request: AppRequest,
    volumes: Known<'_>,
    mounts: &[Mount],
    environment: &environment::PodEnvironment,
    by: Origin,
) -> Result<ResolvedApp, ResolveError> {
    let AppRequest { image, overrides } = request;
    let mut warnings = Vec::new();
    warnings.extend(check_platform(name, &image.manifest)?);
    let mut app = app_section(name, &image.id, &image.manifest, &overrides)?;
    app.environment = environment.merged(&app.environment, &overrides.environment);
    app.isolators = isolators::merged(&app.isolators, &overrides.isolators);
    let confinement = isolators::of_app(name, &app.isolators, &overrides.isolators, by)?;
    let wanted_mounts = overrides.mounts.iter().chain(mounts);
    let found = volumes::of_app(name, &app, wanted_mounts, volumes, by)
        .map_err(|cause| ResolveError::Volume { app: name.clone(), cause })?;
    let user = resolve_user(name, &app, &image, &overrides, by)?;
    warnings.extend(found.unmentioned.into_iter().map(|mount_point| Warning::ImplicitVolume { mount_point }));
    let view = rkt_plan::App {
        name: name.to_string(),
        user,
        read_only_root: overrides.read_only_root.then_some(by),
        volumes: found.asked,
        limits: confinement.limits,
        capabilities: confinement.capabilities,
        seccomp: confinement.seccomp,
        no_new_privileges: confinement.no_new_privileges,
        oom_score: confinement.oom_score,
    };
    let command = Command {
        file: None,
        arguments: app.exec.clone(),
        environment: environment::of_process(name.as_str(), &app.environment),
        working_directory: app.working_directory.path().to_owned(),
    };
    let manifest = image.manifest;
    let runtime = RuntimeApp {
        name: name.clone(),
        image: RuntimeImage { name: Some(manifest.name.clone()), id: image.id, labels: manifest.labels.clone() },
        app: Some(app),
        read_only_root_fs: overrides.read_only_root,
        mounts: found.mounts,
        annotations: rkt_appc::Annotations::default(),
    };
    let image = ResolvedImage { manifest, trees: image.trees, rendering: image.rendering };
    Ok(ResolvedApp { runtime, view, command, image, implicit: found.implicit, warnings })
}

/// What the image says about running it, with what the user says in its place.
fn app_section(
    name: &AcName,
    id: &ImageId,
    manifest: &ImageManifest,
    overrides: &Overrides,
) -> Result<App, ResolveError> {
    let mut app = match (&manifest.app, &overrides.exec) {
        (Some(app), _) => app.clone(),
        (None, Some(_)) => {
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            App::new(Vec::new(), callers(user.as_raw())?, callers(group.as_raw())?)
        }
        (None, None) => return Err(ResolveError::NoExec { id: id.clone() }),
    };
    if !app.event_handlers.is_empty() {
        return Err(ResolveError::EventHandlers { app: name.clone() });
    }
    if let Some(exec) = &overrides.exec {
        app.exec = vec![exec.clone()];
    }
    if overrides.arguments_replace && !overrides.arguments.is_empty() {
        app.exec.truncate(1);
    }
    app.exec.extend(overrides.arguments.iter().cloned());
    if app.exec.first().is_none_or(String::is_empty) {
        return Err(ResolveError::EmptyExec { image: manifest.name.to_string() });
    }
    if let Some(user) = &overrides.user {
        app.user = user.clone();
    }
    if let Some(group) = &overrides.group {
        app.group = group.clone();
    }
    if let Some(gids) = &overrides.supplementary_gids {
        app.supplementary_gids.clone_from(gids);
    }
    if let Some(directory) = &overrides.working_directory {
        app.working_directory = directory.clone();
    }
    Ok(app)
}

fn callers(id: u32) -> Result<Owner, ResolveError> {
    UnixId::try_from(i64::from(id)).map(Owner::Id).map_err(ResolveError::Caller)
}

fn resolve_user(
    name: &AcName,
    app: &App,
    image: &crate::request::AppImage,
    overrides: &Overrides,
    by: Origin,
) -> Result<Asked<Credentials>, ResolveError> {
    let from_docker = image.manifest.annotations.get("appc.io/docker/repository").is_some();
    let wanted = Wanted {
        user: &app.user,
        group: &app.group,
        supplementary: &app.supplementary_gids,
        group_may_follow_user: from_docker,
    };
    let value =
        user::resolve(&image.files, &wanted).map_err(|cause| ResolveError::User { app: name.clone(), cause })?;
    let is_the_users = overrides.user.is_some() || overrides.group.is_some() || overrides.supplementary_gids.is_some();
    Ok(Asked { value, by: if is_the_users { by } else { Origin::Image } })
}

/// Both labels have to be there; an image for another architecture may run, by emulation.
fn check_platform(app: &AcName, manifest: &ImageManifest) -> Result<Option<Warning>, ResolveError> {
    let platform =
        Platform::of(&manifest.labels).map_err(|cause| ResolveError::Platform { app: app.clone(), cause })?;
    let (image, host) = (platform.arch(), host_architecture());
    let runs = image == host || (image, host) == ("i386", "amd64");
    Ok((!runs).then(|| Warning::OtherArchitecture { app: app.clone(), image, host }))
}

/// What this host's architecture is called in images' labels.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "i386",
        "arm" => "armv7l",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// What a plan cannot say yet is refused, not passed over.
fn check_volumes(volumes: &[Volume]) -> Result<(), ResolveError> {
    for volume in volumes {
        if let rkt_appc::VolumeKind::Host { recursive: Some(false), .. } = volume.kind {
            return Err(ResolveError::NotRecursive { volume: volume.name.clone() });
        }
    }
    Ok(())
}

/// Why what is asked for is no pod.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing to run.
    #[error("pod must contain at least one application")]
    NoApp,
    /// An image's name that gives no name for an app.
    #[error("name of an app")]
    Name(#[source] InvalidValue),
    /// Two apps of one name.
    #[error("error: multiple apps with name {name}")]
    SameName {
        /// The name.
        name: AcName,
    },
    /// A name that leaves no room for what is put behind it.
    #[error("the name of an app has {} bytes, and may have {most}: files are named after it", .name.as_str().len())]
    LongName {
        /// The name.
        name: AcName,
        /// The most bytes that it may have.
        most: usize,
    },
    /// Two apps of which something would be written to the same file.
    #[error("apps {:?} and {:?} cannot be in one pod: how the one ends and that the other was started is written to the same file", .ends.as_str(), .starts.as_str())]
    SameFile {
        /// The one.
        ends: AcName,
        /// The other.
        starts: AcName,
    },
    /// A volume that comes to a pod which has another of its name.
    #[error("volume {:?}: the pod has another of this name", .volume.as_str())]
    VolumeTaken {
        /// Its name.
        volume: AcName,
    },
    /// An image that says nothing about running it.
    #[error("error: image {id} has no app section and --exec argument is not provided")]
    NoExec {
        /// Which.
        id: ImageId,
    },
    /// An image that leaves the program to the user.
    #[error("image {image:?} has an empty \"exec\" (try --exec=BINARY)")]
    EmptyExec {
        /// Its name.
        image: String,
    },
    /// Programs to run before and after an app.
    #[error("the image of app {:?} has event handlers, which this rkt does not run yet", .app.as_str())]
    EventHandlers {
        /// The app.
        app: AcName,
    },
    /// The caller's own id.
    #[error("the caller's own id")]
    Caller(#[source] InvalidValue),
    /// An image for something else than Linux.
    #[error("the image of app {:?}", .app.as_str())]
    Platform {
        /// The app.
        app: AcName,
        /// Why it cannot run here.
        #[source]
        cause: PlatformError,
    },
    /// A user that the image does not have.
    #[error("the user of app {:?}", .app.as_str())]
    User {
        /// The app.
        app: AcName,
        /// Why it cannot be resolved.
        #[source]
        cause: UserError,
    },
    /// Volumes that do not match.
    #[error("the volumes of app {:?}", .app.as_str())]
    Volume {
        /// The app.
        app: AcName,
        /// Why.
        #[source]
        cause: VolumeError,
    },
    /// A volume without what is mounted below it.
    #[error("volume {:?}: recursive=false is not supported by this rkt yet", .volume.as_str())]
    NotRecursive {
        /// Its name.
        volume: AcName,
    },
    /// An isolator that cannot be applied.
    #[error(transparent)]
    Isolator(#[from] IsolatorError),
    /// Names that contradict.
    #[error("the pod manifest")]
    Manifest(#[source] InvalidValue),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{AppImage, ImageFiles};

    fn image(name: &str, app: &str) -> AppImage {
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

    const APP: &str = r#","app":{"exec":["/bin/a","-v"],"user":"0","group":"0","environment":[{"name":"X","value":"1"}],
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
