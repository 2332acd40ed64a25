//! Everything that has to hold, in the order in which it fails fastest.

use std::process::Command;

use crate::build;
use crate::example;
use crate::kernel;
use crate::setup;
use crate::shell::{self, Failure, step};
use crate::tree::Tree;
use crate::vm;
use crate::wasm::WasmToolchain;

/// Sets up, builds, tests, and looks for what was left on the host.
pub(crate) fn run(tree: &Tree) -> Result<(), Failure> {
    setup::for_tests()?;
    build::run_steps(tree)?;
    step("a plugin that does what none should, for the tests", || {
        let package = ["--release", "--locked", "--package", "rkt-hostile"];
        shell::run(WasmToolchain::find(tree)?.cargo(tree).args(package))
    })?;
    example::run_steps(tree)?;
    kernel::for_tests(tree)?;
    step("the flavors in native code, for the tests", || build::native_flavors(tree))?;
    lint(tree)?;
    let before = tree.target("leftovers-before.json");
    step("the tests, compiled", || shell::run(tests(tree).arg("--no-run")))?;
    let leftovers = || Command::new(tree.target("release/leftovers"));
    step("the host before the tests", || {
        shell::run(tree.cargo().args(["build", "--release", "--locked", "--package", "rkt-tests", "--bins"]))?;
        shell::run(leftovers().arg("save").arg(&before))
    })?;
    step("the tests", || shell::run(&mut tests_of_host(tree)))?;
    step("the tests of the compiler", || {
        let package = ["test", "--release", "--locked", "--package", "rkt-compiler", "--target-dir"];
        shell::run(tree.cargo().args(package).arg(tree.target("compiler")))
    })?;
    vm::run(tree, &[])?;
    step("the host after the tests: as it was", || shell::run(leftovers().arg("compare").arg(&before)))
}

/// Formatting, lints, and what is depended on.
pub(crate) fn lint(tree: &Tree) -> Result<(), Failure> {
    step("formatting", || shell::run(tree.cargo().args(["fmt", "--all", "--check"])))?;
    step("lints", || {
        let strict = ["--all-targets", "--", "--deny", "warnings"];
        let all = ["clippy", "--release", "--locked", "--workspace", "--exclude", "rkt-compiler"];
        shell::run(tree.cargo().args(all).args(strict))?;
        let compiler = ["clippy", "--release", "--locked", "--package", "rkt-compiler", "--target-dir"];
        shell::run(tree.cargo().args(compiler).arg(tree.target("compiler")).args(strict))
    })?;
    step("dependencies", || shell::run(tree.cargo().args(["deny", "check", "bans", "licenses", "sources"])))
}

/// Measures rkt against its peers.
pub(crate) fn bench(tree: &Tree, arguments: &[&str]) -> Result<(), Failure> {
    setup::for_tests()?;
    build::run_steps(tree)?;
    kernel::for_tests(tree)?;
    let package = ["run", "--release", "--locked", "--package", "rkt-tests", "--bin", "rkt-bench", "--"];
    shell::run(tree.cargo().args(package).args(arguments))
}

/// Kills, and cuts the power, at every moment that there is, or in those of these tests with a text in their names.
pub(crate) fn crash(tree: &Tree, arguments: &[&str]) -> Result<(), Failure> {
    setup::for_tests()?;
    build::run_steps(tree)?;
    let mut tests = tests(tree);
    tests
        .args(["--test", "crash_crowd", "--test", "crash_kills", "--test", "crash_power", "--", "--nocapture"])
        .args(arguments);
    shell::run(tests.env("RKT_CRASH", "all"))
}

/// The tests that need a machine of their own, or some of them.
pub(crate) fn in_machines(tree: &Tree, arguments: &[&str]) -> Result<(), Failure> {
    setup::for_tests()?;
    build::run_steps(tree)?;
    vm::run(tree, arguments)
}

/// All tests but those of the compiler: it is built and tested by itself, so that its engine stays its
/// own.
pub(crate) fn tests(tree: &Tree) -> Command {
    let mut cargo = tree.cargo();
    cargo.args(["test", "--release", "--locked", "--workspace", "--exclude", "rkt-compiler", "--no-fail-fast"]);
    cargo
}

/// Those that run here and not in a test machine.
fn tests_of_host(tree: &Tree) -> Command {
    let mut cargo = tests(tree);
    cargo.args(["--exclude", "rkt-vm"]);
    cargo
}
