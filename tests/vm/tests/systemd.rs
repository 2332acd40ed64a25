//! Under systemd: where a pod's control groups are, and what a unit that runs a pod can rely on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;
#[path = "support/units.rs"]
mod units;

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use rkt_tests::apps::{process_of, waiting};
use rkt_tests::{FLAVORS, Output, Rkt, images, process, wait_until};
use rustix::process::Signal;

use support::{app_of, assert_machine, child_of, group_of, path_of, read};
use units::{Unit, assert_no_scope, is_loaded, property, run, systemd_run};

#[test]
fn a_pod_with_limits_is_in_a_scope_of_its_own_and_the_monitor_is_not() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let own = group_of(std::process::id());
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image, "--memory=64Mi", "--pids-limit=50"]);
        let scope = format!("rkt-{}.scope", pod.uuid);
        let group = format!("/system.slice/{scope}");
        let app = app_of(&pod);
        assert_eq!(group_of(app), format!("{group}/waits"), "{flavor}");
        assert_eq!(group_of(pod.init()), format!("{group}/-init"), "{flavor}");
        assert_eq!(group_of(pod.pid()), own, "{flavor}");
        assert_eq!(read(&format!("{group}/waits"), "memory.max"), "67108864");
        assert_eq!(read(&format!("{group}/waits"), "pids.max"), "50");
        assert_eq!(read(&format!("{group}/waits"), "cgroup.procs"), app.to_string());
        assert_eq!(read(&format!("{group}/-init"), "cgroup.procs"), pod.init().to_string(), "what held it is gone");
        assert_eq!([property(&scope, "Delegate"), property(&scope, "ActiveState")], ["yes", "active"]);
        let uuid = pod.uuid.clone();
        pod.end();
        assert_no_scope(&uuid);
        rkt.collect();
    }
}

#[test]
fn a_scope_that_systemd_stops_stops_the_pod() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image, "--memory=64Mi"]);
        let uuid = pod.uuid.clone();
        run("systemctl", &["stop", &format!("rkt-{uuid}.scope")]).succeeds();
        pod.wait();
        assert_no_scope(&uuid);
        rkt.collect();
    }
}

#[test]
fn a_scope_whose_app_was_killed_for_its_memory_is_no_failed_unit() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("eats", ["eat", "268435456"]);
    for flavor in FLAVORS {
        rkt.run(["run", flavor, &image, "--memory=32Mi"]).ends_with(9);
        assert_no_scope(rkt.the_pod()["name"].as_str().unwrap());
        rkt.collect();
    }
}

#[test]
fn a_scope_of_a_pod_whose_monitor_was_killed_goes_with_the_next_gc() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image, "--memory=64Mi"]);
        let (uuid, init, app) = (pod.uuid.clone(), pod.init(), app_of(&pod));
        process::signal(init, Signal::STOP);
        pod.signal(Signal::KILL);
        process::signal(init, Signal::KILL);
        pod.wait();
        wait_until("init to end", || !process::lives(init));
        assert_eq!(process::lives(app), flavor.ends_with("fly"), "{flavor}");
        rkt.collect();
        assert!(!process::lives(app), "{flavor}");
        assert_no_scope(&uuid);
    }
}

#[test]
fn in_a_unit_that_is_handed_over_the_pods_groups_are_the_units() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let (one, two) = (rkt.probe("one", ["wait"]), rkt.probe("two", ["wait"]));
    let apps = ["--stage1=container", &one, "--memory=64Mi", &two, "--pids-limit=50"];
    let unit = Unit::start(&rkt, &["Delegate=yes"], &apps);
    let uuid = unit.uuid().unwrap();
    let below = format!("{}/rkt/{uuid}", unit.group());
    let (monitor, init) = (unit.monitor(), unit.init());
    assert_eq!(group_of(monitor), format!("{below}/-monitor"));
    assert_eq!(group_of(init), format!("{below}/-monitor"));
    assert_eq!(read(&format!("{below}/one"), "memory.max"), "67108864");
    assert_eq!(read(&format!("{below}/two"), "pids.max"), "50");
    for app in ["one", "two"] {
        assert_eq!(read(&format!("{below}/{app}"), "cgroup.procs").lines().count(), 1, "{app}");
    }
    assert!(!is_loaded(&format!("rkt-{uuid}.scope")));
    unit.stop();
    assert!(!process::lives(monitor) && !process::lives(init));
    assert!(!path_of(&unit.group()).exists());
    rkt.collect();
}

#[test]
fn in_a_unit_that_is_not_the_pod_has_a_scope_and_ends_with_the_unit() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let unit = Unit::start(&rkt, &[], &[flavor, &image, "--memory=64Mi"]);
        let (uuid, init) = (unit.uuid().unwrap(), unit.init());
        let app = child_of(init);
        assert_eq!(group_of(unit.monitor()), unit.group(), "{flavor}");
        assert_eq!(group_of(app), format!("/system.slice/rkt-{uuid}.scope/waits"), "{flavor}");
        unit.stop();
        assert!(!process::lives(app) && !process::lives(init), "{flavor}");
        assert_no_scope(&uuid);
        rkt.collect();
    }
}

