//! What an app finds: descriptors, namespaces, rights, files, devices, volumes.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rkt_tests::{FLAVORS, Output, Rkt, images, process, wait_until};

/// The fourteen capabilities of `container`, as /proc shows them.
const DEFAULT_CAPABILITIES: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

/// What /proc/self/status says of one field.
fn right(lines: &[String], name: &str) -> String {
    let line = lines.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("{name} is not in {lines:?}")).to_owned()
}

#[test]
fn an_app_has_three_descriptors() {
    let rkt = Rkt::new();
    let image = rkt.probe("descriptors", ["descriptors", "+", "try-read", "/proc/self/fd/0"]);
    for flavor in FLAVORS {
        let lines = rkt.run(["run", flavor, &image]).succeeds().lines_of("descriptors");
        let numbers: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(numbers, ["0", "1", "2", "/proc/self/fd/0:"], "{flavor}: {lines:?}");
        assert!(lines[0].ends_with("null") && lines[3].ends_with(": 0 bytes"), "{flavor}: {lines:?}");
    }
    rkt.collect();
}

#[test]
fn container_has_namespaces_of_its_own_and_fly_those_of_the_host_but_for_mounts() {
    let rkt = Rkt::new();
    let image = rkt.probe("namespaces", ["namespaces"]);
    let hosts = process::namespaces(std::process::id());
    for (flavor, shared) in
        [("--stage1=fly", &["cgroup", "ipc", "net", "pid", "user", "uts"][..]), ("--stage1=container", &["user"])]
    {
        let lines = rkt.run(["run", flavor, &image]).succeeds().lines_of("namespaces");
        for namespace in &hosts {
            let kind = namespace.split(':').next().unwrap();
            assert_eq!(lines.contains(namespace), shared.contains(&kind), "{flavor} {namespace}: {lines:?}");
        }
    }
    rkt.collect();
}

#[test]
fn apps_of_a_pod_share_all_namespaces_but_those_of_their_mounts_and_control_groups() {
    let rkt = Rkt::new();
    // Both live while they are compared: the number of a namespace that has ended is used again.
    let one = rkt.probe("one", ["namespaces", "+", "say", "told", "+", "wait"]);
    let two = rkt.probe("two", ["namespaces", "+", "say", "told", "+", "wait"]);
    let pod = rkt.start([&one, &two]);
    let told = |app| {
        wait_until("both to have told", || pod.lines_of(app).contains(&"told".to_owned()));
        pod.lines_of(app)
    };
    let (one, two) = (told("one"), told("two"));
    let kinds = one.iter().filter(|namespace| !two.contains(namespace)).filter_map(|name| name.split(':').next());
    assert_eq!(kinds.collect::<Vec<_>>(), ["cgroup", "mnt"], "{one:?} {two:?}");
    pod.end();
    rkt.collect();
}

#[test]
fn rights_in_container_are_few_and_those_in_fly_the_hosts() {
    let rkt = Rkt::new();
    let image = rkt.probe("rights", ["rights"]);
    let hosts = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = hosts.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    let container = rkt.run(["run", &image]).succeeds().lines_of("rights");
    let fly = rkt.run(["run", "--stage1=fly", &image]).succeeds().lines_of("rights");
    for (name, in_container, in_fly) in [
        ("CapInh", NONE, NONE),
        ("CapPrm", DEFAULT_CAPABILITIES, bounding),
        ("CapEff", DEFAULT_CAPABILITIES, bounding),
        ("CapBnd", DEFAULT_CAPABILITIES, bounding),
        ("CapAmb", NONE, NONE),
        ("NoNewPrivs", "1", "0"),
        ("Seccomp", "2", "0"),
    ] {
        assert_eq!(
            (right(&container, name), right(&fly, name)),
            (in_container.to_owned(), in_fly.to_owned()),
            "{name}"
        );
    }
    rkt.collect();
}

#[test]
fn a_user_other_than_root_has_a_bounding_set_and_no_capability() {
    let rkt = Rkt::new();
    let image = rkt.probe("rights", ["rights"]);
    let lines = rkt.run(["run", &image, "--user=1000", "--group=1000"]).succeeds().lines_of("rights");
    for (name, expected) in [("CapPrm", NONE), ("CapEff", NONE), ("CapBnd", DEFAULT_CAPABILITIES), ("CapAmb", NONE)] {
        assert_eq!(right(&lines, name), expected, "{name}");
    }
    assert_eq!(right(&lines, "Uid"), "1000 1000 1000 1000");
    rkt.collect();
}

