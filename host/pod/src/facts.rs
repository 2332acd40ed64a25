//! What plugins may ask about the host. The contract lists the questions (`wit/facts.wit`).

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rkt_executor::trial::{Notes, Outcome};
use rkt_plan::CleanPath;
use rkt_sys::cgroup::Layout;
use rustix::fs::{Access, access};

use crate::resolve::host_architecture;

/// The answer to one question about this host; none where the question is not known. `data` is the data
/// directory, where notes about devices are.
pub fn fact(name: &str, data: &Path) -> Option<String> {
    match name {
        "kernel" => Some(rustix::system::uname().release().to_string_lossy().into_owned()),
        "architecture" => Some(host_architecture().to_owned()),
        "cgroups" => Some(cgroups().to_owned()),
        "machined" => Some(if can_ask_machined() { "running" } else { "absent" }.to_owned()),
        _ => match name.split_once(':')? {
            ("program", path) => program(path).map(str::to_owned),
            ("device", path) => device(path, data).map(str::to_owned),
            _ => None,
        },
    }
}

/// What systemd leaves where it is the first process (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// By what the system's bus knows how to start machined.
pub const MACHINED: &str = "/usr/share/dbus-1/system-services/org.freedesktop.machine1.service";

/// Where the system's bus listens.
pub const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// Whether machined answers whoever asks: it ends when it has nothing to do, and systemd starts it again when the
/// system's bus asks for it.
fn can_ask_machined() -> bool {
    Path::new(BOOTED).is_dir() && Path::new(MACHINED).exists() && UnixStream::connect(SYSTEM_BUS).is_ok()
}

/// Whether there is a program at an absolute path. A plugin learns nothing else about the file.
fn program(path: &str) -> Option<&'static str> {
    let path = path.parse::<CleanPath>().ok()?;
    let is_there = Path::new(path.as_str()).is_file() && access(path.as_str(), Access::EXEC_OK).is_ok();
    Some(if is_there { "present" } else { "absent" })
}

/// What is known of the device at an absolute path.
fn device(path: &str, data: &Path) -> Option<&'static str> {
    let path = path.parse::<CleanPath>().ok()?;
    let is_device = |kind: FileType| kind.is_char_device() || kind.is_block_device();
    if !std::fs::symlink_metadata(path.as_str()).is_ok_and(|file| is_device(file.file_type())) {
        return Some("absent");
    }
    Some(match Notes::of(data).about(&path) {
        None => "present",
        Some(Outcome::Works) => "works",
        Some(Outcome::Fails) => "fails",
    })
}

/// `v2` only where no controller is anywhere else: a plan for version 2 would find nothing in a mixture.
fn cgroups() -> &'static str {
    match Layout::detect() {
        Ok(Layout::V2) => "v2",
        Ok(Layout::V1 | Layout::Hybrid) => "v1",
        // Without procfs nothing can be said of them, and no limit can be set.
        Ok(Layout::None) | Err(_) => "none",
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use rkt_executor::trial::Trial;

    use super::*;

    #[test]
    fn the_questions_of_the_contract_are_answered_and_no_others() {
        let data = tempfile::tempdir().unwrap();
        let pod = std::fs::File::open(data.path()).unwrap();
        let fact = |name: &str| fact(name, data.path());
        assert!(fact("kernel").unwrap().starts_with(|c: char| c.is_ascii_digit()));
        assert_eq!(fact("architecture").as_deref(), Some(host_architecture()));
        assert!(["v1", "v2", "none"].contains(&fact("cgroups").unwrap().as_str()));
        assert_eq!(fact("program:/bin/sh").as_deref(), Some("present"));
        for absent in ["program:/etc/passwd", "program:/etc", "program:/no/such/program"] {
            assert_eq!(fact(absent).as_deref(), Some("absent"), "{absent}");
        }
        // Its directory may be there, on a disk, where it never ran.
        let can_run = Path::new(BOOTED).is_dir() && Path::new(MACHINED).exists();
        let machined = fact("machined").unwrap();
        assert!(machined == "absent" || (can_run && machined == "running"), "{machined}");
        for (device, answer) in [("/dev/null", "present"), ("/dev/none", "absent"), ("/dev", "absent")] {
            assert_eq!(fact(&format!("device:{device}")).as_deref(), Some(answer), "{device}");
        }
        for (outcome, answer) in [(Outcome::Fails, "fails"), (Outcome::Works, "works")] {
            let devices = vec!["/dev/full".parse().unwrap()];
            Trial { notes: Notes::of(data.path()), devices }.end(outcome, pod.as_fd()).unwrap();
            assert_eq!(fact("device:/dev/full").as_deref(), Some(answer));
        }
        for unknown in ["hostname", "device:null", "program:", "program:sh", "program:/bin/../bin/sh"] {
            assert_eq!(fact(unknown), None, "{unknown}");
        }
    }
}
