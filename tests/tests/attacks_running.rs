//! Attacks by and through a pod that runs, named by the rows of `ATTACKS.md`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rkt_tests::elf::{Argument, Door, Program};
use rkt_tests::{FLAVORS, Output, Rkt, images, process, wait_until};
use rustix::process::Signal;

#[test]
fn r10_no_capability_is_inheritable_or_ambient() {
    let rkt = Rkt::new();
    let image = rkt.probe("rights", ["rights"]);
    for flavor in FLAVORS {
        for words in [&["--user=0"][..], &["--user=1000"], &["--caps-retain=CAP_NET_ADMIN", "--user=1000"]] {
            let lines = rkt.run(["run", flavor, &image].iter().chain(words)).succeeds().lines_of("rights");
            for name in ["CapInh", "CapAmb"] {
                assert!(lines.contains(&format!("{name}: 0000000000000000")), "{flavor} {words:?}: {lines:?}");
            }
        }
    }
    rkt.collect();
}

#[test]
fn r12_control_groups_cannot_be_used_to_get_out() {
    let rkt = Rkt::new();
    let script = r#"
        find / -xdev -name release_agent 2>/dev/null
        find /sys -name release_agent 2>/dev/null
        for c in memory cpu pids devices unified; do
            mkdir -p /mnt/$c && mount -t cgroup -o $c cgroup /mnt/$c 2>/dev/null && echo "mounted $c"
        done
        mount -t cgroup2 cgroup2 /mnt 2>/dev/null && echo mounted
        (echo 1 > /sys/fs/cgroup/cgroup.procs) 2>/dev/null && echo moved
        mkdir /sys/fs/cgroup/x 2>/dev/null && echo made
        echo tried"#;
    let image = rkt.image("groups", &images::busybox("groups").exec(["/bin/sh", "-c", script]));
    let output = rkt.run(["run", &image, "--memory=64M"]).succeeds();
    assert_eq!(output.lines_of("groups"), ["tried"], "{output}");
    rkt.collect();
}

