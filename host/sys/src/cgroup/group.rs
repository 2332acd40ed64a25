//! One group across hierarchies: making it, filling it, limiting it, killing what is in it, removing
//! it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;

use super::{Controller, Version, missing, read};
use crate::pidfd::PidFd;
use crate::poll::{PollFd, PollFlags, poll};
use crate::signal::Signal;
use crate::{Error, Result};

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// The longest wait for something that gives no notice: a version 1 group getting empty.
const PAUSE: Duration = Duration::from_millis(1);

/// A group's directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The version of the hierarchy.
    pub version: Version,
    /// What the group limits there.
    pub controllers: Vec<Controller>,
    /// The group below which it lies; it existed before.
    pub base: PathBuf,
    /// The directory itself.
    pub path: PathBuf,
}

/// A group: a directory in one or more hierarchies, which may not be made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    directories: Vec<Directory>,
}

impl Group {
    pub(super) fn new(directories: Vec<Directory>) -> Self {
        Self { directories }
    }

    pub(super) fn add_directory(&mut self, directory: Directory) {
        self.directories.push(directory);
    }

    /// The group that was made with these directories (see [`Group::paths`]), as far as they still
    /// exist: to kill and to remove it.
    ///
    /// # Errors
    /// Where a path is no cgroup's.
    pub fn reopen<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let mut directories = Vec::new();
        for path in paths {
            let version = match rustix::fs::statfs(path) {
                Ok(stat) if stat.f_type == CGROUP2_MAGIC => Version::V2,
                Ok(_) if path.join("cgroup.procs").exists() => Version::V1,
                Ok(_) => return Err(Error::refused("cgroup", path.display(), "not a cgroup")),
                Err(Errno::NOENT) => continue,
                Err(cause) => return Err(Error::new("statfs", path.display(), cause)),
            };
            let (base, path) = (path.to_owned(), path.to_owned());
            directories.push(Directory { version, controllers: Vec::new(), base, path });
        }
        Ok(Self { directories })
    }

    /// Its directories, one for each hierarchy that it is in.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(|directory| directory.path.as_path())
    }

    /// Makes the directories that are missing. In a version 2 hierarchy the controllers are enabled
    /// from the base down, which the kernel refuses (`EBUSY`) where a group on the way has processes
    /// of its own.
    ///
    /// # Errors
    /// Where a directory cannot be made or a controller cannot be enabled. What was made by then
    /// stays: [`Group::remove`] removes it.
    pub fn create(&self) -> Result<()> {
        for directory in &self.directories {
            let below = directory.path.strip_prefix(&directory.base).unwrap_or(Path::new(""));
            let mut path = directory.base.clone();
            for name in below {
                if directory.version == Version::V2 {
                    enable(&path, &directory.controllers)?;
                }
                path.push(name);
                match fs::create_dir(&path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => other.map_err(Error::on("mkdir", path.display()))?,
                }
            }
        }
        Ok(())
    }

    /// Moves a process into the group, in every hierarchy.
    ///
    /// # Errors
    /// `ESRCH` where it has ended; where a limit is met already.
    pub fn add(&self, process: Pid) -> Result<()> {
        for directory in &self.directories {
            write(&directory.path, "cgroup.procs", process)?;
        }
        Ok(())
    }

    /// The directory to start processes in at once ([`crate::spawn::Spawn::cgroup`]); `None` where the
    /// group is in no version 2 hierarchy. In version 1 ones [`Group::add`] is still to do.
    ///
    /// # Errors
    /// Where the directory cannot be opened.
    pub fn open_unified(&self) -> Result<Option<OwnedFd>> {
        let Some(directory) = self.unified() else {
            return Ok(None);
        };
        let opened = File::open(directory).map_err(Error::on("open", directory.display()))?;
        Ok(Some(opened.into()))
    }

    /// Limits memory, in bytes; the kernel rounds to pages. Swap is not counted.
    ///
    /// # Errors
    /// Where the group was made without the memory controller, or uses more already and the kernel
    /// cannot reclaim it.
    pub fn set_memory_limit(&self, bytes: u64) -> Result<()> {
        match self.with(Controller::Memory)? {
            (Version::V1, path) => write(path, "memory.limit_in_bytes", bytes),
            (Version::V2, path) => write(path, "memory.max", bytes),
        }
    }

    /// Limits processor time, in thousandths of one processor.
    ///
    /// # Errors
    /// Where the group was made without the cpu controller.
    pub fn set_cpu_quota(&self, millicores: u64) -> Result<()> {
        // The kernel takes no quota below a millisecond, so a small share needs a long period.
        let period: u64 = if millicores < 10 { 1_000_000 } else { 100_000 };
        let quota = millicores.saturating_mul(period) / 1000;
        match self.with(Controller::Cpu)? {
            (Version::V1, path) => {
                write(path, "cpu.cfs_period_us", period)?;
                write(path, "cpu.cfs_quota_us", quota)
            }
            (Version::V2, path) => write(path, "cpu.max", format_args!("{quota} {period}")),
        }
    }

    /// Sets the group's part of the processors when they are short, 2 to 262144, where 1024 is usual.
    /// For version 2 it is converted to the weight that is as far along its own scale.
    ///
    /// # Errors
    /// Where the group was made without the cpu controller.
    pub fn set_cpu_shares(&self, shares: u64) -> Result<()> {
        let shares = shares.clamp(2, 262_144);
        match self.with(Controller::Cpu)? {
            (Version::V1, path) => write(path, "cpu.shares", shares),
            (Version::V2, path) => write(path, "cpu.weight", 1 + (shares - 2) * 9999 / 262_142),
        }
    }

    /// Limits the number of processes and threads.
    ///
    /// # Errors
    /// Where the group was made without the pids controller.
    pub fn set_pids_limit(&self, limit: u64) -> Result<()> {
        let (_, path) = self.with(Controller::Pids)?;
        write(path, "pids.max", limit)
    }

    /// The processes in the group and in those below it, as far as this pid namespace sees them.
    ///
    /// # Errors
    /// Where a directory cannot be read.
    pub fn pids(&self) -> Result<Vec<Pid>> {
        let Some(directory) = self.directory_for_killing() else {
            return Ok(Vec::new());
        };
        let mut pids = Vec::new();
        collect_pids(&directory.path, &mut pids)?;
        Ok(pids)
    }

    /// Kills every process in the group and below, and waits until they are gone.
    ///
    /// # Errors
    /// `TimedOut` where one is still there after `within`, stuck in the kernel.
    pub fn kill_all(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let Some(directory) = self.directory_for_killing() else {
            return Ok(());
        };
        if !directory.path.exists() {
            return Ok(());
        }
        if directory.version == Version::V2 && directory.path.join("cgroup.kill").exists() {
            write(&directory.path, "cgroup.kill", 1)?;
            return wait_until_empty(&directory.path, deadline);
        }
        let freezes = directory.path.join("freezer.state").exists();
        if freezes {
            write(&directory.path, "freezer.state", "FROZEN")?;
        }
        let killed = self.signal_each();
        if freezes {
            // A frozen process dies when it is thawed.
            write(&directory.path, "freezer.state", "THAWED")?;
        }
        let mut processes = killed?;
        while !processes.is_empty() {
            if Instant::now() >= deadline {
                return Err(still_there(&directory.path));
            }
            wait_for_ends(&processes, &directory.path, deadline)?;
            processes = self.signal_each()?;
        }
        Ok(())
    }

    /// Removes the group with those below it. What is already gone is no error.
    ///
    /// # Errors
    /// `TimedOut` or `EBUSY` where it still has processes after `within`.
    pub fn remove(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        for directory in &self.directories {
            loop {
                match remove_tree(&directory.path) {
                    Err(error) if error.errno() == Some(Errno::BUSY) && Instant::now() < deadline => {
                        wait_a_little(directory, deadline)?;
                    }
                    other => break other?,
                }
            }
        }
        Ok(())
    }

    fn with(&self, controller: Controller) -> Result<(Version, &Path)> {
        let directory = self.directories.iter().find(|directory| directory.controllers.contains(&controller));
        directory.map(|directory| (directory.version, directory.path.as_path())).ok_or_else(|| missing(controller))
    }

    fn unified(&self) -> Option<&Path> {
        let directory = self.directories.iter().find(|directory| directory.version == Version::V2)?;
        Some(&directory.path)
    }

    /// All processes are in every directory, so one is enough: the best to kill by comes first.
    fn directory_for_killing(&self) -> Option<&Directory> {
        let unified = self.directories.iter().find(|directory| directory.version == Version::V2);
        let freezer = || self.directories.iter().find(|directory| directory.path.join("freezer.state").exists());
        unified.or_else(freezer).or_else(|| self.directories.first())
    }

    /// Sends SIGKILL to every process that is in the group, and returns them. A pid that was reused
    /// between looking and pinning is found out by looking again.
    fn signal_each(&self) -> Result<Vec<PidFd>> {
        let mut pinned = Vec::new();
        for pid in self.pids()? {
            match PidFd::open(pid) {
                Ok(process) => pinned.push((pid, process)),
                Err(error) if error.errno() == Some(Errno::SRCH) => {}
                Err(error) => return Err(error),
            }
        }
        let still_there: HashSet<Pid> = self.pids()?.into_iter().collect();
        pinned.retain(|(pid, _)| still_there.contains(pid));
        for (_, process) in &pinned {
            match process.signal(Signal::KILL) {
                Err(error) if error.errno() != Some(Errno::SRCH) => return Err(error),
                _ => {}
            }
        }
        Ok(pinned.into_iter().map(|(_, process)| process).collect())
    }
}

