//! Commands that enter a pod.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use rkt_monitor::{ControlError, Ended, Enter, Stdio, Terminal, WindowSize};
use rkt_plan::{JailWord, LimitKind};

use crate::pod::{Running, TestPod};

const WAIT: &str = "cat /proc/self/status /proc/self/cgroup; ls -l /proc/self/ns; echo up; sleep 1000";

/// What became of a command.
pub(crate) struct Result {
    pub(crate) ended: std::result::Result<Ended, ControlError>,
    pub(crate) output: String,
    pub(crate) error: String,
}

pub(crate) fn enter_with(
    pod: &Running,
    app: &str,
    arguments: &[&str],
    terminal: Option<Terminal>,
    input: &[u8],
) -> Result {
    let pipe = || std::io::pipe().unwrap();
    let ((its_input, mut ours), (mut output, its_output), (mut error, its_error)) = (pipe(), pipe(), pipe());
    let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
    let enter = Enter { app: app.to_owned(), arguments, file: None, terminal };
    let control = pod.control();
    std::thread::scope(|scope| {
        let written = scope.spawn(move || {
            // The command may not read it all.
            let _ = ours.write_all(input);
        });
        let [output, error] = [&mut output, &mut error].map(|pipe| {
            scope.spawn(move || {
                let mut text = String::new();
                pipe.read_to_string(&mut text).unwrap();
                text
            })
        });
        let (input, output_to, error_to) = (its_input.as_fd(), its_output.as_fd(), its_error.as_fd());
        let ended = control.enter(&enter, Stdio { input, output: output_to, error: error_to, resized: None });
        drop((its_input, its_output, its_error));
        written.join().unwrap();
        Result { ended, output: output.join().unwrap(), error: error.join().unwrap() }
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

/// What a process may do and where it is: its status without what differs from process to process, its
/// groups, namespaces and score.
const SHOW: &str = "grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNewPrivs|Seccomp|SigBlk)' /proc/self/status; \
                    cat /proc/self/cgroup /proc/self/oom_score_adj; \
                    for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done; pwd; echo end";

#[test]
fn a_command_has_the_apps_own_rights_and_surroundings() {
    for mut pod in both(&[&format!("{SHOW}; sleep 1000")]) {
        pod.limit("a", LimitKind::Pids, 20);
        pod.app("a", JailWord::OomScore { adjustment: 7 });
        let mut pod = pod.start();
        pod.wait_until_ready();
        let entered = enter(&pod, &["sh", "-c", SHOW]).output;
        let mut of_app = String::new();
        let output = pod.monitor.as_mut().unwrap().stdout.as_mut().unwrap();
        while !of_app.ends_with("end\n") {
            let mut bytes = [0; 4096];
            let length = output.read(&mut bytes).unwrap();
            of_app.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
        // Lines of a log have something before them.
        let of_app: Vec<_> =
            of_app.lines().map(|line| line.split_once("a[2]: ").map_or(line, |(_, text)| text)).collect();
        assert_eq!(entered.lines().collect::<Vec<_>>(), of_app);
        assert!(of_app.len() > 25 && of_app.contains(&"7"), "{of_app:?}");
    }
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
    let enter = Enter {
        app: "a".to_owned(),
        arguments: vec!["sleep".to_owned(), "765432".to_owned()],
        file: None,
        terminal: None,
    };
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
