//! Pods in containers of systemd-nspawn's, where control groups are of version 2 and there is no service manager: apps'
//! limits are set from outside, and nothing stays of what systemd-nspawn makes of groups.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/nspawn.rs"]
mod containers;
mod support;

use std::path::PathBuf;

use rkt_tests::apps::process_of;
use rkt_tests::{Rkt, Running, process, wait_until};
use rustix::process::Signal;

use containers::{NSPAWN, nspawn_of, start};
use support::{app_of, assert_machine, group_of, path_of, read};

const LIMITS: [&str; 4] = ["--memory=64Mi", "--cpu=500m", "--cpu-shares=2048", "--pids-limit=50"];

/// All groups, wherever they are, of which something has the pod's UUID in its name.
fn groups_of(uuid: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![path_of("/")]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
            open.push(entry.path());
        }
        if directory.to_string_lossy().contains(uuid) {
            found.push(directory);
        }
    }
    found
}

/// Collects garbage and asserts that no group of the pod's is left anywhere.
fn assert_gone(rkt: &Rkt, uuid: &str) {
    rkt.collect();
    assert_eq!(groups_of(uuid), Vec::<PathBuf>::new());
}

/// Asserts that an app is in a group of its own, alone, and that its limits are that group's.
fn assert_limited(pod: &Running<'_>, app: &str) {
    let (group, process) = (format!("/rkt/{}/{app}", pod.uuid), process_of(pod, app));
    assert_eq!(group_of(process), group);
    let files = ["memory.max", "cpu.max", "cpu.weight", "pids.max", "cgroup.procs"];
    let expected = ["67108864", "50000 100000", "79", "50", &process.to_string()];
    assert_eq!(files.map(|file| read(&group, file)), expected);
}

#[test]
fn apps_have_their_limits_in_groups_beside_that_of_the_program() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let [one, two, free] = ["one", "two", "free"].map(|name| rkt.probe(name, ["wait"]));
    let apps = [&[one.as_str()][..], &LIMITS, &[&two], &LIMITS, &[&free]].concat();
    let pod = start(&rkt, &apps);
    let (uuid, program) = (pod.uuid.clone(), format!("/rkt/{}/-program-0", pod.uuid));
    assert_limited(&pod, "one");
    assert_limited(&pod, "two");
    // What systemd-nspawn makes for itself and for what it starts is below its own.
    let init = pod.init();
    assert_eq!(group_of(nspawn_of(&pod)), format!("{program}/supervisor"));
    assert_eq!([init, process_of(&pod, "free")].map(group_of), [0, 1].map(|_| format!("{program}/payload")));
    assert_eq!(group_of(pod.pid()), group_of(std::process::id()));
    // Who enters is counted with the app, which sees no group but its own.
    let words = ["enter", "--app=one", &uuid, "/probe", "show", "/proc/self/cgroup", "+", "threads", "100"];
    let lines = rkt.run(words).succeeds().lines_of("one");
    assert_eq!(lines, ["0::/", "started 48 threads"]);
    pod.end().succeeds();
    // The pod has left nothing before anybody collects.
    assert_eq!(groups_of(&uuid), Vec::<PathBuf>::new());
    assert_gone(&rkt, &uuid);
}

#[test]
fn an_app_over_its_memory_is_killed_alone_and_its_neighbor_is_asked_to_end() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let (eats, waits) = (rkt.probe("eats", ["eat", "268435456"]), rkt.probe("waits", ["wait"]));
    let output = rkt.run(["run", NSPAWN, &eats, "--memory=32Mi", &waits, "--memory=32Mi"]).ends_with(9);
    assert!(!output.stdout.contains("ate"), "{output}");
    let uuid = rkt.the_pod()["name"].as_str().unwrap().to_owned();
    let status = rkt.run(["status", &uuid]).succeeds().stdout;
    assert!(status.contains("app-eats=9\napp-waits=0"), "{status}");
    assert_gone(&rkt, &uuid);
}

#[test]
fn an_app_that_ends_gives_the_pod_its_code() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("ends", ["exit", "7"]);
    for limits in [&LIMITS[..], &[]] {
        rkt.run(["run", NSPAWN, &image].iter().chain(limits)).ends_with(7);
        assert_gone(&rkt, rkt.the_pod()["name"].as_str().unwrap());
    }
}

#[test]
fn whoever_is_killed_no_group_stays() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for limits in [&LIMITS[..], &[]] {
        let words = [&[image.as_str()][..], limits].concat();
        let victims: [fn(&Running<'_>) -> u32; 3] = [|pod| pod.pid(), nspawn_of, |pod| pod.init()];
        for victim in victims {
            let pod = start(&rkt, &words);
            let (uuid, all) = (pod.uuid.clone(), [nspawn_of(&pod), pod.init(), app_of(&pod)]);
            process::signal(victim(&pod), Signal::KILL);
            pod.wait();
            wait_until("all to be gone", || !all.iter().any(|pid| process::lives(*pid)));
            assert_gone(&rkt, &uuid);
        }
        // All that would end what is below: whoever meets the pod does.
        let pod = start(&rkt, &words);
        let (uuid, program) = (pod.uuid.clone(), nspawn_of(&pod));
        pod.abandon(program);
        assert_gone(&rkt, &uuid);
        assert!(!process::lives(program));
    }
}

#[test]
fn an_app_comes_with_its_limits_and_takes_its_group_with_it() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let [first, late] = ["first", "late"].map(|name| rkt.probe(name, ["wait"]));
    for limits in [&LIMITS[..], &[]] {
        let pod = start(&rkt, &[&[first.as_str()][..], limits].concat());
        let (uuid, init) = (pod.uuid.clone(), group_of(pod.init()));
        for _ in 0..2 {
            rkt.run(["app", "add", &uuid, &late].iter().chain(&LIMITS)).succeeds();
            assert_limited(&pod, "late");
            rkt.run(["app", "rm", &uuid, "--app=late"]).succeeds();
            assert!(!path_of(&format!("/rkt/{uuid}/late")).exists());
        }
        assert_eq!(group_of(pod.init()), init);
        // One without limits is where init is.
        rkt.run(["app", "add", &uuid, &late]).succeeds();
        assert_eq!(group_of(process_of(&pod, "late")), init);
        pod.end().succeeds();
        assert_gone(&rkt, &uuid);
    }
}

#[test]
fn it_is_told_beforehand_where_the_groups_would_be_and_that_no_machined_knows_the_pod() {
    assert_machine("runner");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let plan = rkt.run(["plan", NSPAWN, &image]).succeeds().stdout;
    assert!(plan.contains("control groups\n  below rkt in each hierarchy\n"), "{plan}");
    assert!(plan.contains("--register=no") && !plan.contains("systemd-machined knows"), "{plan}");
}
