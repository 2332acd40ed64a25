//! The order in which a plan is enacted: one list, the same for every flavor.
//!
//! 1. [`Prepared::new`], outside, with all rights: whatever comes from the host becomes a mount that is
//!    attached nowhere. The host's own table of mounts is not touched, and where something fails,
//!    nothing has happened but what the journal says.
//! 2. [`Prepared::enter_pod`], in the first process of the pod's namespaces.
//! 3. [`assemble`], in an app's first process: its files, and the end of all that was the host's.
//! 4. [`confine`], in every process of an app, the first and those entered later: less and less.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rkt_plan::{Jail, CheckedPlan, Mount, Namespace, Source};
use rkt_sys::capability::Capabilities;
use rkt_sys::mount as sys_mount;
use rkt_sys::namespace::Namespaces;
use rkt_sys::root::Root;
use rkt_sys::seccomp::Program as Filter;
use rkt_sys::{capability, network, process, signal};
use rustix::fs::{FsWord, Mode, OFlags};

use crate::failure::Failure;
use crate::journal::{Effect, Journal};
use crate::launch::{Command, Launch};
use crate::program::Program;
use crate::scaffold::{self, Scaffold};
use crate::words::{
    bind, capabilities, device, hostname, limit, link, mask, mount, oom_score, read_only, root, seccomp, share, user,
};

/// What it takes to start a pod, with everything from the host in hand.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) plan: CheckedPlan,
    scaffold: OwnedFd,
    apps: Vec<PreparedApp>,
}

/// The same of one app.
#[derive(Debug)]
pub struct PreparedApp {
    pub(crate) plan: Jail,
    pub(crate) command: Command,
    pub(crate) limits: Option<limit::Place>,
    pub(crate) own_cgroup_namespace: bool,
    root: OwnedFd,
    /// As many as there are mounts; nothing for what is no bind.
    binds: Vec<Option<bind::Bind>>,
    devices: Vec<device::Device>,
    filter: Option<Filter>,
}

impl Prepared {
    /// Takes from the host what the plan names. What outlives processes is written down first.
    ///
    /// # Errors
    /// Something that the plan names is not there or not allowed; [`crate::undo`] undoes what was done.
    pub fn new(launch: &Launch, plan: CheckedPlan, journal: &mut Journal) -> Result<Self, Failure> {
        if plan.shared.contains(&Namespace::Pid) {
            journal.write(&Effect::Processes(root_name(&launch.pod.uuid)))?;
        }
        let has_limits = plan.apps.iter().any(|app| !app.limits.is_empty());
        let groups = has_limits.then(|| limit::Host::look(&launch.pod.uuid)).transpose()?;
        let (scaffold, nodes) = scaffold::prepare()?;
        let mut apps: Vec<PreparedApp> = Vec::with_capacity(plan.apps.len());
        for app in &plan.apps {
            let filter = app.seccomp.as_ref().map(|policy| {
                let same = apps.iter().find(|other| other.plan.seccomp.as_ref() == Some(policy));
                same.and_then(|other| other.filter.clone()).map_or_else(|| seccomp::compile(policy), Ok)
            });
            let prepared = filter.transpose().and_then(|filter| {
                let own_cgroup_namespace = !plan.shared.contains(&Namespace::Cgroup);
                let limits = match &groups {
                    Some(groups) if !app.limits.is_empty() => Some(groups.make(&launch.pod.uuid, app, journal)?),
                    _ => None,
                };
                PreparedApp::new(launch, app, filter, limits, own_cgroup_namespace, &nodes)
            });
            apps.push(prepared.map_err(|cause| cause.within(format!("app {}", app.name)))?);
        }
        Ok(Self { plan, scaffold, apps })
    }

    /// The namespaces that the pod's first process is born into.
    pub fn namespaces(&self) -> Namespaces {
        share::of_pod(&self.plan)
    }

    /// Whether the pod's processes are in the host's pid namespace, so that nothing but their parents
    /// ends them.
    pub fn shares_pids(&self) -> bool {
        self.plan.shared.contains(&Namespace::Pid)
    }

