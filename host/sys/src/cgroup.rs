//! Control groups, version 1 and 2 alike (`cgroups(7)`): which hierarchies there are, groups across
//! them, limits, and their end.
//!
//! Which limits a group has, and where it lies, is the caller's affair. Nothing here asks systemd for
//! anything.
//!
//! A host has any number of hierarchies, each with some controllers: one for each controller
//! (version 1), one for all (version 2), or a mixture. A [`Group`] is the same name in those
//! hierarchies that it needs, so that no caller asks for the version.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::process::Pid;

use crate::{Error, Result};

mod group;

pub use group::{Directory, Group};

/// A controller that a limit of this module needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// The number of processes and threads.
    Pids,
}

impl Controller {
    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
        }
    }
}

/// The version of a hierarchy's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// The older one: some controllers to a hierarchy.
    V1,
    /// The unified one.
    V2,
}

/// What kinds of hierarchy a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// No hierarchy is mounted.
    None,
    /// Version 1 only.
    V1,
    /// Controllers in version 1, beside a version 2 hierarchy.
    Hybrid,
    /// Version 2 only.
    V2,
}

/// A mounted hierarchy as the calling process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The version of its interface.
    pub version: Version,
    /// Names of its controllers; a named version 1 hierarchy without any has `name=…`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The directory of the group of the process that it was looked at for.
    pub own: PathBuf,
}

/// Below which group of each hierarchy a new one lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The topmost group that is mounted.
    Top,
    /// The group of the process that the hierarchies were looked at for.
    Own,
}

/// All hierarchies that are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies(Vec<Hierarchy>);

impl Layout {
    /// That of the calling process's mount namespace, for whoever needs no more.
    ///
    /// # Errors
    /// Where procfs is not mounted.
    pub fn detect() -> Result<Self> {
        let mounts = read("/proc/self/mountinfo".as_ref())?;
        let kinds: Vec<Version> = mounts.lines().filter_map(version_of).collect();
        Ok(Self::of(|version| kinds.contains(&version)))
    }

    fn of(has: impl Fn(Version) -> bool) -> Self {
        match (has(Version::V1), has(Version::V2)) {
            (false, false) => Self::None,
            (true, false) => Self::V1,
            (true, true) => Self::Hybrid,
            (false, true) => Self::V2,
        }
    }
}

impl Hierarchies {
    /// Those of the calling process's mount namespace, for itself.
    ///
    /// # Errors
    /// Where procfs is not mounted or the controllers of a version 2 hierarchy cannot be read.
    pub fn detect() -> Result<Self> {
        Self::detect_for(rustix::process::getpid())
    }

    /// The same for another process, which is in other groups.
    ///
    /// # Errors
    /// As [`Hierarchies::detect`]; where there is no such process.
    pub fn detect_for(process: Pid) -> Result<Self> {
        let mounts = read("/proc/self/mountinfo".as_ref())?;
        let memberships = read(format!("/proc/{process}/cgroup").as_ref())?;
        let mut hierarchies = parse(&mounts, &memberships);
        for hierarchy in &mut hierarchies {
            if hierarchy.version == Version::V2 {
                let names = read(&hierarchy.mount_point.join("cgroup.controllers"))?;
                hierarchy.controllers = names.split_whitespace().map(str::to_owned).collect();
            }
        }
        Ok(Self(hierarchies))
    }

    /// Each hierarchy, in the order of the table of mounts.
    pub fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    /// The same, as seen by a process in the group above, where the process that they were looked at for is in
    /// the group `below` of another.
    #[must_use]
    pub fn from_above(mut self, below: &Path) -> Self {
        for hierarchy in self.0.iter_mut().filter(|hierarchy| hierarchy.own.ends_with(below)) {
            let depth = below.components().count();
            if let Some(above) =
                hierarchy.own.ancestors().nth(depth).filter(|at| at.starts_with(&hierarchy.mount_point))
            {
                hierarchy.own = above.to_owned();
            }
        }
        self
    }

    /// What kinds of hierarchy there are.
    pub fn layout(&self) -> Layout {
        Layout::of(|version| self.0.iter().any(|hierarchy| hierarchy.version == version))
    }

    /// The hierarchy that has this controller.
    pub fn with_controller(&self, controller: Controller) -> Option<&Hierarchy> {
        self.with_named_controller(controller.name())
    }

