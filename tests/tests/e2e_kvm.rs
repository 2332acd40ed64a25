//! Whether guests run on this host's own processor: it may have no KVM, one that works, or one that opens and
//! does not. Each of them has to be told from the others, and to be said plainly.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rkt_tests::guest::{EMULATED, kernel, rkt, turn};
use rkt_tests::leftovers::Snapshot;
use rkt_tests::{Output, Rkt};

/// What there is to do without KVM, in a refusal.
const WAYS_OUT: [&str; 2] = ["--stage1-option=accel=tcg", "accel = \"auto\" under [options.kvm] in stage1.toml"];

/// What is said where a guest did not speak: it was killed after 3 s, or QEMU has ended by a fault.
const SILENT: &str = "; that /dev/kvm does not work is noted for as long as this host runs: ";

/// What comes of KVM on this host.
#[derive(PartialEq, Eq)]
enum Kvm {
    Absent,
    Works,
    Fails,
}

/// A pod that says hello, without a word about the processor or with these.
fn run(rkt: &Rkt, more: &[&str]) -> Output {
    let image = rkt.probe("hello", ["say", "hello"]);
    rkt.run(["run", "--stage1=kvm"].iter().chain(more).chain([&image.as_str()]))
}

fn says_hello(output: &Output) {
    assert!(output.status.success() && output.lines_of("hello") == ["hello"], "{output}");
}

fn doctor(rkt: &Rkt) -> String {
    let found = rkt.run(["doctor", "--format=json"]).succeeds().json();
    let line = found.as_array().unwrap().iter().find(|finding| finding["name"] == "KVM").unwrap();
    format!("{}: {}", line["available"].as_str().unwrap(), line["detail"].as_str().unwrap())
}

/// Runs the first pod of a data directory; what is learnt from it.
fn first(rkt: &Rkt) -> Kvm {
    let before = Snapshot::take();
    let output = run(rkt, &[]);
    rkt.collect();
    let left = before.left_in(&Snapshot::take());
    assert!(!left.iter().any(|line| line.contains("qemu") || line.contains("virtiofsd")), "{left:?}");
    if !Path::new("/dev/kvm").exists() {
        output.refuses(&["kvm: there is no /dev/kvm"]).refuses(&WAYS_OUT);
        return Kvm::Absent;
    }
    if output.status.success() {
        says_hello(&output);
        return Kvm::Works;
    }
    output.refuses(&[SILENT]).refuses(&WAYS_OUT);
    Kvm::Fails
}

#[test]
fn whether_kvm_works_is_learnt_by_the_first_pod_and_known_to_the_next() {
    let _turn = turn();
    let rkt = rkt();
    if Path::new("/dev/kvm").exists() {
        assert_eq!(doctor(&rkt), "unknown: /dev/kvm can be opened; no guest was run with it yet");
    }
    let start = Instant::now();
    match first(&rkt) {
        Kvm::Absent => assert!(doctor(&rkt).starts_with("no: /dev/kvm")),
        Kvm::Works => {
            assert_eq!(doctor(&rkt), "yes: /dev/kvm works: a guest has spoken");
            says_hello(&run(&rkt, &["--stage1-option=accel=kvm"]));
        }
        Kvm::Fails => {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
            assert_eq!(doctor(&rkt), "no: /dev/kvm can be opened, and a guest did not speak");
            let start = Instant::now();
            let refused = run(&rkt, &[]).refuses(&["kvm: /dev/kvm does not work here"]).refuses(&WAYS_OUT);
            assert!(start.elapsed() < Duration::from_secs(3), "{:?}\n{refused}", start.elapsed());
            rkt.assert_no_pods();
            // It is tried again where that is asked for.
            let again = run(&rkt, &["--stage1-option=accel=kvm"]);
            again.refuses(&["warning: /dev/kvm did not work when it was last used, and kvm uses it again", SILENT]);
            rkt.collect();
        }
    }
    // What is emulated needs no KVM, and says nothing about it.
    let emulated = run(&rkt, &["--stage1-option=accel=tcg"]);
    says_hello(&emulated);
    assert_eq!(emulated.stderr, "", "{emulated}");
    rkt.collect();
}

