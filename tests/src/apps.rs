//! Apps that come and go: the pods that they come to, and what there is of them on the host.

use std::fs;

use crate::{Rkt, Running, wait_until};

/// A pod of one app, `first`, that runs until it is ended.
pub fn waiting<'r>(rkt: &'r Rkt, words: &[&str]) -> Running<'r> {
    let image = rkt.probe("first", ["wait"]);
    rkt.start(words.iter().copied().chain([image.as_str()]))
}

/// The names of the apps of the one pod that there is, as it is listed.
///
/// # Panics
/// There is not exactly one pod.
pub fn names(rkt: &Rkt) -> Vec<String> {
    let pod = rkt.the_pod();
    let names = pod["app_names"].as_array().into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// What a pod has in its directory that is an app's, or of a change that is not made.
pub fn leavings(pod: &Running<'_>, app: &str) -> Vec<String> {
    let mut found = Vec::new();
    for parent in ["appsinfo", "overlay", "change"] {
        let entries = fs::read_dir(pod.directory().join(parent)).into_iter().flatten().flatten();
        let names = entries.map(|entry| format!("{parent}/{}", entry.file_name().display()));
        found.extend(names.filter(|name| name.contains(&format!("/{app}")) || parent == "change"));
    }
    found.sort();
    found
}

/// The empty volumes that a pod has.
pub fn empties(pod: &Running<'_>) -> Vec<String> {
    let entries = fs::read_dir(pod.directory().join("sharedVolumes")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().display().to_string()).collect();
    names.sort();
    names
}

/// What a probe says of itself that is one app of two and says `all-told` at last, without what tells any two processes
/// apart.
///
/// # Panics
/// It does not come to its end.
pub fn told(pod: &Running<'_>, app: &str) -> Vec<String> {
    const OF_ONE: [&str; 12] = [
        "Pid",
        "Tgid",
        "NStgid",
        "NSpid",
        "NSpgid",
        "NSsid",
        "Vm",
        "Rss",
        "SigQ",
        "State",
        "voluntary",
        "nonvoluntary",
    ];
    wait_until("it to have told", || pod.lines_of(app).last().is_some_and(|line| line == "all-told"));
    let lines = pod.lines_of(app).into_iter().filter(|line| !OF_ONE.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.split("pipe:").next().unwrap_or_default().replace(app, "APP")).collect()
}

/// The first process of an app, by the host's numbers.
///
/// # Panics
/// There is none.
pub fn process_of(pod: &Running<'_>, app: &str) -> u32 {
    let name = format!("AC_APP_NAME={app}");
    let init = pod.init();
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap_or_default();
    let is_it = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == name.as_bytes())
    };
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_it).expect("the app runs")
}

/// The control groups that a pod has for an app.
pub fn groups(pod: &Running<'_>, app: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let points = hierarchies.filter_map(|line| line.split(' ').nth(4));
    points
        .map(|point| format!("{point}/rkt/{}/{app}", pod.uuid))
        .filter(|group| fs::exists(group).unwrap_or(true))
        .collect()
}
