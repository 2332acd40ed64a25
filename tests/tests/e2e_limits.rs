//! Limits: what is asked for is what the kernel enforces, and nothing of it stays.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::leftovers::Snapshot;
use rkt_tests::{FLAVORS, Rkt, images};
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

#[test]
fn an_app_gets_no_more_of_the_processor_than_its_limit() {
    let rkt = Rkt::new();
    let image = rkt.probe("burns", ["burn", "1000"]);
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, &image, "--cpu=200m"]).succeeds();
        let line = &output.lines_of("burns")[0];
        let ran: u32 = line.split(' ').nth(1).unwrap().parse().unwrap();
        // A fifth of a second, and a period at either end.
        assert!((1..=340).contains(&ran), "{flavor}: {output}");
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
    let groups: Vec<String> = before
        .left_in(&Snapshot::take())
        .into_iter()
        .filter(|line| line.starts_with("control group") && line.contains(&pod.uuid))
        .collect();
    let limit = |app: &str| {
        let group = groups
            .iter()
            .find(|line| line.contains("/memory/") && line.ends_with(app))
            .unwrap_or_else(|| panic!("{app} is not in {groups:?}"));
        fs::read_to_string(format!("{}/memory.limit_in_bytes", group.trim_start_matches("control group: "))).unwrap()
    };
    assert_eq!((limit("one").trim(), limit("two").trim()), ("67108864", "33554432"));
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
