//! Finds the flavors that `cargo xtask build` compiled, and makes the table by which rkt embeds them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    let flavors = manifest.join("../../target/rkt/flavors");
    println!("cargo::rerun-if-changed={}", flavors.display());
    let artifacts = artifacts(&flavors)?;
    if artifacts.is_empty() {
        println!("cargo::warning=no flavor is built in: `cargo xtask build` makes them");
    }
    let mut table = String::from("[\n");
    for artifact in artifacts {
        let name = artifact.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(table, "    ({name:?}, include_bytes!({:?}).as_slice()),", artifact.display().to_string())
            .map_err(io::Error::other)?;
    }
    table.push_str("]\n");
    fs::write(out.join("flavors.rs"), table)
}

fn artifacts(flavors: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(flavors) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "artifact") {
            paths.push(path.canonicalize()?);
        }
    }
    paths.sort();
    Ok(paths)
}
