//! The kernel of guests and of test machines: Debian's own for virtual machines, unpacked and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::make_folder;
use crate::shell::{Failure, output, run, say, step};
use crate::tree::Tree;

/// The package that depends on the newest.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Where it is unpacked, as the tests look for it.
const FOLDER: &str = "guest/kernel";

/// Makes sure that it is there.
pub(crate) fn for_tests(tree: &Tree) -> Result<(), Failure> {
    step("a kernel for guests, for the tests", || unpacked(tree).map(drop))
}

/// The folder of its files, downloaded and unpacked if it is not there.
pub(crate) fn unpacked(tree: &Tree) -> Result<PathBuf, Failure> {
    let folder = tree.target(FOLDER);
    if folder.is_dir() {
        say(&format!("    unpacked already: {}", folder.display()));
        return Ok(folder);
    }
    // Put in place when whole.
    let fresh = folder.with_extension("unpacking");
    if fresh.is_dir() {
        fs::remove_dir_all(&fresh).map_err(Failure::when(format!("cannot remove {}", fresh.display())))?;
    }
    make_folder(&fresh)?;
    let package = download(&fresh)?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&fresh))?;
    fs::remove_file(&package).map_err(Failure::when(format!("cannot remove {}", package.display())))?;
    for version in names_in(&fresh.join("lib/modules"))? {
        // What its installation does.
        run(Command::new("depmod").arg("--basedir").arg(&fresh).arg(version))?;
    }
    fs::rename(&fresh, &folder).map_err(Failure::when(format!("cannot make {}", folder.display())))?;
    Ok(folder)
}

fn download(folder: &Path) -> Result<PathBuf, Failure> {
    let told = output(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let told = String::from_utf8_lossy(&told);
    let newest = told.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let newest = newest.ok_or_else(|| Failure::new(format!("{PACKAGE} depends on no kernel: run `apt-get update`")))?;
    run(Command::new("apt-get").args(["download", "--quiet=2", &format!("linux-image-{newest}")]).current_dir(folder))
        .map_err(|failure| without_packages(&failure))?;
    let name = names_in(folder)?.pop();
    name.map(|name| folder.join(name)).ok_or_else(|| Failure::new(format!("apt-get downloaded nothing for {PACKAGE}")))
}

fn names_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(folder).map_err(Failure::when(format!("cannot list {}", folder.display())))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// That nothing can be tested in a machine because a package of Debian's could not be had.
pub(crate) fn without_packages(failure: &Failure) -> Failure {
    Failure::new(format!(
        "test machines are made of Debian's packages, and these could not be had: {failure}\n\
         See above for apt's reason; where the host's lists are old, run `apt-get update`."
    ))
}
