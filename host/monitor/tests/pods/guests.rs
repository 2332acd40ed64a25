//! Guests in hostile hands: what the monitor hears over their serial line harms neither it nor the host.

use std::fs;
use std::time::{Duration, Instant};

use rkt_executor::trial::{Notes, Outcome, Trial};
use rkt_monitor::frame::{Channel, Frame, LARGEST, Stream, VERSION, WINDOW};
use rkt_monitor::{AppState, Ended};

use crate::enter::enter_with;
use crate::hostile::{encode, hello};
use crate::pod::{Finished, Running, TestPod, wait_for};

/// The call of the output of the app with number 0, as `between.rs` has it.
const OUTPUTS: u32 = 1 << 29;

/// Says what there is to say, and then keeps the line open.
const SAY: &str = "cat /bin/bytes >&3; exec sleep 1000";

fn event(json: &str) -> (Stream, Frame) {
    (Stream::new(0, Channel::Message), Frame::Message(json.as_bytes().to_vec()))
}

fn output(app: u32, length: usize) -> (Stream, Frame) {
    (Stream::new(OUTPUTS + app, Channel::Output), Frame::Data(vec![b'x'; length]))
}

fn run(frames: &[(Stream, Frame)]) -> Finished {
    TestPod::guest(SAY, &encode(frames), 60).run()
}

fn fails(finished: &Finished, why: &str) {
    assert_eq!(finished.code, Some(254), "{why}: {}", finished.error);
    assert!(finished.error.contains(why), "{why}: {}", finished.error);
    assert!(finished.error.len() < 4096 && !finished.error.contains("panicked"), "{why}: {}", finished.error);
}

