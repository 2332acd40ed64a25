//! The order in which a plan is enacted: one list, the same for every flavor.
//!
//! 1. [`Prepared::new`], outside, with all rights: whatever comes from the host becomes a mount that is
//!    attached nowhere. The host's own table of mounts is not touched, and where something fails,
//!    nothing has happened but what the journal says.
//! 2. [`Prepared::enter_pod`], in the first process of the pod's namespaces.
//!    An app that comes later, or to an init that was not born of this process, takes another way from 1 to
//!    here: [`crate::places`].
//! 3. [`crate::assemble`], in an app's first process: its files, and the end of all that was the host's.
//! 4. [`crate::confine`], in every process of an app, the first and those entered later: less and less.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rkt_plan::{
    CheckedPlan, CleanPath, Confinement, Credentials, Jail, Namespace, Program as PlannedProgram, Role, Template, User,
};
use rkt_sys::network;
use rkt_sys::network::Isolated;
use rkt_sys::root::Root;
use rkt_sys::seccomp::Program as Filter;
use rkt_sys::spawn::{Child, Spawn};

use crate::failure::Failure;
use crate::hold::Hold;
use crate::journal::Effect;
use crate::launch::{Command, Launch};
use crate::outside::{Meeting, Outside};
use crate::places::Parts;
use crate::process::drop_stdio;
use crate::program;
use crate::scaffold::{self, Base};
use crate::words::{bind, device, hostname, limit, oom_score, root, seccomp, share, user};

/// What it takes to start the first process of namespaces, and below it apps or a program, with everything
/// from the host in hand.
#[derive(Debug)]
pub struct Prepared {
    /// Namespaces that are made with the first process, beside that of mounts.
    pub(crate) own: BTreeSet<Namespace>,
    /// That of the network, where it is made before.
    pub(crate) network: Option<Isolated>,
    pub(crate) hostname: Option<String>,
    /// The control group of the first process; none: its parent's.
    pub(crate) group: Option<OwnedFd>,
    /// The first process's own file system. None: it stays among the host's mounts, and each app's first process
    /// parts from them.
    pub(crate) scaffold: Option<OwnedFd>,
    pub(crate) apps: Vec<PreparedApp>,
    /// Where whoever prepares this meets the init that a program starts.
    pub(crate) meeting: Option<Meeting>,
}

/// The same of one app, or of a program in its jail.
#[derive(Debug)]
pub struct PreparedApp {
    pub(crate) plan: Jail,
    pub(crate) user: Credentials,
    pub(crate) command: Command,
    pub(crate) limits: Option<limit::Place>,
    pub(crate) own_cgroup_namespace: bool,
    pub(crate) base: Base,
    pub(crate) root: OwnedFd,
    /// As many as there are mounts; nothing for what is no bind.
    pub(crate) binds: Vec<Option<bind::Bind>>,
    pub(crate) devices: Vec<device::Device>,
    pub(crate) filter: Option<Filter>,
    /// What the plan's own programs are, opened where they cannot be written to.
    pub(crate) files: Vec<(Role, OwnedFd)>,
    /// The program's descriptors from 3 on.
    pub(crate) handles: Vec<OwnedFd>,
    /// Of a program outside of its jail.
    pub(crate) outside: Option<Outside>,
}

impl Prepared {
    /// A pod's apps, started by rkt itself. Takes from the host what the plan names; what outlives processes
    /// is written down first.
    ///
    /// # Errors
    /// Something that the plan names is not there or not allowed; [`crate::undo`] undoes what was done.
    pub fn apps_of(launch: &Launch, plan: &CheckedPlan, hold: &mut Hold) -> Result<Self, Failure> {
        let stays_with_host = plan.shared.contains(&Namespace::Pid);
        if stays_with_host {
            hold.journal.write(&Effect::Processes(root::name(&launch.pod.uuid)))?;
        }
        let mut own: BTreeSet<Namespace> = plan.own().collect();
        // It is made while the mounts are prepared.
        let network = own.remove(&Namespace::Network).then(Isolated::begin);
        let network = network.transpose().map_err(Failure::of(|| "make the pod's network namespace"))?;
        // Whoever sees the host's processes sees its files by way of them: an init apart from these would take
        // time and keep nothing from anybody.
        let (scaffold, nodes) = (!stays_with_host).then(scaffold::prepare).transpose()?.unzip();
        let own_cgroup_namespace = !plan.shared.contains(&Namespace::Cgroup);
        let mut making = Making { launch, nodes: nodes.as_ref(), hold, own_cgroup_namespace };
        let mut apps: Vec<PreparedApp> = Vec::with_capacity(plan.apps.len());
        for app in &plan.apps {
            let same = apps.iter().find(|other| other.plan.seccomp == app.seccomp);
            let filter = same.and_then(|other| other.filter.clone());
            let prepared = making.app(app, filter);
            apps.push(prepared.map_err(|cause| cause.within(format!("app {}", app.name)))?);
        }
        let hostname = plan.hostname.clone();
        let group = hold.group_of_init()?;
        Ok(Self { own, network, hostname, group, scaffold, apps, meeting: None })
    }

