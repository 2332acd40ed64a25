//! `rkt app add` and `rkt app rm`: apps that come and go while their pod runs.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use rkt_tests::aci::AciBuilder;
use rkt_tests::apps::{empties, groups, leavings, names, process_of, told, waiting};
use rkt_tests::{Rkt, built, images, process, wait_until};

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

/// What a probe is to do to tell how it is held.
const TELL: &str = "show /proc/self/status /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj + mounts + \
                    descriptors + environment + directory + list /dev + list / + say all-told + wait";

#[test]
fn an_added_app_has_what_it_would_have_had_from_the_start() {
    let rkt = Rkt::new();
    let image = rkt.probe("both", TELL.split_whitespace());
    let held = [
        "--caps-retain=CAP_CHOWN,CAP_KILL",
        "--user=7",
        "--group=8",
        "--supplementary-gids=9,10",
        "--oom-score-adj=11",
        "--environment=A=b",
        "--memory=64M",
        "--pids-limit=20",
        "--seccomp=mode=remove,errno=EPERM,mkdir",
        "--readonly-rootfs=true",
        "--mount=volume=data,target=/data",
    ];
    for flags in [&[][..], &held] {
        let volume = format!("--volume=data,kind=host,source={},readOnly=true", rkt.home().display());
        let pod = rkt.start([&[volume.as_str(), image.as_str(), "--name=early"][..], flags].concat());
        let early = told(&pod, "early");
        rkt.run([&["app", "add", &pod.uuid, &image, "--name=late"][..], flags].concat()).succeeds();
        assert_eq!(told(&pod, "late"), early);
        let limited = early.contains(&"11".to_owned()) && early.iter().any(|line| line.starts_with("/data ro,"));
        assert!(early.len() > 60 && limited != flags.is_empty(), "{early:?}");
        // Namespaces of its own where the other has some of its own, and else the same; groups beside the other's.
        let (early, late) = (process_of(&pod, "early"), process_of(&pod, "late"));
        let (ours, theirs) = (process::namespaces(late), process::namespaces(early));
        let own = ours.iter().filter(|one| !theirs.contains(one)).map(|one| one.split(':').next().unwrap());
        assert_eq!(own.collect::<Vec<_>>(), ["cgroup", "mnt"]);
        let groups = |pid: u32, app: &str| {
            fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().replace(&format!("/{app}"), "/APP")
        };
        assert_eq!(groups(late, "late"), groups(early, "early"));
        pod.end();
        rkt.collect();
    }
}

#[test]
fn isolators_of_its_image_hold_an_added_app() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let set = |name: &str, value: serde_json::Value| serde_json::json!({ "name": name, "value": value });
    let isolators = serde_json::json!([
        set("os/linux/seccomp-remove-set", serde_json::json!({ "set": ["mkdir", "mkdirat"], "errno": "ENOSYS" })),
        set("os/linux/capabilities-retain-set", serde_json::json!({ "set": ["CAP_CHOWN"] })),
    ]);
    let script = "mkdir /new; grep CapEff /proc/self/status; exec sleep 1000";
    let image = images::busybox("held").app("isolators", isolators).exec(["/bin/sh", "-c", script]);
    rkt.run(["app", "add", &pod.uuid, &rkt.image("held", &image)]).succeeds();
    wait_until("it to have told", || !pod.lines_of("held").is_empty());
    assert_eq!(pod.lines_of("held"), ["CapEff:\t0000000000000001"]);
    assert!(pod.read().contains("mkdir: can't create directory '/new': Function not implemented"), "{}", pod.read());
    // What enters it is held as it is.
    let entered = rkt.run(["enter", "--app=held", &pod.uuid, "/bin/mkdir", "/new"]);
    assert!(entered.ends_with(1).stderr.contains("Function not implemented"));
    pod.end();
    rkt.collect();
}

