//! What is remembered of pods when they are gone, and planning them again.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rkt_tests::kills::{Killer, Whom, at_each_call};
use rkt_tests::{FLAVORS, Rkt, built, wait_until};
use serde_json::{Value, json};

/// Runs a pod to its end and removes it; its UUID.
fn removed(rkt: &Rkt, words: &[&str]) -> String {
    let uuid = exited(rkt, words);
    rkt.run(["rm", &uuid]).succeeds();
    uuid
}

/// Runs a pod to its end; its UUID.
fn exited(rkt: &Rkt, words: &[&str]) -> String {
    let file = rkt.home().join("uuid");
    let save = format!("--uuid-file-save={}", file.display());
    rkt.run(["run", &save].into_iter().chain(words.iter().copied())).succeeds();
    fs::read_to_string(file).unwrap()
}

fn record(rkt: &Rkt, uuid: &str) -> PathBuf {
    rkt.data().join("records").join(uuid)
}

/// Changes what is recorded of a removed pod.
fn change(rkt: &Rkt, uuid: &str, change: impl Fn(&mut Value)) {
    let file = record(rkt, uuid);
    let mut past: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut past["record"]);
    fs::write(file, past.to_string()).unwrap();
}

fn words(record: &mut Value) -> &mut Vec<Value> {
    record["plan"]["words"].as_array_mut().unwrap()
}

/// A component in a file of the test's own, granted what a plain pod needs.
fn plugin(rkt: &Rkt) -> (PathBuf, String) {
    let file = rkt.home().join("rkt_hostile.wasm");
    fs::copy(built("wasm32-unknown-unknown/release/rkt_hostile.wasm"), &file).unwrap();
    let namespaces = ["pid", "network", "ipc", "uts", "cgroup", "user"].map(|name| format!("share:{name}"));
    let rest = ["root", "user", "unfiltered", "stdio:raw"].map(str::to_owned);
    rkt.grant("rkt_hostile", &[&namespaces[..], &rest[..]].concat());
    let stage1 = format!("--stage1={}", file.display());
    (file, stage1)
}

#[test]
fn p11_a_pod_that_is_planned_again_is_planned_in_the_same_bytes() {
    let rkt = Rkt::new();
    let image = rkt.probe("again", ["exit", "0"]);
    let (_, hostile) = plugin(&rkt);
    let volume = format!("--volume=v,kind=host,source={}", rkt.home().display());
    for flavor in FLAVORS.into_iter().chain([hostile.as_str()]) {
        let more: &[&str] = if flavor == hostile {
            &[]
        } else {
            &["--mount=volume=v,target=/v", "--memory=64M", "--readonly-rootfs=true", "--seccomp=mode=remove,mount"]
        };
        let uuid = removed(&rkt, &[&[flavor, &volume, &image], more].concat());
        let output = rkt.run(["replay", &uuid[..8]]).succeeds();
        assert!(output.stdout.starts_with("same\n") && output.stdout.contains("word for word"), "{flavor}: {output}");
        let told = || rkt.run(["replay", "--format=json", &uuid]).succeeds().stdout;
        let json: Value = serde_json::from_str(&told()).unwrap();
        assert_eq!((&json["strictness"], &json["identical"]), (&json!("same"), &json!(true)), "{flavor}: {json}");
        assert_eq!((&json["differences"], &json["not_granted"]), (&json!([]), &json!([])), "{flavor}: {json}");
        assert_eq!((&json["plugin"], &json["unanswered"]), (&json["recorded"], &json!([])), "{flavor}: {json}");
        assert_eq!(told(), told(), "{flavor}");
    }
    rkt.collect();
}

#[test]
fn pods_that_run_or_have_ended_are_planned_again_too() {
    let rkt = Rkt::new();
    let image = rkt.probe("here", ["wait"]);
    let pod = rkt.start([&image]);
    let same = |uuid: &str| {
        let output = rkt.run(["replay", uuid]).succeeds();
        assert!(output.stdout.starts_with("same\n") && output.stdout.contains(&pod.uuid), "{output}");
    };
    same(&pod.uuid);
    let uuid = pod.uuid.clone();
    pod.signal(rustix::process::Signal::TERM);
    wait_until("the pod to end", || !pod.is_up());
    same(&uuid);
    pod.wait();
    rkt.run(["rm", &uuid]).succeeds();
    let file = rkt.home().join("named");
    fs::write(&file, &uuid).unwrap();
    let output = rkt.run(["replay", &format!("--uuid-file={}", file.display())]).succeeds();
    assert!(output.stdout.starts_with("same\n"), "{output}");
    rkt.run(["replay", "77"]).refuses(&["replay: no matches found for \"77\""]);
    rkt.collect();
}

