//! Pods that share the host's namespaces.

use std::fs;
use std::path::Path;

use rkt_plan::{Access, JailWord, Place};

use crate::change::{change, names};
use crate::pod::{TestPod, wait_for};

#[test]
fn hello_comes_out_as_it_went_in_and_its_code_is_the_pods() {
    let ended = TestPod::shared(&["echo hello; echo oops >&2; exit 7"]).run();
    assert_eq!((ended.output.as_str(), ended.error.as_str(), ended.code), ("hello\n", "oops\n", Some(7)));
    assert_eq!(ended.status("a").as_deref(), Some("7"));
}

/// Where something is mounted, as a process sees it.
fn mount_points(pid: u32) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    table.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect()
}

fn mount_namespace(pid: u32) -> String {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap().display().to_string()
}

fn without_the_hosts(points: &[String]) -> Vec<&str> {
    let is_the_hosts = |point: &str| ["/dev", "/proc", "/sys"].iter().any(|path| Path::new(point).starts_with(path));
    points.iter().map(String::as_str).filter(|point| !is_the_hosts(point)).collect()
}

fn pid_of(pod: &crate::pod::Running, app: &str) -> u32 {
    let apps = pod.control().status().unwrap().apps;
    match apps.into_iter().find(|status| status.name == app).unwrap().state {
        rkt_monitor::AppState::Running { pid } => pid,
        other => panic!("{other:?}"),
    }
}

#[test]
fn init_stays_among_the_hosts_mounts_and_its_apps_have_none_but_what_is_planned() {
    let pod = TestPod::shared(&["sleep 1000", "sleep 1000"]).start();
    pod.wait_until_ready();
    let own = mount_namespace(std::process::id());
    assert_eq!(mount_namespace(pod.control().status().unwrap().init), own);
    let [a, b] = ["a", "b"].map(|app| pid_of(&pod, app));
    assert!(mount_namespace(a) != own && mount_namespace(b) != own && mount_namespace(a) != mount_namespace(b));
    for app in [a, b] {
        assert_eq!(without_the_hosts(&mount_points(app)), ["/"]);
    }
    pod.control().stop(true).unwrap();
}

#[test]
fn each_app_gets_its_masks_and_devices_and_sees_nothing_of_where_they_come_from() {
    let script = "set -e; [ -c /dev/null ]; echo x > /dev/null; [ $(head -c 3 /dev/zero | wc -c) = 3 ]; \
                  [ $(wc -c < /etc/secret) = 0 ]; [ -z \"$(ls /etc/hidden)\" ]; if echo x > /etc/hidden/y; then exit 9; fi; \
                  grep -vE ' /(dev|proc)' /proc/self/mounts | wc -l";
    let mut pod = TestPod::shared(&[script, script]);
    fs::create_dir(pod.path().join("image/etc/hidden")).unwrap();
    for file in ["secret", "hidden/secret"] {
        fs::write(pod.path().join("image/etc").join(file), "secret").unwrap();
    }
    pod.forget("bind");
    for app in ["a", "b"] {
        for (kind, target) in [("tmpfs", "/dev"), ("proc", "/proc")] {
            let (kind, target) = (kind.to_owned(), target.to_owned());
            pod.app(app, JailWord::Mount { kind, target, options: vec![] });
        }
        for path in ["/dev/null", "/dev/zero"] {
            pod.app(app, JailWord::Device { path: path.to_owned() });
        }
        for path in ["/etc/secret", "/etc/hidden"] {
            pod.app(app, JailWord::Mask { path: path.to_owned() });
        }
    }
    let ended = pod.run();
    assert_eq!((ended.output.as_str(), ended.code), ("3\n3\n", Some(0)), "{}", ended.error);
}

#[test]
fn init_parts_from_the_host_when_an_app_comes_later_and_nothing_is_left_on_the_host() {
    let mut pod = TestPod::shared(&["sleep 1000"]);
    let source = Place::Empty("e".to_owned());
    let wanted = pod.with_app("b", "echo x > /empty/x; sleep 1000", |pod| {
        let target = "/empty".to_owned();
        pod.app("b", JailWord::Bind { source, target, access: Access::ReadWrite, recursive: true });
    });
    let uuid = pod.launch.pod.uuid.clone();
    let pod = pod.start();
    pod.wait_until_ready();
    let own = mount_namespace(std::process::id());
    change(&pod, &wanted, "b").unwrap();
    assert_eq!(names(&pod), ["a", "b"]);
    let init = pod.control().status().unwrap().init;
    assert_ne!(mount_namespace(init), own);
    assert_eq!(mount_points(init), ["/", "/proc"]);
    wait_for(|| mount_points(pid_of(&pod, "b")).contains(&"/empty".to_owned()));
    assert_eq!(without_the_hosts(&mount_points(pid_of(&pod, "b"))), ["/", "/empty"]);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&uuid));
    pod.control().stop(true).unwrap();
}
