//! What container plans. `UPDATE_PLANS=1 cargo test` writes the files anew, for review.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use rkt_container::plan;
use rkt_sdk::testing::assert_plan;
use rkt_sdk::{
    Access, CapabilityChange, Credentials, Limit, NoFacts, Pod, Request, SeccompFilter, SeccompMode, VolumeMount,
};

fn unified() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("cgroups", "v2")])
}

fn split() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("cgroups", "v1")])
}

fn text(pod: &Pod) -> String {
    plan(pod, &unified()).unwrap().to_string()
}

fn with_volume_at(target: &str) -> Pod {
    let mut pod = Pod::of_apps(&["hello"]);
    let volume = VolumeMount { volume: "v".to_owned(), target: target.to_owned(), access: Access::ReadWrite };
    pod.apps[0].volumes.push(volume);
    pod
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
    let mut pod = Pod::of_apps(&["db"]);
    pod.hostname = "db.example.com".to_owned();
    let app = &mut pod.apps[0];
    app.user = Credentials { uid: 999, gid: 998, groups: vec![27, 100] };
    app.root_access = Access::ReadOnly;
    app.volumes = [("data", "/var/lib/db", Access::ReadWrite), ("conf", "/etc/db", Access::ReadOnly)]
        .map(|(volume, target, access)| VolumeMount { volume: volume.to_owned(), target: target.to_owned(), access })
        .into();
    app.limits = [("memory", 1 << 30), ("cpu", 500), ("pids", 100)]
        .map(|(what, value)| Limit { what: what.to_owned(), value })
        .into();
    app.capabilities = Some(CapabilityChange::Remove(vec!["CAP_MKNOD".to_owned(), "CAP_NET_RAW".to_owned()]));
    app.seccomp = Some(SeccompFilter {
        mode: SeccompMode::Retain,
        calls: vec!["@default".to_owned(), "clock_settime".to_owned()],
        errno: None,
    });
    app.no_new_privileges = true;
    app.oom_score = Some(-500);
    pod.requests.push(Request::new("hostname"));
    for request in ["read-only-root", "volume/var/lib/db", "volume/etc/db", "limit/memory", "limit/cpu", "limit/pids"] {
        pod.requests.push(Request::new(format!("app/db/{request}")));
    }
    for request in ["capabilities", "seccomp", "no-new-privileges", "oom-score"] {
        pod.requests.push(Request::new(format!("app/db/{request}")));
    }
    assert_plan("tests/plans/everything.txt", &plan(&pod, &unified()).unwrap());
}

#[test]
fn retained_capabilities_are_these_and_no_others() {
    let mut pod = Pod::of_apps(&["hello"]);
    pod.apps[0].capabilities = Some(CapabilityChange::Retain(vec!["CAP_NET_ADMIN".to_owned()]));
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
        let text = text(&with_volume_at(target));
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
    let mut pod = Pod::of_apps(&["a"]);
    pod.settings.push(("turbo".to_owned(), "yes".to_owned()));
    assert_eq!(plan(&pod, &NoFacts).unwrap_err().message, "there is no option `turbo`");
}
