//! Control groups of version 2, all controllers in one hierarchy, and no service manager: limits are in
//! the kernel's own files, they hold, and nothing of them stays.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rkt_tests::apps::process_of;
use rkt_tests::{FLAVORS, Rkt, process, wait_until};
use rustix::process::Signal;

use support::{app_of, assert_machine, group_of, path_of, read};

const LIMITS: [&str; 4] = ["--memory=64Mi", "--cpu=500m", "--cpu-shares=2048", "--pids-limit=50"];

#[test]
fn every_limit_is_in_the_file_of_the_group_that_the_app_is_in() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image].into_iter().chain(LIMITS));
        let app = app_of(&pod);
        let group = format!("/rkt/{}/waits", pod.uuid);
        assert_eq!(group_of(app), group, "{flavor}");
        assert_eq!(read(&group, "memory.max"), "67108864");
        assert_eq!(read(&group, "cpu.max"), "50000 100000");
        assert_eq!(read(&group, "cpu.weight"), "79");
        assert_eq!(read(&group, "pids.max"), "50");
        // Nobody else is counted: neither init nor the monitor.
        assert_eq!(read(&group, "cgroup.procs"), app.to_string());
        let (own, pod_group) = (group_of(std::process::id()), path_of(&group).parent().unwrap().to_owned());
        assert_eq!([group_of(pod.pid()), group_of(pod.init())], [own.clone(), own]);
        pod.end();
        assert!(!pod_group.exists(), "{flavor}: {} is left", pod_group.display());
        rkt.collect();
    }
}

/// What the kernel traces of control groups while a pod runs.
struct Trace(PathBuf);

impl Trace {
    /// One of a test's own, by this name: others run at the same time.
    fn begin(name: &str) -> Self {
        let own = Path::new("/sys/kernel/tracing/instances").join(name);
        fs::create_dir(&own).unwrap();
        fs::write(own.join("events/cgroup/enable"), "1").unwrap();
        Self(own)
    }

    /// The lines about a pod's groups.
    fn of(&self, uuid: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("trace")).unwrap();
        text.lines().filter(|line| line.contains(uuid)).map(str::to_owned).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        fs::write(self.0.join("events/cgroup/enable"), "0").unwrap();
        fs::remove_dir(&self.0).unwrap();
    }
}

#[test]
fn an_app_is_born_in_its_group_and_never_moved() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let trace = Trace::begin("born");
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image, "--pids-limit=20"]);
        let uuid = pod.uuid.clone();
        pod.end();
        let traced = trace.of(&uuid);
        let any = |event: &str| traced.iter().any(|line| line.contains(event));
        assert!(any("cgroup_mkdir") && any("cgroup_rmdir"), "{flavor}: {traced:?}");
        assert!(!any("cgroup_attach_task") && !any("cgroup_transfer_tasks"), "{flavor}: {traced:?}");
    }
    rkt.collect();
}

#[test]
fn what_is_entered_is_counted_with_the_app() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image, "--pids-limit=20"]);
        let entered = rkt.run(["enter", &pod.uuid, "/probe", "show", "/proc/self/cgroup", "+", "threads", "100"]);
        let lines = entered.succeeds().lines_of("waits");
        // fly has the host's view of groups; container's begins at the app's own.
        let own = if flavor.ends_with("fly") { format!("0::/rkt/{}/waits", pod.uuid) } else { "0::/".to_owned() };
        // The app and the command itself are two of the twenty.
        assert_eq!(lines, [own, "started 18 threads".to_owned()], "{flavor}");
        pod.end();
    }
    rkt.collect();
}

#[test]
fn an_app_in_a_namespace_of_groups_sees_its_own_and_cannot_change_it() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let words = [
        "show",
        "/proc/self/cgroup",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/pids.max",
        "+",
        "try-write",
        "/sys/fs/cgroup/memory.max",
        "+",
        "try-create",
        "/sys/fs/cgroup/mine",
        "+",
        "try-read",
        "/sys/fs/cgroup/rkt",
    ];
    let image = rkt.probe("sees", words);
    let output = rkt.run(["run", "--stage1=container", &image, "--memory=64Mi", "--pids-limit=50"]).succeeds();
    let expected = [
        "0::/",
        "67108864",
        "50",
        "/sys/fs/cgroup/memory.max: read-only filesystem or storage medium",
        "/sys/fs/cgroup/mine: read-only filesystem or storage medium",
        "/sys/fs/cgroup/rkt: entity not found",
    ];
    assert_eq!(output.lines_of("sees"), expected);
    rkt.collect();
}

