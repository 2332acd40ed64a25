//! Pods in containers of systemd-nspawn's under systemd: systemd-machined knows them while they run, their groups are
//! where those of other pods are, and neither a machine nor a unit of them stays.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/nspawn.rs"]
mod containers;
mod support;
#[path = "support/units.rs"]
mod units;

use std::fs;
use std::path::Path;

use rkt_tests::apps::process_of;
use rkt_tests::{Output, Rkt, Running, images, process, wait_until};
use rustix::process::Signal;

use containers::{NSPAWN, nspawn_of, start};
use support::{app_of, assert_machine, child_of, group_of, path_of, read};
use units::{Unit, assert_no_scope, is_loaded, property, run, systemd_run};

/// Asks machined for the object of a pod's machine.
fn get_machine(uuid: &str) -> Output {
    let manager = ["org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager"];
    let call = ["GetMachine", "s", &format!("rkt-{uuid}")];
    run("busctl", &[&["call"][..], &manager, &call].concat())
}

/// A property of a pod's machine.
fn of_machine(uuid: &str, name: &str) -> String {
    let words = ["show", "--value", "--property", name, &format!("rkt-{uuid}")];
    run("machinectl", &words).succeeds().stdout.trim().to_owned()
}

fn is_listed(uuid: &str) -> bool {
    let listed = run("machinectl", &["list", "--no-legend", "--no-pager"]).succeeds().stdout;
    listed.lines().any(|line| line.split_whitespace().next() == Some(&format!("rkt-{uuid}")))
}

/// Asserts that machined knows a pod as a container of this init's in this unit.
fn assert_registered(uuid: &str, init: u32, unit: &str) {
    get_machine(uuid).succeeds();
    assert!(is_listed(uuid));
    let properties = ["Leader", "Unit", "Service", "Class", "State"].map(|name| of_machine(uuid, name));
    assert_eq!(properties, [&init.to_string(), unit, "systemd-nspawn", "container", "running"]);
}

fn assert_no_machine(uuid: &str) {
    let answer = get_machine(uuid);
    assert!(answer.stderr.contains("No machine"), "{answer}");
    assert!(!is_listed(uuid));
}

/// Collects garbage and asserts that of the pod there is no machine, no unit, whatever its state, and no group.
fn assert_gone(rkt: &Rkt, uuid: &str) {
    rkt.collect();
    assert_no_machine(uuid);
    assert_no_scope(uuid);
    let units = run("systemctl", &["list-units", "--all", "--plain", "--no-legend", "--no-pager"]).succeeds().stdout;
    let left: Vec<&str> = units.lines().filter(|line| line.contains(uuid) || line.starts_with("machine-")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!Path::new("/run/systemd/machines").join(format!("rkt-{uuid}")).exists());
}

#[test]
fn a_pod_is_a_machine_while_it_runs_and_its_groups_are_in_its_scope() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let [one, two] = ["one", "two"].map(|name| rkt.probe(name, ["wait"]));
    for limits in [&["--memory=64Mi", "--pids-limit=50"][..], &[]] {
        let pod = start(&rkt, &[&[one.as_str()][..], limits, &[&two]].concat());
        let (uuid, init) = (pod.uuid.clone(), pod.init());
        let scope = format!("rkt-{uuid}.scope");
        let group = format!("/system.slice/{scope}");
        assert_registered(&uuid, init, &scope);
        assert_eq!(property(&scope, "Delegate"), "yes");
        assert_eq!(group_of(nspawn_of(&pod)), format!("{group}/-program-0/supervisor"));
        let payload = format!("{group}/-program-0/payload");
        assert_eq!([init, process_of(&pod, "two")].map(group_of), [payload.clone(), payload.clone()]);
        if limits.is_empty() {
            assert_eq!(group_of(process_of(&pod, "one")), payload);
        } else {
            assert_eq!(group_of(process_of(&pod, "one")), format!("{group}/one"));
            assert_eq!(["memory.max", "pids.max"].map(|file| read(&format!("{group}/one"), file)), ["67108864", "50"]);
        }
        assert_eq!(group_of(pod.pid()), group_of(std::process::id()));
        rkt.run(["stop", &uuid]).succeeds();
        pod.wait().succeeds();
        assert_gone(&rkt, &uuid);
    }
}

