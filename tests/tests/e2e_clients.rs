//! What programs that drive rkt type, as they type it, and what they read of the answers.
//!
//! What a client types that is left out here, since this rkt refuses it by name:
//!
//! | client | what | why |
//! |---|---|---|
//! | Nomad | `--port`, `--net=A,B`, `--dns`, `--dns-search`; `networks` in answers | networks |
//! | Nomad | `trust --skip-fingerprint-review=true --prefix=P`, `--insecure-options=all` | signatures; a check that no plugin can be asked to leave out |
//! | wrapper units | `--dns=host`, `--hosts-entry=host` | networks |
//! | rktnetes | `prepare --pod-manifest=F`; the service of the API | pod manifests; no service |
//! | rktlet | `app sandbox`, `app start`, `app stop`, `app list`, `app status` | pods without apps |
//! | CI scripts | – | – |

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::{Output, Rkt, images, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// The number after a text that a client looks for, as `[\d.]+` finds it.
fn version_after<'t>(text: &'t str, begins: &str) -> Vec<u32> {
    let rest: &'t str = text.lines().find_map(|line| line.strip_prefix(begins)).unwrap();
    let digits = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap();
    digits.split('.').filter_map(|part| part.parse().ok()).collect()
}

#[test]
fn nomad_finds_versions_that_it_takes() {
    let said = Rkt::new().run(["version"]).succeeds().stdout;
    assert!(version_after(&said, "rkt Version: ") >= vec![1, 27, 0], "{said}");
    assert!(version_after(&said, "appc Version: ") >= vec![0, 8], "{said}");
}

#[test]
fn nomad_prepares_runs_enters_stops_and_removes_a_pod() {
    let rkt = Rkt::new();
    let task = rkt.home().join("task");
    fs::create_dir(&task).unwrap();
    fs::write(task.join("secret"), "of the task\n").unwrap();
    let image = rkt.image("redis", &images::busybox("redis").exec(["/bin/false"]));
    // Its volumes' names come from paths; whole lines as its driver makes them.
    let source = format!("--volume=alloc-task,kind=host,source={}", task.display());
    let prepared = rkt.run([
        "--insecure-options=image",
        "--debug=false",
        "prepare",
        "--no-overlay=true",
        &source,
        "--mount=volume=alloc-task,target=/task",
        "--set-env=NOMAD_TASK_NAME=redis",
        "--set-env=PATH=/bin",
        &image,
        "--exec=/bin/sh",
        "--memory=64M",
        "--cpu=100m",
        "--user=1000",
        "--",
        "-c",
        "echo $NOMAD_TASK_NAME; cat /task/secret; id -u; exec sleep 600",
    ]);
    // The whole of what is written is taken for the UUID.
    let uuid = prepared.succeeds().stdout.trim().to_owned();
    assert_eq!(uuid.len(), 36);
    let pod = rkt.start_prepared(&uuid, ["--insecure-options=image", "--debug=false", "--net=none"]);
    wait_until("the app to speak", || pod.lines_of("redis").len() >= 3);
    assert_eq!(pod.lines_of("redis"), ["redis", "of the task", "1000"]);

    let status = rkt.run(["status", "--format=json", &uuid]).succeeds();
    assert_eq!((status.json()["state"].as_str(), status.stdout.lines().count()), (Some("running"), 1), "{status}");
    let manifest = rkt.run(["cat-manifest", &uuid]).succeeds().json();
    assert_eq!(manifest["apps"].as_array().map(Vec::len), Some(1), "{manifest}");
    assert_eq!(rkt.run(["enter", &uuid, "/bin/echo", "entered"]).succeeds().stdout, "entered\n");
    pod.signal(Signal::INT);
    pod.wait();
    rkt.run(["rm", &uuid]).succeeds();
    rkt.run(["status", "--format=json", &uuid]).refuses(&["no matches found"]);
    rkt.assert_no_pods();
}

