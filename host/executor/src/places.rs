//! How an app's parts come to an init that did not inherit them: by way of places in init's file system.
//!
//! Whoever has all rights takes the parts from the host ([`Parts::take`]), enters init's mount namespace
//! and attaches them ([`put`]); init takes them from there ([`PreparedApp::from_places`]) and clears the
//! places ([`clear`]). Nothing passes from the one to the other but names that both know:
//!
//! | place | what is attached there |
//! |---|---|
//! | `/apps` | a small file system that holds the rest, and goes with it |
//! | `/apps/NUMBER/root` | the app's root |
//! | `/apps/NUMBER/bind-N` | the source of the plan's mount N, where that is a bind |
//! | `/apps/NUMBER/device-N` | not a mount: a node like the host's, for the plan's device N |
//! | `/apps/NUMBER/group` | the directory of the app's version 2 control group |
//! | `/apps/NUMBER/group-N` | `cgroup.procs` of the app's group in a version 1 hierarchy |
//!
//! An app has a number that no other app of the pod ever had. The plan says what there is: an app whose
//! places lack something is not started.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rkt_plan::{CheckedPlan, Credentials, Jail, Mount, Namespace, User};
use rkt_sys::mount::{self, Attributes, Depth, FileSystem};
use rkt_sys::namespace;
use rkt_sys::pidfd::PidFd;
use rkt_sys::root::Root;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::Pid;

use crate::failure::Failure;
use crate::hold::Hold;
use crate::launch::{Command, Launch};
use crate::order::PreparedApp;
use crate::scaffold::{self, Base};
use crate::target::Kind;
use crate::words::{bind, device, limit, root, seccomp};

/// Everything that an app's plan takes from the host, in hand.
#[derive(Debug)]
pub struct Parts {
    pub(crate) root: OwnedFd,
    /// As many as there are mounts; nothing for what is no bind.
    pub(crate) binds: Vec<Option<bind::Bind>>,
    pub(crate) devices: Vec<device::Model>,
    pub(crate) limits: Option<limit::Place>,
}

impl Parts {
    /// Takes from the host what one app's plan names. Its control groups are written down before they
    /// are made.
    ///
    /// # Errors
    /// Something that the plan names is not there or not allowed; [`crate::undo_apps_but`] undoes what was
    /// done.
    pub fn take(launch: &Launch, app: &Jail, hold: &mut Hold) -> Result<Self, Failure> {
        let mut take = || Self::with_limits(launch, app, root::of_app(launch, &app.name)?, hold.limit(app)?);
        take().map_err(|cause: Failure| cause.within(format!("app {}", app.name)))
    }

    /// The same, with the root and the control groups made.
    pub(crate) fn with_limits(
        launch: &Launch,
        jail: &Jail,
        root: OwnedFd,
        limits: Option<limit::Place>,
    ) -> Result<Self, Failure> {
        let writer = if jail.user == User::Own { bind::Writer::Programs } else { bind::Writer::Root };
        let binds = jail.mounts.iter().map(|mount| match mount {
            Mount::Bind { source, access, reach, .. } => {
                bind::prepare(source, *access, *reach, launch, writer).map(Some)
            }
            Mount::FileSystem { .. } => Ok(None),
        });
        Ok(Self {
            root,
            binds: binds.collect::<Result<_, _>>()?,
            devices: jail.devices.iter().map(device::look).collect::<Result<_, _>>()?,
            limits,
        })
    }
}

/// Puts the parts of apps, by their numbers, into the places of an init that has not cleared them yet.
///
/// `init` is its process, by pid and pinned. The calling process enters its mount namespace and stays there: it is one that
/// ends soon.
///
/// # Errors
/// Init has no mount namespace of its own, or the kernel refused a step; nothing is left in the places.
pub fn put(init: (Pid, &PidFd), apps: &[(usize, Parts)]) -> Result<(), Failure> {
    let groups: Vec<_> = apps
        .iter()
        .map(|(_, parts)| parts.limits.as_ref().map(limit::Place::mounts).transpose())
        .collect::<Result<_, _>>()?;
    enter(init)?;
    // What somebody left who was interrupted here.
    while clear().is_ok() {}
    let put = make_places().and_then(|top| {
        for ((number, parts), groups) in apps.iter().zip(groups) {
            put_one(&top, *number, parts, groups)?;
        }
        Ok(())
    });
    put.map_err(|cause: rkt_sys::Error| {
        // What was attached goes with the places.
        let _ = clear();
        Failure::of(|| "bring it into the pod")(cause)
    })
}

/// Enters init's mount namespace, which is never the host's: what is put there would be on the host.
fn enter((pid, process): (Pid, &PidFd)) -> Result<(), Failure> {
    let failed = || "enter the pod";
    let of = |process: &str| std::fs::metadata(format!("/proc/{process}/ns/mnt")).map(|stat| stat.ino());
    let (hosts, inits) = (of("self"), of(&pid.to_string()));
    if hosts.map_err(Failure::of(failed))? == inits.map_err(Failure::of(failed))? {
        return Err(Failure::new("its init is among the host's mounts").within(failed()));
    }
    namespace::enter(process.as_fd(), namespace::Namespace::Mount).map_err(Failure::of(failed))
}

