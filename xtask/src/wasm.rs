//! A Rust toolchain that builds components, in one of two ways.
//!
//! The ordinary way is the target of rustup's toolchain. Where rustup reaches nothing, Debian's compiler
//! for the web and its source of the standard library do, from the package archive. Where neither
//! works, building fails: a flavor that is not built is a flavor that is not tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::make_folder;
use crate::shell::{Failure, output, run, say};
use crate::tree::Tree;

const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's packages of the second way. The compiler and the source of its library have to match.
const DEBIAN_PACKAGES: [&str; 5] =
    ["libllvm22", "libstd-rust-web-1.96", "libstd-rust-web-dev", "rust-web-src", "rustc-web"];

/// How components are built.
pub(crate) struct WasmToolchain {
    sysroot: PathBuf,
    /// Debian's compiler, where it is the one.
    debian: Option<PathBuf>,
}

impl WasmToolchain {
    /// Finds, installs or assembles one.
    pub(crate) fn find(tree: &Tree) -> Result<Self, Failure> {
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim());
        if has_target(&sysroot) || (add_target() && has_target(&sysroot)) {
            return Ok(Self { sysroot, debian: None });
        }
        say("    rustup cannot add the target: taking Debian's compiler for the web");
        let debian = Some(from_debian(&tree.target("debian-rust-web"))?);
        Ok(Self { sysroot, debian })
    }

    /// `cargo build` for components; packages and profile are the caller's to add.
    pub(crate) fn cargo(&self, tree: &Tree) -> Command {
        // The linker makes a component of what the linker that it calls makes.
        let tools = self.sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
        let link = format!("-C link-arg=--wasm-ld-path={}", tools.join("gcc-ld/wasm-ld").display());
        let mut cargo = tree.cargo();
        cargo
            .args(["build", "--target", TARGET])
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", tools.join("wasm-component-ld"))
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", link);
        if let Some(debian) = &self.debian {
            // Building the standard library is not stable, and cargo asks for a word that says so.
            cargo
                .env("RUSTC", debian.join("usr/bin/rustc"))
                .env("LD_LIBRARY_PATH", debian.join("usr/lib/x86_64-linux-gnu"))
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

fn add_target() -> bool {
    let rustup = ["60", "rustup", "target", "add", TARGET];
    Command::new("timeout").args(rustup).status().is_ok_and(|status| status.success())
}

/// Unpacks Debian's packages into a folder, without installing them.
fn from_debian(folder: &Path) -> Result<PathBuf, Failure> {
    let root = folder.join("root");
    if root.join("usr/bin/rustc").exists() {
        return Ok(root);
    }
    // Put in place when whole.
    let fresh = folder.join("unpacking");
    make_folder(&fresh)?;
    run(Command::new("apt-get").args(["download", "--quiet"]).args(DEBIAN_PACKAGES).current_dir(folder))?;
    let entries = fs::read_dir(folder).map_err(Failure::when(format!("cannot list {}", folder.display())))?;
    for package in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_package(path)) {
        run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&fresh))?;
    }
    fs::rename(&fresh, &root).map_err(Failure::when(format!("cannot make {}", root.display())))?;
    Ok(root)
}

fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "deb")
}
