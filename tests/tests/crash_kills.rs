//! Every command, killed at any of its system calls: what is left is sound, is cleaned up, and the next try works.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::kills::{Killer, Report, Whom, at_each_call};
use rkt_tests::leftovers::Snapshot;
use rkt_tests::{FLAVORS, Rkt, images, wait_until};

const KILLER: &str = env!("CARGO_BIN_EXE_killer");
/// What every image here says.
const SAID: &str = "whole";

/// Pods and images can be listed, without a complaint about any.
fn is_sound(rkt: &Rkt) {
    for words in [&["list"][..], &["list", "--full", "--format=json"], &["image", "list"]] {
        let output = rkt.run(words).succeeds();
        assert_eq!(output.stderr, "", "{words:?}: {output}");
    }
}

/// All garbage can be collected, and then nothing of any pod is left anywhere, nor of an import.
fn leaves_nothing(rkt: &Rkt) {
    let uuids = rkt.pods();
    rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]).succeeds();
    // What was killed is gone from the host a moment after its locks are.
    comes_to_rest(rkt);
    rkt.collect();
    let staging = fs::read_dir(rkt.data().join("cas/tmp")).into_iter().flatten();
    assert_eq!(staging.count(), 0, "what is left of imports");
    let data = rkt.data().display().to_string();
    let is_ours = |line: &String| uuids.iter().any(|uuid| line.contains(uuid)) || line.contains(&data);
    let left = || Snapshot::default().left_in(&Snapshot::take()).into_iter().filter(is_ours).collect::<Vec<_>>();
    assert_eq!(left(), Vec::<String>::new(), "what is left on the host");
}

/// Waits until no process of any pod lives.
fn comes_to_rest(rkt: &Rkt) {
    wait_until("all of the pod to end", || rkt.processes().is_empty());
}

/// Runs a pod to its end; its UUID.
fn exited(rkt: &Rkt, image: &str) -> String {
    let file = rkt.home().join("uuid");
    let save = format!("--uuid-file-save={}", file.display());
    rkt.run(["run", "--stage1=fly", &save, image]).succeeds();
    fs::read_to_string(file).unwrap()
}

#[test]
fn an_import_leaves_a_whole_image_or_none() {
    let rkt = Rkt::new();
    let image = images::probe("fetched").file("a/file", 0o644, &vec![7; 100_000]).symlink("a/link", "file");
    let image = rkt.image("fetched", &image.exec(["/probe", "say", SAID]));
    let killer = Killer::new(&rkt, KILLER, Whom::First);
    at_each_call("fetch", |at| {
        let _ = fs::remove_dir_all(rkt.data().join("cas"));
        let (report, output) = killer.run(at, &["fetch", &image]);
        is_sound(&rkt);
        let listed = rkt.run(["image", "list", "--no-legend"]).succeeds().stdout.lines().count();
        assert!(listed == 1 || report.killed.is_some(), "{output}");
        leaves_nothing(&rkt);
        rkt.run(["fetch", &image]).succeeds();
        let said = rkt.run(["run", "--stage1=fly", &image]).succeeds();
        assert_eq!(said.lines_of("fetched"), [SAID]);
        report
    });
    rkt.collect();
}

/// A pod that is run, with a kill at each call.
fn run_is_killed(whom: Whom) {
    for flavor in FLAVORS {
        let rkt = Rkt::new();
        let image = rkt.probe("killed", ["say", SAID]);
        let killer = Killer::new(&rkt, KILLER, whom);
        at_each_call(&format!("run {flavor}, killing {whom:?}"), |at| {
            let (report, output) = killer.run(at, &["run", flavor, &image, "--memory=64M"]);
            // Where monitor and init are killed at once an app may go on until somebody meets the pod.
            if whom != Whom::All {
                comes_to_rest(&rkt);
            }
            assert!(report.killed.is_some() || report.code == Some(0), "{report:?}: {output}");
            assert!(!output.stderr.contains("panicked"), "{output}");
            assert!(report.code != Some(254) || !output.stderr.is_empty(), "it fails without a word: {report:?}");
            is_sound(&rkt);
            leaves_nothing(&rkt);
            let said = rkt.run(["run", flavor, &image, "--memory=64M"]).succeeds();
            assert_eq!(said.lines_of("killed"), [SAID]);
            report
        });
        leaves_nothing(&rkt);
    }
}

#[test]
fn when_run_or_the_monitor_that_it_becomes_is_killed_nothing_lives_on() {
    run_is_killed(Whom::First);
}

#[test]
fn when_any_process_of_a_start_is_killed_the_pod_ends() {
    run_is_killed(Whom::Caller);
}

#[test]
fn when_all_processes_of_a_start_are_killed_at_once_whoever_comes_next_cleans_up() {
    run_is_killed(Whom::All);
}

#[test]
fn a_preparation_leaves_a_pod_that_runs_or_garbage() {
    let rkt = Rkt::new();
    let image = rkt.probe("prepared", ["say", SAID]);
    let killer = Killer::new(&rkt, KILLER, Whom::First);
    let runs = |uuid: &str| {
        let said = rkt.run(["run-prepared", uuid]).succeeds();
        assert_eq!(said.lines_of("prepared"), [SAID]);
    };
    rkt.run(["fetch", &image]).succeeds();
    at_each_call("prepare", |at| {
        let (report, _) = killer.run(at, &["prepare", "--stage1=fly", &image]);
        is_sound(&rkt);
        let pods = rkt.run(["list", "--format=json"]).succeeds().json();
        let prepared = pods.as_array().into_iter().flatten().filter(|pod| pod["state"] == "prepared");
        prepared.for_each(|pod| runs(pod["name"].as_str().unwrap()));
        leaves_nothing(&rkt);
        let again = rkt.run(["prepare", "--stage1=fly", &image]).succeeds();
        runs(again.stdout.trim_end());
        report
    });
    leaves_nothing(&rkt);
}

