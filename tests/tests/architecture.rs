//! The rules of the house, as `ARCHITECTURE.md` states them, held over the whole tree.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each room of the host with the rooms that it may know. Arrows go down only.
const ROOMS: &[(&str, &[&str])] = &[
    ("rkt-appc", &[]),
    ("rkt-plan", &[]),
    ("rkt-sys", &[]),
    ("rkt-image", &["rkt-appc", "rkt-sys"]),
    ("rkt-planner", &["rkt-plan", "rkt-sys"]),
    ("rkt-compiler", &["rkt-plan", "rkt-planner", "rkt-sys"]),
    ("rkt-executor", &["rkt-plan", "rkt-sys"]),
    ("rkt-monitor", &["rkt-executor", "rkt-plan", "rkt-sys"]),
    ("rkt-pod", &["rkt-appc", "rkt-executor", "rkt-image", "rkt-monitor", "rkt-plan", "rkt-sys"]),
    (
        "rkt-cli",
        &["rkt-appc", "rkt-executor", "rkt-image", "rkt-monitor", "rkt-plan", "rkt-planner", "rkt-pod", "rkt-sys"],
    ),
    ("rkt-sdk", &[]),
    ("rkt-fly", &["rkt-sdk"]),
    ("rkt-container", &["rkt-sdk"]),
    ("rkt-kvm", &["rkt-sdk"]),
    ("rkt-nspawn", &["rkt-sdk"]),
];

/// Files outside `host/sys` that may hold unsafe code, each for the reason that it states itself.
const UNSAFE_FILES: &[&str] = &[
    "host/planner/src/load.rs",
    "host/planner/examples/evil.rs",
    "plugins/sdk/src/bindings.rs",
    "plugins/sdk/src/table.rs",
    "wit/rkt_plugin.rs",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every Rust file below a directory of the tree.
fn sources(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {below}");
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// The code of a file: without comments and without its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    ["/tests/", "/examples/"].iter().any(|folder| relative(path).contains(folder))
        || relative(path).ends_with("/tests.rs")
}

#[test]
fn arrows_between_rooms_go_down_only() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if matches!(name, "rkt-tests" | "rkt-hostile" | "rkt-vm" | "xtask") {
            continue;
        }
        let (_, allowed) =
            ROOMS.iter().find(|(room, _)| *room == name).unwrap_or_else(|| panic!("{name} is no room of the house"));
        seen.insert(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let is_ours = dependency["path"].is_string();
            let is_for_tests = dependency["kind"] == "dev";
            assert!(!is_ours || is_for_tests || allowed.contains(&on), "{name} must not know {on}");
        }
    }
    for (room, _) in ROOMS {
        assert!(seen.contains(room), "{room} is gone: take it out of the list");
    }
}

#[test]
fn plan_and_appc_do_no_io() {
    for room in ["host/plan/src", "host/appc/src"] {
        for path in sources(room) {
            let code = code(&path);
            for word in [
                "std::fs",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "ToSocketAddrs",
                "std::process",
                "std::env",
                "std::io",
                "std::os",
                "std::thread",
                "rustix",
                "libc",
            ] {
                assert!(!code.contains(word), "{} uses {word}", relative(&path));
            }
        }
    }
}

#[test]
fn unsafe_code_is_where_it_may_be_and_argued_for() {
    for path in ["host", "plugins", "stage1-flavors", "tests", "wit", "xtask"].into_iter().flat_map(sources) {
        let name = relative(&path);
        let text = fs::read_to_string(&path).unwrap();
        // This file has the word in its messages. What follows tells Rust's word from that of some program's option.
        let has = !name.ends_with("tests/architecture.rs")
            && code(&path)
                .split_inclusive(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| matches!(word, "unsafe " | "unsafe\n" | "unsafe("));
        assert!(
            !has || name.starts_with("host/sys/src/") || UNSAFE_FILES.contains(&name.as_str()),
            "{name} has unsafe code"
        );
        assert!(
            !has || text.contains("SAFETY:") || !name.starts_with("host/"),
            "{name} has unsafe code and no SAFETY comment"
        );
    }
    for (room, file) in [
        ("appc", "lib"),
        ("cli", "main"),
        ("executor", "lib"),
        ("image", "lib"),
        ("monitor", "lib"),
        ("monitor", "main"),
        ("plan", "lib"),
        ("pod", "lib"),
        ("compiler", "main"),
    ] {
        let path = root().join(format!("host/{room}/src/{file}.rs"));
        assert!(
            fs::read_to_string(&path).unwrap().contains("#![forbid(unsafe_code)]"),
            "{} does not forbid it",
            path.display()
        );
    }
}