#[test]
fn r13_the_control_socket_is_roots_and_no_name_of_ours_is_in_the_abstract() {
    let rkt = Rkt::new();
    let image = rkt.probe("waits", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        let control = pod.directory().join("control");
        assert_eq!(fs::metadata(&control).unwrap().permissions().mode() & 0o777, 0o600, "{flavor}");
        let table = fs::read_to_string("/proc/net/unix").unwrap();
        let names =
            table.lines().filter_map(|line| line.split_whitespace().nth(7)).filter(|name| name.starts_with('@'));
        let of_ours: Vec<&str> = names.filter(|name| name.contains("rkt") || name.contains(&pod.uuid)).collect();
        assert!(of_ours.is_empty(), "{flavor}: {of_ours:?}");
        // With the path open to all, only the socket's own mode and the peer's user are left.
        for directory in control.ancestors().skip(1).take_while(|path| path.starts_with(rkt.home())) {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let probe = rkt.home().join("probe");
        fs::write(&probe, images::PROBE).unwrap();
        fs::set_permissions(&probe, fs::Permissions::from_mode(0o755)).unwrap();
        for mode in [0o600, 0o666] {
            fs::set_permissions(&control, fs::Permissions::from_mode(mode)).unwrap();
            let mut nobody = Command::new("setpriv");
            nobody
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(&probe)
                .arg("try-connect")
                .arg(&control);
            let output = Output::of(&mut nobody).succeeds();
            let refused = output.stdout.contains("permission denied");
            // Where the mode lets somebody connect, the monitor hangs up on them and goes on.
            assert!(refused || mode == 0o666, "{flavor}: {output}");
        }
        rkt.run(["status", &pod.uuid]).succeeds();
        assert_eq!(rkt.run(["enter", &pod.uuid, "/probe", "say", "on"]).succeeds().stdout, "on\n", "{flavor}");
        pod.end();
        rkt.collect();
    }
}

/// Calls with a door and a number, and whether `container` lets them through.
fn calls() -> Vec<(&'static str, Door, u32, Vec<Argument<'static>>)> {
    use Argument::{Number, Text};
    let none = Vec::new;
    vec![
        ("getpid", Door::Syscall, 39, none()),
        ("x32-getpid", Door::Syscall, 0x4000_0027, none()),
        ("i386-getpid", Door::Int80, 20, none()),
        ("unshare-user", Door::Syscall, 272, vec![Number(0x1000_0000)]),
        ("clone-user", Door::Syscall, 56, vec![Number(0x1000_0011)]),
        ("clone3", Door::Syscall, 435, vec![Number(0), Number(0)]),
        ("io_uring_setup", Door::Syscall, 425, vec![Number(1), Number(0)]),
        ("bpf", Door::Syscall, 321, vec![Number(0)]),
        ("keyctl", Door::Syscall, 250, vec![Number(0)]),
        ("add_key", Door::Syscall, 248, none()),
        ("userfaultfd", Door::Syscall, 323, none()),
        ("perf_event_open", Door::Syscall, 298, none()),
        ("kexec_load", Door::Syscall, 246, none()),
        ("init_module", Door::Syscall, 175, none()),
        ("open_by_handle_at", Door::Syscall, 304, none()),
        ("mount", Door::Syscall, 165, vec![Text("none"), Text("/"), Number(0), Number(0x4_0000), Number(0)]),
        ("fsopen", Door::Syscall, 430, vec![Text("tmpfs"), Number(0)]),
        ("open_tree", Door::Syscall, 428, vec![Number(-100), Text("/"), Number(1)]),
        ("setns", Door::Syscall, 308, vec![Number(0), Number(0)]),
        ("pivot_root", Door::Syscall, 155, vec![Text("/"), Text("/")]),
        ("swapon", Door::Syscall, 167, vec![Text("/x")]),
        ("unknown", Door::Syscall, 1000, none()),
    ]
}

#[test]
fn r14_no_door_leads_around_the_filter() {
    /// "Not permitted" and "there is no such call" (errno(3)).
    const REFUSED: [&str; 2] = ["exit status: 1", "exit status: 38"];
    let rkt = Rkt::new();
    let calls = calls();
    let image = calls.iter().fold(images::probe("calls"), |image, (name, door, number, arguments)| {
        image.file(&format!("call/{name}"), 0o755, &Program::new().end_with(*door, *number, arguments))
    });
    let words: Vec<String> =
        calls.iter().flat_map(|(name, ..)| ["+".to_owned(), "run".to_owned(), format!("/call/{name}")]).collect();
    let words = ["/probe"].into_iter().chain(words.iter().skip(1).map(String::as_str));
    let image = rkt.image("calls", &image.exec(words));
    let output = rkt.run(["run", &image]).succeeds();
    let lines = output.lines_of("calls");
    assert_eq!(lines.len(), calls.len(), "{output}");
    assert_eq!(lines[0], "/call/getpid: exit status: 0");
    for line in &lines[1..] {
        let (call, result) = line.split_once(": ").unwrap();
        // Whoever enters by the door of another architecture may also be ended.
        let is_foreign = ["/call/x32-getpid", "/call/i386-getpid"].contains(&call);
        let refused = REFUSED.contains(&result) || is_foreign && result == "signal: 31 (SIGSYS)";
        assert!(refused, "{line}\n{output}");
    }
    assert!(
        lines.contains(&"/call/unknown: exit status: 38".to_owned()),
        "a program falls back to older calls: {output}"
    );
    assert!(lines.contains(&"/call/clone3: exit status: 38".to_owned()), "a C library falls back to clone: {output}");
    rkt.collect();
}

#[test]
fn r16_set_user_id_programs_and_devices_in_a_volume_have_no_effect() {
    let rkt = Rkt::new();
    let volume = rkt.home().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("probe"), images::PROBE).unwrap();
    fs::set_permissions(volume.join("probe"), fs::Permissions::from_mode(0o4755)).unwrap();
    let made = Command::new("mknod").arg(volume.join("null")).args(["c", "1", "3"]).status().unwrap();
    assert!(made.success());
    fs::set_permissions(volume.join("null"), fs::Permissions::from_mode(0o666)).unwrap();
    let option = format!("--volume=v,kind=host,source={}", volume.display());
    let image = rkt.probe("user", ["try-write", "/v/null", "+", "become", "/v/probe", "rights"]);
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, &option, &image, "--mount=volume=v,target=/v", "--user=1000"]).succeeds();
        let lines = output.lines_of("user");
        assert_eq!(lines[0], "/v/null: permission denied", "{flavor}: {output}");
        assert!(lines.contains(&"Uid: 1000 1000 1000 1000".to_owned()), "{flavor}: {output}");
    }
    rkt.collect();
}

