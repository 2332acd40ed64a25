//! Where a pod's control groups are, and that place made ready for them.
//!
//! A host's control groups have owners, and each divides only what is its own. A pod's groups are
//! - in the caller's unit, where the service manager has handed its group over (`Delegate=`): the
//!   monitor in one, each app in its own;
//! - else in a scope of the pod's own, which systemd is asked for: init and the apps are there, and the
//!   monitor stays in the caller's group, so that stopping the caller's unit stops the pod;
//! - else, where nobody can be asked, `rkt/UUID` in each hierarchy.
//!
//! Only a pod with limits has any. Where the first of them come with an app that comes to a running pod, the
//! caller's unit is not divided any more, since others of the pod are in its group: then init goes to the scope,
//! and what it starts from then on.

use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_sys::cgroup::{Base, Controller, Group, Hierarchies, Hierarchy, Layout};
use rkt_sys::process;
use rkt_sys::spawn::{Child, Spawn};
use rustix::process::{Pid, Signal};

use crate::failure::Failure;
use crate::journal::{Effect, Journal};
use crate::systemd;

/// The directory that holds all pods' groups, where they are not in a scope.
const TOP: &str = "rkt";

/// The monitor's own group in a unit's, and init's in a scope. No app has such a name, which begins with
/// a letter or digit.
const MONITOR: &str = "-monitor";
const INIT: &str = "-init";

/// The group of a program outside of its jail, before its number.
const PROGRAM: &str = "-program-";

/// Another pod that ends may remove the directory of all pods between the making of it and of ours.
const ATTEMPTS: usize = 16;

/// In whose part of the host's control groups a pod's are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The caller: its unit's group was handed over to it. Where it is.
    Caller(PathBuf),
    /// The pod itself: systemd gives it a scope.
    Pod,
    /// Nobody: `rkt` at the top of each hierarchy.
    Nobody,
}

impl Owner {
    /// Whose the groups of a pod would be that this process starts now.
    ///
    /// # Errors
    /// procfs or a hierarchy cannot be read.
    pub fn find() -> Result<Self, Failure> {
        Ok(Self::find_in(&look()?))
    }

    fn find_in(hierarchies: &Hierarchies) -> Self {
        match unified(hierarchies) {
            Some(unified) if is_handed_over(&unified.own) && is_alone_in(&unified.own) => {
                Self::Caller(unified.own.clone())
            }
            Some(_) if systemd::can_be_asked() => Self::Pod,
            _ => Self::Nobody,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(group) => write!(f, "in the caller's unit, {}", group.display()),
            Self::Pod => f.write_str("in a scope of the pod's own, by systemd"),
            Self::Nobody => write!(f, "below {TOP} in each hierarchy"),
        }
    }
}

/// A pod's place, ready for its apps' groups.
#[derive(Debug)]
pub(crate) struct PodGroups {
    hierarchies: Hierarchies,
    base: Base,
    /// Between the base and an app's group.
    prefix: PathBuf,
    scope: Option<Scope>,
}

/// What keeps a scope until a first process is in it.
#[derive(Debug)]
struct Scope {
    init: OwnedFd,
    _holder: Holder,
}

impl PodGroups {
    /// Finds the place and makes it ready. A scope is written down before it is asked for.
    pub(crate) fn make(uuid: &str, journal: &mut Journal) -> Result<Self, Failure> {
        let hierarchies = look()?;
        let below_rkt: PathBuf = [TOP, uuid].iter().collect();
        match Owner::find_in(&hierarchies) {
            Owner::Caller(_) => {
                let groups = Self { hierarchies, base: Base::Own, prefix: below_rkt, scope: None };
                // A group that has groups with limits has no processes of its own (cgroups(7), "no
                // internal processes"). The service manager removes this one with the unit.
                groups.move_to(MONITOR, rustix::process::getpid())?;
                Ok(groups)
            }
            Owner::Pod => {
                // A scope ends with its last process, so one holds it until there is another.
                let holder = Holder::start()?;
                let scope = scope_of(uuid);
                start_scope(&scope, holder.child.pid, journal)?;
                let (mut groups, init) = Self::in_scope(holder.child.pid)?;
                let init = init.open_unified().map_err(Failure::of(|| "open init's control group"))?;
                let init = init.ok_or_else(|| Failure::new(format!("{scope} has no control group of version 2")))?;
                groups.scope = Some(Scope { init, _holder: holder });
                Ok(groups)
            }
            Owner::Nobody => Ok(Self { hierarchies, base: Base::Top, prefix: below_rkt, scope: None }),
        }
    }

