//! Programs of a plan: jailed, with something opaque inside; helpers beside them; ways in and to the end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use rkt_plan::{Access, JailWord, Place, ProgramWord, Role, SpokenPiece as Piece, Word};

use crate::enter::enter_with;
use crate::life::processes_with;
use crate::pod::{TestPod, wait_for};

fn helper(name: &str) -> Role {
    Role::Helper(name.to_owned())
}

#[test]
fn an_opaque_pod_ends_with_its_programs_code_and_its_output_is_the_apps() {
    let finished = TestPod::opaque("echo hello; echo oops >&2; exit 7").run();
    assert_eq!(finished.code, Some(7), "{}", finished.error);
    assert!(
        finished.output.ends_with("] a[2]: hello\n") || finished.output.contains(": hello\n"),
        "{}",
        finished.output
    );
    assert!(finished.error.contains(": oops\n"), "{}", finished.error);
    assert_eq!(finished.status("a").as_deref(), Some("7"));
}

#[test]
fn a_jail_has_what_is_planned_and_nothing_else() {
    let script = "ls /; id -u; id -g; cat /proc/self/status; ls -l /proc/self/fd; cat /proc/net/dev | wc -l; echo $PATH; echo $SECRET; \
                  cat /etc/motd; touch /bin/x || echo unwritable; touch /x || echo unwritable; touch /run/x && echo writable";
    let mut pod = TestPod::opaque(script);
    let made = JailWord::File { path: "/etc/motd".into(), mode: 0o644, content: "welcome\n".into() };
    pod.program(&Role::Main, ProgramWord::Jail { word: made });
    pod.program(&Role::Main, ProgramWord::Jail { word: JailWord::NoNewPrivileges });
    let finished = pod.run();
    let lines: Vec<&str> =
        finished.output.lines().filter_map(|line| line.split_once(": ")).map(|(_, line)| line).collect();
    assert_eq!(lines[..4], ["bin", "etc", "proc", "run"], "{}\n{}", finished.output, finished.error);
    let id: u32 = lines[4].parse().unwrap();
    assert!((0x7800_0000..0x7c00_0000).contains(&id), "{id}");
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "NSpid:\t3"] {
        assert!(lines.iter().any(|known| known.starts_with(&line[..line.len() - 1])), "{line}: {}", finished.output);
    }
    for line in ["welcome", "unwritable", "writable", "/bin"] {
        assert!(lines.contains(&line), "{line}: {}", finished.output);
    }
    assert_eq!(lines.iter().filter(|line| **line == "unwritable").count(), 2);
    assert!(!finished.output.contains("s3cret"));
    // 0, 1 and 2; what lists them is gone before it is looked at.
    assert_eq!(lines.iter().filter(|line| line.contains(" -> ")).count(), 3, "{}", finished.output);
}

#[test]
fn descriptors_come_by_the_numbers_that_the_arguments_say() {
    let mut pod = TestPod::opaque("cat <&3; cat <&4; echo $0 $1; echo more >&4 || echo unwritable");
    let role = Role::Main;
    for (name, text) in [("one", "first\n"), ("two", "second\n")] {
        fs::write(pod.path().join(name), text).unwrap();
        let place = Place::Host(pod.path().join(name).to_str().unwrap().to_owned());
        let pieces = vec![Piece::Text(format!("{name}=")), Piece::Descriptor { place, access: Access::ReadOnly }];
        pod.program(&role, ProgramWord::Argument { pieces });
    }
    let finished = pod.run();
    for line in [": first\n", ": second\n", ": one=3 two=4\n", ": unwritable\n"] {
        assert!(finished.output.contains(line), "{}{}", finished.output, finished.error);
    }
}

#[test]
fn a_way_in_runs_in_the_programs_jail_and_takes_words_as_they_are() {
    let mut pod = TestPod::opaque("touch /run/up; while [ ! -e /run/stop ]; do sleep 0.05; done; exit 3");
    pod.template(&Role::Enter, &["sh", "-c", "echo in; id -u; for word; do echo \"<$word>\"; done; exit 5", "enter"]);
    pod.program(&Role::Enter, ProgramWord::Argument { pieces: vec![Piece::Words] });
    pod.template(&Role::Stop, &["sh", "-c", ": > /run/stop"]);
    let running = pod.start();
    running.wait_until_ready();
    let entered = enter_with(&running, "a", &["a b", "$(reboot)", "--x"], None, b"");
    let text = entered.output;
    assert!(text.starts_with("in\n2") && text.ends_with("<a b>\n<$(reboot)>\n<--x>\n"), "{text}{}", entered.error);
    assert_eq!(entered.ended.unwrap(), rkt_monitor::Ended::Code(5));
    running.control().stop(false).unwrap();
    let finished = running.finish();
    assert_eq!(finished.code, Some(3), "stopped by the template: {}", finished.error);
}

