//! Limits, and the control groups that hold them.

use std::fs;

use rkt_plan::LimitKind;

use crate::life::groups_of;
use crate::pod::{Finished, TestPod};

fn both(scripts: &[&str]) -> [TestPod; 2] {
    [TestPod::isolated(scripts), TestPod::shared(scripts)]
}

fn run(pod: TestPod) -> Finished {
    let uuid = pod.launch.pod.uuid.clone();
    let ended = pod.run();
    assert_eq!(groups_of(&uuid), Vec::<String>::new());
    assert!(ended.file("journal").unwrap().ends_with("\"undone\"\n"));
    ended
}

#[test]
fn an_app_that_needs_more_memory_than_its_limit_is_killed() {
    for mut pod in both(&["x=0123456789abcdef; while :; do x=$x$x; done"]) {
        pod.limit("a", LimitKind::Memory, 16 << 20);
        assert_eq!(run(pod).code, Some(9));
    }
}

#[test]
fn an_app_cannot_have_more_processes_than_its_limit() {
    for mut pod in both(&["i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; echo not reached"]) {
        pod.limit("a", LimitKind::Pids, 5);
        let ended = run(pod);
        assert!(ended.error.contains("fork"), "{}", ended.error);
        assert!(!ended.output.contains("not reached"), "{}", ended.output);
    }
}

#[test]
fn each_limit_is_what_the_kernel_says_that_it_is() {
    let mut pod = TestPod::isolated(&["sleep 1000", "true"]);
    pod.limit("a", LimitKind::Cpu, 250);
    pod.limit("a", LimitKind::CpuShares, 512);
    pod.limit("a", LimitKind::Memory, 32 << 20);
    let uuid = pod.launch.pod.uuid.clone();
    let pod = pod.start();
    pod.wait_until_ready();
    let groups = groups_of(&uuid);
    let value = |name: &str| {
        let found = groups.iter().find_map(|group| fs::read_to_string(format!("{group}/a/{name}")).ok());
        found.unwrap_or_else(|| panic!("no {name} in {groups:?}")).trim().to_owned()
    };
    if groups.iter().any(|group| group.contains("/memory/")) {
        assert_eq!(value("cpu.shares"), "512");
        assert_eq!(value("memory.limit_in_bytes"), (32 << 20).to_string());
        let number = |name| value(name).parse::<f64>().unwrap();
        assert!((number("cpu.cfs_quota_us") / number("cpu.cfs_period_us") - 0.25).abs() < 0.01);
    } else {
        assert_eq!(value("memory.max"), (32 << 20).to_string());
        assert_eq!(value("cpu.max"), "25000 100000");
    }
    assert!(!groups.iter().any(|group| fs::exists(format!("{group}/b")).unwrap()), "b has no limits");
    pod.control().stop(true).unwrap();
    pod.finish();
    assert_eq!(groups_of(&uuid), Vec::<String>::new());
}

#[test]
fn a_pod_without_limits_has_no_groups() {
    let pod = TestPod::isolated(&["sleep 1000"]);
    let uuid = pod.launch.pod.uuid.clone();
    let pod = pod.start();
    pod.wait_until_ready();
    assert_eq!(groups_of(&uuid), Vec::<String>::new());
}

#[test]
fn a_limit_that_the_host_cannot_hold_is_refused_with_all_that_matters() {
    let mut pod = TestPod::isolated(&["true"]);
    pod.limit("a", LimitKind::Memory, 16 << 20);
    let ended = pod.run_after("umount --recursive --lazy /sys/fs/cgroup");
    let expected =
        "run: app a: limit memory: this host has no control groups mounted, and the memory controller in none\n";
    assert_eq!((ended.error.as_str(), ended.code), (expected, Some(254)));
}
