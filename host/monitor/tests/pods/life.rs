//! How pods end, and what they leave: nothing.

use std::fs;
use std::path::Path;

use rkt_monitor::AppState;
use rkt_plan::{Access, JailWord, Place};
use rustix::process::{Pid, Signal, kill_process};

use crate::pod::{Running, TestPod, wait_for};

const WAIT: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done";

/// Processes whose command line has this in it.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let lines = entries.filter_map(|path| fs::read_to_string(path.join("cmdline")).ok());
    lines.filter(|line| line.contains(text)).collect()
}

fn signal(pod: &Running, signal: Signal) {
    kill_process(Pid::from_raw(pod.pid()).unwrap(), signal).unwrap();
}

/// Both kinds of pod, each with these scripts.
fn both(scripts: &[&str]) -> [TestPod; 2] {
    [TestPod::isolated(scripts), TestPod::shared(scripts)]
}

#[test]
fn the_first_code_that_is_not_0_stops_the_pod_and_is_its_code() {
    for pod in both(&["exit 3", "sleep 1000", "sleep 1000"]) {
        let ended = pod.run();
        assert_eq!(ended.code, Some(3), "{}", ended.error);
        let codes = ["a", "b", "c"].map(|app| ended.status(app).unwrap());
        assert_eq!(codes, ["3", "0", "0"]);
    }
}

#[test]
fn a_pod_lasts_until_its_last_app_has_ended() {
    for pod in both(&["exit 0", "sleep 0.1; echo late"]) {
        let ended = pod.run();
        assert!(ended.output.ends_with("late\n"), "{}", ended.output);
        assert_eq!(ended.code, Some(0));
    }
}

#[test]
fn of_an_app_that_a_signal_ended_the_code_is_its_number() {
    for pod in both(&["kill -KILL $$"]) {
        let ended = pod.run();
        assert_eq!(ended.code, Some(9));
        assert_eq!(ended.status("a").as_deref(), Some("9"));
    }
}

#[test]
fn a_stopped_pod_has_asked_its_apps_and_has_not_failed() {
    for pod in both(&["trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done", "sleep 1000"]) {
        let mut pod = pod.start();
        pod.wait_until_ready();
        wait_for_output(&mut pod, "ready");
        pod.control().stop(false).unwrap();
        let ended = pod.finish();
        assert!(ended.output.ends_with("bye\n"), "{}", ended.output);
        assert_eq!(ended.code, Some(0));
        assert_eq!(["a", "b"].map(|app| ended.status(app).unwrap()), ["0", "0"]);
    }
}

#[test]
fn force_waits_for_nobody_and_says_so() {
    for pod in both(&["trap '' TERM; echo ready; while :; do sleep 1000; done"]) {
        let mut pod = pod.start();
        wait_for_output(&mut pod, "ready");
        pod.control().stop(true).unwrap();
        let ended = pod.finish();
        assert_eq!((ended.code, ended.status("a").as_deref()), (Some(9), Some("9")));
    }
}

#[test]
fn a_signal_to_the_monitor_stops_the_pod_and_a_second_one_kills_it() {
    for pod in both(&["sleep 1000"]) {
        let pod = pod.start();
        pod.wait_until_ready();
        signal(&pod, Signal::TERM);
        assert_eq!(pod.finish().code, Some(0));
    }
    for pod in both(&["trap 'echo no' TERM; echo ready; while :; do sleep 1000 & wait; done"]) {
        let mut pod = pod.start();
        pod.wait_until_ready();
        wait_for_output(&mut pod, "ready");
        signal(&pod, Signal::INT);
        wait_for_output(&mut pod, "no");
        signal(&pod, Signal::INT);
        assert_eq!(pod.finish().code, Some(9));
    }
}

/// Reads the monitor's output until this is in it.
fn wait_for_output(pod: &mut Running, text: &str) {
    use std::io::Read as _;
    let mut seen = Vec::new();
    let output = pod.monitor.as_mut().unwrap().stdout.as_mut().unwrap();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1);
        seen.push(byte[0]);
    }
}

#[test]
fn nothing_outlives_a_monitor_that_is_killed() {
    for (kind, pod) in both(&["sleep 98765 & (sleep 98765 &) ; exec sleep 98765"]).into_iter().enumerate() {
        let mark = format!("98765{kind}");
        let mut pod = pod;
        let script = pod.launch.commands["a"].arguments[2].replace("98765", &mark);
        pod.set_command("a", &["sh", "-c", &script]);
        let pod = pod.start();
        wait_for(|| processes_with(&mark).iter().filter(|line| line.starts_with("sleep")).count() == 3);
        signal(&pod, Signal::KILL);
        wait_for(|| processes_with(&mark).is_empty());
        // The lock is free once nothing lives.
        let directory = fs::File::open(pod.path()).unwrap();
        let lock = rkt_sys::lock::Lock::exclusive(directory.into()).unwrap();
        rkt_executor::undo(&lock).unwrap();
    }
}

#[test]
fn a_pod_whose_init_is_killed_has_ended_and_says_so() {
    for pod in both(&["exec sleep 7654321"]) {
        let pod = pod.start();
        pod.wait_until_ready();
        let init = pod.control().status().unwrap().init;
        kill_process(Pid::from_raw(init.cast_signed()).unwrap(), Signal::KILL).unwrap();
        let ended = pod.finish();
        assert_eq!((ended.error.as_str(), ended.code), ("run: init was killed, and the pod with it\n", Some(9)));
        assert_eq!(ended.status("a").as_deref(), Some("9"));
    }
    assert_eq!(processes_with("7654321"), Vec::<String>::new());
}