fn enable(parent: &Path, controllers: &[Controller]) -> Result<()> {
    if controllers.is_empty() {
        return Ok(());
    }
    let enabled = read(&parent.join("cgroup.subtree_control"))?;
    for controller in controllers {
        if !enabled.split_whitespace().any(|name| name == controller.name()) {
            write(parent, "cgroup.subtree_control", format_args!("+{}", controller.name()))?;
        }
    }
    Ok(())
}

/// Writes at one stroke, as cgroup files want it. The file is never made.
fn write(directory: &Path, file: &str, value: impl std::fmt::Display) -> Result<()> {
    let path = directory.join(file);
    let value = value.to_string();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|cause| Error::new("write", format_args!("{value} to {}", path.display()), cause))
}

fn collect_pids(directory: &Path, pids: &mut Vec<Pid>) -> Result<()> {
    let text = match read(&directory.join("cgroup.procs")) {
        // Removed meanwhile, by itself or by its owner.
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) => return Ok(()),
        other => other?,
    };
    // Zero stands for a process that this pid namespace does not see.
    pids.extend(text.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)));
    for below in subdirectories(directory)? {
        collect_pids(&below, pids)?;
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> Result<()> {
    for below in subdirectories(directory)? {
        remove_tree(&below)?;
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::on("rmdir", directory.display())),
    }
}

