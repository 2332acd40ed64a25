//! Apps that have a copy of their image (`--no-overlay`) rather than a layer over it.

#![allow(clippy::unwrap_used, reason = "tests")]

use rkt_tests::{FLAVORS, Rkt, images, process, wait_until};
use rustix::process::Signal;

#[test]
fn an_app_with_a_copy_changes_nothing_but_that() {
    let rkt = Rkt::new();
    let script = "echo changed >> /etc/motd; cat /etc/motd; stat -c '%a %u:%g %h' /own /same; \
                  while read a b c d at rest; do test $at = / && echo $rest; done < /proc/self/mountinfo; true";
    let image = images::busybox("app").file("etc/motd", 0o644, b"as it came\n");
    let image = image.file("own", 0o4751, b"x").owned_by(5, 6).hard_link("same", "own").exec(["/bin/sh", "-c", script]);
    let image = rkt.image("app", &image);
    for flavor in FLAVORS {
        for _ in 0..2 {
            let ran = rkt.run(["run", "--no-overlay", flavor, &image]).succeeds();
            let lines = ran.lines_of("app");
            assert_eq!(lines[..4], ["as it came", "changed", "4751 5:6 2", "4751 5:6 2"], "{flavor}: {ran}");
            assert!(!lines[4].contains("overlay") && lines[4].contains("nodev"), "{flavor}: {ran}");
        }
        let uuid = rkt.pods()[0].clone();
        rkt.run(["export", "--overwrite", &uuid, "out.aci"]).succeeds();
        let out = rkt.home().join("out.aci");
        let words = ["run", flavor, out.to_str().unwrap(), "--exec=/bin/cat", "--", "/etc/motd"];
        assert_eq!(rkt.run(words).succeeds().lines_of("app"), ["as it came", "changed"], "{flavor}");
        rkt.collect();
    }
}

#[test]
fn a_root_that_is_only_read_is_so_as_a_copy_too() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["try-create", "/file"]);
    for flavor in FLAVORS {
        let ran = rkt.run(["run", "--no-overlay", flavor, &image, "--readonly-rootfs=true"]).succeeds();
        assert!(ran.lines_of("app")[0].to_lowercase().contains("read-only"), "{flavor}: {ran}");
    }
    rkt.collect();
}

#[test]
fn an_app_that_comes_to_apps_with_copies_has_one() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["wait"]);
    rkt.run(["fetch", &image]).succeeds();
    let uuid = rkt.run(["prepare", "--no-overlay=true", &image]).succeeds().stdout.trim_end().to_owned();
    let pod = rkt.start_prepared::<&str>(&uuid, []);
    rkt.run(["app", "add", &uuid, "example.com/one", "--name=two"]).succeeds();
    assert!(pod.directory().join("overlay/two.copy/probe").is_file());
    rkt.run(["app", "rm", "--app=two", &uuid]).succeeds();
    assert!(!pod.directory().join("overlay/two.copy").exists());
    pod.end();
    rkt.collect();
}

#[test]
fn what_is_left_of_a_pod_with_copies_is_found_and_ended() {
    let rkt = Rkt::new();
    let image = rkt.probe("victim", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start(["--no-overlay", flavor, &image]);
        let init = pod.init();
        // Stopped, neither can do anything about the other's end.
        process::signal(init, Signal::STOP);
        pod.signal(Signal::STOP);
        process::signal(init, Signal::KILL);
        pod.signal(Signal::KILL);
        pod.wait();
        wait_until("the pod's lock to be free", || rkt.the_pod()["state"] != "running");
        rkt.collect();
    }
}