#[test]
fn a_plugin_whose_file_is_gone_plans_again_as_long_as_a_record_names_it() {
    let rkt = Rkt::new();
    let image = rkt.probe("gone", ["exit", "0"]);
    let (file, stage1) = plugin(&rkt);
    let uuid = removed(&rkt, &[&stage1, &image]);
    fs::remove_file(&file).unwrap();
    // As after an upgrade: what was compiled is of no use any more.
    fs::remove_dir_all(rkt.data().join("plugins/cache")).unwrap();
    let same = || rkt.run(["replay", &uuid]).succeeds();
    assert!(same().stdout.starts_with("same\nrkt_hostile (trust=wasm, sha256:"), "{}", same());

    let collect_in_a_month = || {
        let long_ago = SystemTime::now() - Duration::from_hours(24 * 30);
        for directory in ["cache", "components"] {
            for entry in fs::read_dir(rkt.data().join("plugins").join(directory)).unwrap() {
                fs::File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(long_ago).unwrap();
            }
        }
        rkt.run(["gc"]).succeeds();
        ["cache", "components"].map(|of| fs::read_dir(rkt.data().join("plugins").join(of)).unwrap().count())
    };
    assert_eq!(collect_in_a_month(), [1, 1]);
    same();
    fs::remove_file(record(&rkt, &uuid)).unwrap();
    assert_eq!(collect_in_a_month(), [0, 0]);
    rkt.collect();
}

#[test]
fn a_component_that_is_not_kept_is_named_and_another_can_be_asked() {
    let rkt = Rkt::new();
    let image = rkt.probe("lost", ["exit", "0"]);
    let (file, stage1) = plugin(&rkt);
    let uuid = removed(&rkt, &[&stage1, &image]);
    fs::remove_dir_all(rkt.data().join("plugins/components")).unwrap();
    rkt.run(["replay", &uuid]).refuses(&["`rkt_hostile` (sha256:", "is not kept here", "hint: --plugin"]);
    let output = rkt.run(["replay", &format!("--plugin={}", file.display()), &uuid]).succeeds();
    assert!(output.stdout.starts_with("same\n"), "{output}");
    // A shipped flavor of an rkt that was replaced since is one whose digest is another.
    let uuid = removed(&rkt, &["--stage1=fly", &image]);
    let other = format!("sha256:{}", "0".repeat(64));
    change(&rkt, &uuid, |record| record["plugin"]["digest"] = json!(other));
    rkt.run(["replay", &uuid]).refuses(&["`fly`", &other, "is not kept here"]);
    let output = rkt.run(["replay", "--plugin=fly", &uuid]).succeeds();
    assert!(output.stdout.contains("planned by fly (trust=wasm, sha256:000"), "{output}");
    rkt.collect();
}

#[test]
fn components_of_shipped_flavors_are_kept_for_a_later_rkt() {
    let rkt = Rkt::new();
    let image = rkt.probe("shipped", ["exit", "0"]);
    for flavor in ["fly", "container"] {
        let uuid = removed(&rkt, &[&format!("--stage1={flavor}"), &image]);
        let past: Value = serde_json::from_slice(&fs::read(record(&rkt, &uuid)).unwrap()).unwrap();
        let digest = past["record"]["plugin"]["digest"].as_str().unwrap().to_owned();
        let kept = rkt.data().join("plugins/components").join(digest.replace("sha256:", "") + ".wasm");
        let shipped = fs::read(built(&format!("wasm32-unknown-unknown/release/rkt_{flavor}.wasm"))).unwrap();
        assert!(fs::read(kept).unwrap() == shipped, "{flavor}");
        // By a name that no flavor of this rkt has, the component is looked for where it is kept.
        change(&rkt, &uuid, |record| record["plugin"]["name"] = json!("of-old"));
        let output = rkt.run(["replay", &uuid]).succeeds();
        assert!(output.stdout.starts_with("same\nof-old (trust=wasm, "), "{output}");
    }
    rkt.collect();
}

