//! A machine's image: a file system of Debian's packages, built once and kept.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::Kernel;
use crate::build::make_folder;
use crate::kernel::without_packages;
use crate::shell::{self, Failure, say};
use crate::tree::Tree;

/// The release whose packages and kernel are used: that of the hosts that tests are compiled on, since
/// tests need the same C library.
pub(super) const RELEASE: &str = "bookworm";

/// The program that runs the tests, below cargo's target directory: on the host, and in the payload.
pub(super) const PROGRAM: &str = "vm/rkt-vm";

/// Where every image has it: a link into the payload.
pub(super) const RUNNER: &str = "/sbin/rkt-vm";

/// Room for what tests write. The file is sparse.
const SIZE: &str = "2G";

/// What an image is made of, beside what every Debian has, and the kernel's modules.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) packages: &'static [&'static str],
    /// Paths and contents.
    pub(super) files: &'static [(&'static str, &'static str)],
}

impl Image {
    /// The image as a disk, built if there is none that is made of the same.
    ///
    /// Newer packages of the same names are no reason to build it again: that is done by removing it.
    pub(super) fn make(&self, tree: &Tree, kernel: &Kernel, name: &str) -> Result<PathBuf, Failure> {
        let folder = tree.target("vm");
        let disk = folder.join(format!("{name}.ext4"));
        let made_of = folder.join(format!("{name}.made-of"));
        let runner = tree.target(PROGRAM);
        let recipe = format!("{RELEASE} {SIZE} {} {} {self:?}\n", kernel.version, runner.display());
        if disk.is_file() && fs::read_to_string(&made_of).is_ok_and(|text| text == recipe) {
            say(&format!("    built already: {}", disk.display()));
            return Ok(disk);
        }
        let root = folder.join(format!("{name}.tree"));
        remove(&root)?;
        self.install(&root)?;
        self.add_files(&root, &runner)?;
        kernel.add_modules(&root)?;
        make_disk(&root, &disk, SIZE)?;
        remove(&root)?;
        fs::write(&made_of, recipe).map_err(Failure::when(format!("cannot write {}", made_of.display())))?;
        Ok(disk)
    }

    fn install(&self, root: &Path) -> Result<(), Failure> {
        let without =
            ["doc", "info", "locale", "man"].map(|what| format!("--dpkgopt=path-exclude=/usr/share/{what}/*"));
        shell::run(
            Command::new("mmdebstrap")
                .args(["--quiet", "--variant=essential", "--dpkgopt=force-unsafe-io"])
                .args(without)
                .arg(format!("--include={}", self.packages.join(",")))
                .arg(RELEASE)
                .arg(root),
        )
        .map_err(|failure| without_packages(&failure))
    }

    fn add_files(&self, root: &Path, runner: &Path) -> Result<(), Failure> {
        let failed = |path: &Path| Failure::when(format!("cannot make {}", path.display()));
        let place = |path: &str| {
            let path = root.join(path.trim_start_matches('/'));
            make_folder(path.parent().expect("each file is in a folder"))?;
            Ok::<_, Failure>(path)
        };
        for (path, content) in self.files {
            let path = place(path)?;
            fs::write(&path, content).map_err(failed(&path))?;
        }
        let link = place(RUNNER)?;
        symlink(runner, &link).map_err(failed(&link))
    }
}

/// Makes a disk of a folder, whole or not at all.
pub(super) fn make_disk(folder: &Path, disk: &Path, size: &str) -> Result<(), Failure> {
    let fresh = disk.with_extension("new");
    remove(&fresh)?;
    let plain = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"];
    shell::run(Command::new("mke2fs").args(plain).arg(folder).arg(&fresh).arg(size))?;
    fs::rename(&fresh, disk).map_err(Failure::when(format!("cannot make {}", disk.display())))
}

/// Removes a folder or a file; one that is not there is no failure.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("cannot remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
