//! The life of a pod: what is listed, stopped, entered, removed, collected.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use rkt_tests::{FLAVORS, Output, Rkt, apps, images, process, wait_until};
use rustix::process::Signal;

fn keys(value: &serde_json::Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_running_pod_is_listed_and_its_status_told() {
    let rkt = Rkt::new();
    let image = rkt.image("waits", &images::probe("waits").label("version", "1.2").exec(["/probe", "wait"]));
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        let listed = rkt.run(["list"]).succeeds();
        let lines: Vec<Vec<&str>> =
            listed.stdout.lines().map(|line| line.split('\t').filter(|cell| !cell.is_empty()).collect()).collect();
        assert_eq!(lines[0], ["UUID", "APP", "IMAGE NAME", "STATE", "CREATED", "STARTED", "NETWORKS"]);
        assert_eq!(lines[1][..4], [&pod.uuid[..8], "waits", "example.com/waits:1.2", "running"], "{listed}");
        let full = rkt.run(["list", "--full", "--no-legend"]).succeeds();
        let cells: Vec<&str> = full.stdout.split('\t').filter(|cell| !cell.is_empty()).collect();
        assert_eq!(
            (cells[0], cells[4], &cells[3][..7], cells[3].len()),
            (pod.uuid.as_str(), "running", "sha512-", 19),
            "{full}"
        );
        // Any beginning of the UUID names the pod, in either case.
        let status = rkt.run(["status", &pod.uuid[..6].to_uppercase()]).succeeds();
        let names: Vec<&str> =
            status.stdout.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name)).collect();
        assert_eq!(names, ["state", "created", "started", "networks", "pid", "exited"], "{status}");
        assert!(status.stdout.contains("state=running\n") && status.stdout.contains("exited=false\n"), "{status}");
        pod.end();
        rkt.collect();
    }
}

#[test]
fn the_keys_of_json_are_those_that_clients_know() {
    let rkt = Rkt::new();
    assert_eq!(rkt.run(["list", "--format=json"]).succeeds().stdout, "null\n");
    let image = rkt.probe("waits", ["wait"]);
    let pod = rkt.start([&image]);
    let listed = rkt.the_pod();
    assert_eq!((listed["name"].as_str(), listed["state"].as_str()), (Some(pod.uuid.as_str()), Some("running")));
    assert_eq!(listed["app_names"], serde_json::json!(["waits"]));
    assert!(
        keys(&listed).is_superset(&["app_names", "apps", "created_at", "name", "started_at", "state"].into()),
        "{listed}"
    );
    let app = &listed["apps"][0];
    assert_eq!((app["name"].as_str(), app["state"].as_str()), (Some("waits"), Some("running")), "{listed}");
    assert_eq!(app["image_id"].as_str().unwrap().len(), "sha512-".len() + 128);
    // Pods have seconds, apps nanoseconds: clients of rkt count on it.
    let (of_pod, of_app) = (listed["created_at"].as_u64().unwrap(), app["created_at"].as_u64().unwrap());
    assert!(of_pod > 1_000_000_000 && of_pod < 100_000_000_000 && of_app / 1_000_000_000 >= of_pod - 1, "{listed}");
    let status = rkt.run(["status", "--format=json", &pod.uuid]).succeeds();
    assert_eq!(
        (status.json()["name"].as_str(), status.stdout.lines().count()),
        (Some(pod.uuid.as_str()), 1),
        "{status}"
    );
    pod.end();
    let ended = rkt.the_pod();
    assert_eq!(
        (ended["state"].as_str(), ended["apps"][0]["state"].as_str()),
        (Some("exited"), Some("exited")),
        "{ended}"
    );
    rkt.collect();
}

