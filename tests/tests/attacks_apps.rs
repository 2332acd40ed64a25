//! Attacks by apps and images that come to a pod that runs, and by the apps that are there already, named by the
//! rows of `ATTACKS.md`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use rkt_tests::apps::{empties, leavings, names, waiting};
use rkt_tests::{Rkt, built, images, wait_until};
use serde_json::json;

#[test]
fn i15_the_name_of_an_image_harms_no_app_that_is_there() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let other = rkt.probe("other", ["wait"]);
    rkt.run(["app", "add", &pod.uuid, &other, "--name=other-started"]).succeeds();
    // What would be written of it would be written to what is written of others, or to no file.
    let clashes = ["first", "other", "first-started", "first-started-started"];
    let long = ["x".repeat(248), "x".repeat(4000)];
    for last in clashes.iter().copied().chain(long.iter().map(String::as_str)) {
        let image = rkt.image("named", &images::probe(last).exec(["/probe", "wait"]));
        let output = rkt.run(["app", "add", &pod.uuid, &image]);
        if output.status.success() {
            assert_eq!(last, "first-started-started");
            rkt.run(["app", "rm", "--app=first-started-started", &pod.uuid]).succeeds();
        } else {
            output.refuses(&["add: "]);
        }
        assert_eq!(names(&rkt), ["first", "other-started"], "{last}");
        assert!(leavings(&pod, "x").is_empty(), "{last}");
    }
    // Names of rkt's own files, and of flags, are names of apps like any.
    for last in ["pod", "change", "overlay", "monitor", "-monitor", "record.json", "--help", "..", "first.upper"] {
        let image = images::probe("name").manifest("name", json!(format!("example.com/{last}x")));
        let image = rkt.image("name", &image.exec(["/probe", "wait"]));
        let added = rkt.run(["app", "add", &pod.uuid, &image, "--pids-limit=9"]);
        if added.status.success() {
            let app = added.stdout.trim().trim_matches('"').to_owned();
            assert!(app.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{last}: {app}");
            rkt.run(["app", "rm", &format!("--app={app}"), &pod.uuid]).succeeds();
        }
        assert_eq!(names(&rkt), ["first", "other-started"], "{last}: {added}");
    }
    assert!(rkt.run(["replay", &pod.uuid]).succeeds().stdout.starts_with("same\n"));
    let states = rkt.the_pod()["apps"].as_array().unwrap().iter().all(|app| app["state"] == "running");
    assert!(states, "{}", rkt.the_pod());
    pod.end();
    rkt.collect();
}

#[test]
fn i15_an_image_gets_no_volume_that_another_app_got_for_itself() {
    let rkt = Rkt::new();
    let owner = images::probe("my-db").mount_point("data", "/data", false);
    let owner = rkt.image("my-db", &owner.exec(["/probe", "write", "/data/secret", "x", "+", "wait"]));
    let pod = rkt.start(["--volume=common,kind=empty", owner.as_str()]);
    let thief = |name: &str, point: &str| {
        let image = images::probe(name).mount_point(point, "/loot", false);
        let image = rkt.image(name, &image.exec(["/probe", "list", "/loot", "+", "say", "looked", "+", "wait"]));
        let added = rkt.run(["app", "add", &pod.uuid, &image]);
        (added, name.to_owned())
    };
    // By the volume's name.
    let (added, name) = thief("thief", "my-db-data");
    added.succeeds();
    wait_until("it to have looked", || !pod.lines_of(&name).is_empty());
    assert_eq!(pod.lines_of(&name), ["looked"]);
    // By two names that make the same volume's.
    let (added, _) = thief("my", "db-data");
    added.refuses(&["my-db-data"]);
    // Nor once the owner has left.
    rkt.run(["app", "rm", "--app=my-db", &pod.uuid]).succeeds();
    assert_eq!(empties(&pod), ["common", "thief-my-db-data"]);
    let (added, name) = thief("my", "db-data");
    added.succeeds();
    wait_until("it to have looked", || !pod.lines_of(&name).is_empty());
    assert_eq!(pod.lines_of(&name), ["looked"]);
    pod.end();
    rkt.collect();
}

#[test]
fn r2_an_app_that_comes_has_three_descriptors_and_leaves_no_door_open() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::write(&canary, "x").unwrap();
    let canary = canary.to_str().unwrap();
    let words = ["descriptors", "+", "reach", canary, "/etc/debian_version", "+", "wait"];
    let (early, late) = (rkt.probe("early", words), rkt.probe("late", words));
    let own = format!("--mnt-volume=name=v,kind=host,source={},target=/v", rkt.home().display());
    let pod = rkt.start([&early]);
    for _ in 0..3 {
        let before = pod.lines_of("late").len();
        rkt.run(["app", "add", &own, &pod.uuid, &late, "--pids-limit=20"]).succeeds();
        wait_until("it to have looked", || pod.lines_of("late").last().is_some_and(|line| line.starts_with("tried")));
        wait_until("it to have looked", || pod.lines_of("late").len() == before + 4);
        let lines = pod.lines_of("late").split_off(before);
        let numbers: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(numbers, ["0", "1", "2", "tried"], "{lines:?}");
        // Nor has one that was there before, or who enters it, got anything by its coming.
        let entered = rkt.run(["enter", "--app=early", &pod.uuid, "/probe", "reach", canary, "/v/canary"]);
        assert!(!entered.stdout.contains(canary), "{entered}");
        rkt.run(["app", "rm", "--app=late", &pod.uuid]).succeeds();
    }
    pod.end();
    rkt.collect();
}

