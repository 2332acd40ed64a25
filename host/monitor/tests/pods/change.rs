//! Apps that come and go while their pod runs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rkt_executor::{Changes, Launch};
use rkt_monitor::frame::{Channel, Frame, Stream, VERSION};
use rkt_monitor::message::{STAGED, STAGED_FILES};
use rkt_monitor::{AppState, ControlError, Ended, Request};
use rkt_plan::{Access, Credentials, JailWord, LimitKind, Place, Word};
use rustix::process::{Pid, Signal, kill_process};

use crate::enter::enter_with;
use crate::life::{groups_of, processes_with};
use crate::pod::{Running, TestPod, wait_for};

const WAIT: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

fn both(scripts: &[&str]) -> [TestPod; 2] {
    [TestPod::isolated(scripts), TestPod::shared(scripts)]
}

/// Asks for a change, as `rkt` does: what the pod is to be is staged first.
pub(crate) fn change(pod: &Running, wanted: &Launch, mark: &str) -> Result<(), ControlError> {
    let staged = pod.path().join(STAGED);
    fs::create_dir_all(&staged).unwrap();
    for name in STAGED_FILES {
        fs::write(staged.join(name), mark).unwrap();
    }
    pod.control().change(serde_json::to_vec(wanted).unwrap())
}

/// What the pod's record and manifest are now.
fn marks(pod: &Running) -> Vec<Option<String>> {
    STAGED_FILES.iter().map(|name| fs::read_to_string(pod.path().join(name)).ok()).collect()
}

pub(crate) fn names(pod: &Running) -> Vec<String> {
    pod.control().status().unwrap().apps.into_iter().map(|app| app.name).collect()
}

fn without(launch: &Launch, app: &str) -> Launch {
    let mut wanted = launch.clone();
    wanted.pod.apps.retain(|other| other.name != app);
    wanted.plan.words.retain(|word| !matches!(word, Word::App { app: other, .. } if other == app));
    wanted
}

fn enter(pod: &Running, app: &str, script: &str) -> (Result<Ended, ControlError>, String) {
    let entered = enter_with(pod, app, &["sh", "-c", script], None, b"");
    (entered.ended, entered.output + &entered.error)
}

/// Reads the monitor's output until it ends with this.
pub(crate) fn read_until(pod: &mut Running, text: &str) -> String {
    let mut seen = Vec::new();
    let monitor = pod.monitor.as_mut().unwrap();
    while !seen.ends_with(text.as_bytes()) {
        let mut byte = [0];
        if monitor.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 0 {
            let mut error = String::new();
            monitor.stderr.as_mut().unwrap().read_to_string(&mut error).unwrap();
            panic!("it ended after {:?}: {error}", String::from_utf8_lossy(&seen));
        }
        seen.push(byte[0]);
    }
    String::from_utf8(seen).unwrap()
}

/// The launch with new directories for what an app changes: those of an app that was are the kernel's for good.
fn anew(launch: &Launch, pod: &Running) -> Launch {
    let mut launch = launch.clone();
    for root in launch.places.roots.values_mut() {
        let Changes::Layer { upper, work } = &mut root.changes else { panic!("layers are what there is") };
        for directory in [upper, work] {
            *directory = tempfile::tempdir_in(pod.path().parent().unwrap()).unwrap().keep();
        }
    }
    launch
}

/// What a process may do and where it is, without what is each app's own.
const SHOW: &str = "grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNewPrivs|Seccomp|SigBlk)' /proc/self/status; \
                    cat /proc/self/oom_score_adj; for n in ipc net pid user uts; do readlink /proc/self/ns/$n; done; \
                    cd /proc/self/fd; echo *; id; [ -c /dev/null ] && [ -c /dev/zero ] && echo nodes; grep -vE '/data' /proc/self/mounts | wc -l";

