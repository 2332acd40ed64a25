//! The flavor of a vendor that is in `plugins/examples`: a workspace of its own, which is built, tested and
//! packed as its README tells a vendor to.

use std::path::PathBuf;
use std::process::Command;

use crate::build::make_folder;
use crate::setup;
use crate::shell::{self, Failure, step};
use crate::tree::{STATIC_TARGET, Tree};
use crate::wasm::WasmToolchain;

const WORKSPACE: &str = "plugins/examples/bubble";

/// Sets up what building needs, then builds and packs it.
pub(crate) fn run(tree: &Tree) -> Result<(), Failure> {
    setup::for_building()?;
    pack(tree)
}

/// Builds, packs, tests and lints it.
pub(crate) fn run_steps(tree: &Tree) -> Result<(), Failure> {
    pack(tree)?;
    step("the example: its own tests and lints", || {
        shell::run(tree.cargo().current_dir(tree.path(WORKSPACE)).args(["fmt", "--all", "--check"]))?;
        shell::run(cargo(tree, "test").args(["--release", "--locked", "--workspace"]))?;
        let clippy = ["--release", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        shell::run(cargo(tree, "clippy").args(clippy))
    })
}

fn pack(tree: &Tree) -> Result<(), Failure> {
    step("the example: a vendor's flavor, as an image", || {
        make_folder(&target(tree, ""))?;
        let mut flavor = WasmToolchain::find(tree)?.cargo(tree);
        flavor.current_dir(tree.path(WORKSPACE)).args(["--release", "--locked", "--package", "bubble", "--lib"]);
        shell::run(flavor.arg("--target-dir").arg(target(tree, "")))?;
        shell::run(
            cargo(tree, "build")
                .args(["--release", "--locked", "--package", "bubble-agent"])
                .args(["--target", STATIC_TARGET]),
        )?;
        shell::run(
            Command::new(tree.path(WORKSPACE).join("pack.sh"))
                .arg(target(tree, "wasm32-unknown-unknown/release/bubble.wasm"))
                .arg(target(tree, &format!("{STATIC_TARGET}/release/bubble-agent")))
                .arg(target(tree, "bubble.aci")),
        )
    })
}

/// Cargo in the example's workspace.
fn cargo(tree: &Tree, verb: &str) -> Command {
    let mut cargo = tree.cargo();
    cargo.current_dir(tree.path(WORKSPACE)).arg(verb).env("CARGO_TARGET_DIR", target(tree, ""));
    cargo
}

fn target(tree: &Tree, relative: &str) -> PathBuf {
    tree.target("examples").join(relative)
}
