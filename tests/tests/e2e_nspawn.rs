//! Pods in containers that systemd-nspawn makes: what holds for apps elsewhere holds for them, and nothing stays of
//! what systemd-nspawn makes beside them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use rkt_tests::apps::told;
use rkt_tests::leftovers::Snapshot;
use rkt_tests::{Output, Rkt, Running, images, process, wait_for, wait_until};
use rustix::process::Signal;

const NSPAWN: &str = "--stage1=nspawn";

fn run(rkt: &Rkt, words: &[&str]) -> Output {
    rkt.run(["run", NSPAWN].iter().chain(words))
}

fn start<'r>(rkt: &'r Rkt, words: &[&str]) -> Running<'r> {
    rkt.start([NSPAWN].iter().chain(words))
}

/// The process of the pod's systemd-nspawn.
fn nspawn(rkt: &Rkt) -> u32 {
    let is_one = |pid: &u32| process::name(*pid).starts_with("systemd-nspawn");
    wait_for("systemd-nspawn", || rkt.processes().into_iter().find(is_one))
}

/// All groups of all hierarchies, and what systemd-nspawn keeps on a host.
fn kept_on_the_host() -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec!["/sys/fs/cgroup".into(), "/run/systemd/nspawn".into()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir::<std::path::PathBuf>(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            let path = entry.path().display().to_string();
            if ["/payload", "/supervisor"].iter().any(|name| path.ends_with(name)) || path.starts_with("/run") {
                found.push(path);
            }
        }
    }
    found
}

fn of_pod(all: Vec<String>, uuid: &str) -> Vec<String> {
    all.into_iter().filter(|line| line.contains(uuid)).collect()
}

/// Nothing of the pod is anywhere.
fn assert_gone(rkt: &Rkt, before: &Snapshot, uuid: &str) {
    rkt.collect();
    assert_eq!(of_pod(before.left_in(&Snapshot::take()), uuid), Vec::<String>::new());
    assert_eq!(of_pod(kept_on_the_host(), uuid), Vec::<String>::new());
}

