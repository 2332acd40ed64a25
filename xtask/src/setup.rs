//! What a fresh Debian 12 with rustup lacks, installed in the open.

use std::process::{Command, Stdio};

use crate::shell::{Failure, run, say, step};
use crate::tree::STATIC_TARGET;

/// For compiling C parts of libraries, those of static programs too.
const FOR_BUILDING: [&str; 2] = ["build-essential", "musl-tools"];

/// The peers and tools of the tests: shells for images, other runtimes to be measured against, tracing,
/// and virtual machines with what their disks are made by.
const FOR_TESTS: [&str; 14] = [
    "bubblewrap",
    "busybox-static",
    "cpio",
    "crun",
    "e2fsprogs",
    "erofs-utils",
    "kmod",
    "mmdebstrap",
    "nftables",
    "qemu-system-x86",
    "qemu-utils",
    "runc",
    "strace",
    "systemd-container",
];

/// The tool that checks what is depended on.
const DENY: (&str, &str) = ("cargo-deny", "0.20.2");

/// Installs what building needs.
pub(crate) fn for_building() -> Result<(), Failure> {
    step("set up for building", || {
        packages(&FOR_BUILDING)?;
        target(STATIC_TARGET)
    })
}

/// Installs what testing needs, and what building does.
pub(crate) fn for_tests() -> Result<(), Failure> {
    for_building()?;
    step("set up for tests", || {
        packages(&FOR_TESTS)?;
        let (tool, version) = DENY;
        if is_there(Command::new(tool).arg("--version")) {
            return Ok(());
        }
        run(Command::new("cargo").args(["install", "--quiet", "--locked", "--version", version, tool]))
    })
}

fn packages(wanted: &[&str]) -> Result<(), Failure> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        say(&format!("    installed already: {}", wanted.join(", ")));
        return Ok(());
    }
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    run(apt().args(["update", "--quiet=2"]))?;
    run(apt().args(["install", "--quiet=2", "--yes", "--no-install-recommends"]).args(missing))
}

fn is_installed(package: &str) -> bool {
    is_there(Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Status}", package]))
}

fn target(name: &str) -> Result<(), Failure> {
    run(Command::new("rustup").args(["target", "add", name]))
}

fn is_there(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
