//! `rkt app add` and `rkt app rm`: apps that come and go while their pod runs.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::{FLAVORS, Rkt, Running, built, images, process, wait_until};
use rustix::process::Signal;

/// A pod that runs until it is ended.
fn waiting<'r>(rkt: &'r Rkt, words: &[&str]) -> Running<'r> {
    let image = rkt.probe("first", ["wait"]);
    rkt.start(words.iter().copied().chain([image.as_str()]))
}

fn names(rkt: &Rkt) -> Vec<String> {
    let names = rkt.the_pod()["app_names"].as_array().unwrap().clone();
    names.into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// What a pod has in its directory that is an app's.
fn leavings(pod: &Running<'_>, app: &str) -> Vec<String> {
    let mut found = Vec::new();
    for parent in ["appsinfo", "overlay", "change"] {
        let entries = fs::read_dir(pod.directory().join(parent)).into_iter().flatten().flatten();
        let names = entries.map(|entry| format!("{parent}/{}", entry.file_name().display()));
        found.extend(names.filter(|name| name.contains(&format!("/{app}")) || parent == "change"));
    }
    found.sort();
    found
}

#[test]
fn an_app_that_is_added_runs_is_listed_entered_recorded_and_taken_out_again() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let second = rkt.image("second", &images::busybox("second").exec(["/bin/sh", "-c", "echo here; exec sleep 1000"]));
    assert_eq!(rkt.run(["app", "add", &pod.uuid, &second]).succeeds().stdout, "\"second\"\n");
    pod.says("second[");
    wait_until("its output", || pod.lines_of("second") == ["here"]);
    assert_eq!(names(&rkt), ["first", "second"]);
    let apps = rkt.the_pod()["apps"].clone();
    assert_eq!((apps[1]["name"].as_str(), apps[1]["state"].as_str()), (Some("second"), Some("running")));
    assert_eq!(leavings(&pod, "second"), ["appsinfo/second", "overlay/second.upper", "overlay/second.work"]);
    let entered = rkt.run(["enter", "--app=second", &pod.uuid, "/bin/sh", "-c", "echo inside; exit 3"]);
    assert_eq!(entered.ends_with(3).stdout, "inside\n");
    // What is recorded is what runs: the same words plan the same again.
    rkt.run(["replay", &pod.uuid]).succeeds();

    let removed = rkt.run(["app", "rm", "--app=second", "--format=json", &pod.uuid]).succeeds();
    assert_eq!(removed.stdout.lines().count(), 1);
    let json = removed.json();
    assert_eq!((json["name"].as_str(), json["state"].as_str()), (Some("second"), Some("exited")));
    assert_eq!(json["exit_code"].as_i64(), Some(0), "it ended as it was asked to");
    assert_eq!((names(&rkt), leavings(&pod, "second")), (vec!["first".to_owned()], vec![]));

    let added = rkt.run(["app", "add", "--format=json", &pod.uuid, &second, "--name=second"]).succeeds();
    assert_eq!((added.stdout.lines().count(), added.json()["state"].as_str()), (1, Some("running")));
    wait_until("its output", || pod.lines_of("second") == ["here", "here"]);
    let ended = pod.end();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    rkt.collect();
}

#[test]
fn an_added_app_has_what_it_would_have_had_from_the_start() {
    let rkt = Rkt::new();
    let words = [
        "rights",
        "+",
        "descriptors",
        "+",
        "environment",
        "+",
        "directory",
        "+",
        "show",
        "/proc/self/oom_score_adj",
        "+",
        "list",
        "/dev",
        "+",
        "wait",
    ];
    let image = rkt.probe("both", words);
    let flags = ["--caps-retain=CAP_CHOWN,CAP_KILL", "--user=7", "--oom-score-adj=11", "--environment=A=b"];
    let pod = rkt.start([&[image.as_str(), "--name=early"][..], &flags[..]].concat());
    wait_until("the first to have told", || pod.lines_of("early").contains(&"zero".to_owned()));
    rkt.run([&["app", "add", &pod.uuid, &image, "--name=late"][..], &flags[..]].concat()).succeeds();
    wait_until("the other to have told", || pod.lines_of("late").contains(&"zero".to_owned()));
    let told = |app: &str| {
        let lines = pod.lines_of(app).into_iter().filter(|line| !line.contains("pipe:"));
        lines.map(|line| line.replace(app, "APP")).collect::<Vec<_>>()
    };
    assert_eq!(told("late"), told("early"));
    assert!(told("late").contains(&"11".to_owned()) && told("late").len() > 20, "{:?}", told("late"));
    pod.end();
    rkt.collect();
}