fn mounts_of_the_host() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn an_app_runs_as_in_a_container() {
    let rkt = Rkt::new();
    let words = ["say", "one", "+", "complain", "two", "+", "arguments", "a b", "", "*", "+", "environment"];
    let more = ["+", "directory", "+", "rights", "+", "show", "/proc/self/limits", "/proc/self/oom_score_adj"];
    let last = ["+", "list", "/dev", "+", "descriptors", "+", "exit", "7"];
    let image = rkt.probe("same", words.into_iter().chain(more).chain(last));
    let flags = ["--set-env=X=y", &image, "--working-dir=/dev", "--user=33", "--group=34", "--oom-score-adj=33"];
    let theirs = run(&rkt, &flags).ends_with(7);
    let ours = rkt.run(["run", "--stage1=container"].iter().chain(&flags)).ends_with(7);
    assert_eq!(theirs.errors_of("same"), ["two"]);
    assert_eq!(theirs.lines_of("same").len(), ours.lines_of("same").len());
    // systemd-nspawn adds filters of its own.
    let told = |output: &Output| -> Vec<String> {
        let lines = output.lines_of("same").into_iter().filter(|line| !line.starts_with("Seccomp_filters"));
        lines.map(|line| line.split("pipe:").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(told(&theirs), told(&ours));
    rkt.collect();
}

#[test]
fn the_host_sees_nothing_of_it_and_its_mounts_are_as_they_were() {
    let (rkt, before, mounts) = (Rkt::new(), Snapshot::take(), mounts_of_the_host());
    let image = rkt.probe("seen", ["namespaces", "+", "mounts", "+", "wait"]);
    let pod = start(&rkt, &["--hostname=there", &image]);
    wait_until("it to have told", || pod.lines_of("seen").iter().any(|line| line.starts_with("/dev/shm")));
    assert_eq!(mounts_of_the_host(), mounts);
    let hosts = process::namespaces(std::process::id());
    let shared = pod.lines_of("seen").into_iter().filter(|line| hosts.contains(line)).count();
    assert_eq!(shared, 1, "only users are shared");
    // What systemd-nspawn keeps for a machine, it keeps where it alone sees it.
    assert_eq!(
        kept_on_the_host().iter().filter(|path| path.starts_with("/run") && path.contains(&pod.uuid)).count(),
        0
    );
    // It has a place of its own, in each hierarchy, below that of the pod.
    let groups = kept_on_the_host();
    assert!(
        groups.iter().any(|group| group.ends_with("-program-0/payload") && group.contains(&pod.uuid)),
        "{groups:?}"
    );
    let init = fs::read_to_string(format!("/proc/{}/status", pod.init())).unwrap();
    let numbers = init.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    assert_eq!(numbers.split_whitespace().last(), Some("1"), "the pod's init is the first process of the container");
    let uuid = pod.uuid.clone();
    pod.end();
    assert_eq!(mounts_of_the_host(), mounts);
    assert_gone(&rkt, &before, &uuid);
}

#[test]
fn apps_have_limits_of_their_own_set_from_outside() {
    let (rkt, before) = (Rkt::new(), Snapshot::take());
    let one = rkt.probe("one", ["wait"]);
    let two = rkt.image("two", &images::probe("two").exec(["/probe", "wait-for", "/go", "+", "eat", "134217728"]));
    let pod = start(&rkt, &[&one, "--memory=48M", "--cpu=500m", "--pids-limit=9", &two, "--memory=64M"]);
    let came = before.left_in(&Snapshot::take());
    let limit = |app: &str, names: [&str; 2]| {
        let end = format!("{}/{app}", pod.uuid);
        let ends = |line: &&String| line.ends_with(&end) || line.ends_with(&format!("rkt-{}.scope/{app}", pod.uuid));
        let groups = came.iter().filter(ends).map(|line| line.trim_start_matches("control group: "));
        let mut files = groups.flat_map(|group| names.map(|name| format!("{group}/{name}")));
        let found = files.find_map(|file| fs::read_to_string(file).ok());
        found.unwrap_or_else(|| panic!("{names:?} of {app} in {came:?}")).trim().to_owned()
    };
    assert_eq!(limit("one", ["memory.limit_in_bytes", "memory.max"]), "47996928");
    assert_eq!(limit("two", ["memory.limit_in_bytes", "memory.max"]), "64000000");
    assert_eq!(limit("one", ["pids.max"; 2]), "9");
    assert!(limit("one", ["cpu.cfs_quota_us", "cpu.max"]).starts_with("50000"));
    // The kernel kills what eats more; that ends the pod.
    rkt.run(["enter", "--app=two", &pod.uuid, "/probe", "write", "/go", ""]).succeeds();
    let uuid = pod.uuid.clone();
    pod.wait().ends_with(9);
    assert_gone(&rkt, &before, &uuid);
}

#[test]
fn it_is_listed_entered_and_stopped() {
    let (rkt, before) = (Rkt::new(), Snapshot::take());
    let serve = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let one = rkt.image("one", &images::busybox("one").exec(["/bin/sh", "-c", serve]));
    let two = rkt.probe("two", ["rights", "+", "say", "told", "+", "wait"]);
    let pod = start(&rkt, &[&one, &two, "--caps-retain=CAP_KILL", "--user=7"]);
    pod.says("up");
    let listed = rkt.the_pod();
    assert_eq!(listed["state"].as_str(), Some("running"), "{listed}");

    let enter = |words: &[&str]| rkt.run(["enter", "--app=one", pod.uuid.as_str()].iter().chain(words));
    let entered = enter(&["/bin/sh", "-c", "echo out; echo err >&2; exit 9"]).ends_with(9);
    assert_eq!((entered.stdout.as_str(), entered.stderr.as_str()), ("out\n", "err\n"));
    // Nobody inside ends init, and who enters has the app's rights.
    enter(&["/bin/kill", "-9", "1"]).succeeds();
    let entered = rkt.run(["enter", "--app=two", &pod.uuid, "/probe", "rights"]).succeeds();
    wait_until("it to have told", || pod.lines_of("two").last().is_some_and(|line| line == "told"));
    let (rights, theirs) = (pod.lines_of("two"), entered.stdout.lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(theirs[..], rights[..rights.len() - 1]);

    rkt.run(["stop", &pod.uuid]).succeeds();
    let uuid = pod.uuid.clone();
    let output = pod.wait().ends_with(3);
    assert!(output.stdout.contains("asked"), "{output}");
    let status = rkt.run(["status", &uuid]).succeeds().stdout;
    assert!(status.contains("state=exited") && status.contains("app-one=3\napp-two=0"), "{status}");
    assert_gone(&rkt, &before, &uuid);

    let pod = start(&rkt, &[&one]);
    rkt.run(["stop", "--force", &pod.uuid]).succeeds();
    let uuid = pod.uuid.clone();
    pod.wait().ends_with(9);
    assert_gone(&rkt, &before, &uuid);
}

#[test]
fn whoever_asks_all_processes_to_end_leaves_apps_their_time() {
    let (rkt, before) = (Rkt::new(), Snapshot::take());
    let serve = "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let pod = start(&rkt, &[&rkt.image("serves", &images::busybox("serves").exec(["/bin/sh", "-c", serve]))]);
    pod.says("up");
    // As a service manager does that stops a unit.
    process::signal(nspawn(&rkt), Signal::TERM);
    pod.says("Trying to halt container");
    assert!(process::lives(pod.init()));
    rkt.run(["stop", &pod.uuid]).succeeds();
    let uuid = pod.uuid.clone();
    pod.wait().ends_with(3);
    assert_gone(&rkt, &before, &uuid);
}

#[test]
fn it_is_stopped_while_it_starts() {
    let (rkt, before) = (Rkt::new(), Snapshot::take());
    let image = rkt.probe("early", ["wait"]);
    let pod = rkt.start_unready([NSPAWN, image.as_str()]);
    nspawn(&rkt);
    rkt.run(["stop", "--force", &pod.uuid]).succeeds();
    let uuid = pod.uuid.clone();
    assert!(!pod.wait().status.success());
    assert_gone(&rkt, &before, &uuid);
}

#[test]
fn whoever_is_killed_nothing_outlives_the_pod() {
    let rkt = Rkt::new();
    let before = Snapshot::take();
    let image = rkt.image("left", &images::busybox("left").exec(["/bin/sh", "-c", "sleep 1000 & sleep 1000"]));
    for limit in [&[][..], &["--memory=64M"]] {
        let words = [&[image.as_str()][..], limit].concat();
        // The monitor.
        let pod = start(&rkt, &words);
        let (program, init, uuid) = (nspawn(&rkt), pod.init(), pod.uuid.clone());
        pod.signal(Signal::KILL);
        pod.wait();
        wait_until("all to be gone", || {
            !process::lives(program) && !process::lives(init) && rkt.processes().is_empty()
        });
        assert_gone(&rkt, &before, &uuid);
        // systemd-nspawn.
        let pod = start(&rkt, &words);
        let uuid = pod.uuid.clone();
        process::signal(nspawn(&rkt), Signal::KILL);
        let output = pod.wait().ends_with(9);
        assert!(output.stderr.contains("the program that runs the pod's init has ended with signal 9"), "{output}");
        assert_gone(&rkt, &before, &uuid);
        // Init inside.
        let pod = start(&rkt, &words);
        let uuid = pod.uuid.clone();
        process::signal(pod.init(), Signal::KILL);
        let output = pod.wait().ends_with(9);
        assert!(output.stderr.contains("the program that runs the pod's init has ended with"), "{output}");
        assert_gone(&rkt, &before, &uuid);
        // Both that would end it: then whoever meets the pod does.
        let pod = start(&rkt, &words);
        let (program, uuid) = (nspawn(&rkt), pod.uuid.clone());
        pod.abandon(program);
        assert_gone(&rkt, &before, &uuid);
    }
}

#[test]
fn volumes_are_had_as_elsewhere_whatever_they_are_called() {
    let rkt = Rkt::new();
    let shared = rkt.home().join("--bind=a name; with=all:$(sorts)");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "from the host\n").unwrap();
    let write = "cat /a/b/file; echo x > /c/new || echo kept; echo theirs > /a/b/new; touch /e/empty && ls /e";
    let image = rkt.image("volumes", &images::busybox("volumes").exec(["/bin/sh", "-c", write]));
    let path = shared.to_str().unwrap();
    let source = format!("--volume=v,kind=host,source={path}");
    let again = format!("--volume=again,kind=host,source={path},readOnly=true");
    let volumes = [source.as_str(), &again, "--volume=e,kind=empty,mode=1777", &image, "--name=x-directory"];
    let mounts = ["v,target=/a/b", "again,target=/c", "e,target=/e"].map(|mount| format!("--mount=volume={mount}"));
    let words: Vec<&str> = volumes.into_iter().chain(mounts.iter().map(String::as_str)).collect();
    for flavor in [NSPAWN, "--stage1=container"] {
        let output = rkt.run(["run", flavor].iter().chain(&words)).succeeds();
        assert_eq!(output.lines_of("x-directory"), ["from the host", "kept", "empty"], "{flavor}: {output}");
        assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "theirs\n");
        fs::remove_file(shared.join("new")).unwrap();
    }
    rkt.collect();
}

#[test]
fn nothing_that_a_user_or_an_image_chose_is_an_argument_of_systemd_nspawn() {
    let rkt = Rkt::new();
    let image = rkt.image("evil", &images::probe("evil").exec(["/probe", "arguments", "--bind=/", "+", "wait"]));
    let volume = ["--volume=bind,kind=empty", "--mount=volume=bind,target=/--boot"];
    let pod = start(
        &rkt,
        &[&["--hostname=network-veth"], &volume[..1], &[&image, "--name=private-users"], &volume[1..]].concat(),
    );
    let line = fs::read(format!("/proc/{}/cmdline", nspawn(&rkt))).unwrap();
    let arguments: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let known =
        ["--quiet", "--settings=no", "--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off"];
    let more = [
        "--private-network",
        "--keep-unit",
        "--kill-signal=SIGTERM",
        "/init",
        "/channel",
        "/usr/bin/systemd-nspawn",
        "",
    ];
    for argument in &arguments {
        let is_known = known.iter().chain(&more).any(|word| argument == word)
            || argument == &format!("--machine=rkt-{}", pod.uuid)
            || argument == &format!("--uuid={}", pod.uuid)
            || argument.strip_prefix("--directory=").is_some_and(|path| Path::new(path).starts_with(rkt.data()))
            || ["--register=yes", "--register=no"].contains(&argument.as_str());
        assert!(is_known, "{argument:?} in {arguments:?}");
    }
    pod.end();
    rkt.collect();
}

#[test]
fn what_is_not_granted_is_named_with_the_word_that_needs_it() {
    let rkt = Rkt::new();
    let defaults = fs::read_to_string(rkt_tests::workspace().join("host/cli/defaults/plugins.d/nspawn.toml")).unwrap();
    // What is in quotes, of which the first is the plugin's name.
    let granted: Vec<String> = defaults.split('"').skip(1).step_by(2).skip(1).map(str::to_owned).collect();
    let image = rkt.probe("hello", ["say", "hello"]);
    for missing in [
        "program:host:/usr/bin/systemd-nspawn",
        "unconfined:/usr/bin/systemd-nspawn",
        "own-directory:/run/systemd/nspawn",
        "argument:--private-network",
        "argument:/init",
        "artifact:init",
        "channel",
        "file",
    ] {
        assert!(granted.iter().any(|given| given == missing), "{missing}");
        let less: Vec<String> = granted.iter().filter(|given| *given != missing).cloned().collect();
        rkt.grant("nspawn", &less);
        let refused = run(&rkt, &[&image]);
        refused.refuses(&["the plan of nspawn is refused", &format!("`{missing}`"), "plugins.d/nspawn.toml"]);
    }
    // A shape that is not wide enough.
    let narrow: Vec<String> = granted.iter().map(|given| given.replace("--uuid={uuid}", "--uuid={bool}")).collect();
    rkt.grant("nspawn", &narrow);
    run(&rkt, &[&image]).refuses(&["the plan of nspawn is refused", "argument:--uuid="]);
    rkt.assert_no_pods();
}

#[test]
fn apps_come_and_go_while_it_runs() {
    let (rkt, before) = (Rkt::new(), Snapshot::take());
    let tell = "show /proc/self/status /proc/self/limits /proc/self/cgroup + mounts + descriptors + environment + list / \
                + say all-told + wait";
    let image = rkt.probe("both", tell.split_whitespace());
    let flags = ["--memory=64M", "--user=7", "--mount=volume=data,target=/data"];
    let volume = format!("--volume=data,kind=host,source={},readOnly=true", rkt.home().display());
    let pod = start(&rkt, &[&[volume.as_str(), image.as_str(), "--name=early"][..], &flags].concat());
    let early = told(&pod, "early");
    rkt.run([&["app", "add", &pod.uuid, &image, "--name=late"][..], &flags].concat()).succeeds();
    assert_eq!(told(&pod, "late"), early);
    assert!(early.len() > 60, "{early:?}");
    assert_eq!(rkt.the_pod()["apps"].as_array().unwrap().len(), 2);
    rkt.run(["enter", "--app=late", &pod.uuid, "/probe", "say", "inside"]).succeeds();
    rkt.run(["app", "rm", "--app=late", &pod.uuid]).succeeds();
    assert_eq!(rkt.the_pod()["apps"].as_array().unwrap().len(), 1);
    assert!(of_pod(before.left_in(&Snapshot::take()), "/late").is_empty());
    // Not what would change what systemd-nspawn was told.
    let refused = rkt.run(["app", "add", &pod.uuid, &image, "--name=other", "--oom-score-adj=-1"]);
    refused.refuses(&["this cannot change in a pod that runs: program: arguments"]);
    let uuid = pod.uuid.clone();
    assert_eq!(pod.end().status.code(), Some(0));
    assert_gone(&rkt, &before, &uuid);
}

#[test]
fn output_is_all_there_and_a_program_that_is_missing_is_named() {
    let rkt = Rkt::new();
    let image = rkt.probe("much", ["say-bytes", "2000000"]);
    let output = run(&rkt, &[&image]).succeeds();
    let lines = output.lines_of("much");
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (125_000, Some("line 0000124999")));
    let missing = rkt.image("missing", &images::probe("missing").exec(["/none"]));
    let output = run(&rkt, &[&missing]).ends_with(203);
    assert!(output.stderr.contains("/none"), "{output}");
    rkt.collect();
}