#[test]
fn capabilities_are_kept_and_given_up_as_asked() {
    let rkt = Rkt::new();
    let image = rkt.probe("rights", ["rights"]);
    for flavor in FLAVORS {
        let retain = "--caps-retain=CAP_NET_ADMIN,CAP_CHOWN";
        let lines = rkt.run(["run", flavor, &image, retain]).succeeds().lines_of("rights");
        assert_eq!(
            (right(&lines, "CapEff"), right(&lines, "CapBnd")),
            ("0000000000001001".into(), "0000000000001001".into())
        );
    }
    let lines = rkt.run(["run", &image, "--caps-remove=CAP_CHOWN"]).succeeds().lines_of("rights");
    assert_eq!(right(&lines, "CapBnd"), "00000000a80425fa");
    rkt.run(["run", &image, "--caps-retain=CAP_CHOWN", "--caps-remove=CAP_KILL"])
        .refuses(&["cannot use both --caps-retain and --caps-remove on the same image"]);
    rkt.run(["run", &image, "--caps-retain=CAP_NONSENSE"]).refuses(&["CAP_NONSENSE"]);
    rkt.collect();
}

#[test]
fn a_filter_that_is_asked_for_applies() {
    let rkt = Rkt::new();
    let image = rkt.image("filter", &images::busybox("filter").exec(["/bin/sh", "-c", "mkdir /new; echo $?"]));
    for flavor in FLAVORS {
        assert_eq!(rkt.run(["run", flavor, &image]).succeeds().lines_of("filter"), ["0"]);
        let output = rkt.run(["run", flavor, &image, "--seccomp=mode=remove,errno=ENOSPC,mkdir,mkdirat"]).succeeds();
        assert_eq!(output.lines_of("filter"), ["1"], "{output}");
        assert!(output.errors_of("filter")[0].contains("No space left"), "{output}");
    }
    rkt.run(["run", &image, "--seccomp=mode=remove,no_such_call"]).refuses(&["no_such_call"]);
    rkt.collect();
}

#[test]
fn an_app_of_container_sees_its_own_processes_only() {
    let rkt = Rkt::new();
    let image = rkt.image("ps", &images::busybox("ps").exec(["/bin/sh", "-c", "ls /proc | grep -c '^[0-9]'"]));
    let output = rkt.run(["run", &image]).succeeds();
    let count: u32 = output.lines_of("ps")[0].parse().unwrap();
    // init, the shell, ls, grep.
    assert!(count <= 4, "{output}");
    rkt.collect();
}

#[test]
fn the_kernels_files_are_masked_or_read_only_in_container() {
    let rkt = Rkt::new();
    let masked = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/sys/firmware", "/sys/module"];
    let writable = [
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/mm/ksm/run",
        "/sys/kernel/uevent_helper",
    ];
    let words: Vec<&str> = ["try-read"].into_iter().chain(masked).chain(["+", "try-write"]).chain(writable).collect();
    let image = rkt.probe("files", words);
    let lines = rkt.run(["run", &image]).succeeds().lines_of("files");
    let line = |path: &str| lines.iter().find_map(|line| line.strip_prefix(&format!("{path}: "))).unwrap_or_default();
    for path in masked.iter().filter(|path| fs::exists(path).unwrap()) {
        assert!(["0 bytes", "0 entries"].contains(&line(path)), "{path}: {lines:?}");
    }
    for path in writable.iter().filter(|path| fs::exists(path).unwrap()) {
        assert_eq!(line(path), "read-only filesystem or storage medium", "{path}: {lines:?}");
    }
    rkt.collect();
}

#[test]
fn no_path_of_the_host_can_be_reached_from_container() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::write(&canary, "x").unwrap();
    let data = rkt.data();
    let image = rkt.probe("reach", ["reach", canary.to_str().unwrap(), data.to_str().unwrap(), "/etc/debian_version"]);
    let output = rkt.run(["run", &image]).succeeds();
    assert!(!output.stdout.contains("reached") && output.stdout.contains("tried"), "{output}");
    rkt.collect();
}

#[test]
fn devices_in_container_are_few_and_work() {
    let rkt = Rkt::new();
    let script = "ls /dev; echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo x >/dev/full; ls -l /dev/fd/ >/dev/null && echo fd; echo shm >/dev/shm/x && cat /dev/shm/x";
    let image = rkt.image("dev", &images::busybox("dev").exec(["/bin/sh", "-c", script]));
    let output = rkt.run(["run", &image]).succeeds();
    let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero 3 3 fd shm";
    assert_eq!(output.lines_of("dev").join(" "), expected, "{output}");
    assert!(output.errors_of("dev").join(" ").contains("No space left"), "{output}");
    rkt.collect();
}

