//! What the kernel can do.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use rkt_executor::groups::Owner;
use rkt_sys::cgroup::{Controller, Hierarchies, Layout};
use rkt_sys::mount::{Attributes, FileSystem, Overlay, Upper};
use rkt_sys::namespace::{Namespace, Namespaces};
use rkt_sys::pidfd::{Exit, PidFd};
use rkt_sys::root::Root;
use rkt_sys::seccomp::{Action, Filter};
use rkt_sys::spawn::Spawn;
use rkt_sys::{landlock, process};
use rustix::process::getpid;

use super::{Answer, Finding};

pub(super) fn examine(data: &Path) -> Vec<Finding> {
    let mut findings = vec![
        release(),
        Finding::new("openat2", Answer::of(openat2()), NEEDED),
        Finding::new("clone3", Answer::of(in_a_child(Namespaces::default(), || Ok(()))), NEEDED),
        Finding::new("pidfd", Answer::of(PidFd::open(getpid()).map(|_| "works".to_owned())), NEEDED),
        Finding::new("mount API", Answer::of(mount_api()), NEEDED),
        overlay(data),
        Finding::new("namespaces", Answer::of(in_a_child(pods_namespaces(), || Ok(()))), NO_NAMESPACES),
        Finding::new("user namespaces", Answer::of(in_a_child(user_namespace(), || Ok(()))), NO_USER_NAMESPACES),
        Finding::new("seccomp", Answer::of(in_a_child(Namespaces::default(), filter)), NO_SECCOMP),
        Finding::new("Landlock", Answer::of(landlock::version().map(|version| format!("ABI {version}"))), NO_LANDLOCK),
    ];
    findings.extend(cgroups());
    findings
}

const NEEDED: &str = "no pod can be run";
const NO_NAMESPACES: &str = "only flavors that share the host's namespaces can run pods";
const NO_USER_NAMESPACES: &str = "pods use the host's users, as all do so far";
const NO_SECCOMP: &str = "plugins cannot be caged, so no pod can be run";
const NO_LANDLOCK: &str = "plugins are caged by their user and by seccomp alone";
const NO_LIMIT: &str = "pods with such limits are refused";

fn release() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Finding::new("kernel", Answer::Yes(release), "")
}

fn openat2() -> rkt_sys::Result<String> {
    Root::open(Path::new("/"))?.open_path(Path::new("."))?;
    Ok("works".to_owned())
}

/// A file system of its own that is attached nowhere, and gone with its descriptor.
fn mount_api() -> rkt_sys::Result<String> {
    FileSystem::new("tmpfs")?.mount(Attributes::empty())?;
    Ok("works".to_owned())
}

/// An overlay where pods would have theirs, written to, and attached nowhere.
pub(super) fn overlay(data: &Path) -> Finding {
    let place = if data.is_dir() { data.to_owned() } else { std::env::temp_dir() };
    let attempt = try_overlay(&place).map(|()| format!("works in {}", place.display()));
    Finding::new("overlayfs", Answer::of(attempt), "no pod can be run from this data directory")
}

fn try_overlay(place: &Path) -> std::io::Result<()> {
    let scratch = tempfile::Builder::new().prefix("rkt-doctor-").tempdir_in(place)?;
    let open = |name: &str| {
        let path = scratch.path().join(name);
        fs::create_dir(&path)?;
        fs::File::open(path)
    };
    let (lower, upper, work) = (open("lower")?, open("upper")?, open("work")?);
    let overlay = Overlay {
        name: "rkt-doctor",
        lower: &[lower.as_fd()],
        upper: Some(Upper { directory: upper.as_fd(), work: work.as_fd() }),
        flags: &[],
    };
    let mount = overlay.mount(Attributes::empty())?;
    Root::from_fd(mount)?.create_file(Path::new("file"), rustix::fs::Mode::RUSR)?;
    if scratch.path().join("upper/file").exists() {
        return Ok(());
    }
    Err(std::io::Error::other("what is written does not arrive in the upper layer"))
}

fn pods_namespaces() -> Namespaces {
    [Namespace::Mount, Namespace::Pid, Namespace::Network, Namespace::Ipc, Namespace::Uts, Namespace::Cgroup]
        .into_iter()
        .fold(Namespaces::default(), Namespaces::with)
}

fn user_namespace() -> Namespaces {
    Namespaces::default().with(Namespace::User)
}

/// Does something in a process that ends with the answer.
fn in_a_child(namespaces: Namespaces, act: fn() -> rkt_sys::Result<()>) -> rkt_sys::Result<String> {
    let child = Spawn { namespaces, ..Spawn::default() }.run(|| i32::from(act().is_err()))?;
    match child.process.wait()? {
        Exit::Code(0) => Ok("works".to_owned()),
        _ => Err(rkt_sys::Error::new("probe", "a child", std::io::Error::other("refused in the child"))),
    }
}

fn filter() -> rkt_sys::Result<()> {
    process::set_no_new_privileges()?;
    Filter { rules: Vec::new(), otherwise: Action::Allow, foreign: Action::Kill }.compile()?.install()
}

fn cgroups() -> Vec<Finding> {
    let hierarchies = match Hierarchies::detect() {
        Ok(hierarchies) => hierarchies,
        Err(error) => return vec![Finding::new("cgroups", Answer::of(Err(error)), NO_LIMIT)],
    };
    let layout = match hierarchies.layout() {
        Layout::None => Answer::No("none mounted".to_owned()),
        Layout::V1 => Answer::Yes("version 1".to_owned()),
        Layout::Hybrid => Answer::Yes("version 1, with a version 2 hierarchy beside it".to_owned()),
        Layout::V2 => Answer::Yes("version 2".to_owned()),
    };
    let names = [
        ("memory limits", Controller::Memory),
        ("processor limits", Controller::Cpu),
        ("process limits", Controller::Pids),
    ];
    let controllers = names.into_iter().map(|(name, controller)| {
        let answer = match hierarchies.with_controller(controller) {
            Some(hierarchy) => {
                Answer::Yes(format!("controller {} in {}", controller.name(), hierarchy.mount_point.display()))
            }
            None => Answer::No(format!("no hierarchy has the controller {}", controller.name())),
        };
        Finding::new(name, answer, NO_LIMIT)
    });
    let place = Answer::of(Owner::find().map(|owner| owner.to_string()));
    let pods = Finding::new("pods' groups", place, NO_LIMIT);
    [Finding::new("cgroups", layout, NO_LIMIT), pods].into_iter().chain(controllers).collect()
}