fn subdirectories(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::on("getdents", directory.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::on("getdents", directory.display()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn wait_a_little(directory: &Directory, deadline: Instant) -> Result<()> {
    match directory.version {
        Version::V2 => wait_until_empty(&directory.path, deadline),
        Version::V1 => {
            std::thread::sleep(PAUSE);
            Ok(())
        }
    }
}

/// Waits for `populated 0` in `cgroup.events`, whose changes the kernel tells to `poll(2)`.
fn wait_until_empty(directory: &Path, deadline: Instant) -> Result<()> {
    let path = directory.join("cgroup.events");
    let events = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::on("open", path.display()))?,
    };
    loop {
        let mut text = [0; 256];
        let length = rustix::io::pread(&events, &mut text, 0).map_err(Error::on("read", path.display()))?;
        let text = String::from_utf8_lossy(&text[..length]);
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(left))? == 0 {
            return Err(still_there(directory));
        }
    }
}

fn wait_for_ends(processes: &[PidFd], directory: &Path, deadline: Instant) -> Result<()> {
    for process in processes {
        let left = deadline.saturating_duration_since(Instant::now());
        let process = process.as_fd();
        if poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(left))? == 0 {
            return Err(still_there(directory));
        }
    }
    Ok(())
}

fn still_there(directory: &Path) -> Error {
    let cause = io::Error::new(io::ErrorKind::TimedOut, "processes are left in it");
    Error::new("cgroup", directory.display(), cause)
}