#[test]
fn the_host_name_is_the_pods() {
    let rkt = Rkt::new();
    let image = rkt.probe("name", ["show", "/proc/sys/kernel/hostname"]);
    let hosts = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(rkt.run(["run", "--hostname=mine", &image]).succeeds().lines_of("name"), ["mine"]);
    let output = rkt.run(["run", &image]).succeeds();
    assert!(output.lines_of("name")[0].starts_with("rkt-"), "{output}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), hosts);
    rkt.collect();
}

#[test]
fn loopback_is_up_and_alone_in_container() {
    let rkt = Rkt::new();
    let script = "ls /sys/class/net; ip -o link show lo | grep -c LOOPBACK,UP; ping -c 1 -W 5 127.0.0.1 >/dev/null && echo answers";
    let image = rkt.image("net", &images::busybox("net").exec(["/bin/sh", "-c", script]));
    let output = rkt.run(["run", &image]).succeeds();
    let lines = output.lines_of("net");
    // Kernels with tunnels built in put their fallback devices into each network namespace.
    assert!(lines.contains(&"lo".to_owned()) && !lines.iter().any(|line| line.starts_with("eth")), "{output}");
    assert_eq!(lines[lines.len() - 2..], ["1", "answers"], "{output}");
    rkt.collect();
}

#[test]
fn changes_to_an_image_are_the_pods_own() {
    let rkt = Rkt::new();
    let image = images::busybox("root").exec(["/bin/sh", "-c", "cat /file; echo changed > /file; cat /file"]);
    let image = rkt.image("root", &image.file("file", 0o644, b"original\n"));
    for flavor in FLAVORS {
        for _ in 0..2 {
            assert_eq!(
                rkt.run(["run", flavor, &image]).succeeds().lines_of("root"),
                ["original", "changed"],
                "{flavor}"
            );
        }
        let output = rkt.run(["run", flavor, &image, "--readonly-rootfs=true"]).ends_with(0);
        assert_eq!(output.lines_of("root"), ["original", "original"], "{flavor}: {output}");
        assert!(output.stderr.contains("Read-only file system"), "{flavor}: {output}");
    }
    rkt.collect();
}

/// A pod with the directory `shared` of the test on /data.
fn with_volume(rkt: &Rkt, flavor: &str, image: &str, options: &str) -> Output {
    let shared = rkt.home().join("shared");
    let volume = format!("--volume=data,kind=host,source={}{options}", shared.display());
    rkt.run(["run", flavor, &volume, image, "--mount=volume=data,target=/data"])
}

#[test]
fn a_volume_is_shared_with_the_host_without_devices_and_set_user_id_programs() {
    let rkt = Rkt::new();
    let shared = rkt.home().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("in"), "from the host\n").unwrap();
    let script = "cat /data/in; echo from the pod > /data/out && echo written; grep ' /data ' /proc/self/mountinfo | cut -d' ' -f6";
    let image = rkt.image("volume", &images::busybox("volume").exec(["/bin/sh", "-c", script]));
    for flavor in FLAVORS {
        let _ = fs::remove_file(shared.join("out"));
        let lines = with_volume(&rkt, flavor, &image, "").succeeds().lines_of("volume");
        assert_eq!(lines[..2], ["from the host", "written"], "{flavor}");
        assert!(lines[2].contains("nosuid") && lines[2].contains("nodev"), "{flavor}: {lines:?}");
        assert_eq!(fs::read_to_string(shared.join("out")).unwrap(), "from the pod\n");
        fs::remove_file(shared.join("out")).unwrap();
        let lines = with_volume(&rkt, flavor, &image, ",readOnly=true").succeeds().lines_of("volume");
        assert_eq!((lines.len(), lines[0].as_str()), (2, "from the host"), "{flavor}: {lines:?}");
        assert!(!shared.join("out").exists(), "{flavor}");
    }
    rkt.collect();
}

/// A script in a mount namespace of its own, where a file system is mounted below the shared directory.
fn with_a_mount_below(rkt: &Rkt, script: &str) -> Output {
    let below = rkt.home().join("shared/below");
    fs::create_dir_all(&below).unwrap();
    let mount = format!("mount -t tmpfs tmpfs {0} && echo below > {0}/file", below.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "sh", "-c", &format!("{mount} && {{ {script}; }}"), "sh"]);
    Output::of(command.args(rkt.words::<&str>([])))
}