#[test]
fn an_app_that_comes_later_has_all_that_it_would_have_had_from_the_start() {
    for mut pod in both(&[&format!("{SHOW}; echo end; sleep 1000")]) {
        let wanted = pod.with_app("b", &format!("{SHOW}; echo oops >&2; echo end; sleep 1000"), |_| {});
        let mut pod = pod.start();
        pod.wait_until_ready();
        let first = read_until(&mut pod, "end\n");
        change(&pod, &wanted, "b came").unwrap();
        let second = read_until(&mut pod, "end\n");
        let text = |lines: &str| -> Vec<String> {
            lines.lines().map(|line| line.split_once("]: ").map_or(line, |(_, text)| text).to_owned()).collect()
        };
        assert_eq!(text(&second), text(&first));
        assert!(text(&first).len() > 15, "{first}");
        assert_eq!(names(&pod), ["a", "b"]);
        assert_eq!(marks(&pod), vec![Some("b came".to_owned()); 2]);
        assert!(pod.path().join("stage1/rootfs/rkt/status/b-started").exists());
        let (ended, output) = enter(&pod, "b", "echo $SECRET; exit 3");
        assert_eq!((ended.unwrap(), output.as_str()), (Ended::Code(3), "s3cret\n"));
        pod.control().stop(false).unwrap();
        let ended = pod.finish();
        assert_eq!((ended.code, ended.status("b").as_deref()), (Some(0), Some("0")));
        assert!(ended.error.contains("oops"), "{}", ended.error);
    }
}

#[test]
fn volumes_devices_users_and_limits_come_with_it() {
    for mut pod in both(&[WAIT]) {
        let volume = pod.path().join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(pod.path().join("file"), "of the host").unwrap();
        pod.add_volume("a", "data", volume.clone(), "/data");
        let file = pod.path().join("file");
        let script = "echo $(id -u) $(cat /proc/self/oom_score_adj) > /data/said; cat /conf > /data/conf; \
                      echo x > /empty/x; echo x > /conf || echo refused >> /data/said; sleep 1000";
        let wanted = pod.with_app("b", script, |pod| {
            pod.add_volume("b", "data", volume.clone(), "/data");
            let source = Place::Host(file.to_str().unwrap().to_owned());
            let bind = |source, target: &str, access| JailWord::Bind {
                source,
                target: target.to_owned(),
                access,
                recursive: true,
            };
            pod.app("b", bind(source, "/conf", Access::ReadOnly));
            pod.app("b", bind(Place::Empty("e".to_owned()), "/empty", Access::ReadWrite));
            pod.app("b", JailWord::OomScore { adjustment: 9 });
            pod.limit("b", LimitKind::Pids, 7);
            pod.limit("b", LimitKind::Memory, 64 << 20);
        });
        let uuid = pod.launch.pod.uuid.clone();
        let pod = pod.start();
        pod.wait_until_ready();
        assert!(groups_of(&uuid).is_empty());
        change(&pod, &wanted, "b").unwrap();
        wait_for(|| fs::read_to_string(volume.join("said")).is_ok_and(|said| said.ends_with("refused\n")));
        assert_eq!(fs::read_to_string(volume.join("said")).unwrap(), "0 9\nrefused\n");
        assert_eq!(fs::read_to_string(volume.join("conf")).unwrap(), "of the host");
        let groups = groups_of(&uuid);
        let read = |name: &str| groups.iter().find_map(|group| fs::read_to_string(format!("{group}/b/{name}")).ok());
        assert_eq!(read("pids.max").as_deref(), Some("7\n"));
        let init = pod.control().status().unwrap().init;
        for group in &groups {
            let inside = fs::read_to_string(format!("{group}/b/cgroup.procs")).unwrap();
            assert!(!inside.is_empty() && !inside.lines().any(|pid| pid == init.to_string()), "{group}: {inside}");
        }
        // A command that enters is held by them too.
        let (ended, output) = enter(&pod, "b", "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done");
        assert!(!matches!(ended, Ok(Ended::Code(0))) || output.contains("fork"), "{ended:?} {output}");
        pod.control().stop(true).unwrap();
        pod.finish();
        assert!(groups_of(&uuid).is_empty());
    }
}

#[test]
fn an_app_of_another_user_writes_to_what_it_was_given() {
    let mut pod = TestPod::isolated(&[WAIT]);
    let who = Credentials { uid: 1234, gid: 4321, groups: vec![5] };
    let wanted = pod.with_app("b", "id -u; id -G; echo again > /proc/self/fd/1; sleep 1000", |pod| {
        pod.set_user("b", who);
    });
    let mut pod = pod.start();
    pod.wait_until_ready();
    change(&pod, &wanted, "b").unwrap();
    let said = read_until(&mut pod, "again\n");
    assert!(said.contains("]: 1234\n") && said.contains("]: 4321 5\n"), "{said}");
}

