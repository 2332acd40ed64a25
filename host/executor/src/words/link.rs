//! `link`: a symbolic link.

use std::path::Path;

use rkt_plan::Link;
use rkt_sys::root::Root;
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::failure::Failure;

/// Makes it, with the directories above it. What is there already is left alone.
pub(crate) fn enact(root: &Root, link: &Link) -> Result<(), Failure> {
    make(root, Path::new(link.path.as_str()), Path::new(&link.to))
        .map_err(Failure::of(|| format!("link {}", link.path)))
}

fn make(root: &Root, path: &Path, to: &Path) -> rkt_sys::Result<()> {
    match root.symlink(to, path) {
        Err(error) if error.errno() == Some(Errno::NOENT) => {}
        Err(error) if error.errno() == Some(Errno::EXIST) => return Ok(()),
        other => return other,
    }
    if let Some(parent) = path.parent() {
        root.create_dir_all(parent, Mode::from_raw_mode(0o755))?;
    }
    root.symlink(to, path)
}
