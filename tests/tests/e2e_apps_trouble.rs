//! Changes of a pod that runs in trouble: whoever asks or makes them is killed, and apps come and go in numbers.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Child, Command, Stdio};

use rkt_tests::apps::{groups, leavings, names, waiting};
use rkt_tests::{FLAVORS, Output, Rkt, Running, process, wait_until};
use rustix::process::Signal;

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
    wait_until("its group", || !groups(&pod, "late").is_empty());
    let theirs = groups(&pod, "late");
    pod.signal(Signal::KILL);
    assert_eq!(client.wait().unwrap().code(), Some(254));
    wait_until("all of the pod to be gone", || rkt.processes().is_empty());
    rkt.collect();
    assert!(theirs.iter().all(|group| !fs::exists(group).unwrap()), "{theirs:?}");
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

/// By which files, their names, or what another process knows are changed.
const CALLS: [&str; 10] =
    ["write", "sendto", "connect", "flock", "renameat", "renameat2", "mkdirat", "unlinkat", "fchownat", "fchmodat"];

/// The flags by which strace kills whom it traces the Nth time that this is called.
fn kill_at(call: &str, number: usize) -> [String; 7] {
    let inject = format!("inject={call}:signal=KILL:when={number}");
    ["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject].map(str::to_owned)
}

/// `rkt` with these words, killed so; whether it got there.
fn is_killed_at(rkt: &Rkt, call: &str, number: usize, words: &[&str]) -> bool {
    let mut command = Command::new("strace");
    command.args(kill_at(call, number)).args(rkt.words(words)).stdin(Stdio::null()).current_dir(rkt.home());
    let output = Output::of(&mut command);
    assert!(output.status.success() || output.status.code().is_none(), "{output}");
    !output.status.success()
}

/// Waits until nobody changes the pod; what a change has left that was cut off is gone then.
fn comes_to_rest(rkt: &Rkt, pod: &Running<'_>) {
    wait_until("the pod to be at rest", || {
        rkt.run(["app", "rm", "--app=none", &pod.uuid]).refuses(&[]).stderr.contains("has no app")
    });
}

/// What is listed is what is recorded, what is in the pod's directory, and what can be entered. Whether the app that
/// comes and goes is there.
fn is_there(rkt: &Rkt, pod: &Running<'_>, what: &str) -> bool {
    let listed = names(rkt);
    let record = fs::read_to_string(pod.directory().join("record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let recorded = record["pod"]["apps"].as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap());
    assert_eq!(recorded.collect::<Vec<_>>(), listed, "{what}");
    let is_there = listed.contains(&"late".to_owned());
    let left = leavings(pod, "late");
    assert_eq!(!left.is_empty(), is_there, "{what}: {left:?}");
    assert_eq!(!groups(pod, "late").is_empty(), is_there, "{what}");
    let entered = rkt.run(["enter", "--app=late", &pod.uuid, "/probe", "say", "in"]);
    assert_eq!(entered.status.success(), is_there, "{what}: {entered}");
    is_there
}

/// Kills `words` at every call, of which each leaves the pod with or without the app, and makes and undoes the change
/// after each.
fn is_killed_at_every_call(rkt: &Rkt, pod: &Running<'_>, words: &[&str], back: &[&str], adds: bool) {
    let mut killed = 0;
    for call in CALLS {
        let mut number = 1;
        while is_killed_at(rkt, call, number, words) {
            comes_to_rest(rkt, pod);
            if is_there(rkt, pod, &format!("{words:?}, killed at {call} {number}")) != adds {
                rkt.run(words).succeeds();
            }
            rkt.run(back).succeeds();
            number += 1;
        }
        assert_eq!(is_there(rkt, pod, call), adds);
        rkt.run(back).succeeds();
        killed += number - 1;
    }
    assert!(killed > 20, "only {killed} calls of {words:?} were interrupted");
}

#[test]
fn an_addition_that_is_killed_at_any_call_leaves_a_sound_pod_and_the_next_is_made() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let image = rkt.probe("late", ["wait"]);
    let own = "--mnt-volume=name=v,kind=empty,target=/v";
    let add = ["app", "add", own, &pod.uuid, &image, "--pids-limit=9"];
    is_killed_at_every_call(&rkt, &pod, &add, &["app", "rm", "--app=late", &pod.uuid], true);
    pod.end();
    rkt.collect();
}

#[test]
fn a_removal_that_is_killed_at_any_call_leaves_a_sound_pod_and_the_next_is_made() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let image = rkt.probe("late", ["wait"]);
    let add = ["app", "add", &pod.uuid, &image, "--pids-limit=9"];
    rkt.run(add).succeeds();
    is_killed_at_every_call(&rkt, &pod, &["app", "rm", "--app=late", &pod.uuid], &add, false);
    pod.end();
    rkt.collect();
}

/// A tracer that kills whom it traces.
struct Killer(Child);

impl Killer {
    /// Traces a process, and those that it makes from now on.
    fn of(pid: u32, call: &str, number: usize) -> Self {
        let mut command = Command::new("strace");
        command.args(kill_at(call, number)).args(["-f", "-p", &pid.to_string()]).stdin(Stdio::null());
        let killer = Self(command.spawn().unwrap());
        wait_until("the tracer", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            status.lines().any(|line| line == format!("TracerPid:\t{}", killer.0.id()))
        });
        killer
    }

    /// Lets go of whom it traces.
    fn end(mut self) {
        process::signal(self.0.id(), Signal::TERM);
        self.0.wait().unwrap();
    }
}