#[test]
fn more_than_a_window_of_output_arrives_whole_and_one_that_ends_at_once_is_heard_out() {
    for mut pod in both(&[WAIT]) {
        let script = "i=0; while [ $i -lt 6000 ]; do echo line $i of a text that is not so short; i=$((i+1)); done";
        let wanted = pod.with_app("b", script, |_| {});
        let mut pod = pod.start();
        pod.wait_until_ready();
        change(&pod, &wanted, "b").unwrap();
        let said = read_until(&mut pod, "line 5999 of a text that is not so short\n");
        assert_eq!(said.lines().count(), 6000);
        wait_for(|| pod.status("b").as_deref() == Some("0"));
        // The last words of the last app come too.
        pod.control().stop(false).unwrap();
        assert_eq!(pod.finish().code, Some(0));
    }
}

#[test]
fn the_last_words_of_the_last_app_arrive_though_what_it_left_goes_on_talking() {
    for mut pod in both(&["sleep 0.2"]) {
        let script = "(while :; do echo noise; done) & sleep 0.5; echo last words";
        let wanted = pod.with_app("b", script, |_| {});
        let pod = pod.start();
        pod.wait_until_ready();
        change(&pod, &wanted, "b").unwrap();
        let ended = pod.finish();
        assert_eq!(ended.code, Some(0));
        assert!(ended.output.contains("last words\n"));
    }
}

