//! Builds the probe as a static program, so that it runs in an image that holds nothing else.
//!
//! A build script and not a package of its own: the probe is one file that needs the standard library
//! only, and every test that includes it is built again when it changes.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const SOURCE: &str = "src/bin/probe.rs";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo says what it builds for");
    let into = Path::new(&env::var_os("OUT_DIR").expect("cargo gives a directory")).join("probe");
    // musl where its standard library is installed, else the static half of the system's C library.
    let ways = [
        vec![format!("--target={architecture}-unknown-linux-musl")],
        vec![format!("--target={architecture}-unknown-linux-gnu"), "-Ctarget-feature=+crt-static".to_owned()],
    ];
    let mut said = String::new();
    for way in &ways {
        let output = Command::new(env::var_os("RUSTC").expect("cargo names the compiler"))
            .args(["--edition=2024", "--crate-name=probe", "-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols"])
            .args(way)
            .arg("-o")
            .arg(&into)
            .arg(SOURCE)
            .output()
            .expect("the compiler that builds this can be run");
        if output.status.success() {
            return;
        }
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        let _ = fs::remove_file(&into);
    }
    panic!("the probe cannot be built as a static program, neither for musl nor with the system's C library:\n{said}");
}
