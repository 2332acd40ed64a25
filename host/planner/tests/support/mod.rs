//! What the tests of this crate share: pods, plugins, and the program that is a planner.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests, each of which uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rkt_plan::{App, Asked, Credentials, Origin, Pod};
use rkt_planner::{Facts, Plugin};

/// A pod whose apps ask for nothing but to run as root.
pub fn pod(apps: &[&str]) -> Pod {
    Pod {
        uuid: "b8a9a9d2-6d0e-4f0f-8a2f-1b2c3d4e5f60".to_owned(),
        hostname: None,
        apps: apps.iter().map(|name| app(name)).collect(),
        limits: BTreeMap::new(),
        settings: BTreeMap::new(),
    }
}

fn app(name: &str) -> App {
    App {
        name: name.to_owned(),
        user: Asked { value: Credentials { uid: 0, gid: 0, groups: Vec::new() }, by: Origin::Image },
        read_only_root: None,
        volumes: Vec::new(),
        limits: BTreeMap::new(),
        capabilities: None,
        seccomp: None,
        no_new_privileges: None,
        oom_score: None,
    }
}

/// Answers by name.
#[derive(Default)]
pub struct Answers(BTreeMap<String, String>);

impl Answers {
    pub fn with(mut self, name: &str, answer: &str) -> Self {
        self.0.insert(name.to_owned(), answer.to_owned());
        self
    }
}

impl Facts for Answers {
    fn fact(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// Where cargo builds to.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// The planner program.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rkt-planner"))
}

/// The planner program for native code.
pub fn native_program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rkt-planner-native"))
}

/// The program that plays a planner taken over: `examples/evil.rs`.
pub fn evil() -> PathBuf {
    built("release/examples/evil")
}

/// The compiler program, by `cargo xtask build`.
pub fn compiler() -> PathBuf {
    built("rkt/libexec/rkt/compiler")
}

/// A shipped flavor's component, by `cargo xtask build`.
pub fn component(flavor: &str) -> Vec<u8> {
    std::fs::read(built(&format!("wasm32-unknown-unknown/release/rkt_{flavor}.wasm"))).unwrap()
}

/// A shipped flavor in native code, by `cargo xtask test`.
pub fn native(flavor: &str) -> Plugin {
    let library = std::fs::read(built(&format!("native/release/librkt_{flavor}.so"))).unwrap();
    let cache = tempfile::tempdir().unwrap();
    rkt_planner::install(flavor, library.as_slice(), &rkt_planner::Kept::at(cache.path()), &compiler()).unwrap()
}

fn built(file: &str) -> PathBuf {
    let path = target().join(file);
    assert!(path.exists(), "{} is missing: run `cargo xtask build` first", path.display());
    path
}

/// A shipped flavor.
pub fn shipped(flavor: &str) -> Plugin {
    let artifact = std::fs::read(built(&format!("rkt/flavors/{flavor}.artifact"))).unwrap();
    Plugin::embedded(flavor, artifact.leak()).unwrap()
}