#[test]
fn when_what_brings_an_app_into_the_pod_is_killed_at_any_step_the_pod_is_as_it_was() {
    /// None of these the monitor calls itself while an app comes.
    const STEPS: [&str; 11] = [
        "mkdir",
        "setns",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "fsopen",
        "fsconfig",
        "fsmount",
        "mkdirat",
        "mknodat",
        "umount2",
    ];
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let image = rkt.probe("late", ["wait"]);
    let own = format!("--mnt-volume=name=v,kind=host,source={},target=/v", rkt.home().display());
    let add = ["app", "add", &own, &pod.uuid, &image, "--pids-limit=9"];
    let mut killed = 0;
    for step in STEPS {
        for number in 1.. {
            let tracer = Killer::of(pod.pid(), step, number);
            let output = rkt.run(add);
            tracer.end();
            if output.status.success() {
                rkt.run(["app", "rm", "--app=late", &pod.uuid]).succeeds();
                break;
            }
            output.refuses(&["ended without a word"]);
            assert!(!is_there(&rkt, &pod, &format!("killed at {step} {number}")));
            rkt.run(add).succeeds();
            rkt.run(["app", "rm", "--app=late", &pod.uuid]).succeeds();
            killed += 1;
        }
    }
    assert!(killed > 20, "only {killed} steps were interrupted");
    pod.end();
    rkt.collect();
}

#[test]
fn when_the_monitor_is_killed_at_any_call_nothing_lives_and_what_is_recorded_is_the_one_pod_or_the_other() {
    let rkt = Rkt::new();
    let image = rkt.probe("late", ["wait"]);
    let mut killed = 0;
    for call in ["write", "sendto", "renameat", "unlinkat", "clone3", "memfd_create", "openat"] {
        for number in 1.. {
            let pod = waiting(&rkt, &[]);
            let tracer = Killer::of(pod.pid(), call, number);
            let output = rkt.run(["app", "add", &pod.uuid, &image]);
            tracer.end();
            let uuid = pod.uuid.clone();
            if output.status.success() {
                pod.end();
                rkt.collect();
                break;
            }
            killed += 1;
            if pod.is_up() {
                // It was a process of the monitor's.
                output.refuses(&["ended without a word"]);
                pod.end();
                rkt.collect();
                continue;
            }
            pod.wait();
            wait_until("all of the pod to be gone", || rkt.processes().is_empty());
            let what = format!("killed at {call} {number}");
            let listed = names(&rkt);
            assert!(listed == ["first"] || listed == ["first", "late"], "{what}: {listed:?}");
            let output = rkt.run(["replay", &uuid]).succeeds();
            assert!(output.stdout.starts_with("same\n"), "{what}: {output}");
            rkt.run(["app", "add", &uuid, &image]).refuses(&["isn't currently running"]);
            rkt.collect();
        }
    }
    assert!(killed > 15, "only {killed} calls were interrupted");
}

#[test]
fn changes_that_are_asked_for_at_once_are_made_one_after_the_other() {
    let rkt = Rkt::new();
    let pod = waiting(&rkt, &[]);
    let image = rkt.probe("late", ["wait"]);
    let flags: Vec<String> = (0..12).map(|number| format!("--name=late-{number:02}")).collect();
    let all: Vec<_> = flags
        .iter()
        .map(|name| {
            let mut command = rkt.command(["app", "add", &pod.uuid, &image, name]);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    let mut listed = names(&rkt);
    listed.sort();
    let wanted = ["first"].into_iter().chain(flags.iter().map(|flag| &flag["--name=".len()..]));
    assert_eq!(listed, wanted.collect::<Vec<_>>());
    assert!(rkt.run(["replay", &pod.uuid]).succeeds().stdout.starts_with("same\n"));
    pod.end();
    rkt.collect();
}
