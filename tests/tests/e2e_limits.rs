//! Limits: what is asked for is what the kernel enforces, and nothing of it stays.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::leftovers::Snapshot;
use rkt_tests::{FLAVORS, Rkt, Running, images, wait_until};
use rustix::process::Signal;

#[test]
fn an_app_that_eats_more_memory_than_its_limit_is_killed() {
    let rkt = Rkt::new();
    let image = rkt.image("eats", &images::probe("eats"));
    for flavor in FLAVORS {
        let eat = |bytes: &str| rkt.run(["run", flavor, &image, "--memory=64M", "--exec=/probe", "--", "eat", bytes]);
        assert_eq!(eat("33554432").succeeds().lines_of("eats"), ["ate 33554432 bytes"], "{flavor}");
        eat("268435456").ends_with(9);
    }
    rkt.collect();
}

#[test]
fn an_app_has_no_more_processes_than_its_limit() {
    let rkt = Rkt::new();
    let image = rkt.probe("threads", ["threads", "100"]);
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, &image, "--pids-limit=20"]).succeeds();
        let line = &output.lines_of("threads")[0];
        let started: u32 = line.split(' ').nth(1).unwrap().parse().unwrap();
        // The app itself is one of the twenty.
        assert_eq!(started, 19, "{flavor}: {output}");
        assert_eq!(
            rkt.run(["run", flavor, &image]).succeeds().lines_of("threads"),
            ["started 100 threads"],
            "{flavor}"
        );
    }
    rkt.collect();
}

/// The control groups of an app, which were not there before: one in each hierarchy that it has limits of.
fn groups_of(pod: &Running<'_>, app: &str, before: &Snapshot) -> Vec<String> {
    let came = before.left_in(&Snapshot::take());
    let groups = came.iter().filter_map(|line| line.strip_prefix("control group: "));
    groups.filter(|group| group.contains(&pod.uuid) && group.ends_with(&format!("/{app}"))).map(str::to_owned).collect()
}

/// A file of an app's groups, by its name in version 1 or that in version 2.
fn read_one(groups: &[String], names: [&str; 2]) -> String {
    let mut paths = groups.iter().flat_map(|group| names.map(|name| format!("{group}/{name}")));
    let text = paths.find_map(|path| fs::read_to_string(path).ok());
    text.unwrap_or_else(|| panic!("there is no {names:?} in {groups:?}")).trim().to_owned()
}

#[test]
fn an_app_that_wants_more_of_the_processor_than_its_limit_is_held_back() {
    let rkt = Rkt::new();
    let image = rkt.probe("burns", ["burn"]);
    for flavor in FLAVORS {
        let before = Snapshot::take();
        let pod = rkt.start([flavor, &image, "--cpu=200m"]);
        let groups = groups_of(&pod, "burns", &before);
        let limit = read_one(&groups, ["cpu.cfs_quota_us", "cpu.max"]);
        assert!(["20000", "20000 100000"].contains(&limit.as_str()), "{flavor}: {limit}");
        // What the kernel counts, since how long it ran says as much about how busy the host is.
        wait_until("the app to be held back", || {
            let told = read_one(&groups, ["cpu.stat"; 2]);
            let times = told.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
            times.parse::<u32>().unwrap() > 1
        });
        pod.end();
    }
    rkt.collect();
}

#[test]
fn limits_are_those_of_each_app_and_gone_with_the_pod() {
    let rkt = Rkt::new();
    let before = Snapshot::take();
    let one = rkt.probe("one", ["wait"]);
    let two = rkt.probe("two", ["wait"]);
    let pod = rkt.start([&one, "--memory=64Mi", "--cpu-shares=512", &two, "--memory=32Mi"]);
    let limit = |app: &str| read_one(&groups_of(&pod, app, &before), ["memory.limit_in_bytes", "memory.max"]);
    assert_eq!([limit("one"), limit("two")], ["67108864", "33554432"]);
    pod.signal(Signal::TERM);
    let uuid = pod.uuid.clone();
    pod.wait();
    let left = before.left_in(&Snapshot::take());
    assert!(!left.iter().any(|line| line.contains(&uuid)), "{left:?}");
    rkt.collect();
}

#[test]
fn a_pod_without_limits_has_no_control_group() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", pod.init())).unwrap();
        assert_eq!(groups, fs::read_to_string("/proc/self/cgroup").unwrap(), "{flavor}");
        pod.end();
        rkt.collect();
    }
}

#[test]
fn limits_of_an_image_count_and_the_command_line_replaces_them() {
    let rkt = Rkt::new();
    let limit = serde_json::json!({ "request": "32M", "limit": "32M" });
    let image = images::probe("eats").isolator("resource/memory", &limit).exec(["/probe", "eat", "67108864"]);
    let image = rkt.image("eats", &image);
    rkt.run(["run", &image]).ends_with(9);
    rkt.run(["run", &image, "--memory=256M"]).succeeds();
    rkt.run(["run", &image, "--memory=100"]).refuses(&["memory limit of 100 bytes too low"]);
    rkt.run(["run", &image, "--cpu-shares=1"]).refuses(&["cpu-shares"]);
    rkt.collect();
}

#[test]
fn an_isolator_that_cannot_be_applied_is_a_refusal_and_never_ignored() {
    let rkt = Rkt::new();
    let value = serde_json::json!({ "net.ipv4.ip_forward": "1" });
    let image =
        rkt.image("sysctl", &images::probe("sysctl").isolator("os/linux/sysctl", &value).exec(["/probe", "exit", "0"]));
    rkt.run(["run", &image]).refuses(&["os/linux/sysctl", "sysctl"]);
    rkt.assert_no_pods();
}

#[test]
fn the_score_of_who_is_killed_first_is_set() {
    let rkt = Rkt::new();
    let image = rkt.probe("score", ["show", "/proc/self/oom_score_adj"]);
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, &image, "--oom-score-adj=321"]).succeeds();
        assert_eq!(output.lines_of("score"), ["321"], "{flavor}");
    }
    rkt.collect();
}