#[test]
fn only_executor_and_monitor_change_mounts_and_namespaces() {
    for path in sources("host") {
        let name = relative(&path);
        if ["host/sys/", "host/executor/", "host/monitor/"].iter().any(|room| name.starts_with(room)) || is_test(&path)
        {
            continue;
        }
        let code = code(&path);
        for word in
            ["rkt_sys::mount", "rkt_sys::namespace", "sys::mount::", "sys::namespace::", "rustix::mount", "unshare("]
        {
            // `doctor` asks the kernel what it can do, in a process that ends with the answer.
            assert!(!code.contains(word) || name.starts_with("host/cli/src/doctor"), "{name} uses {word}");
        }
    }
}

#[test]
fn the_host_names_no_flavor_outside_the_default_configuration() {
    for path in sources("host") {
        if is_test(&path) {
            continue;
        }
        let code = code(&path);
        for flavor in ["\"fly\"", "\"container\"", "\"nspawn\"", "\"kvm\"", "stage1-fly", "fly.", "container.artifact"]
        {
            assert!(!code.contains(flavor), "{} names a flavor: {flavor}", relative(&path));
        }
    }
}

#[test]
fn only_the_command_line_prints_or_reads_the_environment() {
    for path in sources("host") {
        let name = relative(&path);
        if name.starts_with("host/cli/") || is_test(&path) || name.ends_with("build.rs") {
            continue;
        }
        let code = code(&path);
        for word in ["println!(", "print!(", "eprint", "env::var", "env::args"] {
            // The other programs have a main of their own that takes arguments and reports its end, and
            // the monitor is started in the caller's environment.
            let may = name.ends_with("src/main.rs") || name == "host/monitor/src/start.rs";
            assert!(!code.contains(word) || may, "{name} uses {word}");
        }
    }
}

#[test]
fn the_default_configuration_and_the_host_know_nothing_of_a_strangers_flavor() {
    for path in sources("host").iter().chain(&sources("stage1-flavors")) {
        assert!(!fs::read_to_string(path).unwrap().contains("example.com/bubble"), "{}", relative(path));
    }
    for entry in fs::read_dir(root().join("host/cli/defaults/plugins.d")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap();
        assert!(root().join("stage1-flavors").join(name).is_dir(), "{} is of no shipped flavor", file.display());
    }
}

/// What a vendor writes is built from the contract alone: of this tree it may know the SDK.
#[test]
fn the_example_is_built_with_the_sdk_alone() {
    let example = root().join("plugins/examples/bubble");
    let lock = fs::read_to_string(example.join("Cargo.lock")).unwrap();
    let ours: Vec<&str> = lock.lines().filter(|line| line.starts_with("name = \"rkt")).collect();
    assert_eq!(ours, ["name = \"rkt-sdk\""]);
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!workspace.contains("plugins/examples"), "the example is a workspace of its own");
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    for room in ["host", "plugins", "stage1-flavors"] {
        for entry in fs::read_dir(root().join(room)).unwrap() {
            let manifest = entry.unwrap().path().join("Cargo.toml");
            if manifest.starts_with(root().join("plugins/examples")) {
                // Workspaces of their own, with lints of their own.
                continue;
            }
            let text = fs::read_to_string(&manifest).unwrap();
            assert!(text.contains("[lints]\nworkspace = true"), "{} has lints of its own", manifest.display());
        }
    }
}