#[test]
fn output_that_nobody_reads_holds_up_no_end() {
    for mut pod in both(&[WAIT]) {
        let wanted = pod.with_app("b", "while :; do echo yes; done", |_| {});
        let pod = pod.start();
        pod.wait_until_ready();
        change(&pod, &wanted, "b").unwrap();
        assert_eq!(names(&pod), ["a", "b"]);
        let status = fs::read_to_string(format!("/proc/{}/status", pod.pid())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = resident.split_whitespace().next().unwrap().parse().unwrap();
        assert!(kilobytes < 16_384, "{kilobytes} kB");
        pod.control().stop(true).unwrap();
        pod.finish();
    }
}

#[test]
fn an_app_that_goes_takes_all_that_was_its_own_along() {
    for mut pod in both(&[WAIT]) {
        let script = "trap 'echo bye; exit 5' TERM; (while :; do sleep 424242 & wait; done) & echo up; \
                      while :; do sleep 1000 & wait; done";
        let wanted = pod.with_app("b", script, |pod| pod.limit("b", LimitKind::Pids, 20));
        let uuid = pod.launch.pod.uuid.clone();
        let mut pod = pod.start();
        pod.wait_until_ready();
        for round in ["first", "second"] {
            let wanted = anew(&wanted, &pod);
            change(&pod, &wanted, &format!("{round} b")).unwrap();
            read_until(&mut pod, "up\n");
            wait_for(|| !processes_with("sleep\x00424242").is_empty());
            assert!(!groups_of(&uuid).is_empty());
            assert_eq!(pod.status("b"), None, "of an earlier app of the name nothing is left");
            change(&pod, &without(&wanted, "b"), &format!("{round} no b")).unwrap();
            read_until(&mut pod, "bye\n");
            assert_eq!(processes_with("sleep\x00424242"), Vec::<String>::new());
            assert_eq!(groups_of(&uuid), Vec::<String>::new());
            assert_eq!((names(&pod), pod.status("b").as_deref()), (vec!["a".to_owned()], Some("5")));
            assert_eq!(marks(&pod), vec![Some(format!("{round} no b")); 2]);
        }
        // Its code is not the pod's.
        pod.control().stop(false).unwrap();
        assert_eq!(pod.finish().code, Some(0));
    }
}

#[test]
fn an_app_that_does_not_end_is_killed_and_an_ended_one_can_go_too() {
    for mut pod in both(&[WAIT, "exit 0"]) {
        let launch = pod.launch.clone();
        let wanted = pod.with_app("c", "trap '' TERM; echo up; while :; do sleep 1000; done", |_| {});
        let mut pod = pod.start();
        pod.wait_until_ready();
        wait_for(|| pod.status("b").is_some());
        change(&pod, &wanted, "x").unwrap();
        read_until(&mut pod, "up\n");
        change(&pod, &without(&wanted, "b"), "x").unwrap();
        assert_eq!(names(&pod), ["a", "c"]);
        change(&pod, &without(&launch, "b"), "x").unwrap();
        assert_eq!((names(&pod), pod.status("c").as_deref()), (vec!["a".to_owned()], Some("9")));
        pod.control().stop(true).unwrap();
    }
}

#[test]
fn what_cannot_change_is_refused_and_the_pod_is_as_it_was() {
    let mut pod = TestPod::isolated(&[WAIT]);
    let launch = pod.launch.clone();
    let wanted = pod.with_app("b", "true", |pod| pod.limit("b", LimitKind::Pids, 9));
    let uuid = launch.pod.uuid.clone();
    let pod = pod.start();
    pod.wait_until_ready();
    let refused = |change_it: &dyn Fn(&mut Launch)| {
        let mut wanted = anew(&wanted, &pod);
        change_it(&mut wanted);
        let error = change(&pod, &wanted, "no").unwrap_err().to_string();
        assert_eq!((names(&pod), marks(&pod)), (vec!["a".to_owned()], vec![None; 2]));
        assert_eq!(groups_of(&uuid), Vec::<String>::new());
        assert!(matches!(pod.control().status().unwrap().apps[0].state, AppState::Running { .. }));
        error
    };
    let hostname = |launch: &mut Launch| {
        for word in &mut launch.plan.words {
            if let Word::Hostname { name } = word {
                "other".clone_into(name);
            }
        }
    };
    assert_eq!(refused(&hostname), "this cannot change in a pod that runs: pod: host name: test-pod -> other");
    let oom = |launch: &mut Launch| {
        launch.plan.words.push(Word::App { app: "a".to_owned(), word: JailWord::OomScore { adjustment: 1 } });
    };
    assert_eq!(refused(&oom), "this cannot change in a pod that runs: app a: oom score: + 1");
    let ungranted = |launch: &mut Launch| launch.granted = "root".parse().into_iter().collect();
    assert!(refused(&ungranted).contains("is not granted"));
    let other = |launch: &mut Launch| launch.pod.uuid.push('x');
    assert!(refused(&other).contains("another pod"));
    let nothing = |wanted: &mut Launch| wanted.clone_from(&launch);
    assert!(refused(&nothing).contains("one app more or one less"));
    let none = |wanted: &mut Launch| *wanted = without(&launch, "a");
    assert_eq!(refused(&none), "it is the last app of the pod");
    let command = |launch: &mut Launch| launch.commands.clear();
    assert!(refused(&command).contains("no command"));
    let root = |launch: &mut Launch| {
        launch.places.roots.get_mut("b").unwrap().lower = vec!["/no/such/tree".into()];
    };
    assert_eq!(refused(&root), "app b: open a layer: open /no/such/tree: No such file or directory (os error 2)");
    let program = |launch: &mut Launch| launch.commands.get_mut("b").unwrap().arguments = vec!["/no/such".to_owned()];
    assert_eq!(refused(&program), "app b: there is no /no/such");
    let json = pod.control().change(b"{}".to_vec()).unwrap_err().to_string();
    assert!(json.contains("understand what is to be"), "{json}");
    // After all that it still can.
    change(&pod, &anew(&wanted, &pod), "yes").unwrap();
    assert_eq!(names(&pod), ["a", "b"]);
}

/// Stops init: it does nothing until it is told to go on. It has parted from the host's mounts by then, without which
/// no change gets so far as to be judged.
fn stop_init(pod: &Running) -> Pid {
    let error = pod.control().change(b"{}".to_vec()).unwrap_err().to_string();
    assert!(error.contains("understand what is to be"), "{error}");
    let init = Pid::from_raw(pod.control().status().unwrap().init.cast_signed()).unwrap();
    kill_process(init, Signal::STOP).unwrap();
    init
}

/// All that a client says who asks for a change.
fn asking(wanted: &Launch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = |call| Stream::new(call, Channel::Message);
    Frame::Hello(VERSION).encode(message(0), &mut bytes);
    Frame::Message(serde_json::to_vec(&Request::Change {}).unwrap()).encode(message(1), &mut bytes);
    let launch = serde_json::to_vec(wanted).unwrap();
    Frame::Data(launch).encode(Stream::new(1, Channel::Input), &mut bytes);
    Frame::End.encode(Stream::new(1, Channel::Input), &mut bytes);
    bytes
}

#[test]
fn a_change_whose_asker_is_gone_is_made_to_its_end_or_never_begun() {
    for mut pod in both(&[WAIT]) {
        let wanted = pod.with_app("b", "sleep 1000", |_| {});
        let pod = pod.start();
        pod.wait_until_ready();
        let staged = pod.path().join(STAGED);
        fs::create_dir(&staged).unwrap();
        for name in STAGED_FILES {
            fs::write(staged.join(name), "b").unwrap();
        }
        let asking = asking(&wanted);
        // One that is gone before all was said has asked for nothing.
        for length in [20, asking.len() / 2, asking.len() - 1] {
            let mut client = UnixStream::connect(pod.path().join("control")).unwrap();
            client.write_all(&asking[..length]).unwrap();
            drop(client);
            wait_for(|| !pod.control().status().unwrap().is_changing);
            assert_eq!(names(&pod), ["a"]);
        }
        let init = stop_init(&pod);
        let mut client = UnixStream::connect(pod.path().join("control")).unwrap();
        client.write_all(&asking).unwrap();
        wait_for(|| names(&pod).len() == 2);
        drop(client);
        assert!(pod.control().status().unwrap().is_changing);
        let error = pod.control().change(b"{}".to_vec()).unwrap_err();
        assert_eq!((error.to_string().as_str(), marks(&pod)), ("the pod is being changed already", vec![None; 2]));
        kill_process(init, Signal::CONT).unwrap();
        wait_for(|| !pod.control().status().unwrap().is_changing);
        assert_eq!((names(&pod).len(), marks(&pod)), (2, vec![Some("b".to_owned()); 2]));
        pod.control().stop(true).unwrap();
    }
}

#[test]
fn a_monitor_that_is_killed_in_the_middle_leaves_nothing() {
    for mut pod in both(&[WAIT]) {
        let wanted = pod.with_app("b", "sleep 535353", |pod| pod.limit("b", LimitKind::Pids, 9));
        let uuid = pod.launch.pod.uuid.clone();
        let pod = pod.start();
        pod.wait_until_ready();
        let init = stop_init(&pod);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| change(&pod, &wanted, "b"));
            wait_for(|| pod.control().status().unwrap().apps.len() == 2);
            assert!(!groups_of(&uuid).is_empty());
            kill_process(Pid::from_raw(pod.pid()).unwrap(), Signal::KILL).unwrap();
            assert!(matches!(asking.join().unwrap(), Err(ControlError::Ended | ControlError::Link(_))));
        });
        // Where pids are shared, init ends the pod as soon as it can; elsewhere it is dead.
        let _ = kill_process(init, Signal::CONT);
        assert_eq!(marks(&pod), vec![None; 2]);
        drop(pod);
        assert_eq!(processes_with("535353"), Vec::<String>::new());
        assert_eq!(groups_of(&uuid), Vec::<String>::new());
    }
}

