//! Pods in a virtual machine of their own: what holds for apps on this kernel holds for apps on another.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use rkt_tests::aci::AciBuilder;
use rkt_tests::guest::{EMULATED, rkt, turn};
use rkt_tests::leftovers::Snapshot;
use rkt_tests::{Output, Rkt, Running, images, process, wait_for, wait_until};
use rustix::process::Signal;

fn run(rkt: &Rkt, words: &[&str]) -> Output {
    rkt.run(["run"].iter().chain(&EMULATED).chain(words))
}

fn start<'r>(rkt: &'r Rkt, words: &[&str]) -> Running<'r> {
    rkt.start(EMULATED.iter().chain(words))
}

/// The process of the pod's machine.
fn machine(rkt: &Rkt) -> u32 {
    let is_one = |pid: &u32| process::name(*pid).starts_with("qemu-system");
    wait_for("the machine", || rkt.processes().into_iter().find(is_one))
}

#[test]
fn an_app_runs_as_elsewhere_on_a_kernel_of_its_own() {
    let _turn = turn();
    let rkt = rkt();
    let words = ["say", "one", "+", "complain", "two", "+", "arguments", "a b", "", "*", "+", "environment"];
    let more = ["+", "directory", "+", "rights", "+", "show", "/proc/version", "+", "exit", "7"];
    let image = rkt.probe("same", words.into_iter().chain(more));
    let with = ["--set-env=X=y", &image, "--working-dir=/dev", "--user=33", "--group=34"];
    let guests = run(&rkt, &with).ends_with(7);
    let ours = rkt.run(["run", "--stage1=container"].iter().chain(&with)).ends_with(7);
    assert_eq!(guests.errors_of("same"), ["two"]);
    let parts = |output: &Output| {
        let mut lines = output.lines_of("same");
        let version = lines.pop().unwrap();
        (lines, version)
    };
    let ((lines, version), (expected, own)) = (parts(&guests), parts(&ours));
    assert_eq!(lines, expected);
    assert!(version != own && version.contains("-cloud-"), "{version}");
    rkt.collect();
}

#[test]
fn an_image_that_depends_on_others_is_one_tree_in_a_guest() {
    let _turn = turn();
    let rkt = rkt();
    let base = rkt.image("base", &images::probe("base").file("data/one", 0o644, b""));
    let top = AciBuilder::new("example.com/top").file("data/two", 0o644, b"").exec(["/probe", "list", "/data"]);
    let top = top.manifest("dependencies", serde_json::json!([{"imageName": "example.com/base"}]));
    rkt.run(["fetch", &base, &rkt.image("top", &top)]).succeeds();
    for _ in 0..2 {
        assert_eq!(run(&rkt, &["example.com/top"]).succeeds().lines_of("top"), ["one", "two"]);
    }
    let trees: Vec<_> =
        fs::read_dir(rkt.data().join("cas/rendered")).unwrap().map(|tree| tree.unwrap().path()).collect();
    assert!(trees.len() == 1 && trees[0].join("root.erofs").is_file(), "{trees:?}");
    rkt.run(["image", "gc"]).succeeds();
    assert!(trees[0].is_dir(), "pods that have ended are still there");
    rkt.collect();
    rkt.run(["image", "gc"]).succeeds();
    assert!(!trees[0].is_dir());
}

#[test]
fn apps_of_a_guest_have_limits_of_their_own_there_and_the_machine_as_a_whole_here() {
    let _turn = turn();
    let (rkt, before) = (rkt(), Snapshot::take());
    let show = "cat /proc/self/cgroup; hostname; mount -t cgroup2 | wc -l";
    let wait = format!("{show}; while :; do sleep 0.1; done");
    let one = rkt.image("one", &images::busybox("one").exec(["/bin/sh", "-c", &wait]));
    let two = rkt.image("two", &images::probe("two").exec(["/probe", "wait-for", "/go", "+", "eat", "134217728"]));
    let pod = start(&rkt, &["--hostname=there", &one, "--memory=48M", "--cpu=500m", &two, "--memory=64M", "--cpu=1"]);
    let groups: Vec<String> = before.left_in(&Snapshot::take());
    let limit = |hierarchy: &str, file: &str| {
        let is_one = |line: &&String| line.contains(hierarchy) && line.ends_with(&format!("{}/program", pod.uuid));
        let group = groups.iter().find(is_one).unwrap_or_else(|| panic!("{hierarchy} is not in {groups:?}"));
        let path = format!("{}/{file}", group.trim_start_matches("control group: "));
        fs::read_to_string(&path).unwrap().trim().parse::<u64>().unwrap()
    };
    // Both apps' memory and what the machine itself takes; one and a half processors.
    assert_eq!(limit("/memory/", "memory.limit_in_bytes"), (512 + 256) << 20);
    assert_eq!(limit("/cpu", "cpu.cfs_quota_us"), 150_000);
    wait_until("one to have told", || pod.lines_of("one").len() == 3);
    assert_eq!(pod.lines_of("one"), ["0::/", "there", "1"]);
    // The guest's kernel kills what eats more than its own share; that ends the pod.
    rkt.run(["enter", "--app=two", &pod.uuid, "/probe", "write", "/go", ""]).succeeds();
    let uuid = pod.uuid.clone();
    let output = pod.wait().ends_with(9);
    assert_eq!(output.lines_of("two"), Vec::<String>::new(), "{output}");
    rkt.collect();
    let left = before.left_in(&Snapshot::take());
    assert!(!left.iter().any(|line| line.contains(&uuid)), "{left:?}");
}

