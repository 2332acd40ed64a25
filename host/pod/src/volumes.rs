//! Which volume an app sees where: what the user said, what the image expects, and empty volumes
//! where the image expects one and the user said nothing.

use std::collections::BTreeSet;

use rkt_appc::{AcName, App, InvalidValue, Mount, RuntimeApp, Volume, VolumeKind};
use rkt_plan::{Access, Asked, CleanPath, Origin, PathError, VolumeMount};

/// Says who asked for a mount: the user by what they wrote, or the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppMounts {
    /// As the pod's manifest says it.
    pub(crate) mounts: Vec<Mount>,
    /// As flavors see it.
    pub(crate) asked: Vec<Asked<VolumeMount>>,
    /// Volumes that nobody declared and the image expects.
    pub(crate) implicit: Vec<Volume>,
    /// The mount points that got them.
    pub(crate) unmentioned: Vec<AcName>,
}

/// The volumes that a pod has when an app looks for its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Those that somebody declared: a mount point of an image gets the one of its name.
    pub(crate) declared: &'a [Volume],
    /// Those that other apps got since nobody had declared one: only a mount can name them, no image.
    pub(crate) of_others: &'a [Volume],
}

/// Matches mounts and mount points of one app with volumes.
///
/// Of mounts on the same path the first counts, so the app's own come before those of all apps.
/// A mount point without a mount gets the volume of its name, and else an empty one.
pub(crate) fn of_app<'a>(
    name: &AcName,
    app: &App,
    mounts: impl Iterator<Item = &'a Mount>,
    volumes: Known<'_>,
    by: Origin,
) -> Result<AppMounts, VolumeError> {
    let mut found = AppMounts { mounts: Vec::new(), asked: Vec::new(), implicit: Vec::new(), unmentioned: Vec::new() };
    let mut taken = BTreeSet::new();
    for mount in mounts {
        let target = clean(mount.path.as_str())?;
        let volume =
            volumes.declared.iter().chain(volumes.of_others).find(|volume| volume.name == mount.volume).ok_or_else(
                || VolumeError::Dangling { path: mount.path.to_string(), volume: mount.volume.to_string() },
            )?;
        if !taken.insert(target.clone()) {
            continue;
        }
        let point = app.mount_points.iter().find(|point| point.name == mount.volume);
        found.add(mount.clone(), target, access(volume, point.is_some_and(|point| point.read_only)), by);
    }
    for point in &app.mount_points {
        let target = clean(point.path.as_str())?;
        if !taken.insert(target.clone()) {
            continue;
        }
        let mount = |volume: &Volume| Mount { volume: volume.name.clone(), path: point.path.clone(), app_volume: None };
        if let Some(volume) = volumes.declared.iter().find(|volume| volume.name == point.name) {
            found.add(mount(volume), target, access(volume, point.read_only), Origin::Image);
        } else {
            let volume = implicit(name, &point.name)?;
            found.add(mount(&volume), target, access(&volume, point.read_only), Origin::Image);
            found.implicit.push(volume);
            found.unmentioned.push(point.name.clone());
        }
    }
    Ok(found)
}

impl AppMounts {
    fn add(&mut self, mount: Mount, target: CleanPath, access: Access, by: Origin) {
        let value = VolumeMount { volume: mount.volume.to_string(), target, access };
        self.asked.push(Asked { value, by });
        self.mounts.push(mount);
    }
}

/// The volume decides; where it says nothing, the image's mount point does.
fn access(volume: &Volume, point_is_read_only: bool) -> Access {
    if volume.read_only.unwrap_or(point_is_read_only) { Access::ReadOnly } else { Access::ReadWrite }
}

/// The volumes that an app of a pod got since nobody had declared one.
pub(crate) fn own_of(app: &RuntimeApp) -> impl Iterator<Item = &AcName> {
    let points = app.app.iter().flat_map(|section| &section.mount_points);
    points.filter_map(|point| {
        let volume = implicit(&app.name, &point.name).ok()?;
        let is_it = |mount: &&Mount| mount.volume == volume.name && mount.path == point.path;
        app.mounts.iter().find(is_it).map(|mount| &mount.volume)
    })
}

fn implicit(app: &AcName, point: &AcName) -> Result<Volume, VolumeError> {
    let name = AcName::try_from(format!("{app}-{point}")).map_err(VolumeError::Name)?;
    Ok(Volume { name, read_only: None, kind: VolumeKind::EMPTY })
}

/// A path of an app's root as manifests write it, perhaps relative, perhaps with `..`, made absolute
/// and plain. That no link leads out of the root is seen to when it is opened.
fn clean(text: &str) -> Result<CleanPath, VolumeError> {
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

    fn declared(volumes: &[Volume]) -> Known<'_> {
        Known { declared: volumes, of_others: &[] }
    }

    fn matched(app: &App, mounts: &[Mount], volumes: &[Volume]) -> AppMounts {
        of_app(&"db".parse().unwrap(), app, mounts.iter(), declared(volumes), Origin::CommandLine).unwrap()
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
        assert_eq!(found.implicit, [volume("db-log", None)]);
        assert_eq!(found.unmentioned, ["log".parse().unwrap()]);
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
            of_app(&name, &app(""), [mount].iter(), declared(&one), Origin::CommandLine).unwrap_err().to_string()
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
        let found = of_app(&name, &app, [].iter(), known, Origin::CommandLine).unwrap();
        assert_eq!(found.implicit, [volume("db-my-db-data", None)]);
        let mounts = [mount("my-db-data", "/given")];
        let found = of_app(&name, &app, mounts.iter(), known, Origin::CommandLine).unwrap();
        assert_eq!(said(&found)[0], ("my-db-data", "/given", Access::ReadWrite, Origin::CommandLine));
        assert_eq!(found.implicit, [volume("db-my-db-data", None)]);
    }
}