#[test]
fn r6_an_image_that_comes_with_links_for_kernel_directories_is_refused_and_the_pod_goes_on() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let canary = rkt.home().join("canary");
    fs::create_dir(&canary).unwrap();
    for directory in ["dev", "proc", "sys"] {
        let image = images::probe("linked").symlink(directory, canary.to_str().unwrap()).exec(["/probe", "wait"]);
        rkt.run(["app", "add", &pod.uuid, &rkt.image("linked", &image)]).refuses(&[&format!("/{directory}")]);
        assert_eq!(names(&rkt), ["first"], "{directory}");
    }
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 0);
    pod.end();
    rkt.collect();
}

#[test]
fn r7_what_an_app_that_comes_mounts_stays_in_its_root() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let canary = rkt.home().join("canary");
    fs::create_dir(&canary).unwrap();
    let source = rkt.home().join("source");
    fs::create_dir(&source).unwrap();
    let links = images::probe("links").symlink("out", canary.to_str().unwrap()).symlink("up", "../../../../../..");
    let links = rkt.image("links", &links.exec(["/probe", "wait"]));
    let table = || fs::read("/proc/self/mountinfo").unwrap();
    let before = table();
    for target in
        ["/out", "/out/deeper", "/up/etc/deeper", "/../../etc/deeper", "/proc/1/root", "/apps", "/app/../apps/0"]
    {
        let volume = format!("--mnt-volume=name=v,kind=host,source={},target={target}", source.display());
        let output = rkt.run(["app", "add", &volume, &pod.uuid, &links]);
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 0, "{target}: {output}");
        assert!(!Path::new("/etc/deeper").exists(), "{target}: {output}");
        if output.status.success() {
            rkt.run(["app", "rm", "--app=links", &pod.uuid]).succeeds();
        }
        assert_eq!(names(&rkt), ["first"], "{target}: {output}");
    }
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 0);
    assert!(table() == before, "a mount came to the host");
    pod.end();
    rkt.collect();
}

#[test]
fn r7_an_app_that_swaps_what_another_is_mounted_on_leads_nobody_out() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::create_dir(&canary).unwrap();
    let outer = rkt.home().join("outer");
    fs::create_dir_all(outer.join("inner")).unwrap();
    let script = format!(
        "cd /outer; while :; do mv inner real; ln -s {} inner; rm inner; mv real inner; done 2>/dev/null",
        canary.display()
    );
    let hostile = rkt.image("hostile", &images::busybox("hostile").exec(["/bin/sh", "-c", &script]));
    let volume = format!("--volume=outer,kind=host,source={}", outer.display());
    let pod = rkt.start([&volume, &hostile, "--mount=volume=outer,target=/outer"]);
    let late = rkt.probe("late", ["try-create", "/outer/inner/made", "+", "wait"]);
    let table = || fs::read("/proc/self/mountinfo").unwrap();
    let before = table();
    let inner = "--mnt-volume=name=inner,kind=empty,target=/outer/inner";
    let mut came = 0;
    for _ in 0..30 {
        let add = ["app", "add", inner, &pod.uuid, &late, "--mount=volume=outer,target=/outer"];
        let output = rkt.run(add);
        assert!(output.status.code().is_some(), "{output}");
        if output.status.success() {
            came += 1;
            rkt.run(["app", "rm", "--app=late", &pod.uuid]).succeeds();
        }
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 0, "{output}");
        assert_eq!(names(&rkt), ["hostile"], "{output}");
    }
    assert!(table() == before, "a mount came to the host");
    assert!(came > 0, "none came");
    pod.end();
    rkt.collect();
}

#[test]
fn p5_a_plugin_that_plans_the_others_otherwise_when_an_app_comes_changes_nothing() {
    let rkt = Rkt::new();
    let granted = [
        "share:pid",
        "share:network",
        "share:ipc",
        "share:uts",
        "share:cgroup",
        "share:user",
        "root",
        "user",
        "unfiltered",
        "stdio:raw",
        "oom-score",
        "bind:host:rw:/granted",
    ];
    rkt.grant("rkt_hostile", &granted.map(str::to_owned));
    let stage1 = format!("--stage1={}", built("wasm32-unknown-unknown/release/rkt_hostile.wasm"));
    let late = rkt.probe("late", ["wait"]);
    for (deed, said) in [
        ("turn-score", Some("app first: oom score: + 7")),
        ("turn-bind", Some("app first: mounts: + /granted")),
        ("turn-namespace", Some("pod: namespaces: ")),
        ("turn-remark", None),
        ("nothing", None),
    ] {
        let pod = waiting(&rkt, &[&stage1, &format!("--stage1-option=do={deed}")]);
        let record = || fs::read(pod.directory().join("record.json")).unwrap();
        let before = record();
        let output = rkt.run(["app", "add", &pod.uuid, &late]);
        if let Some(said) = said {
            output.refuses(&["this cannot change in a pod that runs: ", said]);
            assert!(record() == before && leavings(&pod, "late").is_empty(), "{deed}");
            assert_eq!(names(&rkt), ["first"], "{deed}");
        } else {
            output.succeeds();
            assert_eq!(names(&rkt), ["first", "late"], "{deed}");
            rkt.run(["app", "rm", "--app=late", &pod.uuid]).succeeds();
        }
        pod.end();
        rkt.collect();
    }
}