#[test]
fn volumes_are_shared_with_the_first_app_and_new_ones_come_along() {
    let rkt = Rkt::new();
    let first = rkt.probe("first", ["wait-for", "/shared/said", "+", "show", "/shared/said", "+", "wait"]);
    let pod = rkt.start(["--volume=shared,kind=empty", &first, "--mount=volume=shared,target=/shared"]);
    fs::write(rkt.home().join("file"), "of the host\n").unwrap();
    let host = format!("--mnt-volume=name=host,kind=host,source={},target=/host,readOnly=true", rkt.home().display());
    let words = [
        "try-write",
        "/host/file",
        "+",
        "show",
        "/host/file",
        "+",
        "write",
        "/own/x",
        "x",
        "+",
        "write",
        "/shared/said",
        "hello\n",
        "+",
        "wait",
    ];
    let second = rkt.image(
        "second",
        &images::probe("second").exec(["/probe"].into_iter().chain(words)).mount_point("data", "/data", false),
    );
    let own = "--mnt-volume=name=own,kind=empty,target=/own";
    let add = ["app", "add", host.as_str(), own, &pod.uuid, &second, "--mount=volume=shared,target=/shared"];
    let added = rkt.run(add).succeeds();
    assert!(added.stderr.contains("no volume specified for mount point \"data\""), "{added}");
    wait_until("the first to hear", || pod.lines_of("first") == ["hello"]);
    let said = pod.lines_of("second");
    assert!(said[0].contains("read-only") && said[1] == "of the host", "{said:?}");
    let empties = |pod: &Running<'_>| {
        let mut names: Vec<_> = fs::read_dir(pod.directory().join("sharedVolumes")).unwrap().flatten().collect();
        names.sort_by_key(fs::DirEntry::file_name);
        names.into_iter().map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(empties(&pod), ["own", "second-data", "shared"]);
    // Volumes are the pod's: they stay, and an app of the name finds its own again.
    rkt.run(["app", "rm", "--app=second", &pod.uuid]).succeeds();
    assert_eq!(empties(&pod), ["own", "second-data", "shared"]);
    let again = rkt.run(["app", "add", &pod.uuid, &second, "--", "wait"]).succeeds();
    assert_eq!(again.stderr, "");
    let clash = rkt.run(["app", "add", own, &pod.uuid, &second, "--name=third"]);
    clash.refuses(&["add: the pod manifest", "own"]);
    rkt.run(["app", "add", &pod.uuid, &second, "--name=third", "--mount=volume=none,target=/x"])
        .refuses(&["dangling mount point \"/x\": volume \"none\" not found"]);
    assert_eq!(empties(&pod), ["own", "second-data", "shared"]);
    pod.end();
    rkt.collect();
}

#[test]
fn limits_hold_an_added_app() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let hungry = rkt.probe("hungry", ["eat", "268435456", "+", "say", "eaten", "+", "wait"]);
    rkt.run(["app", "add", &pod.uuid, &hungry, "--memory=32M"]).succeeds();
    // It is an app of the pod's like any: the pod ends with it.
    let ended = pod.wait();
    assert_eq!(ended.status.code(), Some(9), "{ended}");
    assert!(!ended.stdout.contains("eaten"));
    rkt.collect();
}

