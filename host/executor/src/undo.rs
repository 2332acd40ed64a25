//! Undoing what outlived a pod, from its journal alone: no plan, no plugin, no process of it is needed.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rkt_sys::cgroup::Group;
use rkt_sys::pidfd::PidFd;
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::failure::Failure;
use crate::journal::{self, Effect, Journal};
use crate::{groups, systemd};

/// How long the kernel is given to end what was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends what still lives of the pod in this directory and removes what it left on the host. The caller
/// holds the pod's lock. What is gone already is no error, so it can be done again at any time.
///
/// # Errors
/// Something could not be ended or removed; the rest was.
pub fn undo(pod: impl AsFd) -> Result<(), Failure> {
    undo_each(pod, kill_processes)
}

/// The same for a caller who knows that none of the pod's processes lives: init said so by its end.
///
/// # Errors
/// As [`undo`].
pub fn undo_after_the_last(pod: impl AsFd) -> Result<(), Failure> {
    undo_each(pod, |_| Ok(()))
}

/// The same for apps that are no more, of a pod that goes on with those that are named: their control groups,
/// with whatever is still in them.
///
/// # Errors
/// As [`undo`].
pub fn undo_apps_but(pod: impl AsFd, names: &[String]) -> Result<(), Failure> {
    let is_of_another = |path: &Path| !names.iter().any(|name| path.ends_with(name));
    let effects = journal::read(&pod)?;
    let groups = effects.iter().filter_map(|effect| match effect {
        Effect::Group(path) if is_of_another(path) => Some(path),
        Effect::Group(_) | Effect::Program(_) | Effect::Scope(_) | Effect::Processes(_) | Effect::Undone => None,
    });
    groups.map(|path| remove_group(path)).fold(Ok(()), Result::and)
}

fn undo_each(pod: impl AsFd, end_processes: impl Fn(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let effects = journal::read(&pod)?;
    if effects.is_empty() {
        return Ok(());
    }
    let mut first = None;
    for effect in effects {
        let undone = match &effect {
            Effect::Group(path) | Effect::Program(path) => remove_group(path),
            Effect::Scope(name) => systemd::stop_scope(name),
            Effect::Processes(root) => end_processes(root),
            Effect::Undone => Ok(()),
        };
        if let Err(failure) = undone {
            first.get_or_insert(failure);
        }
    }
    match first {
        Some(failure) => Err(failure),
        None => Journal::open(&pod)?.write(&Effect::Undone),
    }
}

fn remove_group(path: &Path) -> Result<(), Failure> {
    let failed = || format!("remove the control group {}", path.display());
    let group = Group::reopen([path]).map_err(Failure::of(failed))?;
    group.kill_all(PATIENCE).and_then(|()| group.remove(PATIENCE)).map_err(Failure::of(failed))?;
    for directory in groups::above(path) {
        match rustix::fs::rmdir(directory) {
            // Other apps or pods have groups there.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::BUSY) => {}
            Err(cause) => return Err(Failure::of(failed)(cause)),
        }
    }
    Ok(())
}

/// Kills every process whose root is the file system with this name, until there is none.
fn kill_processes(root: &str) -> Result<(), Failure> {
    let failed = || "kill what is left of the pod";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut left = Vec::new();
        for entry in std::fs::read_dir("/proc").map_err(Failure::of(failed))?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            if let Some(process) = pid.and_then(|pid| pin(pid, root)) {
                // It may have ended by now.
                let _ = process.signal(Signal::KILL);
                left.push(process);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        for process in left {
            let rest = deadline.saturating_duration_since(Instant::now());
            let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(rest)).map_err(Failure::of(failed))?;
            if ended == 0 {
                return Err(Failure::new("a process does not end").within(failed()));
            }
        }
    }
}

/// The process, pinned, if its root is the file system with this name.
fn pin(pid: Pid, root: &str) -> Option<PidFd> {
    let process = PidFd::open(pid).ok()?;
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?;
    mounts.lines().any(|line| is_root_named(line, root)).then_some(process)
}

/// Whether a line of `proc_pid_mountinfo(5)` is the root's, and that is of the pod with this name: an overlay that has it
/// for its source, or a directory below one that is called as the pod is.
fn is_root_named(line: &str, name: &str) -> bool {
    let Some((mount, file_system)) = line.split_once(" - ") else {
        return false;
    };
    let mut mount = mount.split(' ').skip(3);
    let (Some(directory), Some("/")) = (mount.next(), mount.next()) else { return false };
    let mut file_system = file_system.split(' ');
    let is_overlay = file_system.next() == Some("overlay") && file_system.next() == Some(name);
    let pod = name.strip_prefix("rkt:");
    is_overlay || directory.split('/').any(|part| Some(part) == pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_root_counts_and_only_by_its_whole_name() {
        let line = "36 35 0:45 / / rw,nodev - overlay rkt:u rw,lowerdir=/l";
        assert!(is_root_named(line, "rkt:u"));
        assert!(!is_root_named(line, "rkt:u2"));
        assert!(!is_root_named(&line.replace(" / / ", " / /data "), "rkt:u"));
        assert!(!is_root_named(&line.replace("overlay", "tmpfs"), "rkt:u"));
        assert!(!is_root_named("", ""));
        let copy = "36 35 8:1 /var/lib/rkt/pods/run/u/overlay/app.copy / rw,nodev - ext4 /dev/sda1 rw";
        assert!(is_root_named(copy, "rkt:u") && !is_root_named(copy, "rkt:run/u") && !is_root_named(copy, "rkt:a"));
        assert!(!is_root_named(&copy.replace(" / rw", " /data rw"), "rkt:u"));
    }
}
