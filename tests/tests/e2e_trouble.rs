//! Trouble: processes that are killed at any moment, broken images, directories and disks that refuse.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rkt_tests::aci::Compression;
use rkt_tests::leftovers::Snapshot;
use rkt_tests::{FLAVORS, Output, Rkt, Running, images, process, wait_until};
use rustix::process::Signal;

/// A moment in the start of a pod, and how it is seen from outside.
type Moment = (&'static str, fn(&Running<'_>) -> bool);

/// The moments, in their order: each may be over when it is seen, which is as good.
const MOMENTS: [Moment; 6] = [
    ("its UUID is known", |_| true),
    ("its directory is among those that run", |pod| pod.directory().parent().unwrap().ends_with("run")),
    ("the monitor is known", |pod| pod.directory().join("ppid").exists()),
    ("init is known", |pod| pod.directory().join("pid").exists()),
    ("it is ready", |pod| pod.is_ready()),
    ("it has been talking", |pod| pod.read().contains("line 0000000900")),
];

#[test]
fn when_the_monitor_is_killed_at_any_moment_nothing_lives_and_the_next_pod_runs() {
    let rkt = Rkt::new();
    let before = Snapshot::take();
    let image = rkt.probe("victim", ["say-bytes", "16000", "+", "spawn", "/probe", "wait", "+", "wait"]);
    for flavor in FLAVORS {
        for (moment, has_come) in MOMENTS {
            let pod = rkt.start_unready([flavor, &image, "--memory=64M"]);
            wait_until(moment, || !pod.is_up() || has_come(&pod));
            let uuid = pod.uuid.clone();
            pod.signal(Signal::KILL);
            pod.wait();
            wait_until(&format!("all of {flavor} to end, killed when {moment}"), || rkt.processes().is_empty());
            rkt.collect();
            let left = before.left_in(&Snapshot::take());
            assert!(!left.iter().any(|line| line.contains(&uuid)), "{flavor}, {moment}: {left:?}");
        }
        let next = rkt.run(["run", flavor, &image, "--exec=/probe", "--", "say", "next"]).succeeds();
        assert_eq!(next.lines_of("victim"), ["next"]);
        rkt.collect();
    }
}

#[test]
fn when_init_is_killed_the_pod_ends_and_says_so() {
    let rkt = Rkt::new();
    let image = rkt.probe("victim", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        process::signal(pod.init(), Signal::KILL);
        let output = pod.wait();
        assert!(!output.status.success(), "{flavor}: {output}");
        rkt.collect();
    }
}

#[test]
fn when_monitor_and_init_are_killed_at_once_whoever_meets_the_pod_next_ends_it() {
    let rkt = Rkt::new();
    let image = rkt.probe("victim", ["wait"]);
    for (flavor, command) in [("--stage1=fly", "gc"), ("--stage1=fly", "rm"), ("--stage1=container", "gc")] {
        let pod = rkt.start([flavor, &image, "--memory=64M"]);
        let init = pod.init();
        // Stopped, neither can do anything about the other's end.
        process::signal(init, Signal::STOP);
        pod.signal(Signal::STOP);
        process::signal(init, Signal::KILL);
        pod.signal(Signal::KILL);
        let uuid = pod.uuid.clone();
        pod.wait();
        let words = if command == "rm" { ["rm", &uuid] } else { ["gc", "--grace-period=0s"] };
        wait_until("the pod's lock to be free", || rkt.the_pod()["state"] != "running");
        rkt.run(words).succeeds();
        rkt.assert_no_pods();
    }
}

#[test]
fn a_monitor_that_is_stopped_blocks_nobody() {
    let rkt = Rkt::new();
    let image = rkt.probe("stopped", ["wait"]);
    let pod = rkt.start([&image]);
    pod.signal(Signal::STOP);
    assert_eq!(rkt.the_pod()["state"], "running");
    rkt.run(["status", &pod.uuid]).succeeds();
    rkt.run(["gc", "--grace-period=0s"]).succeeds();
    let other = rkt.run(["run", "--stage1=fly", &image, "--exec=/probe", "--", "say", "other"]).succeeds();
    assert_eq!(other.stdout, "other\n");
    pod.signal(Signal::CONT);
    pod.end();
    rkt.collect();
}

#[test]
fn the_pod_ends_when_its_terminal_goes_away() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        pod.signal(Signal::HUP);
        pod.wait();
        rkt.collect();
    }
}

#[test]
fn whoever_closes_the_output_of_a_pod_does_not_hang_it() {
    let rkt = Rkt::new();
    let image = rkt.probe("talks", ["say-bytes", "4000000", "+", "write", "/tmp-done", "x"]);
    for flavor in FLAVORS {
        let mut child = rkt.command(["run", flavor, &image]).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        wait_until("the pod to end", || child.try_wait().unwrap().is_some());
        rkt.collect();
    }
}

