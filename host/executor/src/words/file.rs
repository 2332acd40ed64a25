//! `file` and `directory`: what is made in a bare root.

use std::io::Write as _;
use std::path::Path;

use rkt_plan::{CleanPath, Jail};
use rkt_sys::root::Root;
use rustix::fs::Mode;

use crate::failure::Failure;

/// Makes all of them, directories first. Called before anything is mounted in the root.
pub(crate) fn make_all(root: &Root, jail: &Jail) -> Result<(), Failure> {
    for made in &jail.directories {
        let directory = root.create_dir_all(Path::new(made.path.as_str()), Mode::from_raw_mode(0o755));
        // The mode that mkdir(2) was given went through the umask, and was that of the parents too.
        directory.map_err(Failure::of(|| describe(&made.path))).and_then(|_| set_mode(root, &made.path, made.mode))?;
    }
    for made in &jail.files {
        write(root, &made.path, &made.content).and_then(|()| set_mode(root, &made.path, made.mode))?;
    }
    Ok(())
}

fn write(root: &Root, path: &CleanPath, content: &str) -> Result<(), Failure> {
    let at = Path::new(path.as_str());
    if let Some(parent) = at.parent() {
        root.create_dir_all(parent, Mode::from_raw_mode(0o755)).map_err(Failure::of(|| describe(path)))?;
    }
    let mut file = root.create_file(at, Mode::from_raw_mode(0o600)).map_err(Failure::of(|| describe(path)))?;
    file.write_all(content.as_bytes()).map_err(Failure::of(|| describe(path)))
}

fn set_mode(root: &Root, path: &CleanPath, mode: u16) -> Result<(), Failure> {
    let (parent, name) = root.open_parent(Path::new(path.as_str())).map_err(Failure::of(|| describe(path)))?;
    rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(mode.into()), rustix::fs::AtFlags::empty())
        .map_err(Failure::of(|| describe(path)))
}

fn describe(path: &CleanPath) -> String {
    format!("make {path}")
}
