//! Makes the tables by which rkt embeds what comes with it: the flavors that `cargo xtask build`
//! made (in `RKT_FLAVORS`, or else where it puts them by default), and the default configuration.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;

    println!("cargo::rerun-if-env-changed=RKT_FLAVORS");
    let flavors = env::var_os("RKT_FLAVORS").map_or_else(|| manifest.join("../../target/rkt/flavors"), PathBuf::from);
    let artifacts = files(&flavors, "artifact")?;
    if artifacts.is_empty() {
        println!("cargo::warning=no flavor is built in: `cargo xtask build` makes them");
    }
    let entry = |path: &Path| {
        let (code, component) = (path.as_os_str(), path.with_extension("wasm"));
        format!(
            "BuiltIn {{ name: {}, code: &Pages(*include_bytes!({})).0, component: include_bytes!({}) }}",
            text(path.file_stem()),
            text(Some(code)),
            text(Some(component.as_os_str()))
        )
    };
    fs::write(out.join("flavors.rs"), table(&artifacts, entry))?;

    let grants = files(&manifest.join("defaults/plugins.d"), "toml")?;
    let entry = |path: &Path| format!("({}, include_str!({}))", text(path.file_stem()), text(Some(path.as_os_str())));
    fs::write(out.join("grants.rs"), table(&grants, entry))?;

    let flavors = manifest.join("defaults/stage1.toml");
    println!("cargo::rerun-if-changed={}", flavors.display());
    let default = default_flavor(&fs::read_to_string(flavors)?)?;
    fs::write(out.join("default.rs"), format!("{default:?}\n"))
}

/// What `stage1.toml` says is the flavor of pods that name none.
fn default_flavor(text: &str) -> io::Result<String> {
    let table: toml::Table = text.parse().map_err(io::Error::other)?;
    let default = table.get("default").and_then(toml::Value::as_str);
    default.map(str::to_owned).ok_or_else(|| io::Error::other("stage1.toml names no default"))
}

fn table(paths: &[PathBuf], entry: impl Fn(&Path) -> String) -> String {
    let entries: Vec<String> = paths.iter().map(|path| entry(path)).collect();
    format!("[{}]\n", entries.join(",\n"))
}

/// As Rust writes a text.
fn text(name: Option<&OsStr>) -> String {
    format!("{:?}", name.unwrap_or_default().to_string_lossy())
}

/// The files in a directory with this extension, in the order of their names; none where there is no
/// such directory.
fn files(directory: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    println!("cargo::rerun-if-changed={}", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path.canonicalize()?);
        }
    }
    paths.sort();
    Ok(paths)
}
