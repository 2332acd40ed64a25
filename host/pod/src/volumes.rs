//! Which volume an app sees where: what the user said, what the image expects, and empty volumes
//! where the image expects one and the user said nothing.

use std::collections::BTreeSet;

use rkt_appc::{AcName, App, InvalidValue, Mount, PodManifest, RuntimeApp, Volume, VolumeKind};
use rkt_plan::{Access, Asked, CleanPath, Origin, PathError, Reach, VolumeMount};

/// Says who asked for a mount: the user by what they wrote, or the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppMounts {
    /// As the pod's manifest says it: those that were written and count, and those of the implicit volumes.
    pub(crate) mounts: Vec<Mount>,
    /// As flavors see it: all.
    pub(crate) asked: Vec<Asked<VolumeMount>>,
    /// Volumes that nobody declared and a mount point expects.
    pub(crate) implicit: Vec<Implicit>,
}

/// An empty volume for a mount point that nobody gave one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Implicit {
    /// The mount point.
    pub(crate) point: AcName,
    /// Where it is mounted.
    pub(crate) target: CleanPath,
    /// What is mounted there.
    pub(crate) volume: Volume,
}

/// The volumes that a pod has when an app looks for its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Those that somebody declared: a mount point of an image gets the one of its name.
    pub(crate) declared: &'a [Volume],
    /// Those that other apps got since nobody had declared one: only a mount can name them, no image.
    pub(crate) of_others: &'a [Volume],
}

/// Who asks for what an app mounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Askers {
    /// Who wrote the mounts.
    pub(crate) mounts: Origin,
    /// Who wrote the app section with the mount points.
    pub(crate) points: Origin,
}

/// Matches mounts and mount points of one app with volumes.
///
/// Of mounts on the same path the first counts, so the app's own come before those of all apps.
/// A mount point without a mount gets the volume of its name, and else an empty one.
pub(crate) fn of_app<'a>(
    name: &AcName,
    app: &App,
    mounts: impl IntoIterator<Item = &'a Mount>,
    volumes: Known<'_>,
    by: Askers,
) -> Result<AppMounts, VolumeError> {
    let mut found = AppMounts { mounts: Vec::new(), asked: Vec::new(), implicit: Vec::new() };
    let mut taken = BTreeSet::new();
    for mount in mounts {
        let target = clean(mount.path.as_str())?;
        let volume = volumes.of(mount)?;
        if !taken.insert(target.clone()) {
            continue;
        }
        let point = app.mount_points.iter().find(|point| point.name == mount.volume);
        let is_for_reading = point.is_some_and(|point| point.read_only);
        found.ask(place(name, mount), volume, target, is_for_reading, by.mounts);
        found.mounts.push(mount.clone());
    }
    for point in &app.mount_points {
        let target = clean(point.path.as_str())?;
        if !taken.insert(target.clone()) {
            continue;
        }
        if let Some(volume) = volumes.declared.iter().find(|volume| volume.name == point.name) {
            found.ask(volume.name.to_string(), volume, target, point.read_only, by.points);
        } else {
            let volume = implicit(name, &point.name)?;
            found.ask(volume.name.to_string(), &volume, target.clone(), point.read_only, by.points);
            found.mounts.push(Mount { volume: volume.name.clone(), path: point.path.clone(), app_volume: None });
            found.implicit.push(Implicit { point: point.name.clone(), target, volume });
        }
    }
    Ok(found)
}

impl<'a> Known<'a> {
    /// All of them.
    pub(crate) fn all(self) -> impl Iterator<Item = &'a Volume> {
        self.declared.iter().chain(self.of_others)
    }

    /// The volume of a mount.
    fn of<'b>(self, mount: &'b Mount) -> Result<&'b Volume, VolumeError>
    where
        'a: 'b,
    {
        let of_pod = || self.all().find(|volume| volume.name == mount.volume);
        mount
            .app_volume
            .as_ref()
            .or_else(of_pod)
            .ok_or_else(|| VolumeError::Dangling { path: mount.path.to_string(), volume: mount.volume.to_string() })
    }
}

impl AppMounts {
    /// Of who writes, the volume decides; where it says nothing, the mount point does.
    fn ask(&mut self, place: String, volume: &Volume, target: CleanPath, point_is_for_reading: bool, by: Origin) {
        let is_for_reading = volume.read_only.unwrap_or(point_is_for_reading);
        let access = if is_for_reading { Access::ReadOnly } else { Access::ReadWrite };
        let reach = match volume.kind {
            VolumeKind::Host { recursive: Some(false), .. } => Reach::Single,
            VolumeKind::Host { .. } | VolumeKind::Empty { .. } => Reach::Recursive,
        };
        self.asked.push(Asked { value: VolumeMount { volume: place, target, access, reach }, by });
    }
}

