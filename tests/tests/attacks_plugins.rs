//! Attacks by a plugin, through the whole program, named by the rows of `ATTACKS.md`. The engine's
//! own limits are tested in `host/planner/tests`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::{Output, Rkt, built, images};

/// What the hostile plugin is granted: enough for a plain pod, and one path of the host.
const GRANTED: [&str; 15] = [
    "share:pid",
    "share:network",
    "share:ipc",
    "share:uts",
    "share:cgroup",
    "share:user",
    "root",
    "user",
    "unfiltered",
    "stdio:raw",
    "limit",
    "oom-score",
    "bind:host:rw:/granted",
    "mount:tmpfs",
    "bind:volume",
];

/// A component that only tests have.
fn hostile() -> String {
    built("wasm32-unknown-unknown/release/rkt_hostile.wasm")
}

struct Plugin<'r> {
    rkt: &'r Rkt,
    image: String,
}

impl<'r> Plugin<'r> {
    fn granted(rkt: &'r Rkt, permissions: &[&str]) -> Self {
        let permissions: Vec<String> = permissions.iter().map(|permission| (*permission).to_owned()).collect();
        rkt.grant("rkt_hostile", &permissions);
        let image = images::probe("victim").user("7", "8").exec(["/probe", "say", "ran"]);
        Self { rkt, image: rkt.image("victim", &image) }
    }

    fn does(&self, deed: &str) -> Output {
        let stage1 = format!("--stage1={}", hostile());
        self.rkt.run(["run", &stage1, &format!("--stage1-option=do={deed}"), &self.image])
    }
}

#[test]
fn p1_a_plugin_that_uses_too_much_is_ended_and_the_next_pod_runs() {
    let rkt = Rkt::new();
    let plugin = Plugin::granted(&rkt, &GRANTED);
    assert_eq!(plugin.does("nothing").succeeds().stdout, "ran\n");
    for (deed, named) in [
        ("loop", "fuel"),
        ("memory", "memory"),
        ("recursion", "stack"),
        ("words", "words"),
        ("text", ""),
        ("questions", ""),
        ("trap", ""),
    ] {
        let output = plugin.does(deed).refuses(&["rkt_hostile", named]);
        assert!(!output.stdout.contains("ran"), "{deed}: {output}");
        assert!(output.stderr.len() < 4096, "{deed}: it says too much: {output}");
        rkt.assert_nothing_lives();
    }
    assert_eq!(plugin.does("nothing").succeeds().stdout, "ran\n");
    rkt.collect();
}

