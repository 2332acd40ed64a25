//! The guest's file systems: its own, each app's image from a disk, and volumes that the host shares.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rkt_executor::launch::Root as Layers;
use rkt_executor::process::failed;
use rkt_executor::{Changes, Failure, Launch, Places};
use rkt_sys::mount::{self, Attributes, FileSystem};
use rkt_sys::root::Root;

use super::devices;

/// The guest's own directory.
pub(super) const HOME: &str = "/run";

/// Where the file system of shared volumes is.
const VOLUMES: &str = "/volumes";

/// The tag of the file system of shared volumes: each is a directory or file in it, named by its number.
const VOLUMES_TAG: &str = "volumes";

/// The file system that images are.
const IMAGES: &str = "erofs";

/// Leaves the initial file system, which cannot be parted from: a pod's first process parts from its root.
pub(super) fn leave_the_first() -> Result<(), Failure> {
    leave().map_err(failed("make the guest's file system"))?;
    for (kind, at) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", "/sys/fs/cgroup")] {
        mount_at(kind, &[], Path::new(at))?;
    }
    Ok(())
}

fn leave() -> rkt_sys::Result<()> {
    let tmpfs = FileSystem::new("tmpfs")?.option("mode", "0755")?.mount(Attributes::empty())?;
    let root = Root::open(Path::new("/"))?;
    mount::attach(tmpfs.as_fd(), root.as_fd())?;
    let failed = |call| move |cause| rkt_sys::Error::new(call, "the guest's file system", cause);
    rustix::process::fchdir(&tmpfs).map_err(failed("fchdir"))?;
    rustix::process::chroot(".").map_err(failed("chroot"))?;
    let root = Root::from_fd(tmpfs)?;
    for directory in ["/dev", "/proc", "/sys", "/apps", HOME, VOLUMES] {
        root.create_dir(Path::new(directory), rustix::fs::Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}

/// Mounts what the pod needs; where its places are here.
pub(super) fn mount_all(launch: &Launch) -> Result<Places, Failure> {
    let mut roots = BTreeMap::new();
    for (number, app) in launch.pod.apps.iter().enumerate() {
        let layers = mount_root(number).map_err(|cause| cause.within(format!("app {}", app.name)))?;
        roots.insert(app.name.clone(), layers);
    }
    let names = volumes(launch);
    if !names.is_empty() {
        mount_at("virtiofs", &[("source", VOLUMES_TAG)], Path::new(VOLUMES))?;
    }
    let volumes = names
        .into_iter()
        .enumerate()
        .map(|(number, name)| (name, Path::new(VOLUMES).join(number.to_string())))
        .collect();
    let empty = PathBuf::from("/apps/empty");
    fs::create_dir(&empty).map_err(failed("make the place of empty directories"))?;
    Ok(Places { roots, volumes, empty, payload: None, artifacts: Vec::new() })
}

/// The pod's volumes in the order in which its apps name them, which is that of their numbers.
fn volumes(launch: &Launch) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for volume in launch.pod.apps.iter().flat_map(|app| &app.volumes) {
        if !names.contains(&volume.value.volume) {
            names.push(volume.value.volume.clone());
        }
    }
    names
}

/// An app's image is on the disk with the serial `root-NUMBER`; changes are in the guest's memory.
fn mount_root(number: usize) -> Result<Layers, Failure> {
    let disk = devices::find_disk(&format!("root-{number}"))?;
    let app = PathBuf::from(format!("/apps/{number}"));
    let [image, changes] = ["image", "changes"].map(|name| app.join(name));
    for directory in [&app, &image, &changes] {
        fs::create_dir(directory).map_err(failed("make a place for its root"))?;
    }
    let disk = disk.to_str().ok_or_else(|| Failure::new("a disk has a name that is no text"))?;
    mount_at(IMAGES, &[("source", disk)], &image)?;
    mount_at("tmpfs", &[("mode", "0755")], &changes)?;
    let [upper, work] = ["upper", "work"].map(|name| changes.join(name));
    for directory in [&upper, &work] {
        fs::create_dir(directory).map_err(failed("make a place for its changes"))?;
    }
    // The upper layer's own mode and owner are those that the app sees on its `/`.
    let top = fs::metadata(&image).map_err(failed("look at its root"))?;
    std::os::unix::fs::chown(&upper, Some(top.uid()), Some(top.gid())).map_err(failed("own its root"))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(top.mode() & 0o7777)).map_err(failed("own its root"))?;
    Ok(Layers { lower: vec![image], changes: Changes::Layer { upper, work } })
}

fn mount_at(kind: &str, options: &[(&str, &str)], at: &Path) -> Result<(), Failure> {
    let mounted = || -> rkt_sys::Result<()> {
        let system = FileSystem::new(kind)?;
        // A disk that cannot be written to is opened for reading only where this is said before.
        let system = if kind == IMAGES { system.flag("ro")? } else { system };
        let system = options.iter().try_fold(system, |system, (name, value)| system.option(name, value))?;
        let mount: OwnedFd = system.mount(Attributes::empty())?;
        mount::attach(mount.as_fd(), Root::open(at)?.as_fd())
    };
    mounted().map_err(failed("mount it")).map_err(|cause| cause.within(format!("{kind} on {}", at.display())))
}