/// What is below the data directory, but for what there is before any image or pod.
fn content(rkt: &Rkt) -> Vec<String> {
    let output = Output::of(Command::new("find").arg(rkt.data()).args(["-type", "f", "-size", "+0"])).succeeds();
    output.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_broken_image_is_refused_and_leaves_nothing() {
    let rkt = Rkt::new();
    let whole = images::probe("whole").exec(["/probe", "exit", "0"]).bytes(Compression::Gzip);
    let changed: Vec<u8> =
        whole.iter().enumerate().map(|(at, byte)| if at == whole.len() / 2 { !byte } else { *byte }).collect();
    let plain = images::probe("whole").bytes(Compression::None);
    let no_manifest = images::probe("whole").manifest("name", serde_json::Value::Null).bytes(Compression::None);
    for (what, bytes) in [
        ("empty", &[][..]),
        ("truncated", &whole[..whole.len() - 100]),
        ("truncated-in-a-file", &plain[..plain.len() / 2]),
        ("changed", &changed),
        ("text", b"This is no image.\n"),
        ("no-name", &no_manifest),
    ] {
        let file = rkt.home().join(format!("{what}.aci"));
        fs::write(&file, bytes).unwrap();
        let file = file.to_str().unwrap();
        for command in ["run", "fetch", "plan"] {
            let output = rkt.run([command, file]).refuses(&[&format!("{what}.aci")]);
            assert!(output.stderr.lines().count() <= 3, "{command} {what}: {output}");
        }
        assert_eq!(content(&rkt), Vec::<String>::new(), "{what}");
        rkt.assert_no_pods();
    }
    rkt.run(["run", "/does/not/exist.aci"]).refuses(&["/does/not/exist.aci"]);
    rkt.run(["run", rkt.home().to_str().unwrap()]).refuses(&[rkt.home().to_str().unwrap()]);
}

#[test]
fn an_archive_that_leads_out_of_its_root_is_refused_and_touches_nothing() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::create_dir(&canary).unwrap();
    let out = canary.to_str().unwrap();
    for (what, image) in [
        ("through-a-link", images::probe("x").symlink("link", out).file("link/file", 0o644, b"x")),
        (
            "through-dots",
            images::probe("x").symlink("link", "../../../../../../../../../..").file(
                &format!("link{out}/file"),
                0o644,
                b"x",
            ),
        ),
    ] {
        let image = rkt.image(what, &image.exec(["/probe", "exit", "0"]));
        // Refused, or unpacked inside of the root: both leave the host as it is.
        let output = rkt.run(["run", "--stage1=fly", &image]);
        assert!(!output.stderr.contains("panicked"), "{what}: {output}");
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 0, "{what}: {output}");
    }
    rkt.collect();
}

#[test]
fn a_data_directory_that_cannot_be_written_to_is_named() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["exit", "0"]);
    let file = rkt.home().join("file");
    fs::write(&file, "").unwrap();
    for directory in ["/proc/rkt", file.to_str().unwrap()] {
        let option = format!("--dir={directory}");
        for words in [&["run", &image][..], &["fetch", &image]] {
            rkt.run(words.iter().copied().chain([option.as_str()])).refuses(&[directory]);
        }
    }
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
}

/// A script in a mount namespace of its own, where the data directory is a file system of this size.
fn on_a_small_disk(rkt: &Rkt, size: &str, script: &str) -> Output {
    let mut command = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o size={size} tmpfs {}", rkt.data().display());
    command.args(["--mount", "--propagation=private", "sh", "-c", &format!("{mount} && {{ {script}; }}"), "sh"]);
    Output::of(command.args(rkt.words::<&str>([])).current_dir("/").process_group(0))
}

#[test]
fn a_full_disk_refuses_an_image_and_nothing_of_it_stays() {
    let rkt = Rkt::new();
    let noise: Vec<u8> = (0..4_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let image = rkt.image("large", &images::probe("large").file("noise", 0o644, &noise).exec(["/probe", "exit", "0"]));
    let data = rkt.data();
    let script = format!(r#""$@" run {image}; echo "code $?"; find {} -type f -size +0"#, data.display());
    let output = on_a_small_disk(&rkt, "4m", &script);
    assert_eq!(output.stdout, "code 254\n", "{output}");
    assert!(output.stderr.contains("No space left on device"), "{output}");
}

#[test]
fn a_full_disk_refuses_a_pod_and_the_next_one_runs_when_there_is_space() {
    let rkt = Rkt::new();
    let image = rkt.probe("small", ["say", "ran"]);
    let data = rkt.data();
    let pods = format!("find {}/pods -mindepth 2 -maxdepth 2 | wc -l", data.display());
    let script = format!(
        r#""$@" fetch {image} >/dev/null || exit 1
        dd if=/dev/zero of={data}/fill bs=4k 2>/dev/null
        "$@" run --stage1=fly {image}; echo "code $?"; {pods}
        rm {data}/fill
        "$@" run --stage1=fly {image}; echo "code $?"; "$@" gc --grace-period=0s >/dev/null; {pods}"#,
        data = data.display()
    );
    let output = on_a_small_disk(&rkt, "8m", &script);
    assert_eq!(output.stdout, "code 254\n0\nran\ncode 0\n0\n", "{output}");
    assert!(output.stderr.contains("No space left on device"), "{output}");
}

#[test]
fn names_from_outside_do_not_reach_a_terminal_as_they_are() {
    let rkt = Rkt::new();
    let file = rkt.home().join("\u{1b}[2Jname.aci");
    for exists in [false, true] {
        if exists {
            fs::write(&file, "no image").unwrap();
        }
        let output = rkt.run(["run".as_ref(), file.as_os_str()]).refuses(&["name.aci"]);
        assert!(!output.stderr.contains('\u{1b}'), "{output:?}");
    }
    assert!(Path::new(&file).exists());
}