/// Has an app with limits come to a pod.
fn add(rkt: &Rkt, uuid: &str, name: &str) {
    let image = rkt.probe("late", ["wait"]);
    rkt.run(["app", "add", uuid, &image, "--memory=64Mi", "--pids-limit=50", "--name", name]).succeeds();
}

/// Asserts that an app has its limits, and is in the group that has them, alone.
fn assert_limited(below: &str, name: &str) {
    let group = format!("{below}/{name}");
    assert_eq!([read(&group, "memory.max"), read(&group, "pids.max")], ["67108864", "50"]);
    assert_eq!(read(&group, "cgroup.procs").lines().count(), 1, "{group}");
}

#[test]
fn an_app_that_comes_goes_to_the_scope_of_its_pod() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("first", ["wait"]);
    let pod = rkt.start([image.as_str(), "--memory=32Mi"]);
    let uuid = pod.uuid.clone();
    let group = format!("/system.slice/rkt-{uuid}.scope");
    for _ in 0..2 {
        add(&rkt, &uuid, "late");
        assert_limited(&group, "late");
        assert_eq!(group_of(process_of(&pod, "late")), format!("{group}/late"));
        assert_eq!(read(&format!("{group}/first"), "memory.max"), "33554432");
        assert_eq!(read(&format!("{group}/-init"), "cgroup.procs"), pod.init().to_string());
        rkt.run(["app", "rm", &uuid, "--app=late"]).succeeds();
        assert!(!path_of(&format!("{group}/late")).exists());
    }
    add(&rkt, &uuid, "late");
    pod.end();
    assert_no_scope(&uuid);
    rkt.collect();
}

#[test]
fn a_pod_to_which_the_first_limits_come_gets_a_scope() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let own = group_of(std::process::id());
    let pod = waiting(&rkt, &[]);
    let (uuid, first) = (pod.uuid.clone(), process_of(&pod, "first"));
    let scope = format!("rkt-{uuid}.scope");
    let group = format!("/system.slice/{scope}");
    // One that cannot be started leaves the pod as it was, but for where init is.
    let missing = rkt.image("missing", &images::probe("missing").exec(["/no/such/program"]));
    rkt.run(["app", "add", &uuid, &missing, "--memory=64Mi"]).refuses(&["/no/such/program"]);
    assert!(!path_of(&format!("{group}/missing")).exists());
    for name in ["one", "two"] {
        add(&rkt, &uuid, name);
        assert_limited(&group, name);
    }
    assert_eq!([property(&scope, "Delegate"), property(&scope, "ActiveState")], ["yes", "active"]);
    assert_eq!([pod.pid(), pod.init(), first].map(group_of), [own.clone(), format!("{group}/-init"), own]);
    // What is without limits is where init is.
    let unlimited = rkt.probe("unlimited", ["wait"]);
    rkt.run(["app", "add", &uuid, &unlimited]).succeeds();
    assert_eq!(group_of(process_of(&pod, "unlimited")), format!("{group}/-init"));
    for app in ["first", "one", "unlimited"] {
        let app = format!("--app={app}");
        assert_eq!(rkt.run(["enter", &app, &uuid, "/probe", "say", "here"]).succeeds().stdout, "here\n", "{app}");
    }
    for name in ["one", "two"] {
        rkt.run(["app", "rm", &uuid, "--app", name]).succeeds();
        assert!(!path_of(&format!("{group}/{name}")).exists());
    }
    add(&rkt, &uuid, "one");
    assert_limited(&group, "one");
    pod.end();
    assert_no_scope(&uuid);
    rkt.collect();
}

#[test]
fn the_scope_that_limits_brought_ends_with_a_pod_whose_monitor_was_killed_and_the_pod_with_the_scope() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    for is_killed in [true, false] {
        let pod = waiting(&rkt, &[]);
        let (uuid, init) = (pod.uuid.clone(), pod.init());
        add(&rkt, &uuid, "late");
        let apps = ["first", "late"].map(|name| process_of(&pod, name));
        if is_killed {
            pod.signal(Signal::KILL);
        } else {
            run("systemctl", &["stop", &format!("rkt-{uuid}.scope")]).succeeds();
        }
        pod.wait();
        wait_until("init to end", || !process::lives(init));
        assert!(!apps.into_iter().any(process::lives));
        rkt.collect();
        assert_no_scope(&uuid);
    }
}