#[test]
fn what_cannot_be_added_or_removed_is_refused_and_the_pod_is_as_it_was() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let uuid = &pod.uuid.clone();
    let image = rkt.probe("other", ["wait"]);
    let twice = rkt.probe("first", ["wait"]);
    let missing = rkt.image("missing", &images::probe("missing").exec(["/no/such/program"]));
    for (words, said) in [
        (&["app", "add"][..], &["add: must provide the pod UUID"][..]),
        (&["app", "add", uuid], &["add: must give only one app"]),
        (&["app", "add", uuid, &image, &image], &["add: must give only one app"]),
        (&["app", "add", uuid, &twice], &["add: error: multiple apps with name first"]),
        (&["app", "add", uuid, "example.com/nothing"], &["add: ", "example.com/nothing"]),
        (&["app", "add", uuid, &image, "--user=nobody-knows"], &["add: the user of app \"other\"", "nobody-knows"]),
        (&["app", "add", uuid, &missing], &["add: pod", "app missing: ", "/no/such/program"]),
        (&["app", "rm", uuid], &["rm: must provide the app to remove"]),
        (&["app", "rm", "--app=first"], &["rm: must provide the pod UUID"]),
        (&["app", "rm", "--app=none", uuid], &["rm: pod", "has no app \"none\""]),
        (&["app", "rm", "--app=first", uuid], &["it is the last app of the pod", "hint: rkt stop"]),
    ] {
        rkt.run(words).refuses(said);
        assert_eq!(names(&rkt), ["first"], "{words:?}");
        assert_eq!(leavings(&pod, "other").len() + leavings(&pod, "missing").len(), 0, "{words:?}");
    }
    rkt.run(["app", "add", uuid, &image]).succeeds();
    pod.end();
    rkt.run(["app", "add", uuid, &image]).refuses(&["isn't currently running"]);
    rkt.collect();
}

#[test]
fn what_the_flavor_refuses_is_refused_in_its_own_words() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &["--stage1=fly"]);
    let image = rkt.probe("other", ["wait"]);
    let refused = rkt.run(["app", "add", &pod.uuid, &image]).refuses(&["add: fly: fly runs one app in a pod"]);
    assert_eq!(refused.stdout, "");
    assert_eq!(names(&rkt), ["first"]);
    pod.end();
    rkt.collect();
}

/// A plugin that was replaced plans no pods of its predecessor's: those that run are planned by their own.
#[test]
fn a_pod_is_planned_again_by_the_plugin_that_planned_it() {
    let rkt = Rkt::new();
    let file = rkt.home().join("mine.wasm");
    fs::copy(built("wasm32-unknown-unknown/release/rkt_container.wasm"), &file).unwrap();
    let plugin = format!("--stage1={}", file.display());
    let listed = rkt.run(["plan", "--format=json", &rkt.probe("first", ["wait"])]).succeeds().json();
    let granted = listed["granted"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    let granted: Vec<String> = granted.collect();
    rkt.grant("mine", &granted);
    let pod = waiting(&rkt, &[&plugin]);
    let image = rkt.probe("other", ["wait"]);
    // Another component takes its name: one that would refuse.
    fs::copy(built("wasm32-unknown-unknown/release/rkt_fly.wasm"), &file).unwrap();
    rkt.run(["app", "add", &pod.uuid, &image]).succeeds();
    assert_eq!(names(&rkt), ["first", "other"]);
    // Policy is today's: what it does not give any more is not planned any more.
    let fewer: Vec<String> = granted.into_iter().filter(|permission| permission != "seccomp").collect();
    rkt.grant("mine", &fewer);
    rkt.run(["app", "rm", "--app=other", &pod.uuid]).refuses(&["the plan of mine is refused"]);
    // Where its component is gone, nobody else plans in its stead.
    fs::remove_dir_all(rkt.data().join("plugins")).unwrap();
    rkt.run(["app", "rm", "--app=other", &pod.uuid]).refuses(&["mine", "hint: ", "run the pod anew"]);
    pod.end();
    rkt.collect();
}

#[test]
fn a_fact_that_changed_changes_no_pod_and_a_word_that_cannot_change_is_named() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let record = pod.directory().join("record.json");
    let text = fs::read_to_string(&record).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["facts"].get("cgroups").is_some(), "{text}");
    // As if the pod had been started with another name than it would be now.
    for word in json["plan"]["words"].as_array_mut().unwrap() {
        if let Some(name) = word.pointer_mut("/hostname/name") {
            *name = "other".into();
        }
    }
    fs::write(&record, json.to_string()).unwrap();
    let image = rkt.probe("late", ["wait"]);
    rkt.run(["app", "add", &pod.uuid, &image])
        .refuses(&["this cannot change in a pod that runs: pod: host name: other -> rkt-"]);
    fs::write(&record, &text).unwrap();
    rkt.run(["app", "add", &pod.uuid, &image]).succeeds();
    pod.end();
    rkt.collect();
}

