//! Pods that share nothing but the user namespace.

use std::fs;

use rkt_plan::{Credentials, JailWord, Word};

use crate::pod::{CAPABILITIES, TestPod};

/// The value of a line of /proc/self/status in an app's output.
fn field<'a>(output: &'a str, name: &str) -> &'a str {
    let line = output.lines().find_map(|line| line.split_once("]: ")?.1.strip_prefix(&format!("{name}:\t")));
    line.unwrap_or_else(|| panic!("no {name} in {output}"))
}

/// An app's output without what is before each line.
fn texts(output: &str) -> Vec<&str> {
    output.lines().map(|line| line.split_once("]: ").unwrap().1).collect()
}

#[test]
fn lines_say_when_whose_and_from_which_process_they_are() {
    let ended = TestPod::isolated(&["echo hello; printf end"]).run();
    assert_eq!(ended.error, "");
    let lines: Vec<_> = ended.output.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ended.output);
    for (line, text) in lines.iter().zip(["hello", "end"]) {
        let (time, rest) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
        assert!(time.trim().parse::<f64>().is_ok(), "{line}");
        assert_eq!(rest, format!("a[2]: {text}"));
    }
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.status("a").as_deref(), Some("0"));
}

#[test]
fn an_app_has_the_rights_of_its_plan_and_no_others() {
    let mut pod = TestPod::isolated(&[""]);
    pod.set_command("a", &["cat", "/proc/self/status"]);
    let ended = pod.run();
    let bits = CAPABILITIES
        .iter()
        .fold(0_u64, |bits, name| bits | 1 << name.parse::<rkt_plan::Capability>().unwrap().number());
    let (planned, none) = (format!("{bits:016x}"), format!("{:016x}", 0));
    for (name, value) in [
        ("CapInh", none.as_str()),
        ("CapPrm", &planned),
        ("CapEff", &planned),
        ("CapBnd", &planned),
        ("CapAmb", &none),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("SigBlk", &none),
        ("SigIgn", &none),
        ("Groups", " "),
    ] {
        assert_eq!(field(&ended.output, name), value, "{name}");
    }
}

#[test]
fn another_user_has_no_capability_and_its_own_output() {
    let mut pod = TestPod::isolated(&["cat /proc/self/status; echo again > /proc/self/fd/1"]);
    pod.set_user("a", Credentials { uid: 1000, gid: 1001, groups: vec![1002, 1003] });
    let ended = pod.run();
    for (name, value) in [
        ("Uid", "1000\t1000\t1000\t1000"),
        ("Gid", "1001\t1001\t1001\t1001"),
        ("Groups", "1002 1003 "),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapInh", "0000000000000000"),
    ] {
        assert_eq!(field(&ended.output, name), value, "{name}");
    }
    assert!(ended.output.ends_with("again\n"), "{}{}", ended.output, ended.error);
}

#[test]
fn a_filter_without_no_new_privileges_is_installed_and_leaves_no_capability_behind() {
    for uid in [0, 1000] {
        let mut pod = TestPod::isolated(&["cat /proc/self/status; mount -t tmpfs x /tmp || echo refused"]);
        pod.forget("no-new-privileges");
        pod.set_user("a", Credentials { uid, gid: uid, groups: vec![] });
        let ended = pod.run();
        assert_eq!(field(&ended.output, "NoNewPrivs"), "0");
        assert_eq!(field(&ended.output, "Seccomp"), "2");
        let effective = u64::from_str_radix(field(&ended.output, "CapEff"), 16).unwrap();
        assert_eq!(effective & 1 << 21, 0, "CAP_SYS_ADMIN");
        assert_eq!(effective == 0, uid != 0);
        assert!(ended.output.ends_with("refused\n"), "{}", ended.output);
    }
}

#[test]
fn an_app_finds_no_descriptor_but_its_three() {
    let ended = TestPod::isolated(&["cd /proc/self/fd; echo *"]).run();
    // The shell opens the directory to list it.
    assert_eq!(texts(&ended.output), ["0 1 2 3"]);
}