    /// That of a pod that runs, whose init this is: where init is tells. A pod that had none gets one.
    pub(crate) fn of_running(uuid: &str, init: Pid, journal: &mut Journal) -> Result<Self, Failure> {
        let (hierarchies, is_of_program) = above_program(look_for(init)?);
        let (below_rkt, scope) = ([TOP, uuid].iter().collect::<PathBuf>(), scope_of(uuid));
        let own = unified(&hierarchies).map(|unified| unified.own.clone());
        // What apps before it had no use for is still to be enabled, from what is not the pod's down.
        let in_rkt = |below: &Path| Self {
            hierarchies: hierarchies.clone().from_above(below),
            base: Base::Own,
            prefix: below_rkt.clone(),
            scope: None,
        };
        // Init is born beside the monitor.
        let beside_the_monitor = below_rkt.join(MONITOR);
        match own {
            // A program's groups are beside those of apps.
            Some(own) if is_of_program && own.ends_with(&below_rkt) => Ok(in_rkt(&below_rkt)),
            Some(own) if is_of_program && own.ends_with(&scope) => {
                Ok(Self { hierarchies, base: Base::Own, prefix: PathBuf::new(), scope: None })
            }
            Some(own) if own.ends_with(&beside_the_monitor) => Ok(in_rkt(&beside_the_monitor)),
            // Whoever was interrupted in making it left init outside of its group.
            Some(own) if own.ends_with(&scope) || own.ends_with(Path::new(&scope).join(INIT)) => {
                Ok(Self::in_scope(init)?.0)
            }
            Some(_) if systemd::can_be_asked() => {
                start_scope(&scope, init, journal)?;
                Ok(Self::in_scope(init)?.0)
            }
            _ => Ok(Self { hierarchies, base: Base::Top, prefix: below_rkt, scope: None }),
        }
    }

    /// That in the scope which this process is in: init, or one in its stead. It goes to init's group.
    fn in_scope(process: Pid) -> Result<(Self, Group), Failure> {
        let hierarchies = look_for(process)?.from_above(Path::new(INIT));
        let groups = Self { hierarchies, base: Base::Own, prefix: PathBuf::new(), scope: None };
        let init = groups.move_to(INIT, process)?;
        Ok((groups, init))
    }

    fn move_to(&self, name: &str, process: Pid) -> Result<Group, Failure> {
        let group = self.group(name, &[])?;
        self.create(&group)?;
        group.add(process).map_err(Failure::of(|| "divide a control group"))?;
        Ok(group)
    }

    /// The group in which a first process is to start; none: the monitor's.
    pub(crate) fn of_init(&self) -> Option<BorrowedFd<'_>> {
        self.scope.as_ref().map(|scope| scope.init.as_fd())
    }

    /// One of the pod's groups, which is not made yet.
    pub(crate) fn group(&self, name: &str, controllers: &[Controller]) -> Result<Group, Failure> {
        let missing = controllers.iter().find(|known| self.hierarchies.with_controller(**known).is_none());
        if let Some(controller) = missing {
            let layout = describe(self.hierarchies.layout());
            return Err(Failure::new(format!(
                "this host has {layout}, and the {} controller in none",
                controller.name()
            )));
        }
        let group = self.hierarchies.group(self.base, &self.prefix.join(name), controllers);
        group.map_err(Failure::of(|| "plan a control group"))
    }

    /// That of a program outside of its jail, with this number: also where service managers look for the groups of
    /// processes, so that such a program, and whatever it makes there, is below the pod's own.
    pub(crate) fn group_of_program(&self, number: usize, controllers: &[Controller]) -> Result<Group, Failure> {
        let path = self.prefix.join(format!("{PROGRAM}{number}"));
        let group = self.hierarchies.group_of_services(self.base, &path, controllers);
        let group = group.map_err(Failure::of(|| "plan a control group"))?;
        if group.paths().next().is_none() {
            return Err(Failure::new("this host has no control groups, by which what a program starts is found"));
        }
        Ok(group)
    }

    /// Makes a group.
    pub(crate) fn create(&self, group: &Group) -> Result<(), Failure> {
        let create = || {
            for _ in 1..ATTEMPTS {
                match group.create() {
                    Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => {}
                    other => return other,
                }
            }
            group.create()
        };
        let layout = describe(self.hierarchies.layout());
        create().map_err(Failure::of(|| format!("make a control group (this host has {layout})")))
    }
}

