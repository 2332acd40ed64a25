//! Plans before anything happens: what they show, what refuses them, who may look.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rkt_tests::leftovers::Snapshot;
use rkt_tests::{FLAVORS, Output, Rkt, binary, images, workspace};

#[test]
fn a_plan_is_shown_and_nothing_happens() {
    let rkt = Rkt::new();
    let image = rkt.probe("planned", ["say", "never"]);
    let before = Snapshot::take();
    for (flavor, words) in [
        ("--stage1=fly", &["pid: the host's", "capabilities", "/tmp: tmpfs"][..]),
        (
            "--stage1=container",
            &["pid: its own", "network: its own, with loopback only", "/proc/kcore", "programs gain none"],
        ),
    ] {
        let output = rkt.run(["plan", flavor, &image]).succeeds();
        for word in words.iter().chain(&["app planned"]) {
            assert!(output.stdout.contains(word), "{flavor}: {word} is not in {output}");
        }
        assert!(!output.stdout.contains("never"), "{output}");
    }
    rkt.assert_no_pods();
    let left = before.left_in(&Snapshot::take());
    assert!(!left.iter().any(|line| line.starts_with("control group") || line.starts_with("mount")), "{left:?}");
}

#[test]
fn a_plan_is_the_same_each_time_and_readable_by_programs() {
    let rkt = Rkt::new();
    let image = rkt.probe("planned", ["exit", "0"]);
    for flavor in FLAVORS {
        let plan = || rkt.run(["plan", flavor, "--format=json", &image]).succeeds().json();
        let first = plan();
        assert_eq!(first, plan(), "{flavor}");
        assert!(first.is_object(), "{first}");
    }
}

#[test]
fn a_difference_says_which_flavor_is_stricter_in_what() {
    let rkt = Rkt::new();
    let image = rkt.probe("planned", ["exit", "0"]);
    let output = rkt.run(["plan", "--stage1=fly", "--diff=container", &image]).succeeds();
    for word in ["namespaces", "pid", "capabilities", "stricter"] {
        assert!(output.stdout.contains(word), "{word}: {output}");
    }
    let same = rkt.run(["plan", "--stage1=fly", "--diff=fly", &image]).succeeds();
    assert!(!same.stdout.contains("stricter") && !same.stdout.contains("weaker"), "{same}");
}

#[test]
fn a_plan_is_compared_with_a_pod_that_runs() {
    let rkt = Rkt::new();
    let image = rkt.probe("planned", ["wait"]);
    let pod = rkt.start([&image]);
    let output = rkt.run(["plan", &format!("--diff={}", pod.uuid), &image, "--readonly-rootfs=true"]).succeeds();
    assert!(output.stdout.contains("root") && output.stdout.contains("read-only"), "{output}");
    pod.end();
    rkt.collect();
}

/// A copy of the installed program that every user can reach, wherever the workspace is.
fn for_everyone(rkt: &Rkt) -> std::path::PathBuf {
    let installed = rkt.home().join("installed");
    let from = binary().parent().unwrap().parent().unwrap().to_owned();
    let copied = Command::new("cp").arg("-r").arg(from).arg(&installed).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(rkt.home(), fs::Permissions::from_mode(0o755)).unwrap();
    installed.join("bin/rkt")
}

#[test]
fn a_plan_needs_no_root_and_a_pod_does() {
    let rkt = Rkt::new();
    let image = rkt.image("planned", &images::busybox("planned").user("alice", "alice").exec(["/bin/true"]));
    let program = for_everyone(&rkt);
    fs::set_permissions(rkt.data(), fs::Permissions::from_mode(0o700)).unwrap();
    let as_nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]).arg(&program);
        Output::of(command.args(rkt.words(words).into_iter().skip(1)))
    };
    for flavor in FLAVORS {
        let output = as_nobody(&["plan", flavor, &image]).succeeds();
        assert!(output.stdout.contains("1000:1001"), "{flavor}: the user comes from the image: {output}");
    }
    as_nobody(&["run", &image]).refuses(&["run: cannot run as unprivileged user"]);
    as_nobody(&["gc"]).refuses(&["gc: cannot run as unprivileged user"]);
}