#[test]
fn namespaces_are_the_pods_own_and_shared_by_its_apps() {
    let script = "for n in pid net ipc uts mnt cgroup user; do echo $n $(ls -l /proc/self/ns/$n); done; hostname";
    let ended = TestPod::isolated(&[script, script]).run();
    let of = |app: &str| -> Vec<String> {
        let lines = ended.output.lines().filter(|line| line.contains(&format!(" {app}[")));
        lines.map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!((a.len(), b.len()), (8, 8), "{}", ended.output);
    for (ours, theirs) in a.iter().zip(&b).take(7) {
        let name = ours.split(' ').next().unwrap();
        let id = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_eq!(id(ours) == host.to_str().unwrap(), name == "user", "{name}");
        assert_eq!(id(ours) == id(theirs), !["mnt", "cgroup"].contains(&name), "{name}");
    }
    assert_eq!(a[7], "test-pod");
}

#[test]
fn the_loopback_of_a_pod_is_up() {
    let ended =
        TestPod::isolated(&["cat /sys/class/net/lo/operstate /sys/class/net/lo/flags; ls /sys/class/net"]).run();
    assert_eq!(texts(&ended.output), ["unknown", "0x9", "lo"]);
}

#[test]
fn what_is_masked_is_empty_and_what_is_read_only_refuses() {
    let script = "wc -c < /proc/cpuinfo; ls /sys/module | wc -l; \
                  echo x > /sys/module/x; echo x > /proc/sys/kernel/panic; echo x > /sys/x; \
                  mount -o remount,rw /proc/sys; true";
    let ended = TestPod::isolated(&[script]).run();
    assert_eq!(texts(&ended.output), ["0", "0"], "{}", ended.error);
    let refused = ended.error.lines().filter(|line| line.contains("Read-only file system")).count();
    assert_eq!(refused, 3, "{}", ended.error);
    assert!(
        ended.error.contains("permission denied") || ended.error.contains("Operation not permitted"),
        "{}",
        ended.error
    );
}

#[test]
fn nothing_of_the_host_is_to_be_seen() {
    let ended = TestPod::isolated(&["cat /proc/self/mountinfo; ls / /dev; cat /proc/*/comm"]).run();
    for text in texts(&ended.output) {
        assert!(!text.contains("ext4") && !text.contains("/work"), "{text}");
    }
    let names = texts(&ended.output);
    assert!(names.contains(&"null") && names.contains(&"zero") && !names.contains(&"kmsg"), "{names:?}");
}

#[test]
fn devices_are_the_hosts_and_a_node_in_the_image_is_none() {
    let pod = TestPod::isolated(&["echo x > /dev/null && head -c 3 /dev/zero | wc -c; cat /etc/null || echo refused"]);
    let node = pod.path().join("image/etc/null");
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, &node, rustix::fs::FileType::CharacterDevice, mode, rustix::fs::makedev(1, 3))
        .unwrap();
    let ended = pod.run();
    assert_eq!(texts(&ended.output), ["3", "refused"], "{}", ended.error);
}

#[test]
fn a_node_that_an_app_makes_opens_nothing() {
    let script = "for d in / /dev /dev/shm /tmp; do mknod $d/own c 1 5 && { head -c 1 $d/own || echo refused; }; done; \
                  chmod 600 /dev/null; chown 7 /dev/null";
    let mut pod = TestPod::isolated(&[script]);
    pod.forget("capabilities");
    let names = ["CAP_MKNOD", "CAP_FOWNER", "CAP_CHOWN"].map(str::to_owned).into();
    pod.app("a", JailWord::Capabilities { names });
    let before = fs::metadata("/dev/null").unwrap();
    let ended = pod.run();
    assert_eq!(texts(&ended.output), ["refused"; 4], "{}", ended.error);
    let after = fs::metadata("/dev/null").unwrap();
    let look = |meta: &fs::Metadata| (std::os::unix::fs::MetadataExt::uid(meta), meta.permissions());
    assert_eq!(look(&before), look(&after));
}

#[test]
fn calls_are_refused_as_the_filter_says() {
    let mut pod = TestPod::isolated(&["mount -t tmpfs x /tmp; hostname other; echo $?"]);
    pod.forget("capabilities");
    pod.app("a", JailWord::Capabilities { names: vec!["CAP_SYS_ADMIN".to_owned()] });
    let ended = pod.run();
    // The capability is there; the filter, which does not know it, refuses all the same.
    assert_eq!(texts(&ended.output), ["1"], "{}", ended.error);
    assert!(ended.error.matches("ermitted").count() + ended.error.matches("ermission").count() == 2, "{}", ended.error);
}

