//! What plugins may ask about the host. The contract lists the questions (`wit/facts.wit`).

use std::path::Path;

use rkt_plan::CleanPath;
use rkt_sys::cgroup::Layout;
use rustix::fs::{Access, access};

use crate::resolve::host_architecture;

/// The answer to one question about this host; none where the question is not known.
pub fn fact(name: &str) -> Option<String> {
    match name {
        "kernel" => Some(rustix::system::uname().release().to_string_lossy().into_owned()),
        "architecture" => Some(host_architecture().to_owned()),
        "cgroups" => Some(cgroups().to_owned()),
        "machined" => Some(if Path::new(MACHINED).exists() { "running" } else { "absent" }.to_owned()),
        _ => name.strip_prefix("program:").and_then(program).map(str::to_owned),
    }
}

/// Where machined keeps what it knows; it makes this when it starts, and it is gone with the system.
const MACHINED: &str = "/run/systemd/machines";

/// Whether there is a program at an absolute path. A plugin learns nothing else about the file.
fn program(path: &str) -> Option<&'static str> {
    let path = path.parse::<CleanPath>().ok()?;
    let is_there = Path::new(path.as_str()).is_file() && access(path.as_str(), Access::EXEC_OK).is_ok();
    Some(if is_there { "present" } else { "absent" })
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
    use super::*;

    #[test]
    fn the_questions_of_the_contract_are_answered_and_no_others() {
        assert!(fact("kernel").unwrap().starts_with(|c: char| c.is_ascii_digit()));
        assert_eq!(fact("architecture").as_deref(), Some(host_architecture()));
        assert!(["v1", "v2", "none"].contains(&fact("cgroups").unwrap().as_str()));
        assert_eq!(fact("program:/bin/sh").as_deref(), Some("present"));
        for absent in ["program:/etc/passwd", "program:/etc", "program:/no/such/program"] {
            assert_eq!(fact(absent).as_deref(), Some("absent"), "{absent}");
        }
        assert!(["running", "absent"].contains(&fact("machined").unwrap().as_str()));
        for unknown in ["hostname", "program:", "program:sh", "program:/bin/../bin/sh"] {
            assert_eq!(fact(unknown), None, "{unknown}");
        }
    }
}