#[test]
fn what_is_mounted_below_a_volume_comes_along_and_is_read_only_with_it() {
    let rkt = Rkt::new();
    let script = "cat /data/below/file; echo x 2>/dev/null >/data/below/new && echo written";
    let image = rkt.image("below", &images::busybox("below").exec(["/bin/sh", "-c", &format!("{script}; true")]));
    let source = rkt.home().join("shared");
    for flavor in FLAVORS {
        for (options, expected) in [("", &["below", "written"][..]), (",readOnly=true", &["below"])] {
            let volume = format!("--volume=data,kind=host,source={}{options}", source.display());
            let script = format!(r#""$@" run {flavor} {volume} {image} --mount=volume=data,target=/data"#);
            let output = with_a_mount_below(&rkt, &script).succeeds();
            assert_eq!(output.lines_of("below"), expected, "{flavor} {options}: {output}");
            let _ = fs::remove_file(source.join("below/new"));
        }
    }
    rkt.collect();
}

#[test]
fn what_a_pod_mounts_does_not_come_to_the_host() {
    let rkt = Rkt::new();
    fs::create_dir(rkt.home().join("shared")).unwrap();
    let script = "mount -t tmpfs tmpfs /data && echo x > /data/x && echo mounted";
    let image = rkt.image("mounts", &images::busybox("mounts").exec(["/bin/sh", "-c", script]));
    let before = fs::read("/proc/self/mountinfo").unwrap();
    let output = with_volume(&rkt, "--stage1=fly", &image, "").succeeds();
    assert_eq!(output.stdout, "mounted\n");
    assert!(fs::read("/proc/self/mountinfo").unwrap() == before);
    assert_eq!(fs::read_dir(rkt.home().join("shared")).unwrap().count(), 0);
    rkt.collect();
}

#[test]
fn an_empty_volume_is_the_pods_and_shared_by_its_apps() {
    let rkt = Rkt::new();
    let writes = rkt.probe("writes", ["write", "/one/file", "hello"]);
    let reads = rkt.probe("reads", ["wait-for", "/two/file", "+", "show", "/two/file", "+", "say", ""]);
    let volume = "--volume=v,kind=empty,mode=0700,uid=5,gid=6";
    let output =
        rkt.run(["run", volume, &writes, "--mount=volume=v,target=/one", &reads, "--mount=volume=v,target=/two"]);
    assert!(output.clone().succeeds().lines_of("reads").contains(&"hello".to_owned()), "{output}");
    rkt.collect();
}

#[test]
fn a_mount_point_without_a_volume_gets_an_empty_one_and_a_warning() {
    let rkt = Rkt::new();
    let image =
        images::probe("implicit").exec(["/probe", "write", "/var/lib/x/file", "y", "+", "show", "/var/lib/x/file"]);
    let image = rkt.image("implicit", &image.mount_point("state", "/var/lib/x", false));
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, &image]).succeeds();
        assert_eq!(output.lines_of("implicit"), ["y"]);
        assert!(output.stderr.contains(r#"no volume specified for mount point "state""#), "{output}");
    }
    rkt.run(["run", &image, "--mount=volume=none,target=/x"]).refuses(&[r#"volume "none" not found"#]);
    rkt.collect();
}

#[test]
fn a_file_of_the_host_can_be_a_volume() {
    let rkt = Rkt::new();
    let file = rkt.home().join("file");
    fs::write(&file, "one file\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let image = rkt.probe("file", ["show", "/etc/deep/file"]);
    for flavor in FLAVORS {
        let volume = format!("--volume=f,kind=host,source={},readOnly=true", file.display());
        let output = rkt.run(["run", flavor, &volume, &image, "--mount=volume=f,target=/etc/deep/file"]).succeeds();
        assert_eq!(output.lines_of("file"), ["one file"], "{flavor}");
    }
    rkt.run(["run", "--volume=f,kind=host,source=/does/not/exist", &image, "--mount=volume=f,target=/x"])
        .refuses(&["/does/not/exist"]);
    rkt.collect();
}

#[test]
fn fly_shows_the_hosts_devices_and_processes_and_a_tmp_of_its_own() {
    let rkt = Rkt::new();
    let script = "test -d /proc/1/ns && echo processes; test -e /dev/null && echo devices; test -d /sys/kernel && echo sys; ls /tmp | wc -l; stat -c %a /tmp";
    let image = rkt.image("fly", &images::busybox("fly").exec(["/bin/sh", "-c", script]));
    let output = rkt.run(["run", "--stage1=fly", &image]).succeeds();
    assert_eq!(output.stdout, "processes\ndevices\nsys\n0\n1777\n");
    rkt.collect();
}