#[test]
fn the_code_says_what_changed_and_the_differences_how() {
    let rkt = Rkt::new();
    let image = rkt.probe("changed", ["exit", "0"]);
    let uuid = removed(&rkt, &["--stage1=container", &image, "--pids-limit=100"]);
    let original = fs::read(record(&rkt, &uuid)).unwrap();
    let says = |code: i32, verdict: &str, change_of: &dyn Fn(&mut Value), line: &str| {
        fs::write(record(&rkt, &uuid), &original).unwrap();
        change(&rkt, &uuid, change_of);
        let output = rkt.run(["replay", &uuid]).ends_with(code);
        assert!(output.stdout.starts_with(&format!("{verdict}\n")) && output.stdout.contains(line), "{output}");
        let json = rkt.run(["replay", "--format=json", &uuid]).ends_with(code).json();
        assert_eq!(json["strictness"], verdict, "{json}");
        assert_eq!(json["differences"].as_array().unwrap().is_empty(), line.is_empty(), "{json}");
    };
    let is_mask = |word: &Value| word["app"]["word"]["mask"]["path"] == "/proc/kcore";
    let lower = |record: &mut Value| {
        for word in words(record) {
            if word["app"]["word"]["limit"]["what"] == "pids" {
                word["app"]["word"]["limit"]["value"] = json!(50);
            }
        }
    };
    let without_mask = |record: &mut Value| words(record).retain(|word| !is_mask(word));
    says(0, "same", &|_| {}, "");
    says(0, "same", &|record| words(record).push(json!({"note": {"text": "once"}})), "");
    says(1, "stricter", &without_mask, "+ /proc/kcore: unreadable");
    says(2, "weaker", &lower, "pids 50 -> pids 100");
    let both = |record: &mut Value| {
        lower(record);
        without_mask(record);
    };
    says(3, "other", &both, "+ /proc/kcore");
    rkt.collect();
}

#[test]
fn another_flavor_is_compared_and_what_it_was_not_granted_is_said() {
    let rkt = Rkt::new();
    let image = rkt.probe("flavor", ["exit", "0"]);
    let uuid = removed(&rkt, &["--stage1=fly", &image]);
    let output = rkt.run(["replay", "--plugin=container", &uuid]);
    assert!(matches!(output.status.code(), Some(1 | 3)), "{output}");
    for text in
        ["container (trust=wasm, ", "planned by fly (", "was not granted: ", "mask", "pid: the host's -> pid: its own"]
    {
        assert!(output.stdout.contains(text), "{text}: {output}");
    }
    let json = rkt.run(["replay", "--plugin=container", "--format=json", &uuid]).json();
    assert_eq!((&json["recorded"]["name"], &json["plugin"]["name"]), (&json!("fly"), &json!("container")));
    assert!(json["not_granted"].as_array().unwrap().contains(&json!("mask")), "{json}");
    rkt.run(["replay", "--plugin=nonsense", &uuid]).refuses(&["nonsense"]);
    rkt.collect();
}

#[test]
fn the_answers_about_the_host_are_those_of_the_record() {
    let rkt = Rkt::new();
    let image = rkt.probe("facts", ["exit", "0"]);
    let uuid = removed(&rkt, &["--stage1=container", &image]);
    change(&rkt, &uuid, |record| record["facts"]["cgroups"] = json!("v2"));
    let unified = rkt.run(["replay", &uuid]);
    change(&rkt, &uuid, |record| record["facts"]["cgroups"] = json!("v1"));
    let other = rkt.run(["replay", &uuid]);
    // Whatever this host has, one of the two is as it was then.
    let codes = [unified.status.code(), other.status.code()];
    assert!(codes.contains(&Some(0)) && codes != [Some(0), Some(0)], "{unified} {other}");
    change(&rkt, &uuid, |record| {
        let asked = record["facts"].as_object_mut().unwrap().remove("cgroups");
        assert_eq!(asked, Some(json!("v1")));
    });
    let output = rkt.run(["replay", &uuid]);
    assert!(output.stdout.contains("is told to be unknown: cgroups"), "{output}");
    rkt.collect();
}

