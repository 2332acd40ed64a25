//! What tests in machines have in common.

use std::fs;
use std::path::{Path, PathBuf};

use rkt_tests::{Running, process, wait_for};

/// The hierarchy, in every machine.
const TOP: &str = "/sys/fs/cgroup";

/// Asserts that this is the test machine of this name, which says so on the kernel's command line. On any
/// other machine a test that needs it fails.
pub(crate) fn assert_machine(name: &str) {
    let command_line = fs::read_to_string("/proc/cmdline").unwrap();
    let word = format!("rkt.machine={name}");
    assert!(
        command_line.split_whitespace().any(|other| other == word),
        "this runs in the test machine `{name}` only: cargo xtask vm {name}"
    );
}

/// The control group of a process, from the top of the hierarchy.
pub(crate) fn group_of(pid: u32) -> String {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    groups.strip_prefix("0::").expect("there is one hierarchy only").trim_end().to_owned()
}

/// A file of a control group.
pub(crate) fn read(group: &str, file: &str) -> String {
    let path = path_of(group).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim_end().to_owned()
}

/// The directory of a control group.
pub(crate) fn path_of(group: &str) -> PathBuf {
    Path::new(TOP).join(group.trim_start_matches('/'))
}

/// The one app of a pod, as the host sees its first process.
pub(crate) fn app_of(pod: &Running<'_>) -> u32 {
    child_of(pod.init())
}

/// The one process that another has made.
pub(crate) fn child_of(parent: u32) -> u32 {
    wait_for("the process to have a child", || {
        process::all().into_iter().find(|pid| process::parent(*pid) == Some(parent))
    })
}