#[test]
fn a_pod_that_does_not_want_to_be_is_no_machine() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let pod = start(&rkt, &["--stage1-option=register=no", &image]);
    let uuid = pod.uuid.clone();
    assert_no_machine(&uuid);
    assert!(is_loaded(&format!("rkt-{uuid}.scope")), "its groups have a place all the same");
    pod.end().succeeds();
    assert_gone(&rkt, &uuid);
    let plan = |words: &[&str]| rkt.run(["plan", NSPAWN, &image].iter().chain(words)).succeeds().stdout;
    assert!(plan(&[]).contains("--register=yes") && plan(&[]).contains("systemd-machined knows the pod as rkt-"));
    assert!(plan(&["--stage1-option=register=no"]).contains("--register=no"));
}

#[test]
fn whoever_is_killed_neither_a_machine_nor_a_unit_stays() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let victims: [fn(&Running<'_>) -> u32; 3] = [|pod| pod.pid(), nspawn_of, |pod| pod.init()];
    for victim in victims {
        let pod = start(&rkt, &[&image, "--memory=64Mi"]);
        let (uuid, all) = (pod.uuid.clone(), [nspawn_of(&pod), pod.init(), app_of(&pod)]);
        assert_registered(&uuid, pod.init(), &format!("rkt-{uuid}.scope"));
        process::signal(victim(&pod), Signal::KILL);
        pod.wait();
        wait_until("all to be gone", || !all.iter().any(|pid| process::lives(*pid)));
        rkt.collect();
        // Whoever was killed did not tell machined, which hears of the scope's end from systemd.
        wait_until("machined to have heard", || !is_listed(&uuid));
        assert_gone(&rkt, &uuid);
    }
}

#[test]
fn a_pod_that_is_stopped_by_force_or_by_its_machine_is_no_machine_any_more() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for by_machine in [false, true] {
        let pod = start(&rkt, &[&image, "--memory=64Mi"]);
        let uuid = pod.uuid.clone();
        if by_machine {
            run("machinectl", &["terminate", &format!("rkt-{uuid}")]).succeeds();
        } else {
            rkt.run(["stop", "--force", &uuid]).succeeds();
        }
        pod.wait();
        wait_until("machined to have heard", || !is_listed(&uuid));
        assert_gone(&rkt, &uuid);
    }
}

#[test]
fn in_a_unit_that_is_handed_over_the_pods_groups_are_the_units_and_the_machine_is_in_it() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let [one, two] = ["one", "two"].map(|name| rkt.probe(name, ["wait"]));
    let unit = Unit::start(&rkt, &["Delegate=yes"], &[NSPAWN, &one, "--memory=64Mi", &two]);
    let (uuid, monitor, init) = (unit.uuid().unwrap(), unit.monitor(), unit.init());
    let below = format!("{}/rkt/{uuid}", unit.group());
    assert_registered(&uuid, init, &unit.name);
    assert_eq!(group_of(monitor), format!("{below}/-monitor"));
    assert_eq!(group_of(init), format!("{below}/-program-0/payload"));
    assert_eq!(read(&format!("{below}/one"), "memory.max"), "67108864");
    assert!(!is_loaded(&format!("rkt-{uuid}.scope")));
    // One that comes is there too.
    let late = rkt.probe("late", ["wait"]);
    rkt.run(["app", "add", &uuid, &late, "--pids-limit=50"]).succeeds();
    assert_eq!(read(&format!("{below}/late"), "pids.max"), "50");
    assert!(!is_loaded(&format!("rkt-{uuid}.scope")));
    rkt.run(["app", "rm", &uuid, "--app=late"]).succeeds();
    assert!(!path_of(&format!("{below}/late")).exists());
    unit.stop();
    assert!(!process::lives(monitor) && !process::lives(init));
    assert!(!path_of(&unit.group()).exists());
    assert!(!is_loaded(&unit.name));
    assert_gone(&rkt, &uuid);
}

