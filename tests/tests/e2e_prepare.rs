//! Pods that are made now and started later: `prepare`, `run-prepared`, and what lies between.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::{FLAVORS, Output, Rkt, images};

/// Prepares a pod; its UUID, which is all that is written to standard output.
fn prepared(rkt: &Rkt, words: &[&str]) -> String {
    let output = rkt.run(["prepare"].iter().chain(words)).succeeds();
    let uuid = output.stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {output}")).to_owned();
    assert!(uuid.len() == 36 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{output}");
    uuid
}

fn state(rkt: &Rkt, uuid: &str) -> String {
    rkt.run(["status", "--format=json", uuid]).succeeds().json()["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_prepared_pod_runs_as_it_was_made() {
    let rkt = Rkt::new();
    let volume = rkt.home().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "from the volume\n").unwrap();
    let volume = format!("--volume=v,kind=host,source={}", volume.display());
    let image =
        rkt.image("app", &images::busybox("app").exec(["/bin/sh", "-c", "echo $A $1; cat /v/file; id -u", "sh"]));
    for flavor in FLAVORS {
        let words =
            [flavor, &volume, "--set-env=A=set", &image, "--mount=volume=v,target=/v", "--user=1000", "--", "x"];
        let uuid = prepared(&rkt, &words);
        assert_eq!(state(&rkt, &uuid), "prepared");
        assert!(rkt.pod(&uuid).unwrap().parent().unwrap().ends_with("prepared"));
        let ran = rkt.run(["run-prepared", &uuid]).succeeds();
        assert_eq!(ran.lines_of("app"), ["set x", "from the volume", "1000"], "{flavor}: {ran}");
        assert_eq!(state(&rkt, &uuid), "exited");
        rkt.run(["run-prepared", &uuid]).refuses(&[&format!("pod \"{uuid}\" is not prepared")]);
        rkt.collect();
    }
}

#[test]
fn the_exit_code_and_the_process_are_the_pods() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let uuid = prepared(&rkt, &["--quiet", &image, "--exec=/probe", "--", "exit", "7"]);
    rkt.run(["run-prepared", &uuid]).ends_with(7);
    for flavor in FLAVORS {
        let uuid = prepared(&rkt, &[flavor, &image]);
        let pod = rkt.start_prepared(&uuid, ["--hostname=given"]);
        assert_eq!(fs::read_to_string(pod.directory().join("ppid")).unwrap(), pod.pid().to_string(), "{flavor}");
        rkt.run(["enter", &uuid, "/probe", "say", "entered"]).succeeds();
        if flavor.ends_with("container") {
            let name = rkt.run(["enter", &uuid, "/probe", "show", "/proc/sys/kernel/hostname"]).succeeds();
            assert_eq!(name.stdout, "given\n");
        }
        assert_eq!(rkt.run(["stop", &uuid]).succeeds().stdout, format!("\"{uuid}\"\n"));
        pod.wait();
    }
    rkt.collect();
}

#[test]
fn nothing_but_the_uuid_is_written_to_standard_output_whatever_is_to_be_said() {
    let rkt = Rkt::new();
    let image = images::probe("app").exec(["/probe", "exit", "0"]).mount_point("d", "/d", false);
    let image = rkt.image("app", &image);
    let output = rkt.run(["--debug", "prepare", &image]).succeeds();
    assert_eq!((output.stdout.lines().count(), output.stdout.len()), (1, 37), "{output}");
    assert!(output.stderr.contains("no volume specified for mount point \"d\""), "{output}");
    rkt.collect();
}

#[test]
fn what_fails_while_a_pod_is_prepared_leaves_none() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["exit", "0"]);
    rkt.run(["prepare", "--volume=v,kind=host,source=/does/not/exist", &image, "--mount=volume=v,target=/v"])
        .refuses(&["/does/not/exist"]);
    rkt.run(["prepare", "--stage1=none", &image]).refuses(&["there is no flavor \"none\""]);
    rkt.run(["prepare", "--interactive", &image]).refuses(&["--interactive"]);
    rkt.assert_no_pods();
}