/// What plans call the volume of a mount, and its directory where it is empty. One that is an app's alone has
/// the app's name before it: the dot is in no name of a volume.
pub(crate) fn place(app: &AcName, mount: &Mount) -> String {
    match &mount.app_volume {
        Some(own) => format!("{app}.{}", own.name),
        None => mount.volume.to_string(),
    }
}

/// All volumes of a pod, its apps' own too, by what plans call them.
pub(crate) fn of_pod(manifest: &PodManifest) -> Vec<(String, &Volume)> {
    let mut all: Vec<_> = manifest.volumes().iter().map(|volume| (volume.name.to_string(), volume)).collect();
    for (app, mount) in manifest.apps().iter().flat_map(|app| app.mounts.iter().map(move |mount| (&app.name, mount))) {
        let place = place(app, mount);
        match &mount.app_volume {
            Some(own) if !all.iter().any(|(known, _)| *known == place) => all.push((place, own)),
            _ => {}
        }
    }
    all
}

/// The volumes that an app of a pod got since nobody had declared one. `section` is how the app is run.
pub(crate) fn own_of<'a>(app: &'a RuntimeApp, section: &App) -> Vec<&'a AcName> {
    let own = section.mount_points.iter().filter_map(|point| {
        let volume = implicit(&app.name, &point.name).ok()?;
        let is_it = |mount: &&Mount| mount.volume == volume.name && mount.path == point.path;
        app.mounts.iter().find(is_it).map(|mount| &mount.volume)
    });
    own.collect()
}

fn implicit(app: &AcName, point: &AcName) -> Result<Volume, VolumeError> {
    let name = AcName::try_from(format!("{app}-{point}")).map_err(VolumeError::Name)?;
    Ok(Volume { name, read_only: None, kind: VolumeKind::EMPTY })
}

/// A path of an app's root as manifests write it, perhaps relative, perhaps with `..`, made absolute
/// and plain. That no link leads out of the root is seen to when it is opened.
pub(crate) fn clean(text: &str) -> Result<CleanPath, VolumeError> {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = format!("/{}", parts.join("/"));
    match path.parse() {
        Ok(_) if parts.is_empty() => Err(VolumeError::AtRoot { path: text.to_owned() }),
        Ok(path) => Ok(path),
        Err(cause) => Err(VolumeError::Path { path: text.to_owned(), cause }),
    }
}