#[test]
fn p4_a_plan_with_a_word_that_is_malformed_or_not_granted_is_refused_as_a_whole() {
    let rkt = Rkt::new();
    let plugin = Plugin::granted(&rkt, &GRANTED);
    for (deed, words) in [
        ("dots", &["`bind`", "/granted/../etc"][..]),
        ("dots-in-target", &["`bind`", "/x/../../etc"]),
        ("nul", &["`bind`", r"/x\0/y"]),
        ("relative", &["`bind`", r#""x""#]),
        ("host", &["`bind`", "bind:host:rw:/", "is not granted", "hint: ", "rkt_hostile.toml"]),
        ("neighbor", &["`bind`", "bind:host:rw:/granted2", "is not granted"]),
        ("over-root", &["`bind`", "only `root` can be at /"]),
        ("no-root", &["`root`"]),
        ("twice", &["`root`", "already"]),
        ("device", &["`device`", "device:/dev/mem", "is not granted"]),
        ("capability", &["`capabilities`", "capability:CAP_SYS_ADMIN", "is not granted"]),
        ("no-capability", &["`capabilities`", "CAP_EVERYTHING"]),
        ("file-system", &["`mount`", "ext4"]),
        ("option", &["`mount`", "size=1k,dev"]),
        ("limit", &["`limit`", "out of range"]),
        ("no-limit", &["`limit`", "disk"]),
        ("score", &["`oom-score`", "out of range"]),
        ("volume", &["`bind`", "of-others"]),
        ("stranger", &["stranger", "no such app"]),
        ("undeclared", &["`no-new-privileges`", "does not declare"]),
        ("waive-twice", &["twice"]),
        ("hostname", &["`hostname`"]),
    ] {
        let output = plugin.does(deed);
        assert!(!output.status.success(), "{deed}: {output}");
        let output = output.refuses(&[&["rkt_hostile"], words].concat());
        assert!(!output.stdout.contains("ran"), "{deed}: {output}");
        rkt.assert_no_pods();
    }
    assert_eq!(plugin.does("nothing").succeeds().stdout, "ran\n");
    rkt.collect();
}

#[test]
fn p5_a_plugin_cannot_lie_about_what_was_asked_for() {
    let rkt = Rkt::new();
    let plugin = Plugin::granted(&rkt, &GRANTED);
    // The user that the image asks for is not the one that the plan shows.
    plugin.does("root-user").refuses(&["app/victim/user"]);
    // That it is done where nobody sees it is a permission of its own.
    plugin.does("claim").refuses(&["`claim`"]);
    rkt.assert_no_pods();
}

#[test]
fn p2_what_is_no_plugin_is_refused_before_anything_of_it_runs() {
    let rkt = Rkt::new();
    let plugin = Plugin::granted(&rkt, &GRANTED);
    let component = fs::read(hostile()).unwrap();
    for (name, bytes) in [
        ("empty", &[][..]),
        ("text", b"no component\n"),
        ("truncated", &component[..component.len() / 2]),
        ("module", b"\0asm\x01\0\0\0"),
        ("nothing", b"\0asm\x0d\0\x01\0"),
    ] {
        let file = rkt.home().join(format!("{name}.wasm"));
        fs::write(&file, bytes).unwrap();
        let output = rkt.run(["run", &format!("--stage1={}", file.display()), &plugin.image]);
        let output = output.refuses(&["plugin", &format!("`{name}`")]);
        assert!(output.stderr.len() < 4096, "{name}: {output}");
    }
    rkt.assert_no_pods();
}

#[test]
fn p6_a_component_that_is_replaced_is_another_plugin() {
    let rkt = Rkt::new();
    let plugin = Plugin::granted(&rkt, &GRANTED);
    let file = rkt.home().join("rkt_hostile.wasm");
    fs::copy(hostile(), &file).unwrap();
    let stage1 = format!("--stage1={}", file.display());
    assert_eq!(rkt.run(["run", &stage1, &plugin.image]).succeeds().stdout, "ran\n");
    fs::copy(built("wasm32-unknown-unknown/release/rkt_container.wasm"), &file).unwrap();
    // What was compiled of the file before is not what is run now: this one asks for more than is granted.
    rkt.run(["run", &stage1, &plugin.image]).refuses(&["rkt_hostile", "is not granted"]);
    rkt.collect();
}

#[test]
fn p7_compiled_code_that_was_changed_is_not_run() {
    let rkt = Rkt::new();
    let plugin = Plugin::granted(&rkt, &GRANTED);
    plugin.does("nothing").succeeds();
    let cache = rkt.data().join("plugins/cache");
    let kept: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let whole = fs::read(&kept[0]).unwrap();
    for changed in [whole[..whole.len() / 2].to_vec(), Vec::new(), b"\x7fELF".to_vec()] {
        fs::write(&kept[0], changed).unwrap();
        let output = plugin.does("nothing");
        // Compiled again, or refused: never run as it is, never a crash.
        assert!(matches!(output.status.code(), Some(0 | 254)), "{output}");
    }
    fs::remove_file(&kept[0]).unwrap();
    plugin.does("nothing").succeeds();
    // And code is never taken from a user.
    fs::write(rkt.home().join("code.wasm"), &whole).unwrap();
    let stage1 = format!("--stage1={}", rkt.home().join("code.wasm").display());
    rkt.run(["run", &stage1, &plugin.image]).refuses(&["plugin `code` is refused"]);
    rkt.collect();
}

#[test]
fn r19_what_a_plugin_says_does_not_reach_a_terminal_as_it_is() {
    let rkt = Rkt::new();
    let plugin = Plugin::granted(&rkt, &GRANTED);
    for deed in ["refuse", "escape"] {
        let output = plugin.does(deed).refuses(&["rkt_hostile"]);
        assert!(!output.stderr.contains(['\u{1b}', '\u{7}']), "{deed}: {output:?}");
        assert!(!output.stderr.lines().any(|line| line.starts_with("forged")), "{deed}: {output:?}");
    }
    rkt.assert_no_pods();
}

#[test]
fn a_plugin_without_a_grant_is_refused_and_told_what_to_write() {
    let rkt = Rkt::new();
    let image = rkt.probe("victim", ["say", "ran"]);
    let output = rkt.run(["run", &format!("--stage1={}", hostile()), &image]);
    output.refuses(&["rkt_hostile", "hint: ", "plugins.d/rkt_hostile.toml"]);
    rkt.assert_no_pods();
}