#[test]
fn what_outlived_monitor_and_init_is_found_and_ended() {
    let mut pod = TestPod::shared(&["sleep 876543; true"]);
    pod.limit("a", rkt_plan::LimitKind::Pids, 50);
    let uuid = pod.launch.pod.uuid.clone();
    let pod = pod.start();
    wait_for(|| !processes_with("sleep\0876543").is_empty());
    let init: i32 = fs::read_to_string(pod.path().join("pid")).unwrap().parse().unwrap();
    // Stopped, init cannot do its duty when the monitor dies, nor before it is killed itself.
    kill_process(Pid::from_raw(init).unwrap(), Signal::STOP).unwrap();
    signal(&pod, Signal::KILL);
    kill_process(Pid::from_raw(init).unwrap(), Signal::KILL).unwrap();
    let lock = rkt_sys::lock::Lock::exclusive(fs::File::open(pod.path()).unwrap().into()).unwrap();
    assert_eq!(processes_with("sleep\0876543").len(), 1);
    rkt_executor::undo(&lock).unwrap();
    assert_eq!(processes_with("sleep\0876543").len(), 0);
    assert!(groups_of(&uuid).is_empty());
    rkt_executor::undo(&lock).unwrap();
}

/// The control groups of a pod.
pub(crate) fn groups_of(uuid: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).map(|line| line.split(' ').nth(4).unwrap());
    points.map(|point| format!("{point}/rkt/{uuid}")).filter(|path| Path::new(path).exists()).collect()
}

#[test]
fn the_hosts_table_of_mounts_is_the_same_before_during_and_after() {
    let table = || {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
        // Other tests of this machine's may mount and unmount; a pod's are overlays or name its files.
        text.lines().filter(|line| line.contains("overlay") || line.contains("rkt") || line.contains(".tmp")).count()
    };
    for mut pod in both(&[WAIT]) {
        let volume = pod.path().join("volume");
        fs::create_dir(&volume).unwrap();
        pod.add_volume("a", "data", volume, "/data");
        let before = table();
        let pod = pod.start();
        pod.wait_until_ready();
        assert_eq!(table(), before);
        signal(&pod, Signal::TERM);
        pod.finish();
        assert_eq!(table(), before);
    }
}

#[test]
fn a_pod_that_cannot_be_made_says_why_in_one_line_and_leaves_nothing() {
    for mut pod in both(&["true"]) {
        let source = Place::Host("/no/such/place".to_owned());
        pod.app("a", JailWord::Bind { source, target: "/x".to_owned(), access: Access::ReadOnly, recursive: true });
        let ended = pod.run();
        let expected = "run: app a: open /no/such/place: No such file or directory (os error 2)\n";
        assert_eq!((ended.error.as_str(), ended.code), (expected, Some(254)));
    }
    for mut pod in both(&["true", "sleep 1000"]) {
        pod.launch.commands.get_mut("a").unwrap().working_directory = "/".to_owned();
        fs::write(pod.path().join("image/file"), "").unwrap();
        let source = Place::Empty("x".to_owned());
        pod.app("a", JailWord::Bind { source, target: "/file".to_owned(), access: Access::ReadOnly, recursive: true });
        let ended = pod.run();
        assert_eq!(ended.error, "run: app a: bind empty place x on /file: /file of the image is no directory\n");
        assert_eq!(ended.code, Some(254));
    }
}

#[test]
fn the_pods_directory_tells_who_runs_it_and_how_far_it_is() {
    let pod = TestPod::isolated(&[WAIT]).start();
    pod.wait_until_ready();
    let status = pod.control().status().unwrap();
    assert_eq!(fs::read_to_string(pod.path().join("ppid")).unwrap(), pod.pid().to_string());
    assert_eq!(fs::read_to_string(pod.path().join("pid")).unwrap(), status.init.to_string());
    assert!(pod.path().join("stage1/rootfs/rkt/status/a-started").exists());
    assert_eq!(pod.status("a"), None);
    assert_eq!(status.apps.len(), 1);
    assert_eq!((status.apps[0].name.as_str(), status.apps[0].state), ("a", AppState::Running { pid: 2 }));
    let host = fs::read_to_string(format!("/proc/{}/status", status.init)).unwrap();
    assert!(host.contains(&format!("PPid:\t{}\n", pod.pid())), "{host}");
    pod.control().stop(true).unwrap();
}

#[test]
fn output_of_any_size_arrives_whole() {
    for pod in both(&["i=0; while [ $i -lt 3000 ]; do echo line $i of a text that is not so short; i=$((i+1)); done"]) {
        let ended = pod.run();
        assert_eq!(ended.output.lines().count(), 3000);
        assert!(ended.output.ends_with("line 2999 of a text that is not so short\n"));
    }
}

#[test]
fn what_an_app_left_running_ends_with_the_pod_and_holds_nothing_up() {
    for pod in both(&["(while :; do sleep 1000; done) & echo done"]) {
        let ended = pod.run();
        assert!(ended.output.ends_with("done\n"));
        assert_eq!(ended.code, Some(0));
    }
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    for pod in both(&["echo one; sleep 0.1; echo two; exit 5"]) {
        let mut pod = pod.start();
        drop(pod.monitor.as_mut().unwrap().stdout.take());
        assert_eq!(pod.finish().code, Some(5));
    }
}