#[test]
fn a_manifest_is_shown_as_it_is_stored() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["exit", "0"]);
    rkt.run(["run", &image]).succeeds();
    let uuid = rkt.the_pod()["name"].as_str().unwrap().to_owned();
    let manifest = rkt.run(["cat-manifest", &uuid]).succeeds();
    assert!(manifest.stdout.contains("\n\t\""), "{manifest}");
    let json = manifest.json();
    assert_eq!(
        (json["acKind"].as_str(), json["apps"][0]["name"].as_str()),
        (Some("PodManifest"), Some("one")),
        "{manifest}"
    );
    let plain = rkt.run(["cat-manifest", "--pretty-print=false", &uuid]).succeeds();
    assert_eq!((plain.json(), plain.stdout.lines().count()), (json, 1));
    rkt.collect();
}

#[test]
fn a_pod_that_is_stopped_is_down_when_stop_returns() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["say", "up", "+", "wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        let uuid = pod.uuid.clone();
        assert_eq!(rkt.run(["stop", &uuid]).succeeds().stdout, format!("\"{uuid}\"\n"));
        rkt.assert_nothing_lives();
        assert_eq!(rkt.the_pod()["state"], "exited");
        pod.wait();
        assert_eq!(rkt.run(["stop", &uuid]).succeeds().stdout, format!("pod \"{uuid}\" is already stopped\n"));
        assert_eq!(rkt.run(["rm", &uuid]).succeeds().stdout, format!("\"{uuid}\"\n"));
        rkt.assert_no_pods();
    }
}