    /// A program: in its jail it has namespaces of its own and no network, outside of it those of the host. Of the
    /// pod's programs it has this number.
    ///
    /// # Errors
    /// As for [`Prepared::apps_of`].
    pub fn program(jailed: &Jailed<'_>, launch: &Launch, hold: &mut Hold) -> Result<Self, Failure> {
        match jailed.program.confinement {
            Confinement::Jailed => Self::program_in_jail(jailed, launch, hold),
            Confinement::Unconfined => Self::program_outside(jailed, launch, hold),
        }
    }

    fn program_in_jail(jailed: &Jailed<'_>, launch: &Launch, hold: &mut Hold) -> Result<Self, Failure> {
        let (scaffold, nodes) = scaffold::prepare()?;
        let mut making = Making { launch, nodes: Some(&nodes), hold, own_cgroup_namespace: true };
        let own = Namespace::ALL.into_iter().filter(|namespace| *namespace != Namespace::User).collect();
        let prepared = making.program(jailed).map_err(|cause| cause.within(jailed.role.to_string()))?;
        let (group, scaffold) = (hold.group_of_init()?, Some(scaffold));
        Ok(Self { own, network: None, hostname: None, group, scaffold, apps: vec![prepared], meeting: None })
    }

    /// Makes the first process of the namespaces, which does this and ends with the code that it returns.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn spawn(mut self, body: impl FnOnce(Self) -> i32) -> Result<Child, Failure> {
        let group = self.group.take();
        let namespaces = share::of(&self.own, self.scaffold.is_some());
        let spawn = Spawn { namespaces, cgroup: group.as_ref().map(OwnedFd::as_fd) };
        let made = match self.network.take() {
            None => spawn.run(|| body(self)),
            Some(network) => network.within(|| spawn.run(|| body(self))).and_then(|made| made),
        };
        made.map_err(Failure::of(|| "make the first process of namespaces"))
    }

    /// Whether the pod's processes are in the host's pid namespace, so that nothing but their parents
    /// ends them.
    pub fn shares_pids(&self) -> bool {
        !self.own.contains(&Namespace::Pid)
    }

    /// Whether the pod's first process stays among the host's mounts: it can [`part_from_host`] later.
    pub fn stays_with_host(&self) -> bool {
        self.scaffold.is_none()
    }

    /// Makes the pod's first process, which is this one, one that has nothing of the host but what the plan shares,
    /// and, where that is the host's processes, its mounts. Lets go of the caller's input and output.
    ///
    /// # Errors
    /// The kernel refused a step.
    pub fn enter_pod(&self) -> Result<(), Failure> {
        if let Some(scaffold) = &self.scaffold {
            scaffold::enter(scaffold)?;
        }
        if let Some(name) = &self.hostname {
            hostname::set(name)?;
        }
        if self.own.contains(&Namespace::Network) {
            network::bring_up_loopback().map_err(Failure::of(|| "bring up the pod's loopback"))?;
        }
        drop_stdio(if self.stays_with_host() { scaffold::HOSTS_NULL } else { scaffold::NULL })
    }

    /// Takes out where the init is met that the program starts.
    pub fn take_meeting(&mut self) -> Option<Meeting> {
        self.meeting.take()
    }

    /// The apps, in the order of the pod.
    pub fn apps(&self) -> &[PreparedApp] {
        &self.apps
    }

    /// Takes the apps out, in the order of the pod: they come and go while the rest stays.
    pub fn take_apps(&mut self) -> Vec<PreparedApp> {
        std::mem::take(&mut self.apps)
    }
}

/// A program that is to be started in its jail.
#[derive(Debug, Clone, Copy)]
pub struct Jailed<'a> {
    /// What it is for.
    pub role: &'a Role,
    /// Which of the pod's programs it is, from 0.
    pub number: usize,
    /// What was planned for it.
    pub program: &'a PlannedProgram,
    /// What may be started in its jail later.
    pub templates: &'a [(Role, &'a Template)],
    /// What leads to the init that it starts, where it is told that by a descriptor.
    pub channel: Option<BorrowedFd<'a>>,
    /// Where in its tree that init is met, where it is met there.
    pub socket: Option<&'a CleanPath>,
}

/// What is common to all that is prepared for one first process.
pub(crate) struct Making<'a> {
    pub(crate) launch: &'a Launch,
    /// Where nodes of devices go, in the file system of the first process, where that has one.
    pub(crate) nodes: Option<&'a Root>,
    pub(crate) hold: &'a mut Hold,
    pub(crate) own_cgroup_namespace: bool,
}