#[test]
fn what_a_flavor_cannot_give_is_a_warning_and_a_refusal_where_that_is_asked_for() {
    let rkt = Rkt::new();
    let image = rkt.probe("named", ["say", "ran"]);
    let asked = ["run", "--stage1=fly", "--hostname=mine", &image];
    let output = rkt.run(asked).succeeds();
    assert!(output.stdout == "ran\n" && output.stderr.contains("fly shares the host's name"), "{output}");
    rkt.collect();
    let strict = rkt.run(["run", "--strict", "--stage1=fly", "--hostname=mine", &image]);
    let strict = strict.refuses(&["host name mine", "fly shares the host's name"]);
    assert!(!strict.stdout.contains("ran"), "{strict}");
    rkt.run(["run", "--strict", "--hostname=mine", &image]).succeeds();
    rkt.collect();
}

#[test]
fn an_option_that_a_flavor_does_not_have_is_refused() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["exit", "0"]);
    for flavor in FLAVORS {
        rkt.run(["plan", flavor, "--stage1-option=speed=high", &image]).refuses(&["speed"]);
    }
    rkt.run(["run", "--stage1=nonsense", &image]).refuses(&["nonsense"]);
    rkt.assert_no_pods();
}

/// What a shipped flavor is granted, from the file that is built in.
fn shipped(flavor: &str) -> Vec<String> {
    let file = workspace().join(format!("host/cli/defaults/plugins.d/{flavor}.toml"));
    let text = fs::read_to_string(&file).unwrap();
    let list = text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A pod that asks for something of everything, so that a flavor needs all that it is granted.
fn demanding(rkt: &Rkt, flavor: &str, more: &[&str]) -> Vec<String> {
    let image = rkt.image("demanding", &images::busybox("demanding").exec(["/bin/true"]));
    let volume = format!("--volume=v,kind=host,source={}", rkt.home().display());
    let stage1 = format!("--stage1={flavor}");
    let mut words = vec![
        "plan",
        &stage1,
        "--hostname=mine",
        &volume,
        &image,
        "--mount=volume=v,target=/v",
        "--memory=64M",
        "--oom-score-adj=1",
    ];
    words.extend(more);
    words.into_iter().map(str::to_owned).collect()
}

/// The flavors that come with rkt, by their directories.
fn all_shipped() -> Vec<String> {
    let flavors = fs::read_dir(workspace().join("stage1-flavors")).unwrap();
    flavors.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn no_shipped_flavor_has_a_private_door() {
    let rkt = Rkt::new();
    let flavors = all_shipped();
    assert!(flavors.len() >= FLAVORS.len(), "{flavors:?}");
    for flavor in &flavors {
        rkt.grant(flavor, &[]);
        let file = format!("{flavor}.toml");
        rkt.run(demanding(&rkt, flavor, &[])).refuses(&[flavor, "is not granted", "hint: add \"", &file]);
    }
    rkt.assert_no_pods();
}

#[test]
fn each_permission_of_a_shipped_flavor_is_needed_and_its_lack_is_named() {
    let rkt = Rkt::new();
    for flavor in ["fly", "container"] {
        let all = shipped(flavor);
        assert!(all.len() > 10, "{all:?}");
        for missing in &all {
            let rest: Vec<String> = all.iter().filter(|permission| *permission != missing).cloned().collect();
            rkt.grant(flavor, &rest);
            // A filter and none exclude each other.
            let more: &[&str] = match missing.as_str() {
                "seccomp" => &["--seccomp=mode=remove,mkdir"],
                _ => &[],
            };
            let output = rkt.run(demanding(&rkt, flavor, more));
            if is_not_used_here(flavor, missing) {
                output.succeeds();
                continue;
            }
            let file = format!("{flavor}.toml");
            output.refuses(&[flavor, missing, "is not granted", "hint: ", &file]);
        }
    }
    rkt.assert_no_pods();
}

/// What the demanding pod cannot make a flavor use: a file system that this host's control groups do
/// not have, what only an image can ask for, and what a flavor only uses unasked.
fn is_not_used_here(flavor: &str, permission: &str) -> bool {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    match permission {
        "mount:cgroup2" => !unified,
        "no-new-privileges" => flavor == "fly",
        _ => false,
    }
}

#[test]
fn a_grant_of_the_users_replaces_the_built_in_one_and_a_mistake_in_it_is_named() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["exit", "0"]);
    rkt.grant("fly", &shipped("fly"));
    rkt.run(["run", "--stage1=fly", &image]).succeeds();
    rkt.collect();
    rkt.grant("fly", &["everything".to_owned()]);
    rkt.run(["run", "--stage1=fly", &image]).refuses(&["fly.toml", "everything"]);
    rkt.assert_no_pods();
}