#[test]
fn an_app_that_comes_goes_to_the_scope_of_its_pod() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let [first, late] = ["first", "late"].map(|name| rkt.probe(name, ["wait"]));
    let pod = start(&rkt, &[&first]);
    let (uuid, init) = (pod.uuid.clone(), group_of(pod.init()));
    let group = format!("/system.slice/rkt-{uuid}.scope/late");
    for _ in 0..2 {
        rkt.run(["app", "add", &uuid, &late, "--memory=64Mi"]).succeeds();
        assert_eq!(group_of(process_of(&pod, "late")), group);
        assert_eq!(read(&group, "memory.max"), "67108864");
        assert_eq!(group_of(pod.init()), init);
        rkt.run(["app", "rm", &uuid, "--app=late"]).succeeds();
        assert!(!path_of(&group).exists());
    }
    pod.end().succeeds();
    assert_gone(&rkt, &uuid);
}

#[test]
fn a_unit_that_waits_to_be_told_is_active_when_the_pod_is_ready_and_stops_the_pod() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for delegate in ["Delegate=no", "Delegate=yes"] {
        let unit = Unit::start(&rkt, &["Type=notify", "TimeoutStartSec=60", delegate], &[NSPAWN, &image]);
        let (uuid, init) = (unit.uuid().unwrap(), unit.init());
        let app = child_of(init);
        assert_eq!([property(&unit.name, "ActiveState"), property(&unit.name, "SubState")], ["active", "running"]);
        unit.stop();
        assert!(!process::lives(app) && !process::lives(init), "{delegate}");
        assert!(!is_loaded(&unit.name), "{delegate}: {}", property(&unit.name, "ActiveState"));
        assert_gone(&rkt, &uuid);
    }
    // A program that cannot be run never makes it ready, whatever systemd-nspawn says of its own.
    let words = ["run", NSPAWN, &image, "--exec=/nothing"];
    assert_ne!(systemd_run(&rkt, &["--collect"], &["Type=notify"], words).status.code(), Some(0));
    rkt.collect();
}

#[test]
fn whoever_stops_the_unit_that_a_pod_is_in_leaves_apps_their_time() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    // Its last work takes it longer than systemd-nspawn would need to end the container.
    let last = "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; exit 3";
    let serve = format!("trap '{last}' TERM; while :; do sleep 0.1; done");
    let image = rkt.image("serves", &images::busybox("serves").exec(["/bin/sh", "-c", &serve]));
    for (properties, stops_scope) in [(&[][..], false), (&[], true), (&["Delegate=yes"], false)] {
        let unit = Unit::start(&rkt, properties, &[NSPAWN, &image]);
        let uuid = unit.uuid().unwrap();
        let scope = format!("rkt-{uuid}.scope");
        // systemd asks every process of either to end.
        run("systemctl", &["stop", if stops_scope { &scope } else { &unit.name }]).succeeds();
        let status = rkt.run(["status", "--wait", &uuid]).succeeds().stdout;
        assert!(status.contains("app-serves=3"), "{properties:?} {stops_scope}: {status}");
        wait_until("the unit to have ended", || !is_loaded(&unit.name));
        assert_gone(&rkt, &uuid);
    }
}

#[test]
fn the_host_has_its_control_groups_as_it_had_them() {
    assert_machine("systemd");
    let options = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().find_map(|line| line.split_once(" - cgroup2 ")).unwrap().1.to_owned()
    };
    let before = options();
    assert!(before.contains("nsdelegate"), "{before}");
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for properties in [&[][..], &["Delegate=yes"]] {
        let unit = Unit::start(&rkt, properties, &[NSPAWN, &image, "--memory=64Mi"]);
        assert_eq!(options(), before, "{properties:?}");
        // Where namespaces bound who may move processes, those who enter and come still get to their groups.
        let (uuid, late) = (unit.uuid().unwrap(), rkt.probe("late", ["wait"]));
        rkt.run(["app", "add", &uuid, &late, "--pids-limit=50"]).succeeds();
        rkt.run(["enter", "--app=late", &uuid, "/probe", "say", "here"]).succeeds();
        unit.stop();
        assert_eq!(options(), before, "{properties:?}");
        assert_gone(&rkt, &uuid);
    }
}

#[test]
fn the_code_of_a_unit_is_the_pods() {
    assert_machine("systemd");
    let rkt = Rkt::new();
    let image = rkt.probe("ends", ["exit", "7"]);
    for properties in [&[][..], &["Delegate=yes"]] {
        systemd_run(&rkt, &["--wait", "--pipe", "--collect"], properties, ["run", NSPAWN, &image]).ends_with(7);
        let uuid = rkt.the_pod()["name"].as_str().unwrap().to_owned();
        assert_gone(&rkt, &uuid);
    }
}
