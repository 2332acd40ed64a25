//! Clients and readers that do not keep to anything.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use rkt_monitor::frame::{Channel, Decoder, Frame, Stream, VERSION, WINDOW};
use rkt_monitor::{Enter, Request};

use crate::pod::{Running, TestPod};

const WAIT: &str = "sleep 1000";

fn connect(pod: &Running) -> UnixStream {
    UnixStream::connect(pod.path().join("control")).unwrap()
}

/// The pod still answers, and still runs.
fn is_well(pod: &Running) {
    assert_eq!(pod.control().status().unwrap().apps.len(), 1);
}

/// Waits for the monitor to hang up.
fn is_cut_off(mut client: UnixStream) {
    let mut rest = Vec::new();
    // What it sent before may have been cut off with it.
    let _ = client.read_to_end(&mut rest);
}

pub(crate) fn encode(frames: &[(Stream, Frame)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (stream, frame) in frames {
        frame.encode(*stream, &mut bytes);
    }
    bytes
}

fn message(call: u32, request: &Request) -> (Stream, Frame) {
    (Stream::new(call, Channel::Message), Frame::Message(serde_json::to_vec(request).unwrap()))
}

pub(crate) fn hello() -> (Stream, Frame) {
    (Stream::new(0, Channel::Message), Frame::Hello(VERSION))
}

#[test]
fn what_is_not_the_protocol_is_cut_off() {
    let pod = TestPod::isolated(&[WAIT]).start();
    pod.wait_until_ready();
    let stream = Stream::new(1, Channel::Message);
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        encode(&[message(1, &Request::Status {})]),
        encode(&[(stream, Frame::Hello(VERSION + 1))]),
        encode(&[hello(), hello()]),
        encode(&[hello(), (stream, Frame::End), (Stream::new(1, Channel::Output), Frame::Data(vec![0; 10]))])
            .into_iter()
            .chain([2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
            .collect(),
    ] {
        let mut client = connect(&pod);
        // It may be cut off while it still writes.
        let _ = client.write_all(&bytes);
        is_cut_off(client);
        is_well(&pod);
    }
}

#[test]
fn random_frames_do_no_harm() {
    let pod = TestPod::isolated(&[WAIT]).start();
    pod.wait_until_ready();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[2]
    };
    for _ in 0..100 {
        let mut bytes = encode(&[hello()]);
        for _ in 0..20 {
            let length = random() % 40;
            bytes.extend([random() % 5, random() % 8, 0, 0, 0, length, 0, 0, 0]);
            bytes.extend((0..length).map(|_| random()));
        }
        let _ = connect(&pod).write_all(&bytes);
    }
    is_well(&pod);
}

#[test]
fn a_request_that_nobody_knows_is_answered() {
    let pod = TestPod::isolated(&[WAIT]).start();
    pod.wait_until_ready();
    let mut client = connect(&pod);
    let json = br#"{"fly":{"to":"the moon"}}"#.to_vec();
    client.write_all(&encode(&[hello(), (Stream::new(3, Channel::Message), Frame::Message(json))])).unwrap();
    let mut decoder = Decoder::default();
    let answer = loop {
        let mut bytes = [0; 512];
        let length = client.read(&mut bytes).unwrap();
        decoder.add(&bytes[..length]);
        while let Some((stream, frame)) = decoder.next_frame().unwrap() {
            if stream.call == 3 {
                break;
            }
            assert_eq!((stream, frame), hello());
        }
        if length > 20 {
            break String::from_utf8_lossy(&bytes[..length]).into_owned();
        }
    };
    assert!(answer.contains("failed") && answer.contains("another version"), "{answer}");
}

#[test]
fn a_client_that_sends_more_than_its_window_is_cut_off() {
    let pod = TestPod::isolated(&[WAIT]).start();
    pod.wait_until_ready();
    let enter = Enter {
        app: "a".to_owned(),
        arguments: ["sleep", "1000"].map(str::to_owned).into(),
        file: None,
        terminal: None,
    };
    let mut client = connect(&pod);
    client.write_all(&encode(&[hello(), message(1, &Request::Enter(enter))])).unwrap();
    let input = (Stream::new(1, Channel::Input), Frame::Data(vec![b'x'; WINDOW as usize / 2]));
    for _ in 0..8 {
        let _ = client.write_all(&encode(std::slice::from_ref(&input)));
    }
    is_cut_off(client);
    is_well(&pod);
}

#[test]
fn clients_that_are_silent_or_never_read_hold_up_nobody() {
    let pod = TestPod::isolated(&[WAIT]).start();
    pod.wait_until_ready();
    let silent: Vec<_> = (0..20).map(|_| connect(&pod)).collect();
    // Asks and asks, and never reads an answer: the monitor stops listening to it when enough waits.
    let mut deaf = connect(&pod);
    deaf.set_nonblocking(true).unwrap();
    let questions = encode(&[message(1, &Request::Status {})]).repeat(1000);
    deaf.write_all(&encode(&[hello()])).unwrap();
    let mut sent = 0;
    let mut refused = 0;
    while refused < 1000 && sent < 64 << 20 {
        match deaf.write(&questions) {
            Ok(length) => (sent, refused) = (sent + length, 0),
            Err(_) => refused += 1,
        }
        std::thread::yield_now();
    }
    assert!(sent < 64 << 20, "the monitor took {sent} bytes");
    is_well(&pod);
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = resident.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kilobytes < 16_384, "{kilobytes} kB");
    drop(silent);
}

#[test]
fn an_app_whose_output_nobody_reads_waits_and_is_stopped_all_the_same() {
    for pod in [TestPod::isolated(&["while :; do echo yes; done"]), TestPod::shared(&["while :; do echo yes; done"])] {
        let pod = pod.start();
        pod.wait_until_ready();
        is_well(&pod);
        pod.control().stop(true).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(pod.finish().code, Some(9));
    }
}
