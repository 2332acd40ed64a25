//! Where things are in the tree, and what is built where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::Failure;

/// The static target of the monitor.
pub(crate) const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// A checkout.
pub(crate) struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// The checkout that this program was built from.
    pub(crate) fn here() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the tree").to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Self { root, target }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.target.join(relative)
    }

    /// Where programs are put together as they are installed.
    pub(crate) fn built(&self, relative: &str) -> PathBuf {
        self.target.join("rkt").join(relative)
    }

    /// Cargo, in this tree.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.root).env("RKT_FLAVORS", self.built("flavors"));
        cargo
    }

    /// The names of the shipped flavors, each a folder with a package `rkt-NAME`.
    pub(crate) fn flavors(&self) -> Result<Vec<String>, Failure> {
        let folder = self.path("stage1-flavors");
        let entries = fs::read_dir(&folder).map_err(Failure::when(format!("cannot list {}", folder.display())))?;
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }
}