#[test]
fn a_start_of_a_prepared_pod_leaves_it_prepared_or_started() {
    let rkt = Rkt::new();
    let image = rkt.probe("prepared", ["say", SAID]);
    let killer = Killer::new(&rkt, KILLER, Whom::First);
    at_each_call("run-prepared", |at| {
        let uuid = rkt.run(["prepare", &image, "--memory=64M"]).succeeds().stdout.trim_end().to_owned();
        let (report, _) = killer.run(at, &["run-prepared", &uuid]);
        comes_to_rest(&rkt);
        is_sound(&rkt);
        let again = rkt.run(["run-prepared", &uuid]);
        let has_started = again.stderr.contains("is not prepared");
        assert!(has_started || again.lines_of("prepared") == [SAID], "{again}");
        assert_eq!(again.status.success(), !has_started, "{again}");
        leaves_nothing(&rkt);
        report
    });
}

#[test]
fn a_stop_is_asked_for_again() {
    let rkt = Rkt::new();
    let image = rkt.probe("stopped", ["wait"]);
    let killer = Killer::new(&rkt, KILLER, Whom::First);
    at_each_call("stop", |at| {
        let pod = rkt.start(["--stage1=fly", &image]);
        let (report, _) = killer.run(at, &["stop", &pod.uuid]);
        is_sound(&rkt);
        rkt.run(["stop", &pod.uuid]).succeeds();
        pod.wait();
        leaves_nothing(&rkt);
        report
    });
}

/// A pod that is asked to stop, and is killed meanwhile.
fn is_killed_while_it_stops(whom: Whom) {
    for flavor in FLAVORS {
        let rkt = Rkt::new();
        let image = rkt.probe("stopped", ["wait"]);
        let killer = Killer::new(&rkt, KILLER, whom);
        at_each_call(&format!("stop, killing {whom:?} of the pod with {flavor}"), |at| {
            let pod = rkt.start([flavor, &image, "--memory=64M"]);
            let attached = killer.attach(at, pod.pid());
            let output = rkt.run(["stop", &pod.uuid]);
            assert!(matches!(output.status.code(), Some(0 | 254)), "{output}");
            let report = attached.wait();
            let uuid = pod.uuid.clone();
            pod.wait();
            if whom != Whom::All {
                comes_to_rest(&rkt);
            }
            is_sound(&rkt);
            rkt.run(["stop", &uuid]).succeeds();
            leaves_nothing(&rkt);
            report
        });
    }
}

#[test]
fn when_the_monitor_is_killed_while_the_pod_stops_all_of_it_ends() {
    is_killed_while_it_stops(Whom::First);
}

#[test]
fn when_any_process_is_killed_while_the_pod_stops_all_of_it_ends() {
    is_killed_while_it_stops(Whom::Caller);
}

#[test]
fn when_monitor_and_init_are_killed_while_the_pod_stops_whoever_comes_next_cleans_up() {
    is_killed_while_it_stops(Whom::All);
}

#[test]
fn a_removal_is_gone_on_with() {
    let rkt = Rkt::new();
    let image = rkt.probe("removed", ["say", SAID]);
    let killer = Killer::new(&rkt, KILLER, Whom::First);
    at_each_call("rm", |at| {
        let uuid = exited(&rkt, &image);
        let (report, _) = killer.run(at, &["rm", &uuid]);
        is_sound(&rkt);
        let again = rkt.run(["rm", &uuid]);
        assert!(again.status.success() || again.stderr.contains("no matches found"), "{again}");
        rkt.assert_no_pods();
        assert!(rkt.run(["replay", &uuid]).succeeds().stdout.starts_with("same\n"));
        leaves_nothing(&rkt);
        report
    });
}

#[test]
fn a_collection_is_gone_on_with() {
    let rkt = Rkt::new();
    let image = rkt.probe("collected", ["say", SAID]);
    let killer = Killer::new(&rkt, KILLER, Whom::First);
    let words = ["gc", "--grace-period=0s", "--expire-prepared=0s"];
    at_each_call("gc", |at| {
        let first = exited(&rkt, &image);
        rkt.run(["gc", "--mark-only"]).succeeds();
        let second = exited(&rkt, &image);
        let aborted = rkt.data().join("pods/prepare/00000000-0000-4000-8000-000000000001/appsinfo");
        let import = rkt.data().join("cas/tmp/import-aborted/rootfs");
        for left in [&aborted, &import] {
            fs::create_dir_all(left).unwrap();
        }
        let (report, _) = killer.run(at, &words);
        is_sound(&rkt);
        leaves_nothing(&rkt);
        for uuid in [first, second] {
            assert!(rkt.run(["replay", &uuid]).succeeds().stdout.starts_with("same\n"));
        }
        report
    });
}

/// A killer that kills nobody counts what there is.
#[test]
fn calls_are_counted_and_the_one_is_named() {
    let rkt = Rkt::new();
    let count = |at: u64| -> Report { Killer::new(&rkt, KILLER, Whom::First).run(at, &["version"]).0 };
    let whole = count(u64::MAX);
    assert!(whole.killed.is_none() && whole.code == Some(0) && whole.calls > 5, "{whole:?}");
    let killed = count(whole.calls);
    assert_eq!(killed.killed.as_deref(), Some("exit_group of rkt"), "{killed:?}");
    assert_eq!((killed.code, killed.calls), (None, whole.calls));
}
