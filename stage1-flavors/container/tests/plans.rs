//! What container plans. `UPDATE_PLANS=1 cargo test` writes the files anew, for review.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use rkt_container::plan;
use rkt_sdk::testing::{assert_plan, pods};
use rkt_sdk::{CapabilityChange, NoFacts, Pod, Request};

fn unified() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("cgroups", "v2")])
}

fn split() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("cgroups", "v1")])
}

fn text(pod: &Pod) -> String {
    plan(pod, &unified()).unwrap().to_string()
}

#[test]
fn an_app_that_asks_for_nothing() {
    assert_plan("tests/plans/nothing.txt", &plan(&Pod::of_apps(&["hello"]), &unified()).unwrap());
}

#[test]
fn two_apps_on_a_host_with_split_control_groups() {
    assert_plan("tests/plans/split-cgroups.txt", &plan(&Pod::of_apps(&["web", "db"]), &split()).unwrap());
}

#[test]
fn an_app_that_asks_for_everything() {
    assert_plan("tests/plans/everything.txt", &plan(&pods::everything_else(), &unified()).unwrap());
}

#[test]
fn retained_capabilities_are_these_and_no_others() {
    let pod = pods::with_capabilities(CapabilityChange::Retain(vec!["CAP_NET_ADMIN".to_owned()]));
    assert!(text(&pod).contains("  capabilities CAP_NET_ADMIN\n"));
}

#[test]
fn a_volume_takes_the_place_of_what_container_would_put_there() {
    for (target, gone) in [
        ("/proc", "mount proc"),
        ("/proc", "mask /proc"),
        ("/proc", "read-only /proc"),
        ("/sys", "mount sysfs"),
        ("/sys", "mask /sys"),
        ("/sys", "mount cgroup2"),
        ("/sys/fs/cgroup", "mount cgroup2"),
        ("/dev", "mount tmpfs on /dev"),
        ("/dev", "device "),
        ("/dev", "link /dev"),
        ("/dev", "mount devpts"),
        ("/dev/null", "device /dev/null"),
        ("/dev/shm", "mount tmpfs on /dev/shm"),
        ("/dev/ptmx", "link /dev/ptmx"),
    ] {
        assert!(text(&Pod::of_apps(&["hello"])).contains(gone), "{gone}");
        let text = text(&pods::with_volume_at(target));
        assert!(!text.contains(gone), "{target}: {gone}");
        assert!(text.contains(&format!("bind volume(v) on {target} read-write recursive")), "{target}");
    }
}

#[test]
fn a_request_of_a_kind_that_came_later_is_waived() {
    let mut pod = Pod::of_apps(&["hello"]);
    pod.requests.push(Request::new("network/backend"));
    assert!(text(&pod).contains("waive network/backend: this flavor knows no `network`\n"));
}

#[test]
fn an_option_is_refused_by_name() {
    let pod = pods::with_option("turbo", "yes");
    assert_eq!(plan(&pod, &NoFacts).unwrap_err().message, "there is no option `turbo`");
}