#[test]
fn an_app_that_does_not_listen_is_stopped_by_force() {
    let rkt = Rkt::new();
    let image = rkt.image(
        "deaf",
        &images::busybox("deaf").exec(["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]),
    );
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        pod.says("deaf");
        rkt.run(["stop", "--force", &pod.uuid]).succeeds();
        rkt.assert_nothing_lives();
        pod.wait();
        rkt.collect();
    }
}

#[test]
fn the_signals_of_a_supervisor_end_the_pod() {
    let rkt = Rkt::new();
    let image = rkt.image(
        "clean",
        &images::busybox("clean").exec([
            "/bin/sh",
            "-c",
            "trap 'echo cleaning; exit 0' TERM; echo up; while :; do sleep 0.01; done",
        ]),
    );
    for flavor in FLAVORS {
        for signal in [Signal::TERM, Signal::INT] {
            let pod = rkt.start([flavor, &image]);
            pod.says("up");
            pod.signal(signal);
            let output = pod.wait();
            assert!(output.lines_of("clean").contains(&"cleaning".to_owned()), "{flavor}: {output}");
            rkt.collect();
        }
    }
}

#[test]
fn a_running_pod_is_not_removed_or_collected() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let pod = rkt.start([&image]);
    rkt.run(["rm", &pod.uuid])
        .refuses(&[&format!(r#"pod "{}" is currently running"#, pod.uuid), "failed to remove one or more pods"]);
    rkt.run(["gc", "--grace-period=0s"]).succeeds();
    assert!(pod.is_up());
    pod.end();
    rkt.collect();
}

#[test]
fn exited_pods_are_kept_for_their_grace_period() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["exit", "0"]);
    rkt.run(["run", "--stage1=fly", &image]).succeeds();
    let pod = rkt.the_pod();
    let uuid = pod["name"].as_str().unwrap();
    rkt.run(["gc", "--mark-only"]).succeeds();
    assert_eq!(rkt.the_pod()["state"], "exited garbage");
    let kept = rkt.run(["gc"]).succeeds();
    assert!(kept.stderr.contains(&format!(r#"pod "{uuid}" not removed: still within grace period (30m0s)"#)), "{kept}");
    let collected = rkt.run(["gc", "--grace-period=0s"]).succeeds();
    assert_eq!(collected.stdout, format!("Garbage collecting pod \"{uuid}\"\n"));
    rkt.assert_no_pods();
}

#[test]
fn a_pod_is_named_by_a_file_with_its_uuid() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["exit", "0"]);
    let file = rkt.home().join("saved");
    rkt.run(["run", "--stage1=fly", &format!("--uuid-file-save={}", file.display()), &image]).succeeds();
    let named = format!("--uuid-file={}", file.display());
    assert_eq!(fs::read_to_string(&file).unwrap().len(), 36);
    assert!(rkt.run(["status", &named]).succeeds().stdout.starts_with("state=exited\n"));
    rkt.run(["rm", &named]).succeeds();
    rkt.run(["status", "deadbeef"]).refuses(&[r#"no matches found for "deadbeef""#]);
    rkt.assert_no_pods();
}

#[test]
fn what_is_entered_has_the_rights_of_the_app_and_no_more() {
    let rkt = Rkt::new();
    let look = ["rights", "+", "namespaces", "+", "show", "/proc/self/cgroup", "+", "descriptors", "+", "directory"];
    for flavor in FLAVORS {
        for user in ["--user=0", "--user=1000"] {
            let words = ["say", "begin", "+"].into_iter().chain(look).chain(["+", "say", "all told", "+", "wait"]);
            let image = rkt.probe("app", words);
            let pod = rkt.start([flavor, &image, user, "--memory=64M", "--pids-limit=50"]);
            pod.says("all told");
            let said: Vec<String> = pod.lines_of("app");
            let by_app = said.iter().skip(1).take_while(|line| *line != "all told").map(|line| comparable(line));
            let entered = rkt.run(["enter", &pod.uuid, "/probe"].into_iter().chain(look)).succeeds();
            let by_entered = entered.stdout.lines().map(comparable);
            assert_eq!(by_entered.collect::<Vec<_>>(), by_app.collect::<Vec<_>>(), "{flavor} {user}");
            pod.end();
            rkt.collect();
        }
    }
}

/// A line without what a descriptor leads to: each process has pipes of its own.
fn comparable(line: &str) -> &str {
    match line.split_once(' ') {
        Some((number @ ("0" | "1" | "2"), _)) => number,
        _ => line,
    }
}

#[test]
fn enter_carries_input_output_errors_and_the_exit_code() {
    let rkt = Rkt::new();
    let image =
        rkt.image("shell", &images::busybox("shell").exec(["/bin/sleep", "600"]).environment("GREETING", "hello"));
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        let enter = |script: &str| rkt.run(["enter", &pod.uuid, "/bin/sh", "-c", script]);
        let output = enter("echo $GREETING $AC_APP_NAME; echo oops >&2; exit 9").ends_with(9);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("hello shell\n", "oops\n"), "{flavor}");
        assert_eq!(enter("head -c 1000000 /dev/zero | tr '\\0' x").succeeds().stdout.len(), 1_000_000, "{flavor}");
        let mut command = rkt.command(["enter", &pod.uuid, "/bin/cat"]);
        let file = rkt.home().join("input");
        fs::write(&file, "through the pod\n").unwrap();
        let output = Output::of(command.stdin(fs::File::open(&file).unwrap())).succeeds();
        assert_eq!(output.stdout, "through the pod\n", "{flavor}");
        rkt.run(["enter", "--app=other", &pod.uuid, "/bin/true"]).refuses(&["other"]);
        let missing = rkt.run(["enter", &pod.uuid, "/missing"]);
        assert!(!missing.status.success() && missing.stderr.contains("/missing"), "{missing}");
        pod.end();
        rkt.collect();
    }
}

#[test]
fn enter_needs_to_know_which_app_and_a_running_pod() {
    let rkt = Rkt::new();
    let one = rkt.probe("one", ["wait"]);
    let two = rkt.probe("two", ["wait"]);
    let pod = rkt.start([&one, &two]);
    let uuid = pod.uuid.clone();
    let refused = rkt.run(["enter", &uuid, "/probe", "say", "x"]);
    let refused = refused.refuses(&["pod contains multiple apps:", r#"specify app using "rkt enter --app= ...""#]);
    assert!(refused.stderr.contains("\tone\n") && refused.stderr.contains("\ttwo\n"), "{refused}");
    assert_eq!(rkt.run(["enter", "--app=two", &uuid, "/probe", "say", "x"]).succeeds().stdout, "x\n");
    pod.end();
    rkt.run(["enter", &uuid, "/probe"]).refuses(&[&format!(r#"pod "{uuid}" isn't currently running"#)]);
    rkt.collect();
}

#[test]
fn enter_without_a_command_says_which_it_takes() {
    let rkt = Rkt::new();
    let image = rkt.image("app", &images::busybox("app").symlink("bin/bash", "busybox").exec(["/bin/sleep", "600"]));
    let pod = rkt.start([&image]);
    // busybox knows no bash, and says so: it was run.
    let entered = rkt.run(["enter", &pod.uuid]);
    assert!(entered.stderr.starts_with("enter: no command specified, assuming \"/bin/bash\"\n"), "{entered}");
    assert!(entered.stderr.contains("bash: applet not found"), "{entered}");
    pod.end();
    rkt.collect();
}

#[test]
fn processes_that_an_app_leaves_behind_end_with_the_pod() {
    let rkt = Rkt::new();
    let image = rkt.probe("leaves", ["spawn", "/probe", "wait", "+", "spawn", "/probe", "wait", "+", "say", "leaving"]);
    for flavor in FLAVORS {
        assert_eq!(rkt.run(["run", flavor, &image]).succeeds().lines_of("leaves"), ["leaving"], "{flavor}");
        rkt.assert_nothing_lives();
    }
    rkt.collect();
}

#[test]
fn run_is_one_process_from_the_command_line_to_the_end() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        let recorded = fs::read_to_string(pod.directory().join("ppid")).unwrap();
        assert_eq!(recorded.trim_end(), pod.pid().to_string(), "{flavor}");
        assert_ne!(process::namespaces(apps::process_of(&pod, "waits")), process::namespaces(pod.pid()), "{flavor}");
        pod.end();
        rkt.collect();
    }
}

#[test]
fn the_hosts_mount_table_is_the_same_before_during_and_after() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let shared = rkt.home().join("shared");
    fs::create_dir(&shared).unwrap();
    let table = || fs::read("/proc/self/mountinfo").unwrap();
    let before = table();
    for flavor in FLAVORS {
        let volume = format!("--volume=v,kind=host,source={}", shared.display());
        let pod = rkt.start([flavor, &volume, &image, "--mount=volume=v,target=/v"]);
        assert!(table() == before, "{flavor}: while the pod runs");
        pod.end();
        assert!(table() == before, "{flavor}: after it has ended");
        rkt.collect();
        assert!(table() == before, "{flavor}: after it was collected");
    }
}

#[test]
fn sixty_four_pods_start_at_once() {
    let rkt = Rkt::new();
    let image = rkt.image("hello", &images::hello());
    rkt.run(["fetch", &image]).succeeds();
    for flavor in FLAVORS {
        let starts: Vec<_> = (0..64)
            .map(|_| {
                rkt.command(["run", flavor, "example.com/hello"]).stdout(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for start in starts {
            let output = start.wait_with_output().unwrap();
            assert!(
                output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Hello, world!"),
                "{flavor}: {output:?}"
            );
        }
        assert_eq!(rkt.pods().len(), 64);
        rkt.collect();
    }
}

#[test]
fn what_is_in_the_data_directory_is_roots_alone() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    let pod = rkt.start([&image]);
    wait_until("the control socket", || pod.directory().join("control").exists());
    let mode = |path: &std::path::Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&pod.directory().join("control")), 0o600);
    for directory in ["pods", "pods/run", "cas"] {
        let mode = mode(&rkt.data().join(directory));
        assert_eq!(mode & 0o007, 0, "{directory} is {mode:o}: others come in");
    }
    pod.end();
    rkt.collect();
}