#[test]
fn r16_others_see_nothing_of_images_and_pods() {
    let rkt = Rkt::new();
    let image = rkt.image("secret", &images::probe("secret").file("secret", 0o644, b"x").exec(["/probe", "wait"]));
    let pod = rkt.start([&image]);
    fs::set_permissions(rkt.home(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "find"]).arg(rkt.data()).args(["-name", "secret"]);
    let output = Output::of(&mut nobody);
    assert_eq!(output.stdout, "", "{output}");
    pod.end();
    rkt.collect();
}

#[test]
fn r18_what_is_no_file_is_refused_and_waited_for_by_nobody() {
    let rkt = Rkt::new();
    let image = rkt.probe("one", ["exit", "0"]);
    let fifo = rkt.home().join("fifo.aci");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fifo = fifo.to_str().unwrap();
    rkt.run(["run", fifo]).refuses(&["fifo.aci"]);
    rkt.run(["run", &format!("--set-env-file={fifo}"), &image]).refuses(&["fifo.aci"]);
    rkt.run(["run", &format!("--stage1={fifo}"), &image]).refuses(&["fifo.aci"]);
    rkt.run(["status", &format!("--uuid-file={fifo}")]).refuses(&["fifo.aci"]);
    rkt.run(["run", "--set-env-file=/dev/zero", &image]).refuses(&["/dev/zero"]);
    rkt.assert_no_pods();
}

#[test]
fn r18_an_image_whose_users_are_in_a_pipe_or_a_link_out_does_not_hang_or_leak() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::write(&canary, "mallory:x:0:0::/:\n").unwrap();
    for (name, image) in [
        ("link", images::probe("users").symlink("etc/passwd", canary.to_str().unwrap())),
        ("directory", images::probe("users").directory("etc/passwd", 0o755)),
        ("device", images::probe("users").symlink("etc/passwd", "/dev/zero")),
        ("proc", images::probe("users").symlink("etc/passwd", "/proc/self/fd/0")),
    ] {
        let image = rkt.image(name, &image.user("mallory", "0").exec(["/probe", "say", "ran"]));
        for flavor in FLAVORS {
            let output = rkt.run(["run", flavor, &image]).refuses(&["/etc/passwd"]);
            assert!(!output.stdout.contains("ran"), "{output}");
        }
    }
    let missing =
        images::probe("users").symlink("etc/passwd", "../usr/passwd").file("usr/passwd", 0o644, b"alice:x:7:8::/:\n");
    let image = rkt.image("legal", &missing.user("alice", "8").exec(["/probe", "rights"]));
    let output = rkt.run(["run", &image]).succeeds();
    assert!(output.lines_of("users").contains(&"Uid: 7 7 7 7".to_owned()), "an odd but legal link works: {output}");
    rkt.collect();
}