    /// A group named `path` (relative, of plain names) with these controllers, in each hierarchy that
    /// it takes for that, and in the version 2 one, if there is one, for starting and killing.
    /// Nothing is made yet: see [`Group::create`].
    ///
    /// # Errors
    /// `Unsupported`, naming the controller, where no hierarchy has it; a path that is not plain.
    pub fn group(&self, base: Base, path: &Path, controllers: &[Controller]) -> Result<Group> {
        let plain = |component| matches!(component, Component::Normal(_));
        if path == Path::new("") || !path.components().all(plain) {
            return Err(Error::refused("cgroup", path.display(), "not a relative path of plain names"));
        }
        let mut needed: Vec<(&Hierarchy, Vec<Controller>)> = Vec::new();
        for controller in controllers {
            let hierarchy = self.with_controller(*controller).ok_or_else(|| missing(*controller))?;
            match needed.iter_mut().find(|(other, _)| *other == hierarchy) {
                Some((_, together)) => together.push(*controller),
                None => needed.push((hierarchy, vec![*controller])),
            }
        }
        if let Some(killer) = self.for_killing()
            && !needed.iter().any(|(other, _)| *other == killer)
        {
            needed.push((killer, Vec::new()));
        }
        let directories =
            needed.into_iter().map(|(hierarchy, controllers)| directory_of(hierarchy, base, path, controllers));
        Ok(Group::new(directories.collect()))
    }

    /// The same, and in each version 1 hierarchy that has a name and no controllers: there service managers keep
    /// processes apart.
    ///
    /// # Errors
    /// As [`Hierarchies::group`].
    pub fn group_of_services(&self, base: Base, path: &Path, controllers: &[Controller]) -> Result<Group> {
        let mut group = self.group(base, path, controllers)?;
        let is_named = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|name| name.starts_with("name="));
        for hierarchy in self.0.iter().filter(is_named) {
            group.add_directory(directory_of(hierarchy, base, path, Vec::new()));
        }
        Ok(group)
    }

    fn with_named_controller(&self, name: &str) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.controllers.iter().any(|other| other == name))
    }

    /// Version 2 kills a group at one stroke; before it, freezing keeps a group from growing meanwhile.
    fn for_killing(&self) -> Option<&Hierarchy> {
        let unified = self.0.iter().find(|hierarchy| hierarchy.version == Version::V2);
        unified.or_else(|| self.with_named_controller("freezer"))
    }
}

fn directory_of(hierarchy: &Hierarchy, base: Base, path: &Path, controllers: Vec<Controller>) -> Directory {
    let base = match base {
        Base::Top => &hierarchy.mount_point,
        Base::Own => &hierarchy.own,
    };
    Directory { version: hierarchy.version, controllers, base: base.clone(), path: base.join(path) }
}

fn missing(controller: Controller) -> Error {
    let reason = "no mounted cgroup hierarchy has it";
    let cause = std::io::Error::new(std::io::ErrorKind::Unsupported, reason);
    Error::new("cgroup", format_args!("the {} controller", controller.name()), cause)
}

/// From `/proc/self/mountinfo` and `/proc/self/cgroup`. Of several mounts of a hierarchy the first
/// counts.
fn parse(mounts: &str, memberships: &str) -> Vec<Hierarchy> {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    for hierarchy in mounts.lines().filter_map(|line| parse_mount(line, memberships)) {
        let known =
            |other: &Hierarchy| (other.version, &other.controllers) == (hierarchy.version, &hierarchy.controllers);
        if !hierarchies.iter().any(known) {
            hierarchies.push(hierarchy);
        }
    }
    hierarchies
}

/// A line of `proc_pid_mountinfo(5)`: id, parent, device, root, mount point, options, any number of
/// tags, `-`, type, source, options of the file system.
fn parse_mount(line: &str, memberships: &str) -> Option<Hierarchy> {
    let version = version_of(line)?;
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, mount_point) = (unescape(mount.next()?), unescape(mount.next()?));
    let options = file_system.split(' ').nth(2)?;
    let (controllers, membership) = match version {
        Version::V1 => v1_membership(options, memberships)?,
        Version::V2 => (Vec::new(), memberships.lines().find_map(|line| line.strip_prefix("0::"))?),
    };
    // What is mounted may be a group further down; membership counts from the top. Where the group is
    // not below what is mounted, as in a container, what is mounted is all there is.
    let own = Path::new(membership).strip_prefix(&root).unwrap_or(Path::new(""));
    let own = if own == Path::new("") { mount_point.clone() } else { mount_point.join(own) };
    Some(Hierarchy { version, controllers, mount_point, own })
}

/// Of what version the hierarchy is that such a line is about; none where it is about something else.
fn version_of(line: &str) -> Option<Version> {
    let (_, file_system) = line.split_once(" - ")?;
    match file_system.split(' ').next()? {
        "cgroup" => Some(Version::V1),
        "cgroup2" => Some(Version::V2),
        _ => None,
    }
}

/// The controllers of a version 1 mount and the group of this process: the line `N:CONTROLLERS:PATH`
/// all of whose controllers are among the options of the mount.
fn v1_membership<'a>(options: &str, memberships: &'a str) -> Option<(Vec<String>, &'a str)> {
    memberships.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_option = |name: &str| options.split(',').any(|option| option == name);
        (!controllers.is_empty() && controllers.split(',').all(is_option))
            .then(|| (controllers.split(',').map(str::to_owned).collect(), path))
    })
}

/// Undoes the kernel's escapes of space, tab, newline and backslash: `\040` and the like.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::on("read", path.display()))
}

#[cfg(test)]
mod tests;
