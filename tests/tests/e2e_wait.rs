//! Waiting for pods, and stopping them whatever was done to their own processes.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Child, Stdio};

use rkt_tests::{FLAVORS, Rkt, Running, images, process, wait_until};
use rustix::process::Signal;

/// Starts a command that waits, and returns when it does.
fn waiting(rkt: &Rkt, words: &[&str]) -> Child {
    let child = rkt.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    wait_until("it to watch", || {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        assert!(process::lives(pid), "it ended without waiting");
        links.any(|link| link.to_string_lossy().contains("inotify"))
    });
    child
}

/// How it ended, and what it said to standard output.
fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn whoever_waits_for_the_end_of_a_pod_is_told_when_it_has_ended() {
    let rkt = Rkt::new();
    let image = rkt.image(
        "app",
        &images::busybox("app").exec(["/bin/sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done"]),
    );
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        pod.says("up");
        let waits = waiting(&rkt, &["status", "--wait", &pod.uuid]);
        let in_time = waiting(&rkt, &["status", "--wait=10m", &pod.uuid]);
        pod.end();
        for child in [waits, in_time] {
            let (code, said) = ended(child);
            assert_eq!(code, Some(0), "{flavor}");
            assert!(said.starts_with("state=exited\n") && said.contains("exited=true\n"), "{flavor}: {said}");
        }
        rkt.collect();
    }
}

#[test]
fn who_waits_too_long_is_told_and_nothing_is_printed() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["wait"]);
    let pod = rkt.start([&image]);
    let refused = rkt.run(["status", "--wait=10ms", &pod.uuid]);
    let refused = refused.refuses(&["status: error waiting for pod to finish: it took longer than 10ms"]);
    assert_eq!(refused.stdout, "");
    // Not to wait, and to wait for what has come already, are no waits.
    for words in ["--wait=false", "--wait=0", "--wait-ready", "--wait-ready=1s"] {
        let status = rkt.run(["status", words, &pod.uuid]).succeeds();
        assert!(status.stdout.starts_with("state=running\n"), "{status}");
    }
    pod.end();
    rkt.run(["status", "--wait", &rkt.pods()[0]]).succeeds();
    rkt.run(["status", "--wait-ready", &rkt.pods()[0]]).refuses(&["error waiting for pod readiness", "has ended"]);
    rkt.collect();
}

#[test]
fn whoever_waits_for_a_prepared_pod_sees_it_get_ready_and_end() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["wait"]);
    for flavor in FLAVORS {
        let uuid = rkt.run(["prepare", flavor, &image]).succeeds().stdout.trim_end().to_owned();
        let ready = waiting(&rkt, &["status", "--wait-ready", &uuid]);
        let end = waiting(&rkt, &["status", "--wait", &uuid]);
        let pod = rkt.start_prepared::<&str>(&uuid, []);
        let (code, said) = ended(ready);
        assert!(code == Some(0) && said.starts_with("state=running\n"), "{flavor}: {code:?} {said}");
        pod.end();
        let (code, said) = ended(end);
        assert!(code == Some(0) && said.starts_with("state=exited\n"), "{flavor}: {code:?} {said}");
        rkt.collect();
    }
}

#[test]
fn whoever_waits_for_a_pod_that_is_removed_is_told_that_it_is_over() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["wait"]);
    let uuid = rkt.run(["prepare", &image]).succeeds().stdout.trim_end().to_owned();
    let (ready, end) = (waiting(&rkt, &["status", "--wait-ready", &uuid]), waiting(&rkt, &["status", "--wait", &uuid]));
    rkt.run(["rm", &uuid]).succeeds();
    assert_eq!(ended(ready).0, Some(254));
    assert_eq!(ended(end).0, Some(0));
    rkt.assert_no_pods();
}

/// Pods of which this stops something from outside are stopped, asked and by force.
fn is_stopped_although(stop: impl Fn(&Running<'_>)) {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["wait"]);
    for flavor in FLAVORS {
        for words in [&["stop"][..], &["stop", "--force"]] {
            let pod = rkt.start([flavor, &image]);
            stop(&pod);
            rkt.run(words.iter().copied().chain([pod.uuid.as_str()])).succeeds();
            rkt.assert_nothing_lives();
            pod.wait();
        }
    }
    rkt.collect();
}

#[test]
fn a_pod_whose_init_was_stopped_from_outside_is_stopped() {
    is_stopped_although(|pod| process::signal(pod.init(), Signal::STOP));
}

#[test]
fn a_pod_whose_monitor_was_stopped_from_outside_is_stopped() {
    is_stopped_although(|pod| {
        pod.signal(Signal::STOP);
        process::signal(pod.init(), Signal::STOP);
    });
}

#[test]
fn a_monitor_that_cannot_be_reached_is_killed_by_force_and_all_of_its_pod() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["spawn", "/probe", "wait", "+", "wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        fs::remove_file(pod.directory().join("control")).unwrap();
        let said = format!("cannot reach the monitor of pod \"{}\"", pod.uuid);
        let hint = format!("hint: rkt stop --force {}", pod.uuid);
        rkt.run(["stop", &pod.uuid]).refuses(&[&said, &hint, "failed to stop 1 pod(s)"]);
        rkt.run(["stop", "--force", &pod.uuid]).succeeds();
        rkt.assert_nothing_lives();
        pod.wait();
        rkt.collect();
    }
}

#[test]
fn apps_have_the_time_that_they_are_given() {
    let rkt = Rkt::new();
    let script = "trap '' TERM; echo deaf; while :; do sleep 0.01; done";
    let image = rkt.image("deaf", &images::busybox("deaf").exec(["/bin/sh", "-c", script]));
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        pod.says("deaf");
        let begun = std::time::Instant::now();
        assert_eq!(rkt.run(["stop", "--timeout=100ms", &pod.uuid]).succeeds().stdout, format!("\"{}\"\n", pod.uuid));
        // Not the ten seconds that they have where nobody says how long.
        assert!(begun.elapsed() < std::time::Duration::from_secs(9), "{flavor}");
        rkt.assert_nothing_lives();
        pod.wait();
    }
    rkt.collect();
}
