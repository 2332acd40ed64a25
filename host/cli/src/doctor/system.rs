//! What the host's system and devices offer.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rkt_pod::facts;

use super::{Answer, Finding};
use crate::report::plainly;

pub(super) fn examine(data: &Path) -> Vec<Finding> {
    vec![
        Finding::new("systemd", systemd(), "no pod gets a scope of its own"),
        Finding::new("systemd-machined", machined(data), "pods are not listed by machinectl"),
        Finding::new(
            "systemd-nspawn",
            program("systemd-nspawn", &["--version"]),
            "flavors that use it cannot run pods",
        ),
        Finding::new("KVM", kvm(data), "flavors that run virtual machines cannot use this host's processor for them"),
        Finding::new("QEMU", program(qemu(), &["--version"]), "flavors that use it cannot run pods"),
        Finding::new("nftables", nftables(), "rules for pods' networks, which come later, cannot be set"),
        Finding::new("security modules", security_modules(), "pods cannot be confined by labels or profiles"),
    ]
}

/// What sd_booted(3) looks at, and who process 1 is.
fn systemd() -> Answer {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    match (first.trim(), Path::new("/run/systemd/system").is_dir()) {
        ("systemd", true) => Answer::Yes("is process 1".to_owned()),
        (other, _) => Answer::No(format!("process 1 is {other}")),
    }
}

/// It is started when somebody asks for it on the system's bus, where systemd is there to do so.
fn machined(data: &Path) -> Answer {
    if !Path::new(facts::MACHINED).exists() {
        return Answer::No("not installed".to_owned());
    }
    match (UnixStream::connect(facts::SYSTEM_BUS), facts::fact("machined", data).as_deref()) {
        (Err(error), _) => Answer::No(format!("{}: {}", facts::SYSTEM_BUS, plainly(&error))),
        (Ok(_), Some("running")) => Answer::Yes("can be started by the system's bus".to_owned()),
        (Ok(_), _) => Answer::No("systemd, which would start it, is not process 1".to_owned()),
    }
}

/// Whether guests run is seen only by running one: what came of the last is noted in the data directory.
fn kvm(data: &Path) -> Answer {
    const DEVICE: &str = "/dev/kvm";
    if let Err(error) = File::options().read(true).write(true).open(DEVICE) {
        return Answer::No(format!("{DEVICE}: {}", plainly(&error)));
    }
    match facts::fact(&format!("device:{DEVICE}"), data).as_deref() {
        Some("works") => Answer::Yes(format!("{DEVICE} works: a guest has spoken")),
        Some("fails") => Answer::No(format!("{DEVICE} can be opened, and a guest did not speak")),
        _ => Answer::Unknown(format!("{DEVICE} can be opened; no guest was run with it yet")),
    }
}

fn qemu() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "qemu-system-aarch64",
        _ => "qemu-system-x86_64",
    }
}

/// Lists the tables, which needs the program, the kernel's part, and root's rights.
fn nftables() -> Answer {
    if !rustix::process::geteuid().is_root() {
        return Answer::Unknown("only root can ask".to_owned());
    }
    match program("nft", &["list", "tables"]) {
        Answer::Yes(_) => Answer::Yes("works".to_owned()),
        other => other,
    }
}

fn security_modules() -> Answer {
    match fs::read_to_string("/sys/kernel/security/lsm") {
        Err(error) => Answer::Unknown(format!("/sys/kernel/security/lsm: {}", plainly(&error))),
        Ok(list) => {
            let labels = ["selinux", "apparmor", "smack"];
            let found = list.trim().split(',').any(|name| labels.contains(&name));
            if found {
                Answer::Yes(list.trim().to_owned())
            } else {
                Answer::No(format!("none that labels: {}", list.trim()))
            }
        }
    }
}

/// Runs a program; the first line that it says.
fn program(name: &str, arguments: &[&str]) -> Answer {
    match Command::new(name).args(arguments).stdin(Stdio::null()).output() {
        Err(error) => Answer::No(format!("{name}: {}", plainly(&error))),
        Ok(output) if output.status.success() => {
            Answer::Yes(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or(name).to_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
            Answer::No(format!("{name}: {said}"))
        }
    }
}