#[test]
fn a_start_that_fails_leaves_the_pod_prepared_and_the_next_one_runs_it() {
    let rkt = Rkt::new();
    let volume = rkt.home().join("volume");
    fs::create_dir(&volume).unwrap();
    let option = format!("--volume=v,kind=host,source={}", volume.display());
    let image = rkt.probe("app", ["list", "/v"]);
    for flavor in FLAVORS {
        let uuid = prepared(&rkt, &[flavor, &option, &image, "--mount=volume=v,target=/v"]);
        fs::rename(&volume, rkt.home().join("away")).unwrap();
        rkt.run(["run-prepared", &uuid]).refuses(&[volume.to_str().unwrap(), "No such file or directory"]);
        assert_eq!(state(&rkt, &uuid), "prepared", "{flavor}");
        fs::rename(rkt.home().join("away"), &volume).unwrap();
        // What a start that was cut off has left is in nobody's way.
        let pod = rkt.pod(&uuid).unwrap();
        fs::write(pod.join("record.json"), "torn").unwrap();
        fs::create_dir_all(pod.join("empty/left")).unwrap();
        rkt.run(["run-prepared", &uuid]).succeeds();
        assert_eq!(state(&rkt, &uuid), "exited", "{flavor}");
        rkt.collect();
    }
}

#[test]
fn of_many_who_start_a_prepared_pod_at_once_one_does() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["say", "ran"]);
    let uuid = prepared(&rkt, &["--stage1=fly", &image]);
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let mut command = rkt.command(["run-prepared", &uuid]);
            std::thread::spawn(move || Output::of(&mut command))
        })
        .collect();
    let outputs: Vec<Output> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    let ran = outputs.iter().filter(|output| output.status.success()).count();
    assert_eq!((ran, outputs.iter().filter(|output| output.stdout == "ran\n").count()), (1, 1), "{outputs:?}");
    for output in outputs.iter().filter(|output| !output.status.success()) {
        assert!(output.stderr.contains(&format!("pod \"{uuid}\" is not prepared")), "{output}");
    }
    rkt.collect();
}

#[test]
fn a_prepared_pod_is_listed_kept_for_its_time_and_removed() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["exit", "0"]);
    let uuid = prepared(&rkt, &[&image]);
    let listed = rkt.the_pod();
    assert_eq!((listed["state"].as_str(), listed["apps"][0]["state"].as_str()), (Some("prepared"), Some("created")));
    assert!(listed.get("started_at").is_none(), "{listed}");
    let status = rkt.run(["status", &uuid]).succeeds();
    let names: Vec<&str> = status.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(names, ["state", "created"], "{status}");
    rkt.run(["stop", &uuid]).refuses(&[&format!("stop: pod \"{uuid}\" is not running"), "failed to stop 1 pod(s)"]);
    rkt.run(["enter", &uuid, "/probe"]).refuses(&["isn't currently running"]);

    rkt.run(["gc", "--grace-period=0s"]).succeeds();
    assert_eq!(state(&rkt, &uuid), "prepared");
    rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s", "--mark-only"]).succeeds();
    assert_eq!(state(&rkt, &uuid), "prepared");
    let expired = rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]).succeeds();
    assert!(expired.stderr.contains(&format!("gc: moving expired prepared pod \"{uuid}\" to garbage")), "{expired}");
    rkt.assert_no_pods();

    let uuid = prepared(&rkt, &[&image]);
    let removed = rkt.run(["rm", &uuid]).succeeds();
    assert_eq!(removed.stdout, format!("\"{uuid}\"\n"));
    assert!(removed.stderr.contains(&format!("moving expired prepared pod \"{uuid}\" to garbage")), "{removed}");
    rkt.assert_no_pods();
}

#[test]
fn what_no_prepare_completed_is_an_aborted_one_that_gc_takes() {
    let rkt = Rkt::new();
    let uuid = "00000000-0000-4000-8000-000000000000";
    fs::create_dir_all(rkt.data().join("pods/prepare").join(uuid)).unwrap();
    assert_eq!(state(&rkt, uuid), "aborted prepare");
    rkt.run(["run-prepared", uuid]).refuses(&[&format!("pod \"{uuid}\" is not prepared")]);
    let collected = rkt.run(["gc"]).succeeds();
    assert!(collected.stderr.contains(&format!("gc: moving failed prepare \"{uuid}\" to garbage")), "{collected}");
    rkt.assert_no_pods();
}