#[test]
fn an_app_over_its_memory_is_killed_and_its_neighbor_is_asked_to_end() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let eats = rkt.probe("eats", ["eat", "268435456"]);
    let waits = rkt.probe("waits", ["wait"]);
    let words = ["run", "--stage1=container", &eats, "--memory=32Mi", &waits, "--memory=32Mi"];
    let output = rkt.run(words).ends_with(9);
    assert!(!output.stdout.contains("ate"), "{output}");
    rkt.collect();
}

#[test]
fn groups_of_a_pod_whose_monitor_was_killed_go_with_the_next_gc() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image, "--memory=64Mi"]);
        let (uuid, init, app) = (pod.uuid.clone(), pod.init(), app_of(&pod));
        let group = path_of(&format!("/rkt/{uuid}"));
        // Both at once: nobody is left who could undo anything, and fly's app lives on.
        process::signal(init, Signal::STOP);
        pod.signal(Signal::KILL);
        process::signal(init, Signal::KILL);
        pod.wait();
        wait_until("init to end", || !process::lives(init));
        assert!(group.join("waits").exists(), "{flavor}");
        assert_eq!(process::lives(app), flavor.ends_with("fly"), "{flavor}");
        rkt.collect();
        assert!(!process::lives(app) && !group.exists(), "{flavor}");
    }
}

#[test]
fn a_group_that_an_app_divided_goes_with_the_pod() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let pod = rkt.start([FLAVORS[0], &image, "--pids-limit=50"]);
    let group = path_of(&format!("/rkt/{}/waits", pod.uuid));
    // As a program with the rights to it would.
    fs::create_dir_all(group.join("a/b")).unwrap();
    fs::write(group.join("a/b/cgroup.procs"), app_of(&pod).to_string()).unwrap();
    pod.end();
    assert!(!group.exists());
    rkt.collect();
}

#[test]
fn an_app_that_comes_is_born_in_a_group_beside_the_others_and_no_other_is_moved() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let [first_image, late] = ["first", "late"].map(|name| rkt.probe(name, ["wait"]));
    let trace = Trace::begin("comes");
    let own = group_of(std::process::id());
    for limits in [&[][..], &["--memory=64Mi"]] {
        let pod = rkt.start([first_image.as_str()].iter().chain(limits));
        let first = if limits.is_empty() { own.clone() } else { format!("/rkt/{}/first", pod.uuid) };
        let group = format!("/rkt/{}/late", pod.uuid);
        for _ in 0..2 {
            rkt.run(["app", "add", &pod.uuid, &late].into_iter().chain(LIMITS)).succeeds();
            let app = process_of(&pod, "late");
            assert_eq!(group_of(app), group);
            assert_eq!([read(&group, "memory.max"), read(&group, "pids.max")], ["67108864", "50"]);
            assert_eq!(read(&group, "cgroup.procs"), app.to_string());
            assert_eq!([pod.pid(), pod.init()].map(group_of), [own.clone(), own.clone()]);
            assert_eq!(group_of(process_of(&pod, "first")), first);
            rkt.run(["app", "rm", &pod.uuid, "--app=late"]).succeeds();
            assert!(!path_of(&group).exists());
        }
        rkt.run(["app", "add", &pod.uuid, &late, "--memory=64Mi"]).succeeds();
        let uuid = pod.uuid.clone();
        pod.end();
        assert!(!path_of(&format!("/rkt/{uuid}")).exists());
        let moved = |line: &&String| line.contains("cgroup_attach_task") || line.contains("cgroup_transfer_tasks");
        assert_eq!(trace.of(&uuid).iter().find(moved), None);
        rkt.collect();
    }
}

#[test]
fn where_the_groups_would_be_is_told_beforehand() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let plan = |limit: &[&str]| rkt.run(["plan", &image].iter().chain(limit)).succeeds().stdout;
    assert!(plan(&["--memory=64Mi"]).contains("control groups\n  below rkt in each hierarchy\n"));
    assert!(!plan(&[]).contains("control groups\n"));
    let doctor = rkt.run(["doctor"]).stdout;
    let line = doctor.lines().find(|line| line.contains("pods' groups")).unwrap();
    assert!(line.contains("below rkt in each hierarchy"), "{line}");
    // The machine is what it is meant to be.
    assert!(!Path::new("/run/systemd/system").exists());
    assert_eq!(fs::read_to_string("/proc/1/comm").unwrap().trim(), "rkt-vm");
}