#[test]
fn what_is_recorded_follows_each_change_and_outlives_the_pod() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let uuid = pod.uuid.clone();
    let first = rkt.probe("first", ["wait"]);
    let once = rkt.probe("once", ["exit", "0"]);
    let follows = |images: &[&str]| {
        let same = |words: &[&str], said: &str| {
            let output = rkt.run(words).succeeds();
            assert!(output.stdout.contains(said), "{words:?}: {output}");
        };
        let diff = format!("--diff={uuid}");
        same(&[&["plan", &diff][..], images].concat(), "\n  the same");
        same(&["replay", &uuid], "the same, word for word");
        let manifest = rkt.run(["cat-manifest", &uuid]).succeeds().json();
        assert_eq!(manifest["apps"].as_array().unwrap().len(), images.len(), "{manifest}");
    };
    rkt.run(["app", "add", &uuid, &once]).succeeds();
    follows(&[&first, &once]);
    wait_until("it to have ended", || rkt.the_pod()["apps"][1]["state"] == "exited");
    let app = rkt.the_pod()["apps"][1].clone();
    assert_eq!((app["name"].as_str(), app["exit_code"].as_i64()), (Some("once"), Some(0)));
    // Its times are its own, and not the pod's.
    let time = |app: &serde_json::Value, name: &str| app[name].as_u64().unwrap();
    let earlier = rkt.the_pod()["apps"][0].clone();
    assert!(time(&earlier, "started_at") < time(&app, "created_at"), "{earlier} {app}");
    assert!(time(&app, "created_at") <= time(&app, "started_at"), "{app}");
    // One that has ended can be taken out, and put in again.
    for _ in 0..2 {
        rkt.run(["app", "rm", "--app=once", &uuid]).succeeds();
        follows(&[&first]);
        rkt.run(["app", "add", &uuid, &once]).succeeds();
    }
    let failing = rkt.probe("failing", ["wait-for", "/go", "+", "exit", "5"]);
    rkt.run(["app", "add", &uuid, &failing]).succeeds();
    follows(&[&first, &once, &failing]);
    // It is an app like any: its failure is the pod's.
    rkt.run(["enter", "--app=failing", &uuid, "/probe", "write", "/go", "x"]).succeeds();
    let ended = pod.wait().ends_with(5);
    assert!(ended.stdout.is_empty(), "{ended}");
    let status = rkt.run(["status", &uuid]).succeeds().stdout;
    for line in ["app-first=0", "app-once=0", "app-failing=5"] {
        assert!(status.lines().any(|said| said == line), "{line}: {status}");
    }
    follows(&[&first, &once, &failing]);
    rkt.collect();
    let replayed = rkt.run(["replay", &uuid]).succeeds();
    assert!(replayed.stdout.contains("the same, word for word"), "{replayed}");
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
    assert_eq!(empties(&pod), ["own", "second-data", "shared"]);
    // Volumes that somebody declared are the pod's and stay; what the app got for itself goes with it.
    rkt.run(["app", "rm", "--app=second", &pod.uuid]).succeeds();
    assert_eq!(empties(&pod), ["own", "shared"]);
    // What was taken out can be put in again by the same words, and finds what it wrote.
    rkt.run([&add[..], &["--", "show", "/own/x", "+", "list", "/data", "+", "say", "!", "+", "wait"]].concat())
        .succeeds();
    wait_until("it to have told", || pod.lines_of("second").last().is_some_and(|line| line == "x!"));
    assert_eq!(empties(&pod), ["own", "second-data", "shared"]);
    let other = "--mnt-volume=name=own,kind=empty,mode=0700,target=/own";
    rkt.run(["app", "add", other, &pod.uuid, &second, "--name=third"])
        .refuses(&["add: volume \"own\": the pod has another of this name"]);
    rkt.run(["app", "add", &pod.uuid, &second, "--name=third", "--mount=volume=none,target=/x"])
        .refuses(&["dangling mount point \"/x\": volume \"none\" not found"]);
    assert_eq!(empties(&pod), ["own", "second-data", "shared"]);
    // As long as another has it, it stays.
    let shared = ["--name=third", "--mount=volume=second-data,target=/x", "--", "wait"];
    rkt.run(["app", "add", &pod.uuid, &second].iter().chain(&shared)).succeeds();
    rkt.run(["app", "rm", "--app=second", &pod.uuid]).succeeds();
    assert_eq!(empties(&pod), ["own", "second-data", "shared", "third-data"]);
    rkt.run(["app", "rm", "--app=third", &pod.uuid]).succeeds();
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
fn an_app_with_limits_comes_to_a_pod_without_any_and_its_groups_go_with_it() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let image = rkt.probe("late", ["wait"]);
    let groups_of = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let before = [pod.init(), process_of(&pod, "first")].map(groups_of);
    for _ in 0..2 {
        for name in ["one", "two"] {
            let add = ["app", "add", &pod.uuid, &image, "--memory=64Mi", "--pids-limit=20", "--name"];
            rkt.run(add.into_iter().chain([name])).succeeds();
            let own = format!("/rkt/{}/{name}\n", pod.uuid);
            assert_eq!(groups_of(process_of(&pod, name)).matches(&own).count(), groups(&pod, name).len());
            assert!(!groups(&pod, name).is_empty(), "{name}");
        }
        assert_eq!([pod.init(), process_of(&pod, "first")].map(groups_of), before, "none of the others was moved");
        for name in ["one", "two"] {
            rkt.run(["app", "rm", &pod.uuid, "--app", name]).succeeds();
            assert_eq!(groups(&pod, name), [""; 0]);
        }
    }
    rkt.run(["app", "add", &pod.uuid, &image, "--memory=64Mi"]).succeeds();
    let made: Vec<String> = groups(&pod, "late");
    assert!(!made.is_empty());
    pod.end();
    let is_left = |group: &&String| fs::exists(Path::new(*group).parent().unwrap()).unwrap();
    assert_eq!(made.iter().find(is_left), None);
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
fn an_app_that_comes_gets_what_the_plugin_brought_along() {
    let rkt = Rkt::new();
    let component = fs::read(built("wasm32-unknown-unknown/release/rkt_hostile.wasm")).unwrap();
    let plugin = AciBuilder::new("example.com/brings").file("plugin.wasm", 0o644, &component);
    let plugin = rkt.image("plugin", &plugin.file("brought", 0o644, b"along\n"));
    let stage1 = format!("--stage1={plugin}");
    let first = rkt.probe("first", ["show", "/brought", "+", "wait"]);
    let refused = rkt.run(["plan", &stage1, &first]).refuses(&["is granted nothing"]);
    fs::create_dir_all(rkt.home().join("user/plugins.d")).unwrap();
    let grant = refused.stderr.split_once(".toml:\n").unwrap().1;
    fs::write(rkt.home().join("user/plugins.d/brings.toml"), grant).unwrap();
    let pod = rkt.start([stage1.as_str(), "--stage1-option=do=payload", &first]);
    let late = rkt.probe("late", ["show", "/brought", "+", "wait"]);
    for name in ["--name=one", "--name=other"] {
        rkt.run(["app", "add", &pod.uuid, &late, name]).succeeds();
    }
    wait_until("all to have told", || pod.read().matches("along\n").count() == 3);
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
