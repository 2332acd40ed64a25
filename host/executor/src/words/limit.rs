//! `limit`: a control group for each app that has limits.
//!
//! The groups are `rkt/UUID/APP` in each hierarchy that a limit needs: below the cgroup of the unit
//! where the host's service manager has handed that over (`Delegate=`), else at the top. Only a pod
//! with limits has any.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_plan::{Jail, LimitKind};
use rkt_sys::cgroup::{Base, Controller, Group, Hierarchies, Layout};
use rkt_sys::mount::{self, Depth};
use rkt_sys::root::Root;
use rustix::fs::{FsWord, Mode, OFlags};
use rustix::process::Pid;

use crate::failure::Failure;
use crate::journal::{Effect, Journal};

/// The directory that holds all pods' groups.
const TOP: &str = "rkt";

/// The monitor's own group in a unit's; no app has such a name, which begins with a letter or digit.
const MONITOR: &str = "-monitor";

/// CGROUP2_SUPER_MAGIC of linux/magic.h.
const CGROUP2_MAGIC: FsWord = 0x6367_7270;

/// Another pod that ends may remove the directory of all pods between the making of it and of ours.
const ATTEMPTS: usize = 16;

/// The hierarchies of a host, looked at once for a pod.
#[derive(Debug)]
pub(crate) struct Host {
    hierarchies: Hierarchies,
    base: Base,
}

/// An app's place in its groups, for a process to start in or to move itself to.
#[derive(Debug)]
pub(crate) struct Place {
    unified: Option<OwnedFd>,
    /// `cgroup.procs` of the version 1 hierarchies.
    lists: Vec<File>,
}

impl Host {
    /// `monitor` is the pod's monitor: the calling process or its parent.
    pub(crate) fn look(uuid: &str, monitor: Pid) -> Result<Self, Failure> {
        let aside: PathBuf = [TOP, uuid, MONITOR].iter().collect();
        let hierarchies = Hierarchies::detect().map_err(Failure::of(|| "look at the host's control groups"))?;
        // A monitor that stepped aside before looks from its own group.
        let hierarchies = hierarchies.from_above(&aside);
        if !is_delegated(&hierarchies) {
            return Ok(Self { hierarchies, base: Base::Top });
        }
        let host = Self { hierarchies, base: Base::Own };
        host.move_aside(&aside, monitor).map_err(Failure::of(|| "divide the unit's control group"))?;
        Ok(host)
    }

    /// A group that has groups with limits has no processes of its own (cgroups(7), "no internal
    /// processes"), so the monitor moves to one beside its apps'. The service manager removes that with
    /// the unit.
    fn move_aside(&self, path: &Path, monitor: Pid) -> rkt_sys::Result<()> {
        let group = self.hierarchies.group(self.base, path, &[])?;
        create(&group)?;
        group.add(monitor).and_then(|()| group.add(rustix::process::getpid()))
    }

    /// Makes an app's group with its limits. Where the groups are is written down first.
    pub(crate) fn make(&self, uuid: &str, app: &Jail, journal: &mut Journal) -> Result<Place, Failure> {
        let group = self.group(uuid, app)?;
        for path in group.paths() {
            journal.write(&Effect::Group(path.to_owned()))?;
        }
        create(&group).map_err(|cause| self.explain(app, cause))?;
        for (kind, value) in &app.limits {
            set(&group, *kind, *value).map_err(Failure::of(|| format!("limit {} to {value}", kind.name())))?;
        }
        Place::open(&group).map_err(Failure::of(|| "open the control group"))
    }

    fn group(&self, uuid: &str, app: &Jail) -> Result<Group, Failure> {
        let path: PathBuf = [TOP, uuid, &app.name].iter().collect();
        let mut controllers: Vec<Controller> = Vec::new();
        for kind in app.limits.keys() {
            let controller = controller(*kind);
            if self.hierarchies.with_controller(controller).is_none() {
                let layout = describe(self.hierarchies.layout());
                let reason = format!("this host has {layout}, and the {} controller in none", controller.name());
                return Err(Failure::new(reason).within(format!("limit {}", kind.name())));
            }
            if !controllers.contains(&controller) {
                controllers.push(controller);
            }
        }
        self.hierarchies.group(self.base, &path, &controllers).map_err(Failure::of(|| "plan the control group"))
    }

    fn explain(&self, app: &Jail, cause: rkt_sys::Error) -> Failure {
        let limits: Vec<_> = app.limits.keys().map(|kind| kind.name()).collect();
        let layout = describe(self.hierarchies.layout());
        Failure::of(|| format!("make a control group for {} (this host has {layout})", limits.join(", ")))(cause)
    }
}

impl Place {
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

    /// Moves the calling process into the version 1 groups.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        for list in &self.lists {
            // The kernel takes 0 for the writer.
            rustix::io::write(list, b"0").map_err(Failure::of(|| "enter the control group"))?;
        }
        Ok(())
    }
}

/// Whether the group that this process is in was handed over to it (systemd's "Control Group APIs and
/// Delegation": an extended attribute). In version 2 only: elsewhere a unit may not divide its group.
fn is_delegated(hierarchies: &Hierarchies) -> bool {
    hierarchies.layout() == Layout::V2
        && hierarchies.iter().any(|hierarchy| {
            ["trusted.delegate", "user.delegate"].iter().any(|name| {
                let mut value = [0_u8; 1];
                matches!(rustix::fs::getxattr(&hierarchy.own, *name, &mut value[..]), Ok(1) if value == *b"1")
            })
        })
}

fn create(group: &Group) -> rkt_sys::Result<()> {
    for _ in 1..ATTEMPTS {
        match group.create() {
            Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => {}
            other => return other,
        }
    }
    group.create()
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

fn describe(layout: Layout) -> &'static str {
    match layout {
        Layout::None => "no control groups mounted",
        Layout::V1 => "control groups of version 1",
        Layout::Hybrid => "control groups of version 1 beside an empty version 2",
        Layout::V2 => "control groups of version 2",
    }
}

/// The directories above an app's group that are ours: the pod's and that of all pods.
pub(crate) fn above(group: &Path) -> impl Iterator<Item = &Path> {
    let is_ours = group.ancestors().nth(2).and_then(Path::file_name).is_some_and(|name| name == TOP);
    group.ancestors().skip(1).take(if is_ours { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_ours_are_above() {
        let above = |path: &'static str| above(Path::new(path)).map(Path::to_str).collect::<Vec<_>>();
        assert_eq!(above("/cgroup/pids/rkt/u/a"), [Some("/cgroup/pids/rkt/u"), Some("/cgroup/pids/rkt")]);
        assert!(above("/cgroup/pids/u/a").is_empty() && above("/rkt").is_empty() && above("/").is_empty());
    }
}
