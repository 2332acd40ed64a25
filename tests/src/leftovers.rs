//! What programs can leave behind on a host: mounts, links, control groups, processes, namespaces,
//! directories. Taken before and after the tests, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{PREFIX, process};

/// Programs of ours, by the name that the kernel shows.
const OURS: [&str; 6] = ["rkt", "rkt-monitor", "monitor", "init", "compiler", "probe"];

/// The state of the host at one moment, as far as a pod could change it. Kinds of things, with the
/// things by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot(BTreeMap<String, BTreeSet<String>>);

impl Snapshot {
    /// Looks at the host.
    pub fn take() -> Self {
        let kinds = [
            ("mount", mounts()),
            ("network link", names_in(Path::new("/sys/class/net")).collect()),
            ("control group", control_groups()),
            ("process", processes()),
            ("namespace", namespaces()),
            ("named network namespace", names_in(Path::new("/run/netns")).collect()),
            ("socket", abstract_sockets()),
            ("directory", directories()),
        ];
        Self(kinds.into_iter().map(|(kind, found)| (kind.to_owned(), found)).collect())
    }

    /// What there is in `later` that there was not in `self`, a line each; empty where there is nothing.
    pub fn left_in(&self, later: &Self) -> Vec<String> {
        let none = BTreeSet::new();
        let kinds = later.0.iter();
        kinds
            .flat_map(|(kind, found)| {
                found.difference(self.0.get(kind).unwrap_or(&none)).map(move |thing| format!("{kind}: {thing}"))
            })
            .collect()
    }
}

/// The mount table of the host's first process, without the ids, which say nothing.
fn mounts() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/1/mountinfo").unwrap_or_default();
    table.lines().map(|line| line.splitn(3, ' ').last().unwrap_or_default().to_owned()).collect()
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// The groups that pods are in: `rkt`, wherever it is in a hierarchy, and all below it.
fn control_groups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("rkt")) {
                // The group of all pods may stay, as an empty directory that the next pod uses.
                if path.file_name().is_some_and(|name| name != "rkt") {
                    found.insert(path.display().to_string());
                }
            }
            open.push(path);
        }
    }
    found
}

/// Processes by id and name: those of our programs and of those that tests run in pods.
fn processes() -> BTreeSet<String> {
    let is_ours = |name: &str| OURS.contains(&name) || name.starts_with("rkt");
    let all = process::all().into_iter().filter(|pid| *pid != 1 && process::lives(*pid));
    all.map(|pid| (pid, process::name(pid)))
        .filter(|(pid, name)| is_ours(name) && *pid != std::process::id())
        .map(|(pid, name)| format!("{pid} {name}"))
        .collect()
}

/// Namespaces that processes hold, other than those of the host's first process. systemd-machined, which comes when it
/// is asked for and goes by itself, has some of its own.
fn namespaces() -> BTreeSet<String> {
    let hosts = process::namespaces(1);
    let all = process::all().into_iter().filter(|pid| process::name(*pid) != "systemd-machine");
    all.flat_map(process::namespaces).filter(|namespace| !hosts.contains(namespace)).collect()
}

fn abstract_sockets() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let names = table.lines().filter_map(|line| line.split_whitespace().nth(7));
    names.filter(|name| name.contains("rkt")).map(str::to_owned).collect()
}

/// Directories of tests, and of rkt where it is not told to use another.
fn directories() -> BTreeSet<String> {
    let temporary = std::env::temp_dir();
    let of_tests = names_in(&temporary).filter(|name| name.starts_with(PREFIX));
    let mut found: BTreeSet<String> = of_tests.map(|name| temporary.join(name).display().to_string()).collect();
    let own = ["/var/lib/rkt", "/run/rkt", "/etc/rkt"].map(PathBuf::from).into_iter().filter(|path| path.exists());
    found.extend(own.map(|path| path.display().to_string()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_named_and_what_went_is_not() {
        let of = |things: &[&str]| {
            let things = things.iter().map(|thing| (*thing).to_owned()).collect();
            Snapshot(BTreeMap::from([("mount".to_owned(), things)]))
        };
        assert_eq!(of(&["a", "b"]).left_in(&of(&["b", "c"])), ["mount: c"]);
        assert_eq!(of(&["a", "b"]).left_in(&of(&["b"])), Vec::<String>::new());
    }

    #[test]
    fn a_directory_of_a_test_is_seen() {
        let before = Snapshot::take();
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
        let line = format!("directory: {}", directory.path().display());
        assert!(before.left_in(&Snapshot::take()).contains(&line));
    }

    #[test]
    fn a_namespace_that_a_process_holds_is_seen() {
        let mut child = std::process::Command::new("unshare").args(["--uts", "sleep", "60"]).spawn().unwrap();
        let hosts = process::namespaces(1);
        let own = crate::wait_for("the namespace to be there", || {
            process::namespaces(child.id()).into_iter().find(|namespace| !hosts.contains(namespace))
        });
        let seen = namespaces().contains(&own);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen, "{own}");
    }
}