    /// Makes the pod's first process, which is this one, one that knows nothing of the host.
    ///
    /// # Errors
    /// The kernel refused a step.
    pub fn enter_pod(&self) -> Result<(), Failure> {
        scaffold::enter(&self.scaffold)?;
        if let Some(name) = &self.plan.hostname {
            hostname::set(name)?;
        }
        if !self.plan.shared.contains(&Namespace::Network) {
            network::bring_up_loopback().map_err(Failure::of(|| "bring up the pod's loopback"))?;
        }
        Ok(())
    }

    /// Every descriptor in it, for a process that closes all others.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let apps = self.apps.iter().flat_map(|app| {
            let binds = app.binds.iter().flatten().map(bind::Bind::as_fd);
            let limits = app.limits.iter().flat_map(limit::Place::descriptors);
            [app.root.as_fd()].into_iter().chain(binds).chain(limits)
        });
        apps.chain([self.scaffold.as_fd()]).collect()
    }

    /// The apps, in the order of the pod.
    pub fn apps(&self) -> &[PreparedApp] {
        &self.apps
    }
}

impl PreparedApp {
    fn new(
        launch: &Launch,
        app: &Jail,
        filter: Option<Filter>,
        limits: Option<limit::Place>,
        own_cgroup_namespace: bool,
        nodes: &Root,
    ) -> Result<Self, Failure> {
        let missing = |what: &str| Failure::new(format!("the launch has no {what} for it"));
        let layers = launch.places.roots.get(&app.name).ok_or_else(|| missing("root"))?;
        let command = launch.commands.get(&app.name).ok_or_else(|| missing("command"))?;
        let binds = app.mounts.iter().map(|mount| match mount {
            Mount::Bind { source, access, reach, .. } => {
                bind::prepare(source, *access, *reach, &launch.places).map(Some)
            }
            Mount::FileSystem { .. } => Ok(None),
        });
        let name = |index| format!("{}-{index}", app.name);
        let devices = app.devices.iter().enumerate().map(|(index, path)| device::prepare(path, nodes, &name(index)));
        Ok(Self {
            command: command.clone(),
            limits,
            own_cgroup_namespace,
            root: root::prepare(layers, &root_name(&launch.pod.uuid))?,
            binds: binds.collect::<Result<_, _>>()?,
            devices: devices.collect::<Result<_, _>>()?,
            filter,
            plan: app.clone(),
        })
    }

    /// The app's name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// What was planned for it.
    pub fn plan(&self) -> &Jail {
        &self.plan
    }

    /// What it runs.
    pub fn command(&self) -> &Command {
        &self.command
    }
}

/// Builds an app's root in this process's mount namespace and makes it the only one there. Returns the
/// app's terminals, where the plan gives it any.
pub(crate) fn assemble(app: &PreparedApp) -> Result<Option<OwnedFd>, Failure> {
    let scaffold = Scaffold::open().map_err(Failure::of(|| "open init's file system"))?;
    let root = root::attach(app.root.as_fd(), Path::new(scaffold::APP))?;
    for (planned, bound) in app.plan.mounts.iter().zip(&app.binds) {
        enact_mount(&root, planned, bound.as_ref(), &app.plan.mounts)?;
    }
    for device in &app.devices {
        device::enact(&root, device, &scaffold.nodes, &app.plan.mounts)?;
    }
    for link in &app.plan.links {
        link::enact(&root, link)?;
    }
    for path in &app.plan.read_only {
        read_only::enact(&root, path)?;
    }
    for path in &app.plan.masked {
        mask::enact(&root, path, &scaffold)?;
    }
    root::finish(&root, app.plan.root)?;
    let devpts = find_terminals(&root);
    sys_mount::pivot_root(root.as_fd()).map_err(Failure::of(|| "make the image the root"))?;
    Ok(devpts)
}