#[test]
fn a_wrapper_unit_removes_runs_and_stops_by_the_file_with_the_uuid() {
    let rkt = Rkt::new();
    let image = rkt.image("kubelet", &images::busybox("kubelet").exec(["/bin/false"]));
    let file = rkt.home().join("kubelet-pod.uuid");
    let by_file = format!("--uuid-file={}", file.display());
    // `ExecStartPre=-` does not mind that there is none yet.
    rkt.run(["rm", &by_file]).refuses(&["kubelet-pod.uuid"]);
    let words = [
        &format!("--uuid-file-save={}", file.display()),
        "--stage1-from-dir=stage1-fly.aci",
        "--net=host",
        "--inherit-env",
        "--insecure-options=image",
        "--trust-keys-from-https",
        "--volume",
        "etc,kind=host,source=/etc,readOnly=true",
        "--mount",
        "volume=etc,target=/host-etc",
        &image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "test -e /host-etc/hostname && echo $UNIT; exec sleep 600",
    ];
    let mut command = rkt.command(["run"].iter().chain(&words));
    let mut child = command.env("UNIT", "kubelet.service").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let ready = || rkt.run(["status", &by_file, "--wait-ready=10s"]);
    wait_until("the UUID", || fs::read_to_string(&file).is_ok_and(|uuid| uuid.len() == 36));
    ready().succeeds();
    rkt.run(["stop", &by_file]).succeeds();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    child.wait().unwrap();
    assert_eq!(said, "kubelet.service\n");
    rkt.run(["rm", &by_file]).succeeds();
    rkt.assert_no_pods();
}

#[test]
fn rktnetes_prepares_quietly_and_its_units_run_what_was_prepared() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["say", "ran"]);
    let prepared = rkt.run(["prepare", "--quiet", "--stage1-name=coreos.com/rkt/stage1-fly", &image]).succeeds();
    assert_eq!(prepared.stdout.lines().count(), 1, "{prepared}");
    let uuid = prepared.stdout.trim_end();
    assert_eq!(rkt.run(["run-prepared", uuid]).succeeds().stdout, "ran\n");
    rkt.run(["rm", uuid]).succeeds();
    rkt.assert_no_pods();
}

#[test]
fn rktlet_reads_one_line_of_each_answer_and_adds_apps_with_its_flags() {
    let rkt = Rkt::new();
    let image = rkt.image("app", &images::busybox("app").exec(["/bin/sleep", "600"]));
    let id = rkt.run(["fetch", "--full", &image]).succeeds().stdout.trim_end().to_owned();
    let pod = rkt.start([&image]);
    let words = [
        "app",
        "add",
        &pod.uuid,
        &id,
        "--name=0-app",
        "--environment=A=1",
        "--cpu-shares=512",
        "--memory=67108864",
        "--oom-score-adj=10",
        "--seccomp=mode=retain,@appc.io/all",
        "--caps-retain=CAP_CHOWN",
        "--user=0",
        "--supplementary-gids=5",
        "--readonly-rootfs=true",
        "--working-dir=/",
        "--mnt-volume=name=e2b6,kind=host,source=/etc,target=/host-etc,readOnly=true",
        "--exec=/bin/sh",
        "--",
        "-c",
        "exec sleep 600",
        "---",
    ];
    Output::of(rkt.command(words).env("RKT_EXPERIMENT_APP", "true")).succeeds();
    let listed = rkt.run(["list", "--format=json"]).succeeds();
    assert_eq!(listed.stdout.lines().count(), 1, "{listed}");
    let pods = listed.json();
    assert_eq!(pods[0]["app_names"], serde_json::json!(["app", "0-app"]), "{pods}");
    assert_eq!((pods[0]["name"].as_str(), pods[0]["state"].as_str()), (Some(pod.uuid.as_str()), Some("running")));
    let images = rkt.run(["image", "list", "--full", "--format=json"]).succeeds();
    assert_eq!((images.stdout.lines().count(), images.json()[0]["id"].as_str()), (1, Some(id.as_str())));
    pod.end();
    rkt.collect();
}

#[test]
fn scripts_take_exit_codes_and_columns() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["exit", "5"]);
    rkt.run(["run", &image]).ends_with(5);
    let awk = rkt.words(["list", "--full", "--no-legend"]);
    let script = r#""$@" | awk '{print $1, $5}'"#;
    let mut shell = std::process::Command::new("sh");
    let output = Output::of(shell.args(["-c", script, "sh"]).args(awk)).succeeds();
    let listed: Value = rkt.the_pod();
    assert_eq!(output.stdout, format!("{} exited\n", listed["name"].as_str().unwrap()));
    // The units that come with rkt 1.
    rkt.run(["gc", "--grace-period=24h"]).succeeds();
    assert_eq!(rkt.the_pod()["state"], "exited garbage");
    rkt.run(["gc", "--grace-period=0s"]).succeeds();
    rkt.assert_no_pods();
}