#[test]
fn a_read_only_root_takes_mounts_and_no_changes() {
    let mut pod = TestPod::isolated(&["echo x > /file || echo refused; echo x > /dev/shm/file && echo taken"]);
    pod.forget("root");
    pod.app("a", JailWord::Root { access: rkt_plan::Access::ReadOnly });
    let ended = pod.run();
    assert_eq!(texts(&ended.output), ["refused", "taken"], "{}", ended.error);
}

#[test]
fn an_image_in_which_dev_is_a_link_is_refused() {
    for name in ["dev", "proc", "sys"] {
        let pod = TestPod::isolated(&["true"]);
        std::os::unix::fs::symlink("/etc", pod.path().join("image").join(name)).unwrap();
        let ended = pod.run();
        assert_eq!(ended.code, Some(254));
        assert!(ended.error.contains(&format!("/{name} of the image is a symbolic link")), "{}", ended.error);
        assert_eq!(ended.error.lines().count(), 1, "{}", ended.error);
    }
}

#[test]
fn a_volume_that_an_image_leads_into_the_kernels_files_is_refused() {
    let mut pod = TestPod::isolated(&["true"]);
    std::os::unix::fs::symlink("/proc", pod.path().join("image/zdata")).unwrap();
    let source = rkt_plan::Place::Empty("data".to_owned());
    let target = "/zdata/sys".to_owned();
    pod.app("a", JailWord::Bind { source, target, access: rkt_plan::Access::ReadWrite, recursive: true });
    let ended = pod.run();
    assert_eq!(ended.code, Some(254));
    assert!(ended.error.contains("/zdata/sys leads into files of the kernel"), "{}", ended.error);
}

#[test]
fn a_program_that_is_not_there_is_named_and_its_code_is_203() {
    for (arguments, message) in [
        (&["nothing"][..], "unable to find \"nothing\" in \"/bin\""),
        (&["/nothing"], "there is no /nothing"),
        (&["/etc/script"], "/no/such/shell is missing, which /etc/script needs to be run"),
    ] {
        let mut pod = TestPod::isolated(&["true"]);
        let script = pod.path().join("image/etc/script");
        fs::write(&script, "#!/no/such/shell\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, mode).unwrap();
        pod.set_command("a", arguments);
        let ended = pod.run();
        assert_eq!(ended.error, format!("run: app a: {message}\n"));
        assert_eq!(ended.code, Some(203));
        assert_eq!(ended.status("a").as_deref(), Some("203"));
    }
}

#[test]
fn a_working_directory_that_leads_out_of_the_root_is_refused() {
    for path in ["/proc/self/fd/3", "/proc/1/root", "/proc/1/cwd", "/missing"] {
        let mut pod = TestPod::isolated(&["ls"]);
        pod.launch.commands.get_mut("a").unwrap().working_directory = path.to_owned();
        let ended = pod.run();
        assert!(ended.error.contains(&format!("enter the working directory {path}")), "{}", ended.error);
        assert_eq!(ended.output, "");
    }
}

#[test]
fn init_is_no_way_to_the_hosts_files_or_the_hosts_program() {
    let script = "ls /proc/1/root; for fd in /proc/1/fd/*; do echo $fd; ls $fd/.. $fd/../.. $fd/../../..; done; \
                  (echo x > /proc/1/exe) || echo refused";
    let mut pod = TestPod::isolated(&[script]);
    pod.forget("capabilities");
    let names = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"].map(str::to_owned).into();
    pod.app("a", JailWord::Capabilities { names });
    let ended = pod.run();
    // Even where a plan gives the right to look: what is there is init's own, and read-only.
    let texts = texts(&ended.output);
    assert!(texts.contains(&"/proc/1/fd/0") && texts.contains(&"empty"), "{texts:?}");
    assert_eq!(texts.last(), Some(&"refused"), "{}{}", ended.output, ended.error);
    for name in ["home", "usr", "journal", "image"] {
        assert!(!texts.contains(&name), "{texts:?}");
    }
}

#[test]
fn a_plan_that_is_not_granted_is_refused_again() {
    let mut pod = TestPod::isolated(&["true"]);
    pod.launch.granted = std::iter::empty().collect();
    let ended = pod.run();
    assert_eq!(ended.code, Some(254));
    assert!(ended.error.contains("the plan of test is refused"), "{}", ended.error);
    let mut pod = TestPod::isolated(&["true"]);
    pod.say(Word::Hostname { name: "again".to_owned() });
    assert_eq!(pod.run().code, Some(254));
}