/// Why volumes cannot be matched.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A mount of a volume that the pod does not have.
    #[error("dangling mount point {path:?}: volume {volume:?} not found")]
    Dangling {
        /// Where it was to be.
        path: String,
        /// The volume's name.
        volume: String,
    },
    /// A mount in place of an app's root.
    #[error("mount point {path:?} is the root of the app, which is its image")]
    AtRoot {
        /// As it was written.
        path: String,
    },
    /// A path that is none.
    #[error("mount point {path:?}")]
    Path {
        /// As it was written.
        path: String,
        /// Why.
        #[source]
        cause: PathError,
    },
    /// A name that is none, made of an app's and a mount point's.
    #[error("name of an empty volume")]
    Name(#[source] InvalidValue),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(points: &str) -> App {
        serde_json::from_str(&format!(r#"{{"exec":["/a"],"user":"0","group":"0","mountPoints":[{points}]}}"#)).unwrap()
    }

    fn volume(name: &str, read_only: Option<bool>) -> Volume {
        Volume { name: name.parse().unwrap(), read_only, kind: VolumeKind::EMPTY }
    }

    fn mount(volume: &str, path: &str) -> Mount {
        Mount { volume: volume.parse().unwrap(), path: path.parse().unwrap(), app_volume: None }
    }

    const BY: Askers = Askers { mounts: Origin::CommandLine, points: Origin::Image };

    fn declared(volumes: &[Volume]) -> Known<'_> {
        Known { declared: volumes, of_others: &[] }
    }

    fn matched(app: &App, mounts: &[Mount], volumes: &[Volume]) -> AppMounts {
        of_app(&"db".parse().unwrap(), app, mounts, declared(volumes), BY).unwrap()
    }

    fn said(mounts: &AppMounts) -> Vec<(&str, &str, Access, Origin)> {
        let line = |asked: &'_ Asked<VolumeMount>| (asked.value.access, asked.by);
        mounts
            .asked
            .iter()
            .map(|asked| {
                let (access, by) = line(asked);
                (asked.value.volume.as_str(), asked.value.target.as_str(), access, by)
            })
            .collect()
    }

    #[test]
    fn a_mount_point_gets_its_mount_else_its_volume_else_an_empty_one() {
        let app = app(
            r#"{"name":"data","path":"/data"},{"name":"conf","path":"/etc/conf","readOnly":true},{"name":"log","path":"var/log/"}"#,
        );
        let mounts = [mount("other", "/data/"), mount("conf", "/x/../conf")];
        let found = matched(&app, &mounts, &[volume("other", None), volume("conf", None)]);
        assert_eq!(
            said(&found),
            [
                ("other", "/data", Access::ReadWrite, Origin::CommandLine),
                // The mount point of the volume's name says how, wherever it is mounted.
                ("conf", "/conf", Access::ReadOnly, Origin::CommandLine),
                ("conf", "/etc/conf", Access::ReadOnly, Origin::Image),
                ("db-log", "/var/log", Access::ReadWrite, Origin::Image),
            ]
        );
        let [log] = found.implicit.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (log.point.as_str(), log.target.as_str(), &log.volume),
            ("log", "/var/log", &volume("db-log", None))
        );
        let written: Vec<_> = found.mounts.iter().map(|mount| mount.path.as_str()).collect();
        assert_eq!(written, ["/data/", "/x/../conf", "var/log/"]);
    }

    #[test]
    fn the_first_mount_on_a_path_counts_and_the_volume_decides_who_writes() {
        let mounts = [mount("one", "/d"), mount("two", "//d/.")];
        let found = matched(&app(""), &mounts, &[volume("one", Some(true)), volume("two", Some(false))]);
        assert_eq!(said(&found), [("one", "/d", Access::ReadOnly, Origin::CommandLine)]);
    }

    #[test]
    fn a_mount_needs_a_volume_and_a_place_below_the_root() {
        let one = [volume("one", None)];
        let refused = |mount: Mount| {
            let name = "db".parse().unwrap();
            of_app(&name, &app(""), [&mount], declared(&one), BY).unwrap_err().to_string()
        };
        assert_eq!(refused(mount("two", "/d")), "dangling mount point \"/d\": volume \"two\" not found");
        assert!(refused(mount("one", "/a/../..")).contains("root of the app"));
    }

    #[test]
    fn what_another_app_got_for_itself_is_for_mounts_and_not_for_images_to_name() {
        let name = "db".parse().unwrap();
        let volumes = [volume("my-db-data", None)];
        let known = Known { declared: &[], of_others: &volumes };
        let app = app(r#"{"name":"my-db-data","path":"/stolen"}"#);
        let found = of_app(&name, &app, [], known, BY).unwrap();
        assert_eq!(found.implicit[0].volume, volume("db-my-db-data", None));
        let mounts = [mount("my-db-data", "/given")];
        let found = of_app(&name, &app, &mounts, known, BY).unwrap();
        assert_eq!(said(&found)[0], ("my-db-data", "/given", Access::ReadWrite, Origin::CommandLine));
        assert_eq!(found.implicit[0].volume, volume("db-my-db-data", None));
    }

    #[test]
    fn a_volume_of_the_app_goes_before_the_pods_of_its_name_and_is_no_other_apps() {
        let own = Mount { app_volume: Some(volume("data", Some(true))), ..mount("data", "/own") };
        let mounts = [own, mount("data", "/pods")];
        let found = matched(&app(""), &mounts, &[volume("data", None)]);
        assert_eq!(
            said(&found),
            [
                ("db.data", "/own", Access::ReadOnly, Origin::CommandLine),
                ("data", "/pods", Access::ReadWrite, Origin::CommandLine),
            ]
        );
    }

    #[test]
    fn only_what_is_said_not_to_be_recursive_comes_alone() {
        let volumes: Vec<Volume> = serde_json::from_str(
            r#"[{"name":"a","kind":"host","source":"/a"},{"name":"b","kind":"host","source":"/b","recursive":true},
                {"name":"c","kind":"host","source":"/c","recursive":false},{"name":"d","kind":"empty"}]"#,
        )
        .unwrap();
        let mounts = ["a", "b", "c", "d"].map(|name| mount(name, &format!("/{name}")));
        let reach = matched(&app(""), &mounts, &volumes).asked.into_iter().map(|asked| asked.value.reach);
        let expected = [Reach::Recursive, Reach::Recursive, Reach::Single, Reach::Recursive];
        assert_eq!(reach.collect::<Vec<_>>(), expected);
    }
}