/// A process that does nothing. It ends with this value, and with the process that made it.
#[derive(Debug)]
struct Holder {
    child: Child,
    /// At the end of the pipe the process ends.
    _pipe: OwnedFd,
}

impl Holder {
    fn start() -> Result<Self, Failure> {
        let failed = || "make a process that holds the scope";
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (theirs, ours) = rustix::pipe::pipe_with(flags).map_err(Failure::of(failed))?;
        let hold = || {
            let held = process::close_all_but(&[theirs.as_fd()]).is_ok();
            // Nobody writes: this waits for the end.
            i32::from(!held || rustix::io::read(&theirs, &mut [0; 1]).is_err())
        };
        let child = Spawn::default().run(hold).map_err(Failure::of(failed))?;
        Ok(Self { child, _pipe: ours })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have been killed, with all of its scope.
        let _ = self.child.process.signal(Signal::KILL);
        let _ = self.child.process.wait();
    }
}

fn scope_of(uuid: &str) -> String {
    format!("rkt-{uuid}.scope")
}

/// Has systemd make a scope with this process in it. That is written down first.
fn start_scope(scope: &str, process: Pid, journal: &mut Journal) -> Result<(), Failure> {
    journal.write(&Effect::Scope(scope.to_owned()))?;
    systemd::start_scope(scope, process)
}

fn look() -> Result<Hierarchies, Failure> {
    look_for(rustix::process::getpid())
}

fn look_for(process: Pid) -> Result<Hierarchies, Failure> {
    Hierarchies::detect_for(process).map_err(Failure::of(|| "look at the host's control groups"))
}

/// The hierarchy of version 2, where it is the only one. In version 1 a unit may not divide its group, and a
/// scope has none of the controllers.
fn unified(hierarchies: &Hierarchies) -> Option<&Hierarchy> {
    hierarchies.iter().next().filter(|_| hierarchies.layout() == Layout::V2)
}

/// Whether a group was handed over to those who run in it (systemd's "Control Group APIs and
/// Delegation": an extended attribute).
fn is_handed_over(group: &Path) -> bool {
    ["trusted.delegate", "user.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        matches!(rustix::fs::getxattr(group, *name, &mut value[..]), Ok(1) if value == *b"1")
    })
}

/// Whether this process is the only one in a group. Where others are, in the unit of a shell for instance,
/// the kernel does not let it be divided.
fn is_alone_in(group: &Path) -> bool {
    let processes = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    processes.lines().eq([rustix::process::getpid().to_string()])
}

fn describe(layout: Layout) -> &'static str {
    match layout {
        Layout::None => "no control groups mounted",
        Layout::V1 => "control groups of version 1",
        Layout::Hybrid => "control groups of version 1 beside an empty version 2",
        Layout::V2 => "control groups of version 2",
    }
}

/// The same as seen from the group in which that of a program outside of its jail is, where a process is in one or
/// below; and whether it is.
fn above_program(hierarchies: Hierarchies) -> (Hierarchies, bool) {
    let own = unified(&hierarchies).map(|unified| unified.own.clone()).unwrap_or_default();
    match own.iter().position(|name| name.to_string_lossy().starts_with(PROGRAM)) {
        None => (hierarchies, false),
        Some(index) => (hierarchies.from_above(&own.iter().skip(index).collect::<PathBuf>()), true),
    }
}

/// The directories above an app's group that are rkt's: the pod's and that of all pods.
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
        assert!(above("/cgroup/system.slice/rkt-u.scope/a").is_empty());
    }
}