impl Making<'_> {
    /// An app whose filter is made by whoever starts it.
    pub(crate) fn app_without_filter(&mut self, app: &Jail) -> Result<PreparedApp, Failure> {
        let missing = || Failure::new("the launch has no command for it");
        let command = self.launch.commands.get(&app.name).ok_or_else(missing)?.clone();
        self.jail(app, command, root::of_app(self.launch, &app.name)?, user::ids(&app.user, 0)?)
    }

    fn app(&mut self, app: &Jail, filter: Option<Filter>) -> Result<PreparedApp, Failure> {
        let prepared = self.app_without_filter(app)?;
        Ok(PreparedApp { filter: filter.map_or_else(|| prepared.compile(), |same| Ok(Some(same)))?, ..prepared })
    }

    fn program(&mut self, jailed: &Jailed<'_>) -> Result<PreparedApp, Failure> {
        let program = jailed.program;
        let user = user::ids(&program.jail.user, jailed.number)?;
        let command = program::command(jailed.role, program, self.launch, None)?;
        let mut prepared = self.jail(&program.jail, command, root::bare()?, user)?;
        prepared.filter = prepared.compile()?;
        let files = [(jailed.role.clone(), &program.file)]
            .into_iter()
            .chain(jailed.templates.iter().map(|(role, template)| (role.clone(), &template.file)));
        for (role, file) in files {
            prepared.files.push((role, program::open(file, self.launch)?));
        }
        prepared.handles = program::handles(program, self.launch, jailed.channel)?;
        Ok(prepared)
    }

    fn jail(
        &mut self,
        jail: &Jail,
        command: Command,
        root: OwnedFd,
        user: Credentials,
    ) -> Result<PreparedApp, Failure> {
        let limits = self.hold.limit(jail)?;
        let parts = Parts::with_limits(self.launch, jail, root, limits)?;
        let owner = (jail.user == User::Own).then_some(&user);
        let needs_scaffold = !jail.devices.is_empty() || !jail.masked.is_empty();
        let (own, own_nodes) = (self.nodes.is_none() && needs_scaffold).then(scaffold::prepare).transpose()?.unzip();
        let nodes = self.nodes.or(own_nodes.as_ref());
        let devices = parts.devices.iter().enumerate();
        let devices = devices
            .map(|(index, model)| model.make(nodes.ok_or_else(scaffold::missing)?, &node_name(jail, index), owner));
        let devices = devices.collect::<Result<_, _>>()?;
        Ok(PreparedApp {
            limits: parts.limits,
            own_cgroup_namespace: self.own_cgroup_namespace,
            base: if self.nodes.is_some() { Base::Init } else { Base::Host(own) },
            command,
            user,
            root: parts.root,
            binds: parts.binds,
            devices,
            filter: None,
            files: Vec::new(),
            handles: Vec::new(),
            outside: None,
            plan: jail.clone(),
        })
    }
}

/// The name of a device's node, by the number of the device in the plan.
pub(crate) fn node_name(jail: &Jail, index: usize) -> String {
    format!("{}-{index}", jail.name)
}

impl PreparedApp {
    fn compile(&self) -> Result<Option<Filter>, Failure> {
        self.plan.seccomp.as_ref().map(seccomp::compile).transpose()
    }

    /// The file that a command names by what it is for.
    pub(crate) fn file(&self, role: &Role) -> Option<&OwnedFd> {
        self.files.iter().find(|(known, _)| known == role).map(|(_, file)| file)
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let binds = self.binds.iter().flatten().map(bind::Bind::as_fd);
        let devices = self.devices.iter().filter_map(device::Device::descriptor);
        let limits = self.limits.iter().flat_map(limit::Place::descriptors);
        let files = self.files.iter().map(|(_, file)| file).chain(&self.handles).map(OwnedFd::as_fd);
        let base = match &self.base {
            Base::Init => None,
            Base::Host(own) => own.as_ref().map(OwnedFd::as_fd),
        };
        [self.root.as_fd()].into_iter().chain(base).chain(binds).chain(devices).chain(limits).chain(files)
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

/// Lets go of the host's mounts, which a first process with a file system of its own keeps out of the way until
/// then: apps' first processes let go of them by themselves.
///
/// # Errors
/// The kernel refused.
pub fn leave_host() -> Result<(), Failure> {
    scaffold::leave_host()
}

/// Gives a first process that stays with the host a file system of its own after all: one with places for apps
/// that come later ([`crate::places`]).
///
/// # Errors
/// The kernel refused.
pub fn part_from_host() -> Result<(), Failure> {
    scaffold::part_from_host()
}

/// Sets what has to be set while a procfs is in reach that no app has changed: before the app's root is entered.
pub(crate) fn set_oom_score(app: &PreparedApp) -> Result<(), Failure> {
    app.plan.oom_score.map_or(Ok(()), |adjustment| oom_score::set(Path::new(scaffold::PROC), adjustment))
}