fn make_places() -> rkt_sys::Result<Root> {
    let tmpfs = FileSystem::new("tmpfs")?.option("mode", "0700")?.option("size", "1m")?;
    let mount = tmpfs.mount(Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC)?;
    mount::attach(mount.as_fd(), Root::open(Path::new(scaffold::APPS))?.as_fd())?;
    Root::from_fd(mount)
}

fn put_one(
    top: &Root,
    number: usize,
    parts: &Parts,
    groups: Option<(Option<OwnedFd>, Vec<OwnedFd>)>,
) -> rkt_sys::Result<()> {
    let directory = PathBuf::from(number.to_string());
    top.create_dir(&directory, Mode::from_raw_mode(0o700))?;
    let attach = |name: &str, kind, mount: BorrowedFd<'_>| attach(top, &directory.join(name), kind, mount);
    attach(ROOT, Kind::Directory, parts.root.as_fd())?;
    for (index, bound) in parts.binds.iter().enumerate() {
        if let Some(bound) = bound {
            attach(&bind_place(index), bound.kind(), bound.as_fd())?;
        }
    }
    for (index, model) in parts.devices.iter().enumerate() {
        model.make_at(top, &directory.join(device_place(index)), None)?;
    }
    let (unified, lists) = groups.unwrap_or_default();
    if let Some(unified) = unified {
        attach(GROUP, Kind::Directory, unified.as_fd())?;
    }
    for (index, list) in lists.iter().enumerate() {
        attach(&list_place(index), Kind::File, list.as_fd())?;
    }
    Ok(())
}

fn attach(top: &Root, at: &Path, kind: Kind, mount: BorrowedFd<'_>) -> rkt_sys::Result<()> {
    match kind {
        Kind::Directory => top.create_dir(at, Mode::from_raw_mode(0o700))?,
        Kind::File => drop(top.create_file(at, Mode::from_raw_mode(0o600))?),
    }
    mount::attach(mount, top.open_path(at)?.as_fd())
}

/// Takes the places out of init's file system, with whatever is still attached there.
///
/// # Errors
/// Nothing is there.
pub fn clear() -> Result<(), Failure> {
    mount::unmount_detached(Path::new(scaffold::APPS)).map_err(Failure::of(|| "clear the places of apps"))
}

impl PreparedApp {
    /// An app of a checked plan, taken from its places. For init; nobody but the kernel and whoever put
    /// its parts there has had a hand in them.
    ///
    /// # Errors
    /// The plan has no such app, or its places lack something.
    pub fn from_places(plan: &CheckedPlan, name: &str, command: Command, number: usize) -> Result<Self, Failure> {
        let unplanned = || Failure::new("the plan has no such app");
        let app = plan.apps.iter().find(|app| app.name == name).ok_or_else(unplanned)?;
        let failed = || "find its places";
        let top = Root::open(Path::new(scaffold::APPS)).map_err(Failure::of(failed))?;
        let places =
            top.open_path(Path::new(&number.to_string())).and_then(Root::from_fd).map_err(Failure::of(failed))?;
        let open = |name: &str| places.open_path(Path::new(name)).map_err(Failure::of(failed));
        let root = mount::clone_tree(open(ROOT)?.as_fd(), Depth::One).map_err(Failure::of(|| "take its root"))?;
        let binds = app.mounts.iter().enumerate().map(|(index, planned)| match planned {
            Mount::Bind { reach, .. } => bind::Bind::of_mount(&open(&bind_place(index))?, *reach).map(Some),
            Mount::FileSystem { .. } => Ok(None),
        });
        let devices = app.devices.iter().enumerate();
        let devices = devices.map(|(index, path)| device::Device::of_node(path, &open(&device_place(index))?));
        Ok(Self {
            user: ids(&app.user)?,
            command,
            files: Vec::new(),
            handles: Vec::new(),
            outside: None,
            limits: limits(app, &places)?,
            own_cgroup_namespace: !plan.shared.contains(&Namespace::Cgroup),
            base: Base::Init,
            root,
            binds: binds.collect::<Result<_, _>>()?,
            devices: devices.collect::<Result<_, _>>()?,
            filter: app.seccomp.as_ref().map(seccomp::compile).transpose()?,
            plan: app.clone(),
        })
    }
}

/// An app runs as who is named; users of their own are programs'.
fn ids(user: &User) -> Result<Credentials, Failure> {
    match user {
        User::Ids(ids) => Ok(ids.clone()),
        User::Own => Err(Failure::new("an app has no user of its own")),
    }
}

/// The app's place in its control groups. One that is to have limits never runs without.
fn limits(app: &Jail, places: &Root) -> Result<Option<limit::Place>, Failure> {
    if app.limits.is_empty() {
        return Ok(None);
    }
    let is_there = |name: &str| match places.open_path(Path::new(name)) {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(false),
        Err(error) => Err(Failure::of(|| "find its control group")(error)),
    };
    let unified = is_there(GROUP)?.then_some(GROUP);
    let mut lists = Vec::new();
    while is_there(&list_place(lists.len()))? {
        lists.push(list_place(lists.len()));
    }
    if unified.is_none() && lists.is_empty() {
        return Err(Failure::new("its places lack its control group"));
    }
    limit::Place::of_mounts(places, unified, &lists).map(Some)
}

const ROOT: &str = "root";
const GROUP: &str = "group";

fn bind_place(index: usize) -> String {
    format!("bind-{index}")
}

fn device_place(index: usize) -> String {
    format!("device-{index}")
}

fn list_place(index: usize) -> String {
    format!("group-{index}")
}
