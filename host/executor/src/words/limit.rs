//! `limit`: a control group for each app that has limits, in the pod's place for them.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rkt_plan::{Jail, LimitKind};
use rkt_sys::cgroup::{Controller, Group};
use rkt_sys::mount::{self, Depth};
use rkt_sys::root::Root;
use rustix::fs::{FsWord, Mode, OFlags};

use crate::failure::Failure;
use crate::groups::PodGroups;
use crate::journal::{Effect, Journal};

/// CGROUP2_SUPER_MAGIC of linux/magic.h.
const CGROUP2_MAGIC: FsWord = 0x6367_7270;

/// An app's place in its groups, for a process to start in or to move itself to.
#[derive(Debug)]
pub(crate) struct Place {
    unified: Option<OwnedFd>,
    /// `cgroup.procs` of the version 1 hierarchies.
    lists: Vec<File>,
}

impl Place {
    /// Makes an app's group with its limits. Where the groups are is written down first.
    pub(crate) fn make(groups: &PodGroups, app: &Jail, journal: &mut Journal) -> Result<Self, Failure> {
        let kinds = || app.limits.keys().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let within = |failure: Failure| failure.within(format!("limit {}", kinds()));
        let group = groups.group(&app.name, &controllers(app)).map_err(within)?;
        for path in group.paths() {
            journal.write(&Effect::Group(path.to_owned()))?;
        }
        Self::fill(groups, &group, app).map_err(within)
    }

    /// The same of a program outside of its jail, which has a group whether it has limits or not.
    pub(crate) fn of_program(
        groups: &PodGroups,
        number: usize,
        jail: &Jail,
        journal: &mut Journal,
    ) -> Result<(Self, Group), Failure> {
        let group = groups.group_of_program(number, &controllers(jail))?;
        for path in group.paths() {
            journal.write(&Effect::Program(path.to_owned()))?;
        }
        Ok((Self::fill(groups, &group, jail)?, group))
    }

    fn fill(groups: &PodGroups, group: &Group, jail: &Jail) -> Result<Self, Failure> {
        groups.create(group)?;
        for (kind, value) in &jail.limits {
            set(group, *kind, *value).map_err(Failure::of(|| format!("{} to {value}", kind.name())))?;
        }
        Self::open(group).map_err(Failure::of(|| "open the control group"))
    }

    /// How it is handed over: whether there is a version 2 group, and in how many hierarchies of version 1 it is.
    pub(crate) fn shape(&self) -> (bool, usize) {
        (self.unified.is_some(), self.lists.len())
    }

    /// The same from descriptors that were handed over, in the order of [`Place::descriptors`].
    pub(crate) fn of_descriptors(unified: Option<OwnedFd>, lists: Vec<OwnedFd>) -> Self {
        Self { unified, lists: lists.into_iter().map(File::from).collect() }
    }

    fn open(group: &Group) -> rkt_sys::Result<Self> {
        let mut lists = Vec::new();
        for path in group.paths() {
            let stat =
                rustix::fs::statfs(path).map_err(|cause| rkt_sys::Error::new("statfs", path.display(), cause))?;
            if stat.f_type != CGROUP2_MAGIC {
                let list = path.join("cgroup.procs");
                let opened = OpenOptions::new().write(true).open(&list);
                lists.push(opened.map_err(|cause| rkt_sys::Error::new("open", list.display(), cause))?);
            }
        }
        Ok(Self { unified: group.open_unified()?, lists })
    }

    /// The version 2 group in which to start a process.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|group| group.as_fd())
    }

    /// Mounts of what it takes to get into the groups, attached nowhere: the directory of the version 2
    /// group, and the lists of the version 1 groups.
    pub(crate) fn mounts(&self) -> Result<(Option<OwnedFd>, Vec<OwnedFd>), Failure> {
        let failed = || "hand the control group on";
        let clone = |fd: BorrowedFd<'_>| mount::clone_tree(fd, Depth::One).map_err(Failure::of(failed));
        let unified = self.unified().map(clone).transpose()?;
        let lists = self.lists.iter().map(|list| clone(list.as_fd())).collect::<Result<_, _>>()?;
        Ok((unified, lists))
    }

    /// The same from where such mounts are attached: the names of the directory, and of the lists.
    pub(crate) fn of_mounts(places: &Root, unified: Option<&str>, lists: &[String]) -> Result<Self, Failure> {
        let failed = || "take the control group from its place";
        let open = |name: &str, flags| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(places, name, flags, Mode::empty()).map_err(Failure::of(failed))
        };
        let unified = unified.map(|name| open(name, OFlags::RDONLY | OFlags::DIRECTORY)).transpose()?;
        let lists = lists.iter().map(|name| open(name, OFlags::WRONLY).map(File::from)).collect::<Result<_, _>>()?;
        Ok(Self { unified, lists })
    }

    /// Every descriptor in it.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.unified().into_iter().chain(self.lists.iter().map(|list| list.as_fd()))
    }

    /// Moves the calling process, which is elsewhere by now, into the version 2 group.
    pub(crate) fn enter_unified(&self) -> Result<(), Failure> {
        let failed = || "enter the control group";
        let Some(group) = &self.unified else { return Ok(()) };
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let list = rustix::fs::openat(group, "cgroup.procs", flags, Mode::empty()).map_err(Failure::of(failed))?;
        // The kernel takes 0 for the writer.
        rustix::io::write(list, b"0").map(drop).map_err(Failure::of(failed))
    }

    /// Moves the calling process into the version 1 groups.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        for list in &self.lists {
            // The kernel takes 0 for the writer.
            rustix::io::write(list, b"0").map_err(Failure::of(|| "enter the control group"))?;
        }
        Ok(())
    }
}

/// Those that an app's limits need, each once.
fn controllers(app: &Jail) -> Vec<Controller> {
    let mut controllers: Vec<Controller> = Vec::new();
    for controller in app.limits.keys().map(|kind| controller(*kind)) {
        if !controllers.contains(&controller) {
            controllers.push(controller);
        }
    }
    controllers
}

fn set(group: &Group, kind: LimitKind, value: u64) -> rkt_sys::Result<()> {
    match kind {
        LimitKind::Memory => group.set_memory_limit(value),
        LimitKind::Cpu => group.set_cpu_quota(value),
        LimitKind::CpuShares => group.set_cpu_shares(value),
        LimitKind::Pids => group.set_pids_limit(value),
    }
}

fn controller(kind: LimitKind) -> Controller {
    match kind {
        LimitKind::Memory => Controller::Memory,
        LimitKind::Cpu | LimitKind::CpuShares => Controller::Cpu,
        LimitKind::Pids => Controller::Pids,
    }
}