#[test]
fn an_app_that_comes_to_a_unit_that_is_handed_over_is_in_it_where_the_pod_had_limits_and_else_in_a_scope() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for limits in [&["--memory=64Mi"][..], &[]] {
        let words = [&["--stage1=container", image.as_str()][..], limits].concat();
        let unit = Unit::start(&rkt, &["Delegate=yes"], &words);
        let (uuid, init) = (unit.uuid().unwrap(), unit.init());
        let (in_unit, in_scope) = (format!("{}/rkt/{uuid}", unit.group()), format!("/system.slice/rkt-{uuid}.scope"));
        for name in ["one", "two"] {
            add(&rkt, &uuid, name);
            assert_limited(if limits.is_empty() { &in_scope } else { &in_unit }, name);
        }
        assert_eq!(is_loaded(&format!("rkt-{uuid}.scope")), limits.is_empty());
        let [monitor, init_in] = [unit.monitor(), init].map(group_of);
        if limits.is_empty() {
            assert_eq!([monitor, init_in], [unit.group(), format!("{in_scope}/-init")]);
        } else {
            assert_eq!([monitor, init_in], [0, 1].map(|_| format!("{in_unit}/-monitor")));
        }
        unit.stop();
        assert!(!process::lives(init));
        assert_no_scope(&uuid);
        assert!(!path_of(&unit.group()).exists());
        rkt.collect();
    }
}

#[test]
fn in_a_unit_that_is_handed_over_to_a_shell_the_pod_has_a_scope() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("tells", ["show", "/proc/self/cgroup"]);
    let words = rkt.words(["run", "--stage1=fly", &image, "--memory=64Mi"]);
    let mut command = Command::new("systemd-run");
    command.args([
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "--property=Delegate=yes",
        "sh",
        "-c",
        "\"$@\"; exit $?",
    ]);
    let output = Output::of(command.arg("sh").args(words)).succeeds();
    assert!(output.stdout.contains(".scope/tells"), "{output}");
    rkt.collect();
}

#[test]
fn a_pod_without_limits_asks_for_nothing() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for properties in [&[][..], &["Delegate=yes"]] {
        let unit = Unit::start(&rkt, properties, &[FLAVORS[1], &image]);
        let app = child_of(unit.init());
        assert_eq!([group_of(unit.monitor()), group_of(app)], [unit.group(), unit.group()], "{properties:?}");
        assert!(!is_loaded(&format!("rkt-{}.scope", unit.uuid().unwrap())));
        unit.stop();
        assert!(!process::lives(app));
        rkt.collect();
    }
}

#[test]
fn the_code_of_a_unit_is_the_pods() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("ends", ["exit", "7"]);
    for properties in [&[][..], &["Delegate=yes"]] {
        let words = ["run", &image, "--memory=64Mi"];
        systemd_run(&rkt, &["--wait", "--pipe", "--collect"], properties, words).ends_with(7);
    }
    rkt.collect();
}

#[test]
fn a_unit_that_waits_to_be_told_is_active_when_the_pod_is_ready() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        // `systemd-run` returns when the unit has started, which is when it was told.
        let unit = Unit::start(&rkt, &["Type=notify", "TimeoutStartSec=60"], &[flavor, &image]);
        assert_eq!([property(&unit.name, "ActiveState"), property(&unit.name, "SubState")], ["active", "running"]);
        unit.stop();
        rkt.collect();
    }
    // A program that cannot be run never makes it ready.
    let image = rkt.probe("fails", ["wait"]);
    let words = ["run", "--stage1=container", &image, "--exec=/nothing"];
    assert_ne!(systemd_run(&rkt, &["--collect"], &["Type=notify"], words).status.code(), Some(0));
    rkt.collect();
}

#[test]
fn where_the_groups_would_be_is_told_beforehand() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let words = ["plan", &image, "--memory=64Mi"];
    let plan = rkt.run(words).succeeds().stdout;
    assert!(plan.contains("control groups\n  in a scope of the pod's own, by systemd\n"), "{plan}");
    let options = ["--wait", "--pipe", "--collect", "--unit=plans.service"];
    let plan = systemd_run(&rkt, &options, &["Delegate=yes"], words).succeeds().stdout;
    let place = "control groups\n  in the caller's unit, /sys/fs/cgroup/system.slice/plans.service\n";
    assert!(plan.contains(place), "{plan}");
    let doctor = rkt.run(["doctor"]).stdout;
    let line = doctor.lines().find(|line| line.contains("pods' groups")).unwrap();
    assert!(line.contains("in a scope of the pod's own, by systemd"), "{line}");
}

#[test]
fn without_a_bus_the_groups_are_where_they_are_without_systemd() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("tells", ["show", "/proc/self/cgroup"]);
    // In a mount namespace of the unit's own there is none.
    let hidden = ["InaccessiblePaths=/run/dbus", "PrivateMounts=yes"];
    let words = ["run", "--stage1=fly", &image, "--memory=64Mi"];
    let output = systemd_run(&rkt, &["--wait", "--pipe", "--collect"], &hidden, words).succeeds();
    assert!(output.stdout.contains("0::/rkt/"), "{output}");
    rkt.collect();
}

#[test]
fn the_machine_is_what_it_is_meant_to_be() {
    assert_machine("systemd");
    assert_eq!(fs::read_to_string("/proc/1/comm").unwrap().trim(), "systemd");
    assert!(Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
    assert_eq!(group_of(std::process::id()), "/system.slice/rkt-tests.service");
    let own = fs::metadata("/run/dbus/system_bus_socket").map(drop).map_err(|error| error.kind());
    assert_eq!(own, Ok::<(), io::ErrorKind>(()));
}