fn enact_mount(root: &Root, planned: &Mount, bound: Option<&bind::Bind>, all: &[Mount]) -> Result<(), Failure> {
    match (planned, bound) {
        (Mount::FileSystem { kind, target, options }, _) => mount::enact(root, *kind, target, options, all)
            .map_err(|cause| cause.within(format!("mount {} on {target}", kind.name()))),
        (Mount::Bind { source, target, .. }, Some(bound)) => bound
            .attach(root, target, all)
            .map_err(|cause| cause.within(format!("bind {} on {target}", source_name(source)))),
        (Mount::Bind { .. }, None) => unreachable!("every bind of a plan is prepared with it"),
    }
}

/// The devpts that programs of the app look for, before any of them could have put something else there.
fn find_terminals(root: &Root) -> Option<OwnedFd> {
    // DEVPTS_SUPER_MAGIC of linux/magic.h.
    const DEVPTS: FsWord = 0x1cd1;
    let directory = root.open_path(Path::new("/dev/pts")).ok()?;
    let stat = rustix::fs::fstatfs(&directory).ok()?;
    (stat.f_type == DEVPTS).then_some(directory)
}

/// Sets what has to be set while the pod's own procfs is in reach: before the app's root is entered.
pub(crate) fn set_oom_score(app: &PreparedApp) -> Result<(), Failure> {
    app.plan.oom_score.map_or(Ok(()), |adjustment| oom_score::set(Path::new(scaffold::PROC), adjustment))
}

/// Gives up everything that the plan does not give, and becomes the command. `kept` is the only open
/// descriptor beside 0, 1 and 2, and closes with success.
pub(crate) fn confine(app: &PreparedApp, command: &Command, kept: &OwnedFd) -> Result<Infallible, Failure> {
    process::close_all_but(&[kept.as_fd()]).map_err(Failure::of(|| "close descriptors"))?;
    let planned = capabilities::available(app.plan.capabilities)?;
    capabilities::limit(planned)?;
    let kept = if app.plan.user.uid == 0 { planned } else { Capabilities::empty() };
    // Without no-new-privileges only this capability lets a filter be installed; a program that is
    // run loses it by the kernel's rules, since neither its user nor the bounding set has it.
    let for_filter = match &app.filter {
        Some(_) if !app.plan.no_new_privileges => Capabilities::SYS_ADMIN,
        _ => Capabilities::empty(),
    };
    capability::keep_across_set_uid(true).map_err(Failure::of(|| "keep capabilities"))?;
    user::become_user(&app.plan.user)?;
    capabilities::keep(kept | for_filter)?;
    enter_working_directory(&command.working_directory)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let program = Program::find(command).map_err(Failure::of_program)?;
    signal::reset().map_err(Failure::of(|| "reset signals"))?;
    if app.plan.no_new_privileges {
        process::set_no_new_privileges().map_err(Failure::of(|| "give up new privileges"))?;
    }
    if let Some(filter) = &app.filter {
        filter.install().map_err(Failure::of(|| "filter system calls"))?;
    }
    Err(program.run().of_program())
}

/// As the app's user, and through no magic link of procfs, which could lead out of the root
/// (CVE-2024-21626).
fn enter_working_directory(path: &str) -> Result<(), Failure> {
    let failed = || format!("enter the working directory {path}");
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    Root::open(Path::new("/"))
        .and_then(|root| root.open_path(Path::new(path)))
        .map_err(Failure::of(failed))
        .and_then(|directory| {
            rustix::fs::openat(&directory, c".", flags, Mode::empty()).map_err(Failure::of(failed))?;
            rustix::process::fchdir(&directory).map_err(Failure::of(failed))
        })
        .map_err(Failure::of_program)
}

/// The name of the root file systems of a pod's apps, by which their processes are known.
fn root_name(uuid: &str) -> String {
    format!("rkt:{uuid}")
}

fn source_name(source: &Source) -> &str {
    match source {
        Source::Volume(name) | Source::Empty(name) => name,
        Source::Host(path) => path.as_str(),
    }
}