#[test]
fn it_is_listed_entered_and_stopped() {
    let _turn = turn();
    let rkt = rkt();
    let serve = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let one = rkt.image("one", &images::busybox("one").exec(["/bin/sh", "-c", serve]));
    let two = rkt.image("two", &images::busybox("two").exec(["/bin/sleep", "1000"]));
    let pod = start(&rkt, &[&one, &two]);
    pod.says("up");
    let listed = rkt.the_pod();
    assert_eq!(listed["state"].as_str(), Some("running"), "{listed}");

    let enter = |words: &[&str]| rkt.run(["enter", "--app=one", pod.uuid.as_str()].iter().chain(words));
    let entered = enter(&["/bin/sh", "-c", "echo out; echo err >&2; grep -c . /proc/self/status; exit 9"]).ends_with(9);
    assert!(entered.stdout.starts_with("out\n") && entered.stderr == "err\n", "{entered}");
    // Nobody inside ends init.
    enter(&["/bin/kill", "-9", "1"]).succeeds();
    assert!(enter(&["/nowhere"]).stderr.contains("/nowhere"));
    // More than a window both ways.
    let mut cat = rkt.command(["enter", "--app=two", &pod.uuid, "/bin/cat"]);
    let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut input = cat.stdin.take().unwrap();
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || input.write_all(&sent));
    let echoed = cat.wait_with_output().unwrap();
    sender.join().unwrap().unwrap();
    assert!(echoed.status.success() && echoed.stdout == bytes, "{} bytes came back", echoed.stdout.len());

    rkt.run(["stop", &pod.uuid]).succeeds();
    let output = pod.wait().ends_with(3);
    assert!(output.stdout.contains("asked"), "{output}");
    let status = rkt.run(["status", &rkt.pods()[0]]).succeeds().stdout;
    assert!(status.contains("state=exited") && status.contains("app-one=3\napp-two=0"), "{status}");
    rkt.collect();
}

#[test]
fn volumes_are_those_of_the_host_and_are_had_as_elsewhere() {
    let _turn = turn();
    let rkt = rkt();
    let shared = rkt.home().join("a name; with=all $(sorts)");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "from the host\n").unwrap();
    fs::write(shared.join("one"), "one\n").unwrap();
    let write = "cat /a/b/file /etc/one; echo x > /etc/one || echo kept; echo x > /c/new || echo kept too
        echo theirs > /a/b/new; chown 1000:1001 /a/b/new; chmod 640 /a/b/new; ln -s /etc/passwd /a/b/link
        mknod /a/b/null c 1 3 && echo > /a/b/null || echo no device
        touch /e/empty && ls /e";
    let image = rkt.image("volumes", &images::busybox("volumes").exec(["/bin/sh", "-c", write]));
    let path = shared.to_str().unwrap();
    let source = format!("--volume=v,kind=host,source={path}");
    let again = format!("--volume=again,kind=host,source={path},readOnly=true");
    let one = format!("--volume=w,kind=host,source={path}/one,readOnly=true");
    let volumes = [source.as_str(), &again, &one, "--volume=e,kind=empty,mode=1777"];
    let mounts = ["v,target=/a/b", "again,target=/c", "w,target=/etc/one", "e,target=/e"]
        .map(|mount| format!("--mount=volume={mount}"));
    let words: Vec<&str> =
        volumes.into_iter().chain([image.as_str()]).chain(mounts.iter().map(String::as_str)).collect();
    let expected = ["from the host", "one", "kept", "kept too", "no device", "empty"];
    for flavor in [&EMULATED[..], &["--stage1=container"]] {
        let output = rkt.run(["run"].iter().chain(flavor).chain(&words)).succeeds();
        assert_eq!(output.lines_of("volumes"), expected, "{output}");
        let new = fs::metadata(shared.join("new")).unwrap();
        assert_eq!((new.uid(), new.gid(), new.mode() & 0o7777), (1000, 1001, 0o640));
        assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "theirs\n");
        assert_eq!(fs::read_link(shared.join("link")).unwrap().to_str(), Some("/etc/passwd"));
        for name in ["new", "link", "null"] {
            let _ = fs::remove_file(shared.join(name));
        }
        rkt.collect();
    }
}

#[test]
fn what_a_guest_cannot_reach_of_the_host_is_refused_before_it_starts() {
    let rkt = rkt();
    let image = rkt.probe("never", ["say", "never"]);
    let socket = rkt.home().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (source, what) in [(socket.to_str().unwrap(), "is a socket"), ("/dev/full", "is a device")] {
        let volume = format!("--volume=data,kind=host,source={source}");
        run(&rkt, &[&volume, &image, "--mount=volume=data,target=/data"]).refuses(&[
            source,
            what,
            "cannot be reached from a virtual machine",
        ]);
    }
    rkt.assert_no_pods();
}