#[test]
fn what_a_program_started_gets_no_apps() {
    let mut pod = TestPod::opaque("sleep 1000");
    let mut wanted = pod.with_app("b", "true", |_| {});
    // To the host there are no apps inside.
    wanted.plan.words.retain(|word| !matches!(word, Word::App { .. }));
    wanted.plan.words.push(Word::Waive { request: "app/b/user".to_owned(), reason: "it is opaque".to_owned() });
    let pod = pod.start();
    pod.wait_until_ready();
    let error = change(&pod, &wanted, "no").unwrap_err().to_string();
    assert!(error.contains("started by a program of its flavor's"), "{error}");
    assert_eq!((names(&pod), marks(&pod)), (vec!["a".to_owned()], vec![None; 2]));
    pod.control().stop(true).unwrap();
}

#[test]
fn nothing_of_a_change_stays_in_init_or_with_another_app() {
    let mut pod = TestPod::isolated(&[WAIT]);
    let wanted = pod.with_app("b", "sleep 1000", |_| {});
    let pod = pod.start();
    pod.wait_until_ready();
    let init = pod.control().status().unwrap().init;
    let mounts = |pid: u32| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap().lines().count();
    let before = mounts(init);
    change(&pod, &wanted, "b").unwrap();
    assert_eq!(mounts(init), before, "the places are cleared");
    assert!(Path::new(&format!("/proc/{init}/root/apps")).read_dir().unwrap().next().is_none());
    let (_, a) = enter(&pod, "a", "cat /proc/self/mounts | wc -l");
    let (_, b) = enter(&pod, "b", "cat /proc/self/mounts | wc -l");
    assert_eq!(a, b);
    pod.control().stop(true).unwrap();
}