#[test]
fn without_a_way_in_entering_is_refused_and_stopping_is_a_signal() {
    let running = TestPod::opaque("trap 'exit 0' TERM; touch /run/up; while :; do sleep 0.05; done").start();
    running.wait_until_ready();
    let refused = enter_with(&running, "a", &["sh"], None, b"").ended.unwrap_err();
    assert!(refused.to_string().contains("no way to enter"), "{refused}");
    let up = running.path().parent().unwrap().join("empty/run/up");
    wait_for(|| up.exists());
    running.control().stop(false).unwrap();
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn the_end_of_a_helper_is_the_end_of_the_pod_and_the_other_way_round() {
    let mut pod = TestPod::opaque("exec sleep 1000");
    pod.start_program(&helper("guard"), &["sh", "-c", "while [ ! -e /run/leave ]; do sleep 0.05; done; exit 9"]);
    let running = pod.start();
    running.wait_until_ready();
    fs::write(running.path().parent().unwrap().join("empty/run/leave"), "").unwrap();
    let finished = running.finish();
    assert_eq!(finished.code, Some(9), "{}", finished.error);
    assert!(finished.error.contains("helper guard has ended with code 9, and the pod with it"), "{}", finished.error);

    let mut pod = TestPod::opaque("exit 0");
    pod.start_program(&helper("guard"), &["sleep", "765431"]);
    let finished = pod.run();
    assert_eq!((finished.code, finished.error.as_str()), (Some(0), ""));
    assert!(processes_with("765431").is_empty());
}

#[test]
fn what_a_helper_makes_is_waited_for_and_a_helper_that_fails_fails_the_pod() {
    let ready = |pod: &mut TestPod, script: &str| {
        pod.start_program(&helper("server"), &["sh", "-c", script]);
        pod.program(&helper("server"), ProgramWord::ReadyWhen { path: "/run/sock".to_owned() });
    };
    let mut pod = TestPod::opaque("cat /run/sock");
    ready(&mut pod, "sleep 0.3; echo made > /run/new; mv /run/new /run/sock; exec sleep 1000");
    let finished = pod.run();
    assert!(finished.output.contains(": made\n"), "{}{}", finished.output, finished.error);

    let mut pod = TestPod::opaque("exit 0");
    ready(&mut pod, "exit 4");
    let finished = pod.run();
    assert_eq!(finished.code, Some(254));
    assert!(finished.error.contains("helper server: it ended with 4 before it was ready"), "{}", finished.error);
}

#[test]
fn a_socket_by_which_a_helper_is_ready_is_the_programs_to_connect_to() {
    let mut pod = TestPod::opaque("stat -c '%A %g' /run/sock /run/file; id -g");
    pod.start_program(&helper("server"), &["sh", "-c", "mv /run/new /run/sock; exec sleep 1000"]);
    pod.program(&helper("server"), ProgramWord::ReadyWhen { path: "/run/sock".to_owned() });
    let place = pod.path().join("empty/run");
    fs::create_dir(&place).unwrap();
    let _listening = UnixListener::bind(place.join("new")).unwrap();
    fs::set_permissions(place.join("new"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(place.join("file"), "").unwrap();
    let finished = pod.run();
    let lines: Vec<&str> =
        finished.output.lines().filter_map(|line| line.split_once(": ")).map(|(_, line)| line).collect();
    let group = lines.last().unwrap();
    assert_eq!(lines[..2], [format!("srwxrw---- {group}"), "-rw-r--r-- 0".to_owned()], "{}", finished.error);
}

#[test]
fn nothing_of_a_jail_outlives_the_monitor() {
    let mut pod = TestPod::opaque("sleep 865432 | sleep 865433");
    pod.start_program(&helper("guard"), &["sleep", "865434"]);
    let mut running = pod.start();
    running.wait_until_ready();
    let marks = ["865432", "865433", "865434"];
    wait_for(|| marks.iter().all(|mark| !processes_with(mark).is_empty()));
    let mut monitor = running.monitor.take().unwrap();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    wait_for(|| marks.iter().all(|mark| processes_with(mark).is_empty()));
}

#[test]
fn a_program_whose_loader_is_missing_says_so() {
    let mut pod = TestPod::opaque("exit 0");
    pod.forget("program");
    pod.launch.plan.words.insert(
        0,
        Word::Program { role: Role::Main, word: ProgramWord::File { file: Place::Host("/bin/ls".to_owned()) } },
    );
    let more = "program:host:/bin/ls".parse().unwrap();
    let with = |list: &rkt_plan::Permissions| list.iter().cloned().chain([more]).collect::<rkt_plan::Permissions>();
    let allowed = with(&pod.launch.granted);
    (pod.launch.granted, pod.launch.declared) = (allowed.clone(), allowed);
    let finished = pod.run();
    assert_eq!(finished.code, Some(254));
    assert!(finished.error.contains("its interpreter or loader"), "{}", finished.error);
}