/// The most memory that the monitor has had, in kibibytes.
fn peak(running: &Running) -> u64 {
    let pid = running.monitor.as_ref().unwrap().id();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn one_that_says_nothing_is_given_its_time_and_no_more() {
    let start = Instant::now();
    let finished = TestPod::guest("exec sleep 1000", b"", 1).run();
    fails(&finished, "the guest did not speak within 1 s, and was killed: ask another");
    assert!(start.elapsed() >= Duration::from_secs(1));
    // Half a greeting is none.
    let half = &encode(&[hello()])[..5];
    fails(&TestPod::guest(SAY, half, 1).run(), "did not speak within 1 s");
}

#[test]
fn its_first_word_or_that_there_is_none_is_noted_of_the_devices_that_are_on_trial() {
    let device: rkt_plan::CleanPath = "/dev/full".parse().unwrap();
    let run = |script: &str, bytes: &[u8], seconds| {
        let mut pod = TestPod::guest(script, bytes, seconds);
        // Pods and notes are in one data directory.
        let notes = Notes::of(pod.path());
        pod.launch.trial = Trial { notes: notes.clone(), devices: vec![device.clone()] };
        let finished = pod.run();
        (notes.about(&device), finished)
    };
    let noted = "; that /dev/full does not work is noted for as long as this host runs: ask another";
    let (outcome, finished) = run(SAY, b"", 1);
    assert_eq!(outcome, Some(Outcome::Fails));
    fails(&finished, &format!("the guest did not speak within 1 s, and was killed{noted}"));
    let (outcome, finished) = run("kill -ABRT $$", b"", 60);
    assert_eq!(outcome, Some(Outcome::Fails));
    fails(&finished, &format!("has ended with signal 6 before the guest spoke{noted}"));

    let end = (Stream::new(0, Channel::Message), Frame::End);
    let (outcome, finished) = run(SAY, &encode(&[hello(), end]), 60);
    assert_eq!((outcome, finished.error.as_str()), (Some(Outcome::Works), ""));
    // Also where it was the last.
    let (outcome, finished) = run("cat /bin/bytes >&3; kill -SEGV $$", &encode(&[hello()]), 60);
    assert_eq!(outcome, Some(Outcome::Works));
    assert!(finished.error.contains("the program that runs the guest has ended with signal 11"), "{}", finished.error);

    // That a program gives up, or is ended, says nothing of its devices.
    for (script, how) in [("exit 1", "code 1"), ("kill -KILL $$", "signal 9")] {
        let (outcome, finished) = run(script, b"", 60);
        assert_eq!(outcome, None, "{script}");
        fails(&finished, &format!("the program that runs the guest has ended with {how} before the guest spoke: ask"));
    }
}

#[test]
fn what_is_not_the_protocol_is_the_end_of_the_pod() {
    for bytes in [b"Linux version 6.1.0 (no greeting at all)".to_vec(), vec![0xff; 1 << 20], vec![9; 4096]] {
        fails(&TestPod::guest(SAY, &bytes, 60).run(), "hear the guest");
    }
    let other = (Stream::new(0, Channel::Message), Frame::Hello(VERSION + 1));
    fails(&run(&[other]), "speaks version");
    fails(&run(&[event("{}")]), "did not begin with its version");
    fails(&run(&[hello(), hello()]), "speaks version");
    let huge = [encode(&[hello()]), vec![2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]].concat();
    fails(&TestPod::guest(SAY, &huge, 60).run(), "a frame of 4294967295 bytes");
}

#[test]
fn what_cannot_be_is_not_believed() {
    let made = event("{\"made\":{\"app\":0,\"pid\":2}}");
    let exited = event("{\"exited\":{\"app\":0,\"ended\":{\"code\":0}}}");
    for (frames, why) in [
        (vec![event("no json")], "understand init"),
        (vec![event("{\"made\":{\"app\":7,\"pid\":2}}")], "an app that is none"),
        (vec![event("{\"exited\":{\"app\":18446744073709551615,\"ended\":{\"code\":0}}}")], "an app that is none"),
        (vec![event("{\"exited\":{\"app\":0,\"ended\":{\"code\":65536}}}")], "ended with 65536"),
        (vec![made.clone(), made.clone()], "says again"),
        (vec![exited.clone(), made.clone()], "says again"),
        (vec![exited.clone(), exited], "says again"),
        (vec![output(9, 10)], "an app that is none"),
        (vec![made.clone(), (Stream::new(OUTPUTS, Channel::Output), Frame::Message(b"{}".to_vec()))], "something else"),
        (vec![made.clone(), (Stream::new(OUTPUTS, Channel::Output), Frame::Credit(u32::MAX))], "something else"),
    ] {
        fails(&run(&[vec![hello()], frames].concat()), why);
    }
}

#[test]
fn it_sends_no_more_than_it_may() {
    // Its app was not made, so that nothing of its output is handed on.
    let window = usize::try_from(WINDOW).unwrap();
    fails(&run(&[hello(), output(0, window.min(LARGEST)), output(0, 1)]), "more than it may");
}

#[test]
fn what_it_says_of_a_failure_is_one_line_of_text() {
    let failure = "{\"text\":\"\\u001b]0;title\\u0007\\nrun: ok\",\"cause\":null,\"program\":true}";
    let failed = event(&format!("{{\"failed\":{{\"app\":0,\"failure\":{failure}}}}}"));
    let end = (Stream::new(0, Channel::Message), Frame::End);
    let finished = run(&[hello(), failed, end]);
    assert_eq!(finished.error.lines().count(), 1, "{:?}", finished.error);
    assert!(finished.error.contains("title") && !finished.error.contains(['\u{1b}', '\u{7}']), "{:?}", finished.error);
}

#[test]
fn its_machine_ends_when_it_has_said_its_last_whatever_it_does_then() {
    let made = event("{\"made\":{\"app\":0,\"pid\":2}}");
    let exited = event("{\"exited\":{\"app\":0,\"ended\":{\"code\":3}}}");
    let end = (Stream::new(0, Channel::Message), Frame::End);
    let finished = run(&[hello(), made.clone(), output(0, 100), exited, end.clone()]);
    assert_eq!((finished.code, finished.error.as_str()), (Some(3), ""));
    assert!(finished.output.contains(&"x".repeat(100)), "{}", finished.output);
    // Its apps did not end, so they were killed.
    let finished = run(&[hello(), made, end]);
    assert_eq!((finished.code, finished.status("a").as_deref()), (Some(9), Some("9")));
}

#[test]
fn one_that_says_no_more_holds_up_nobody() {
    let running = TestPod::guest(SAY, &encode(&[hello()]), 60).start();
    wait_for(|| running.path().join("control").exists());
    let entered = std::thread::scope(|scope| {
        // Nobody answers this one.
        let waits = scope.spawn(|| enter_with(&running, "a", &["sh"], None, b"").ended);
        let status = running.control().status().unwrap();
        assert_eq!(status.apps[0].state, AppState::Starting);
        running.control().stop(true).unwrap();
        waits.join().unwrap()
    });
    assert!(entered.is_err());
    let finished = running.finish();
    assert_eq!((finished.code, finished.status("a").as_deref()), (Some(9), Some("9")), "{}", finished.error);
}

#[test]
fn one_that_never_stops_speaking_takes_no_memory_and_holds_up_nobody() {
    let credit = |call| (Stream::new(call, Channel::Input), Frame::Credit(u32::MAX));
    let reply = (Stream::new(7, Channel::Message), Frame::Message(b"{\"started\":{}}".to_vec()));
    let frames: Vec<_> = (0..100).flat_map(|call| [credit(call), credit(1), reply.clone(), output(0, 0)]).collect();
    // The greeting is said once, and then the rest without end.
    let script = "head -c 11 /bin/bytes >&3; while :; do cat /bin/rest; done >&3";
    let pod = TestPod::guest(script, &encode(&[hello()]), 60);
    fs::write(pod.path().join("image/bin/rest"), encode(&frames)).unwrap();
    let running = pod.start();
    // A client that asks for something, and does not read what comes of it.
    wait_for(|| running.path().join("control").exists());
    let mut silent = std::os::unix::net::UnixStream::connect(running.path().join("control")).unwrap();
    let enter = rkt_monitor::Enter { app: "a".into(), arguments: vec!["sh".into()], file: None, terminal: None };
    let asked = serde_json::to_vec(&rkt_monitor::Request::Enter(enter)).unwrap();
    let asked = encode(&[hello(), (Stream::new(1, Channel::Message), Frame::Message(asked))]);
    std::io::Write::write_all(&mut silent, &asked).unwrap();
    // Many megabytes go by meanwhile.
    let pid = running.monitor.as_ref().unwrap().id();
    let read = || {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse::<u64>().unwrap()
    };
    wait_for(|| read() > 64 << 20);
    assert!(running.control().status().is_ok());
    let peak = peak(&running);
    assert!(peak < 8 << 10, "{peak} KiB");
    running.control().stop(true).unwrap();
    let finished = running.finish();
    assert_eq!(finished.status("a"), Some(Ended::Signal(9).code().to_string()));
    drop(silent);
}
