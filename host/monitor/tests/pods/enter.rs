//! Commands that enter a pod.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use rkt_monitor::{ControlError, Ended, Enter, Stdio, Terminal, WindowSize};
use rkt_plan::{AppWord, LimitKind};

use crate::pod::{Running, TestPod};

const WAIT: &str = "cat /proc/self/status /proc/self/cgroup; ls -l /proc/self/ns; echo up; sleep 1000";

/// What became of a command.
struct Result {
    ended: std::result::Result<Ended, ControlError>,
    output: String,
    error: String,
}

fn enter_with(pod: &Running, app: &str, arguments: &[&str], terminal: Option<Terminal>, input: &[u8]) -> Result {
    let pipe = || std::io::pipe().unwrap();
    let ((stdin, mut ours), (mut output, stdout), (mut error, stderr)) = (pipe(), pipe(), pipe());
    let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
    let enter = Enter { app: app.to_owned(), arguments, terminal };
    let control = pod.control();
    std::thread::scope(|scope| {
        let written = scope.spawn(move || {
            // The command may not read it all.
            let _ = ours.write_all(input);
        });
        let read = scope.spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            text
        });
        let read_error = scope.spawn(move || {
            let mut text = String::new();
            error.read_to_string(&mut text).unwrap();
            text
        });
        let stdio = Stdio { input: stdin.as_fd(), output: stdout.as_fd(), error: stderr.as_fd(), resized: None };
        let ended = control.enter(&enter, stdio);
        drop((stdin, stdout, stderr));
        written.join().unwrap();
        Result { ended, output: read.join().unwrap(), error: read_error.join().unwrap() }
    })
}

fn enter(pod: &Running, arguments: &[&str]) -> Result {
    enter_with(pod, "a", arguments, None, b"")
}

fn both(scripts: &[&str]) -> [TestPod; 2] {
    [TestPod::isolated(scripts), TestPod::shared(scripts)]
}

#[test]
fn a_command_has_its_input_its_output_and_its_code() {
    for pod in both(&[WAIT]) {
        let pod = pod.start();
        pod.wait_until_ready();
        let result = enter_with(&pod, "a", &["sh", "-c", "cat; echo oops >&2; exit 4"], None, b"some input");
        assert_eq!(result.ended.unwrap(), Ended::Code(4));
        assert_eq!((result.output.as_str(), result.error.as_str()), ("some input", "oops\n"));
        let result = enter(&pod, &["sh", "-c", "kill -TERM $$"]);
        assert_eq!(result.ended.unwrap(), Ended::Signal(15));
        let result = enter(&pod, &["sh", "-c", "cd /proc/self/fd; echo *; echo $SECRET"]);
        assert_eq!(result.output, "0 1 2 3\ns3cret\n");
    }
}

#[test]
fn a_command_has_the_apps_own_rights_and_surroundings() {
    let mut pod = TestPod::isolated(&[WAIT]);
    pod.limit("a", LimitKind::Pids, 20);
    pod.app("a", AppWord::OomScore { adjustment: 7 });
    let mut pod = pod.start();
    pod.wait_until_ready();
    let script = "cat /proc/self/status /proc/self/cgroup; ls -l /proc/self/ns; cat /proc/self/oom_score_adj";
    let result = enter(&pod, &["sh", "-c", script]);
    let mut app = String::new();
    let output = pod.monitor.as_mut().unwrap().stdout.as_mut().unwrap();
    while !app.ends_with("up\n") {
        let mut bytes = [0; 4096];
        let length = output.read(&mut bytes).unwrap();
        app.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    let of_app: Vec<_> = app.lines().map(|line| line.split_once("]: ").unwrap().1).collect();
    let same = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Sig"];
    let mut compared = 0;
    for line in result.output.lines() {
        let is_right = same.iter().any(|name| line.starts_with(name)) && !line.starts_with("SigQ");
        if is_right || line.contains(":/") || line.contains(" -> ") {
            // Names and inodes of namespaces, without the dates of their links.
            let end = |line: &str| line.rsplit_once(":00 ").map_or(line, |(_, end)| end).to_owned();
            let found = of_app.iter().any(|other| {
                end(other).split_once(' ').map_or(end(other).as_str(), |_| end(other).leak()) == end(line)
            });
            let by_link = line.split_once(" -> ").map(|(_, inode)| inode);
            assert!(found || by_link.is_some_and(|inode| app.contains(inode)), "{line} not in {app}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{}", result.output);
    assert!(result.output.ends_with("\n7\n"), "{}", result.output);
}

#[test]
fn a_terminal_is_one_and_has_the_size_that_was_said() {
    for pod in both(&[WAIT]) {
        let pod = pod.start();
        pod.wait_until_ready();
        let terminal = Terminal { kind: Some("vt100".to_owned()), size: WindowSize { rows: 33, columns: 77 } };
        let script = ["sh", "-c", "tty -s && stty size; echo $TERM; echo x > /dev/tty"];
        let result = enter_with(&pod, "a", &script, Some(terminal), b"");
        assert_eq!(result.ended.unwrap(), Ended::Code(0));
        assert!(result.output.starts_with("33 77\r\nvt100\r\n"), "{:?}", result.output);
    }
}

#[test]
fn more_than_a_window_goes_in_and_out() {
    let pod = TestPod::isolated(&[WAIT]).start();
    pod.wait_until_ready();
    let input = vec![b'x'; 1 << 20];
    let result = enter_with(&pod, "a", &["cat"], None, &input);
    assert_eq!(result.ended.unwrap(), Ended::Code(0));
    assert_eq!(result.output.len(), input.len());
}

#[test]
fn what_cannot_be_entered_is_refused_with_a_reason() {
    let pod = TestPod::isolated(&[WAIT, "true"]).start();
    pod.wait_until_ready();
    crate::pod::wait_for(|| pod.status("b").is_some());
    for (app, command, reason) in [
        ("z", "true", "the pod has no app z"),
        ("b", "true", "app b does not run"),
        ("a", "nothing", "unable to find \"nothing\" in \"/bin\""),
    ] {
        let error = enter_with(&pod, app, &[command], None, b"").ended.unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
}

#[test]
fn a_client_that_goes_away_takes_its_command_along() {
    let pod = TestPod::shared(&[WAIT]).start();
    pod.wait_until_ready();
    let control = pod.control();
    let enter = Enter { app: "a".to_owned(), arguments: vec!["sleep".to_owned(), "765432".to_owned()], terminal: None };
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    // A client whose own output fails goes away in the middle.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let script = Enter { arguments: ["sh", "-c", "echo x; exec sleep 765432"].map(str::to_owned).into(), ..enter };
    let stdio = Stdio { input: null.as_fd(), output: full.as_fd(), error: null.as_fd(), resized: None };
    assert!(matches!(control.enter(&script, stdio), Err(ControlError::Stdio(_))));
    crate::pod::wait_for(|| {
        let mut entries = std::fs::read_dir("/proc").unwrap().flatten();
        !entries.any(|entry| {
            std::fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains("765432"))
        })
    });
}