#[test]
fn a_client_that_is_killed_in_the_middle_leaves_a_pod_that_is_what_it_says() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let image = rkt.probe("late", ["say", "here", "+", "wait"]);
    // Init does nothing, so that the client waits for it until it is killed.
    process::signal(pod.init(), Signal::STOP);
    let mut client = rkt.command(["app", "add", &pod.uuid, &image]).spawn().unwrap();
    wait_until("the change to be staged", || pod.directory().join("change/pod").exists());
    process::signal(client.id(), Signal::KILL);
    client.wait().unwrap();
    process::signal(pod.init(), Signal::CONT);
    // Whether it came so far or not: what is listed is what runs, and the next change is made.
    rkt.run(["app", "add", &pod.uuid, &image, "--name=next"]);
    wait_until("the pod to be at rest", || rkt.run(["app", "rm", "--app=none", &pod.uuid]).stderr.contains("no app"));
    let listed = names(&rkt);
    for app in ["late", "next"] {
        wait_until("what is listed to be what runs", || {
            listed.contains(&app.to_owned()) == pod.lines_of(app).contains(&"here".to_owned())
        });
        assert_eq!(listed.contains(&app.to_owned()), !leavings(&pod, app).is_empty(), "{app}");
    }
    pod.end();
    rkt.collect();
}

#[test]
fn a_monitor_that_is_killed_in_the_middle_leaves_nothing() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let image = rkt.probe("late", ["wait"]);
    process::signal(pod.init(), Signal::STOP);
    let mut client = rkt.command(["app", "add", &pod.uuid, &image, "--memory=64M"]).spawn().unwrap();
    let groups = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points =
            mounts.lines().filter(|line| line.contains(" - cgroup")).map(|line| line.split(' ').nth(4).unwrap());
        points.map(|point| format!("{point}/rkt/{}", pod.uuid)).filter(|path| fs::exists(path).unwrap()).count()
    };
    wait_until("its group", || groups() > 0);
    pod.signal(Signal::KILL);
    assert_eq!(client.wait().unwrap().code(), Some(254));
    wait_until("all of the pod to be gone", || rkt.processes().is_empty());
    rkt.collect();
    assert_eq!(groups(), 0);
}

#[test]
fn apps_come_and_go_often() {
    let rkt = Rkt::new();
    for flavor in FLAVORS.iter().filter(|flavor| **flavor != "--stage1=fly") {
        let pod = waiting(&rkt, &[flavor]);
        let image = rkt.probe("guest", ["say-bytes", "65536", "+", "wait"]);
        for _ in 0..10 {
            rkt.run(["app", "add", &pod.uuid, &image, "--pids-limit=50"]).succeeds();
            rkt.run(["app", "rm", "--app=guest", &pod.uuid]).succeeds();
        }
        let descriptors = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let before = (descriptors(pod.pid()), descriptors(pod.init()));
        for _ in 0..10 {
            rkt.run(["app", "add", &pod.uuid, &image, "--pids-limit=50"]).succeeds();
            rkt.run(["app", "rm", "--app=guest", &pod.uuid]).succeeds();
        }
        wait_until("nothing to be left open", || (descriptors(pod.pid()), descriptors(pod.init())) == before);
        pod.end();
    }
    rkt.collect();
}