#[test]
fn what_runs_a_machine_and_what_serves_its_volumes_have_nothing_beside_that() {
    let _turn = turn();
    let rkt = rkt();
    let image = rkt.probe("jailed", ["wait"]);
    let pod = start(&rkt, &["--volume=v,kind=empty", &image, "--mount=volume=v,target=/v"]);
    let named = |name: &str| {
        let found: Vec<u32> = rkt.processes().into_iter().filter(|pid| process::name(*pid).starts_with(name)).collect();
        assert!(!found.is_empty(), "{name}");
        found
    };
    let status = |pid: u32, field: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t")).unwrap();
        line.to_owned()
    };
    let below = |path: String| {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.collect::<std::collections::BTreeSet<String>>()
    };
    for pid in named("qemu-system").into_iter().chain(named("virtiofsd")) {
        assert_eq!((status(pid, "NoNewPrivs").as_str(), status(pid, "Seccomp").as_str()), ("1", "2"));
        let own = process::namespaces(std::process::id());
        assert!(process::namespaces(pid).iter().filter(|namespace| own.contains(namespace)).count() <= 1, "{pid}");
        let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
        assert!(devices.lines().skip(2).all(|line| line.trim_start().starts_with("lo:")), "{devices}");
    }
    let machine = machine(&rkt);
    for set in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
        assert_eq!(status(machine, set), "0000000000000000", "{set}");
    }
    assert!(!status(machine, "Uid").split('\t').any(|uid| uid == "0"));
    let seen = below(format!("/proc/{machine}/root"));
    let expected = ["dev", "initramfs", "kernel", "lib", "lib64", "root-0", "run", "usr"].map(str::to_owned);
    assert_eq!(seen, expected.into());
    assert_eq!(below(format!("/proc/{machine}/root/dev")), ["null".to_owned()].into());
    // The app's image is open once, and for reading.
    let disks: Vec<String> = below(format!("/proc/{machine}/fd"))
        .into_iter()
        .filter(|fd| fs::read_link(format!("/proc/{machine}/fd/{fd}")).is_ok_and(|to| to.ends_with("root-0")))
        .map(|fd| fs::read_to_string(format!("/proc/{machine}/fdinfo/{fd}")).unwrap())
        .collect();
    let is_for_reading = |info: &String| info.lines().any(|line| line.starts_with("flags:") && line.ends_with('0'));
    assert!(disks.len() == 1 && disks.iter().all(is_for_reading), "{disks:?}");

    for server in named("virtiofsd") {
        // To set, read and search; never to trace, mount, load, kill or reach a network.
        let few = u64::from_str_radix(&status(server, "CapBnd"), 16).unwrap();
        assert!(few.count_ones() <= 10 && few & (1 << 21 | 1 << 19 | 1 << 12 | 1 << 16 | 1 << 5) == 0, "{few:x}");
        let root = below(format!("/proc/{server}/root"));
        let jail = ["lib", "lib64", "proc", "run", "usr", "var", "volumes"].map(str::to_owned).into();
        assert!(root == jail || root == ["0".to_owned()].into(), "{root:?}");
    }
    pod.signal(Signal::TERM);
    pod.wait();
    rkt.collect();
}

#[test]
fn a_pod_is_stopped_while_its_guest_starts() {
    let _turn = turn();
    let rkt = rkt();
    let image = rkt.probe("early", ["wait"]);
    let pod = rkt.start_unready(EMULATED.iter().copied().chain([image.as_str()]));
    machine(&rkt);
    rkt.run(["stop", "--force", &pod.uuid]).succeeds();
    assert!(!pod.wait().status.success());
    rkt.collect();
}

#[test]
fn its_end_is_told_whoever_ends_it_and_nothing_outlives_it() {
    let _turn = turn();
    let rkt = rkt();
    let image = rkt.probe("left", ["wait"]);
    let pod = start(&rkt, &[&image]);
    process::signal(machine(&rkt), Signal::KILL);
    let output = pod.wait().ends_with(9);
    assert!(output.stderr.contains("the program that runs the guest has ended with signal 9"), "{output}");
    rkt.collect();

    let pod = start(&rkt, &[&image, "--memory=64M"]);
    let machine = machine(&rkt);
    pod.signal(Signal::KILL);
    wait_until("the machine to be gone", || !process::lives(machine));
    pod.wait();
    rkt.collect();
}

#[test]
fn output_is_all_there_however_much_it_is() {
    let _turn = turn();
    let rkt = rkt();
    let image = rkt.probe("much", ["say-bytes", "2000000"]);
    let output = run(&rkt, &[&image]).succeeds();
    let lines = output.lines_of("much");
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (125_000, Some("line 0000124999")));
    let missing = rkt.image("missing", &images::probe("missing").exec(["/none"]));
    let output = run(&rkt, &[&missing]).ends_with(203);
    assert!(output.stderr.contains("/none"), "{output}");
    rkt.collect();
}