#[test]
fn a_plan_is_compared_with_a_pod_that_is_gone() {
    let rkt = Rkt::new();
    let image = rkt.probe("compared", ["exit", "0"]);
    let uuid = removed(&rkt, &[&image]);
    let diff = format!("--diff={}", &uuid[..13]);
    let same = rkt.run(["plan", &diff, &image]).succeeds();
    assert!(same.stdout.contains(&uuid) && same.stdout.ends_with("  the same\n"), "{same}");
    let output = rkt.run(["plan", &diff, &image, "--readonly-rootfs=true"]).succeeds();
    assert!(output.stdout.contains("stricter") && output.stdout.contains("root"), "{output}");
    rkt.collect();
}

#[test]
fn no_value_of_a_variable_is_remembered() {
    let rkt = Rkt::new();
    let image = rkt.probe("secret", ["exit", "0"]);
    let uuid = removed(&rkt, &["--set-env=A=hunter2", "--inherit-env", &image, "--environment=B=hunter3"]);
    let text = fs::read_to_string(record(&rkt, &uuid)).unwrap();
    assert!(text.contains(&uuid) && text.contains("secret"), "{text}");
    for value in ["hunter2", "hunter3", "/usr/sbin", "/probe"] {
        assert!(!text.contains(value), "{value}: {text}");
    }
    rkt.collect();
}

#[test]
fn records_are_bounded_where_the_operator_says() {
    let rkt = Rkt::new();
    let image = rkt.probe("bounded", ["exit", "0"]);
    let uuids: Vec<String> = (0..3).map(|_| removed(&rkt, &["--stage1=fly", &image])).collect();
    for (age, uuid) in (0..).zip(&uuids) {
        let time = SystemTime::now() - Duration::from_hours(24 * (3 - age));
        fs::File::options().write(true).open(record(&rkt, uuid)).unwrap().set_modified(time).unwrap();
    }
    let left = || uuids.iter().filter(|uuid| record(&rkt, uuid).exists()).collect::<Vec<_>>();
    rkt.run(["gc"]).succeeds();
    assert_eq!(left().len(), 3);
    let local = rkt.home().join("local/records.toml");
    fs::write(&local, "number = 2\n").unwrap();
    let output = rkt.run(["gc"]).succeeds();
    assert!(output.stderr.contains(&format!("removing the record of pod \"{}\"", uuids[0])), "{output}");
    assert_eq!(left(), [&uuids[1], &uuids[2]]);
    fs::write(&local, "days = 1\n").unwrap();
    rkt.run(["gc", "--mark-only"]).succeeds();
    assert_eq!(left().len(), 2);
    rkt.run(["gc"]).succeeds();
    assert_eq!(left(), Vec::<&String>::new());
    fs::write(&local, "days = 'many'\n").unwrap();
    rkt.run(["gc"]).refuses(&["records.toml"]);
    fs::remove_file(local).unwrap();
    rkt.collect();
}

#[test]
fn removal_that_is_killed_at_any_call_leaves_a_pod_or_its_record() {
    let rkt = Rkt::new();
    let image = rkt.probe("killed", ["exit", "0"]);
    let killer = Killer::new(&rkt, env!("CARGO_BIN_EXE_killer"), Whom::First);
    let is_exited_alike = |path: &Path| {
        let past: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(past["exits"]["killed"]["code"], 0, "{past}");
    };
    let mut removed = 0;
    at_each_call("rm, remembered", |at| {
        let uuid = exited(&rkt, &["--stage1=fly", &image]);
        let (report, _) = killer.run(at, &["rm", &uuid]);
        let output = rkt.run(["replay", &uuid]).succeeds();
        assert!(output.stdout.starts_with("same\n"), "{output}");
        rkt.collect();
        is_exited_alike(&record(&rkt, &uuid));
        let output = rkt.run(["replay", &uuid]).succeeds();
        assert!(output.stdout.starts_with("same\n"), "{output}");
        removed += 1;
        let stray: Vec<_> = fs::read_dir(rkt.data().join("records")).unwrap().collect();
        assert_eq!(stray.len(), removed, "{stray:?}");
        report
    });
}