#[test]
fn r19_what_a_pod_says_is_neutralized_on_a_terminal_and_untouched_elsewhere() {
    let rkt = Rkt::new();
    let image = rkt.image("escapes", &images::busybox("escapes").exec(["/bin/printf", "\\033[2Jhidden\\n"]));
    let output = rkt.run(["run", &image]).succeeds();
    assert_eq!(output.lines_of("escapes"), ["\u{1b}[2Jhidden"], "{output:?}");
    let words: Vec<String> = rkt.words(["run", &image]).into_iter().map(|word| word.into_string().unwrap()).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]).stdin(std::process::Stdio::null());
    let on_a_terminal = Output::of(&mut script);
    assert!(on_a_terminal.stdout.contains("hidden") && !on_a_terminal.stdout.contains('\u{1b}'), "{on_a_terminal:?}");
    rkt.collect();
}

#[test]
fn r20_a_flood_of_enters_leaves_the_pod_as_it_was() {
    let rkt = Rkt::new();
    let image = rkt.probe("flooded", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        let descriptors = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let (before, init_before) = (descriptors(pod.pid()), descriptors(pod.init()));
        let flood: Vec<_> = (0..50)
            .map(|_| {
                rkt.command(["enter", &pod.uuid, "/probe", "say-bytes", "160000"])
                    .stdout(std::process::Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for (index, mut entered) in flood.into_iter().enumerate() {
            if index % 2 == 0 {
                entered.kill().unwrap();
            }
            let output = entered.wait_with_output().unwrap();
            assert!(index % 2 == 0 || output.stdout.len() == 160_000, "{flavor}: {output:?}");
        }
        assert_eq!(rkt.run(["enter", &pod.uuid, "/probe", "say", "on"]).succeeds().stdout, "on\n");
        wait_until("monitor and init to have closed all", || {
            descriptors(pod.pid()) <= before && descriptors(pod.init()) <= init_before
        });
        pod.end();
        rkt.collect();
    }
}

#[test]
fn r21_a_secret_is_in_no_argument_and_in_no_file_that_others_read() {
    let rkt = Rkt::new();
    let secret = "canary-7f3a91";
    let image = rkt.probe("secret", ["wait"]);
    let file = rkt.home().join("env");
    fs::write(&file, format!("PASSWORD={secret}\n")).unwrap();
    let option = format!("--set-env-file={}", file.display());
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &option, &image]);
        for pid in rkt.processes() {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(
                !String::from_utf8_lossy(&words).contains(secret),
                "{flavor}: in the arguments of {}",
                process::name(pid)
            );
        }
        let record = fs::read_to_string(pod.directory().join("record.json")).unwrap();
        assert!(!record.contains(secret), "{flavor}: in the record");
        let mut find = Command::new("find");
        find.arg(rkt.data()).args(["-type", "f", "-perm", "/o+r", "-exec", "grep", "-l", secret, "{}", "+"]);
        assert_eq!(Output::of(&mut find).stdout, "", "{flavor}: in a file that others can read");
        pod.end();
        rkt.collect();
    }
}

#[test]
fn r22_a_supervisor_that_runs_out_of_memory_takes_the_pod_with_it() {
    let rkt = Rkt::new();
    let image = rkt.probe("orphan", ["wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, &image]);
        // What the kernel does to whom it chooses.
        pod.signal(Signal::KILL);
        pod.wait();
        wait_until("all of the pod to end", || rkt.processes().is_empty());
        assert_eq!(rkt.the_pod()["state"], "exited", "{flavor}");
        rkt.collect();
    }
}

#[test]
fn r24_a_pod_has_no_hooks_that_an_image_could_bring() {
    let rkt = Rkt::new();
    let hook = rkt.home().join("hook");
    let handlers = serde_json::json!([
        { "name": "pre-start", "exec": ["/probe", "write", "/hooked", "x"] },
        { "name": "post-stop", "exec": ["/probe", "write", "/hooked", "x"] },
    ]);
    let image = images::probe("hooks").app("eventHandlers", handlers).exec(["/probe", "try-read", "/hooked"]);
    let image = rkt.image("hooks", &image.annotation("example.com/hook", hook.to_str().unwrap()));
    let output = rkt.run(["run", &image]);
    // Run, without the handlers; or refused, because of them; never with a program of the host's.
    assert!(output.status.code().is_some() && !hook.exists(), "{output}");
    rkt.collect();
}
