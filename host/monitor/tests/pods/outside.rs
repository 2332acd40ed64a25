//! Programs outside of their jails: what they see, what stays of them, and who comes as the init that they start.

use std::fs;
use std::path::Path;

use rkt_plan::{Access, JailWord, Place, ProgramWord, Role};

use crate::life::processes_with;
use crate::pod::{Finished, TestPod, wait_for};

/// Connects to the socket, and does what else is said.
const CONNECT: &str =
    "/usr/bin/perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => shift) or die \"none: $!\"; sleep shift'";

/// Lines without whose they are.
fn lines(finished: &Finished) -> Vec<&str> {
    finished.output.lines().filter_map(|line| line.split_once("]: ")).map(|(_, line)| line).collect()
}

fn fails(finished: &Finished, why: &str) {
    assert_eq!(finished.code, Some(254), "{why}: {}", finished.error);
    assert!(finished.error.contains(why) && !finished.error.contains("panicked"), "{why}: {}", finished.error);
}

/// Directories of control groups that have this in their paths.
fn groups_of(uuid: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![Path::new("/sys/fs/cgroup").to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
                found.extend(entry.path().to_str().filter(|path| path.contains(uuid)).map(str::to_owned));
            }
        }
    }
    found
}

#[test]
fn it_has_the_hosts_files_and_a_tree_and_the_host_sees_none_of_it() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let script = "cat $0/file; ls $0; readlink $0/link; ls -A /var/tmp; touch /var/tmp/mine $0/new; ls /var/tmp; \
                  echo x > $0/bin/new || echo unwritable; id -u; pwd; env";
    let mut pod = TestPod::outside(script);
    let image = Place::Host(pod.path().join("image/bin").to_str().unwrap().to_owned());
    for word in [
        JailWord::File { path: "/file".into(), mode: 0o600, content: "in the tree\n".into() },
        JailWord::Link { path: "/link".into(), to: "file".into() },
        JailWord::Bind { source: image, target: "/bin".into(), access: Access::ReadOnly, recursive: false },
    ] {
        pod.program(&Role::Main, ProgramWord::Jail { word });
    }
    pod.allow("own-directory:/var/tmp");
    pod.program(&Role::Main, ProgramWord::OwnDirectory { path: "/var/tmp".to_owned() });
    let finished = pod.run();
    assert_eq!(finished.code, Some(0), "{}", finished.error);
    let expected = ["in the tree", "bin", "file", "link", "file", "mine", "unwritable", "0", "/", "PATH=/usr/bin"];
    let told = lines(&finished);
    assert_eq!(told[..expected.len() - 1], expected[..expected.len() - 1], "{}", finished.error);
    assert!(told.contains(&"PATH=/usr/bin") && !finished.output.contains("s3cret"), "{}", finished.output);
    assert!(!Path::new("/var/tmp/mine").exists());
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}

#[test]
fn its_code_is_the_pods_and_nothing_that_it_left_running_stays() {
    let marker = "1000.000731";
    let script = format!("setsid sleep {marker} & setsid sh -c 'setsid sleep {marker} & exit' ; exit 7");
    let pod = TestPod::outside(&script);
    let uuid = pod.launch.pod.uuid.clone();
    assert_eq!(pod.run().code, Some(7));
    assert_eq!(processes_with(marker), Vec::<String>::new());
    assert_eq!(groups_of(&uuid), Vec::<String>::new());
}

#[test]
fn it_is_in_a_group_of_its_own_by_which_it_is_found_whoever_is_killed() {
    let marker = "1000.000732";
    let pod = TestPod::outside(&format!("echo here; sleep {marker}; exit 1"));
    let uuid = pod.launch.pod.uuid.clone();
    let running = pod.start();
    running.wait_until_ready();
    let groups = groups_of(&uuid);
    assert!(groups.iter().any(|group| group.ends_with("/-program-0")), "{groups:?}");
    let init = fs::read_to_string(running.path().join("pid")).unwrap();
    for pid in [running.pid().to_string(), init] {
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    // What is dropped is undone as whoever meets the pod next does.
    drop(running);
    wait_for(|| processes_with(marker).is_empty());
    assert_eq!(groups_of(&uuid), Vec::<String>::new());
}

#[test]
fn an_init_that_does_not_come_is_given_its_time_and_no_more() {
    fails(
        &TestPod::meeting("exec sleep 1000.000733", 1).run(),
        "the pod's init did not speak within 1 s, and was killed: ask another",
    );
    assert_eq!(processes_with("1000.000733"), Vec::<String>::new());
    let ended = TestPod::meeting("exit 3", 60).run();
    fails(
        &ended,
        "the program that runs the pod's init has ended with code 3 before the pod's init spoke: ask another",
    );
}

#[test]
fn one_that_comes_and_says_nothing_is_none() {
    let unshare = "/usr/bin/unshare --pid --fork --mount --net --ipc --uts --kill-child";
    let silent = TestPod::meeting(&format!("exec {unshare} {CONNECT} $0/way/channel 1000"), 2).run();
    fails(&silent, "the pod's init did not speak within 2 s");
    let gone = TestPod::meeting(&format!("exec {unshare} {CONNECT} $0/way/channel 0"), 60).run();
    fails(&gone, "before the pod's init spoke");
}

#[test]
fn whoever_is_not_the_first_of_namespaces_of_its_own_is_given_nothing() {
    let stranger = "somebody else than the init that the program is to start has connected";
    for (with, why) in [
        ("", "is not the first of its namespace"),
        ("/usr/bin/unshare --pid --fork --kill-child ", "has left it in the host's net namespace"),
        ("/usr/bin/unshare --pid --fork --kill-child --mount --net --uts ", "has left it in the host's ipc namespace"),
        (
            "/usr/bin/unshare --pid --fork --kill-child --mount --net --ipc --uts /usr/bin/setpriv --reuid=33 ",
            "connect",
        ),
    ] {
        let finished = TestPod::meeting(&format!("exec {with}{CONNECT} $0/way/channel 1000"), 60).run();
        if why == "connect" {
            // Only root may at all.
            fails(&finished, "before the pod's init spoke");
            assert!(finished.error.contains("none: Permission denied"), "{}", finished.error);
        } else {
            fails(&finished, stranger);
            fails(&finished, why);
        }
    }
}

#[test]
fn a_helper_outside_of_its_jail_ends_with_the_pod() {
    let marker = "1000.000734";
    let mut pod = TestPod::isolated(&["echo done"]);
    pod.leave_jail(&Role::Helper("beside".to_owned()), &format!("sleep {marker}; exit 1"));
    let finished = pod.run();
    assert_eq!((finished.code, finished.error.as_str()), (Some(0), ""));
    assert_eq!(processes_with(marker), Vec::<String>::new());
}