#[test]
fn the_operator_may_have_pods_emulated_where_kvm_does_not_work() {
    let _turn = turn();
    let rkt = rkt();
    let kernel = kernel();
    let policy = format!("kernel = {:?}\n[options.kvm]\naccel = \"auto\"\n", kernel.to_str().unwrap());
    fs::write(rkt.home().join("user/stage1.toml"), policy).unwrap();
    let first = run(&rkt, &[]);
    let why = if !Path::new("/dev/kvm").exists() {
        says_hello(&first);
        Some("there is no /dev/kvm")
    } else if first.status.success() {
        None
    } else {
        first.refuses(&[SILENT, "the next run emulates a processor"]);
        Some("/dev/kvm did not work when it was last used")
    };
    rkt.collect();
    let next = run(&rkt, &[]);
    says_hello(&next);
    let warning = why.map_or(String::new(), |why| format!("run: warning: {why}, and kvm does without it\n"));
    assert_eq!(next.stderr, warning, "{next}");
    let image = rkt.probe("hello", ["say", "hello"]);
    let plan = rkt.run(["plan", "--stage1=kvm", &image]).succeeds().stdout;
    assert_eq!(plan.contains("the processor is emulated"), why.is_some(), "{plan}");
    // The user's word comes first, and another flavor is not told of it.
    let plan = rkt.run(["plan", "--stage1=kvm", "--stage1-option=accel=tcg", &image]).succeeds().stdout;
    assert!(plan.contains("the processor is emulated: as is asked for"), "{plan}");
    rkt.run(["plan", "--stage1=container", "--diff=kvm", &image]).succeeds();
    rkt.run(["plan", "--stage1=kvm", "--diff=fly", &image]).succeeds();
    rkt.collect();
}

#[test]
fn a_kernel_that_the_machine_may_not_read_is_refused_before_anything_starts() {
    let rkt = rkt();
    let secret = rkt.home().join("vmlinuz");
    fs::copy(kernel(), &secret).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    fs::write(rkt.home().join("user/stage1.toml"), format!("kernel = {:?}\n", secret.to_str().unwrap())).unwrap();
    let image = rkt.probe("hello", ["say", "hello"]);
    let refused = rkt.run(["run"].iter().chain(&EMULATED).chain([&image.as_str()]));
    refused.refuses(&[secret.to_str().unwrap(), "not everybody may read it", "chmod a+r"]);
    rkt.assert_no_pods();
}

#[test]
fn a_kernel_that_is_not_there_is_named() {
    let rkt = rkt();
    fs::write(rkt.home().join("user/stage1.toml"), "kernel = \"/nowhere/vmlinuz\"\n").unwrap();
    let image = rkt.probe("hello", ["say", "hello"]);
    let refused = rkt.run(["run"].iter().chain(&EMULATED).chain([&image.as_str()]));
    refused.refuses(&["kernel", "/nowhere/vmlinuz", "No such file or directory"]);
    rkt.assert_no_pods();
}

#[test]
fn what_is_not_granted_to_kvm_is_named_with_the_word_that_needs_it() {
    let rkt = rkt();
    let defaults = fs::read_to_string(rkt_tests::workspace().join("host/cli/defaults/plugins.d/kvm.toml")).unwrap();
    // What is in quotes, of which the first is the plugin's name.
    let granted: Vec<String> = defaults.split('"').skip(1).step_by(2).skip(1).map(str::to_owned).collect();
    let image = rkt.probe("hello", ["say", "hello"]);
    let volume = ["--volume=v,kind=empty", "--mount=volume=v,target=/v"];
    for missing in [
        "program:host:/usr/bin/qemu-system-x86_64",
        "program:host:/usr/lib/qemu/virtiofsd",
        "artifact:kernel",
        "artifact:initramfs",
        "artifact:root-image",
        "bind:volume",
        "bind:host:ro:/usr",
        "channel",
        "unfiltered",
    ] {
        assert!(granted.iter().any(|given| given == missing), "{missing}");
        let less: Vec<String> = granted.iter().filter(|given| *given != missing).cloned().collect();
        rkt.grant("kvm", &less);
        let refused = rkt.run(["run"].iter().chain(&EMULATED).chain(&volume).chain([&image.as_str()]));
        refused.refuses(&["the plan of kvm is refused", &format!("`{missing}`"), "plugins.d/kvm.toml"]);
    }
    rkt.assert_no_pods();
}
