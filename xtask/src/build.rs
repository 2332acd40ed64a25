//! Building rkt: flavors as components, the compiler that turns them into code, the static monitor,
//! and the program that embeds the flavors.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::setup;
use crate::shell::{self, Failure, step};
use crate::tree::{STATIC_TARGET, Tree};
use crate::wasm::WasmToolchain;

/// What is installed.
const FILES: [&str; 5] =
    ["bin/rkt", "libexec/rkt/compiler", "libexec/rkt/monitor", "libexec/rkt/planner", "libexec/rkt/planner-native"];

/// Builds everything into `target/rkt`, laid out as it is installed.
pub(crate) fn run_steps(tree: &Tree) -> Result<(), Failure> {
    for folder in ["bin", "libexec/rkt", "flavors"] {
        make_folder(&tree.built(folder))?;
    }
    step("flavors, as WebAssembly components", || flavors(tree))?;
    // By itself and into a folder of its own: cargo would else unify features, and the compiler's
    // engine would become a part of rkt.
    step("the plugin compiler", || {
        let target = tree.target("compiler");
        let package = ["build", "--release", "--locked", "--package", "rkt-compiler", "--target-dir"];
        shell::run(tree.cargo().args(package).arg(&target))?;
        place(&target.join("release/rkt-compiler"), &tree.built("libexec/rkt/compiler"))
    })?;
    step("flavors, compiled for any processor of this architecture", || compile_flavors(tree))?;
    step("rkt, the monitor and the planner, static", || static_programs(tree))?;
    step("the planner of native plugins, which has to load libraries", || {
        let program = ["build", "--release", "--locked", "--package", "rkt-planner", "--bin", "rkt-planner-native"];
        shell::run(tree.cargo().args(program))?;
        place(&tree.target("release/rkt-planner-native"), &tree.built("libexec/rkt/planner-native"))
    })
}

/// Sets up what building needs, then builds.
pub(crate) fn run(tree: &Tree) -> Result<(), Failure> {
    setup::for_building()?;
    run_steps(tree)
}

/// Builds, then copies the result below a prefix.
pub(crate) fn install(tree: &Tree, prefix: &str) -> Result<(), Failure> {
    run(tree)?;
    step(&format!("install to {prefix}"), || {
        let prefix = Path::new(prefix);
        for file in FILES {
            let to = prefix.join(file);
            make_folder(to.parent().expect("each file is in a folder"))?;
            place(&tree.built(file), &to)?;
        }
        Ok(())
    })?;
    step("what shells and man(1) know of it", || describe(tree, Path::new(prefix)))
}

/// What shells complete lines with, and where they look for it.
const SCRIPTS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/rkt"),
    ("zsh", "share/zsh/site-functions/_rkt"),
    ("fish", "share/fish/vendor_completions.d/rkt.fish"),
];

/// Has the program write what it knows of itself.
fn describe(tree: &Tree, prefix: &Path) -> Result<(), Failure> {
    let rkt = || Command::new(tree.built("bin/rkt"));
    for (shell, file) in SCRIPTS {
        let to = prefix.join(file);
        make_folder(to.parent().expect("each file is in a folder"))?;
        let script = File::create(&to).map_err(Failure::when(format!("cannot make {}", to.display())))?;
        shell::run(rkt().args(["completion", shell]).stdout(Stdio::from(script)))?;
    }
    let pages = prefix.join("share/man/man1");
    make_folder(&pages)?;
    shell::run(rkt().arg("manual").arg(&pages))
}

fn flavors(tree: &Tree) -> Result<(), Failure> {
    let toolchain = WasmToolchain::find(tree)?;
    let packages = tree.flavors()?.into_iter().flat_map(|name| ["--package".to_owned(), format!("rkt-{name}")]);
    shell::run(toolchain.cargo(tree).args(["--release", "--locked", "--lib"]).args(packages))
}

/// The flavors as native plugins, of the same sources, for the tests. In a folder of their own, where
/// what is linked into tests does not lie.
pub(crate) fn native_flavors(tree: &Tree) -> Result<(), Failure> {
    let packages = tree.flavors()?.into_iter().flat_map(|name| ["--package".to_owned(), format!("rkt-{name}")]);
    let build = ["build", "--release", "--locked", "--lib", "--features", "rkt-sdk/native", "--target-dir"];
    shell::run(tree.cargo().args(build).arg(tree.target("native")).args(packages))
}

fn component(tree: &Tree, flavor: &str) -> PathBuf {
    tree.target(&format!("wasm32-unknown-unknown/release/rkt_{flavor}.wasm"))
}

fn compile_flavors(tree: &Tree) -> Result<(), Failure> {
    for flavor in tree.flavors()? {
        let from = component(tree, &flavor);
        let to = tree.built(&format!("flavors/{flavor}.artifact"));
        let fresh = to.with_extension("new");
        let input = File::open(&from).map_err(Failure::when(format!("cannot open {}", from.display())))?;
        let output = File::create(&fresh).map_err(Failure::when(format!("cannot make {}", fresh.display())))?;
        shell::run(
            Command::new(tree.built("libexec/rkt/compiler")).stdin(Stdio::from(input)).stdout(Stdio::from(output)),
        )?;
        replace_if_changed(&fresh, &to)?;
        // Beside it what it was made of, for those who will want to make theirs of it.
        let fresh = to.with_extension("wasm.new");
        fs::copy(&from, &fresh).map_err(Failure::when(format!("cannot copy {}", from.display())))?;
        replace_if_changed(&fresh, &to.with_extension("wasm"))?;
    }
    Ok(())
}

/// What is started for every pod is static: it starts in a third of the time.
fn static_programs(tree: &Tree) -> Result<(), Failure> {
    let packages = ["--package", "rkt-cli", "--package", "rkt-monitor", "--package", "rkt-planner"];
    let programs = ["--bin", "rkt", "--bin", "rkt-monitor", "--bin", "rkt-planner"];
    let build = ["build", "--profile", "static", "--locked", "--target", STATIC_TARGET];
    shell::run(tree.cargo().args(build).args(packages).args(programs))?;
    for (program, to) in
        [("rkt-monitor", "libexec/rkt/monitor"), ("rkt-planner", "libexec/rkt/planner"), ("rkt", "bin/rkt")]
    {
        place(&tree.target(&format!("{STATIC_TARGET}/static/{program}")), &tree.built(to))?;
    }
    Ok(())
}

/// An unchanged file keeps its time, so that what embeds it is not built again.
fn replace_if_changed(fresh: &Path, to: &Path) -> Result<(), Failure> {
    let same = fs::read(fresh).ok().zip(fs::read(to).ok()).is_some_and(|(new, old)| new == old);
    let done = if same { fs::remove_file(fresh) } else { fs::rename(fresh, to) };
    done.map_err(Failure::when(format!("cannot put {} in place", to.display())))
}

/// Puts a copy of a program in place at once, also where the old one is running.
pub(crate) fn place(from: &Path, to: &Path) -> Result<(), Failure> {
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).and_then(|_| fs::rename(&fresh, to)).map_err(Failure::when(format!(
        "cannot copy {} to {}",
        from.display(),
        to.display()
    )))
}

pub(crate) fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(Failure::when(format!("cannot make {}", path.display())))
}
