//! What plugins may ask about the host. The contract lists the questions (`wit/facts.wit`).

use rkt_sys::cgroup::{Hierarchies, Layout};

use crate::resolve::host_architecture;

/// The answer to one question about this host; none where the question is not known.
pub fn fact(name: &str) -> Option<String> {
    match name {
        "kernel" => Some(rustix::system::uname().release().to_string_lossy().into_owned()),
        "architecture" => Some(host_architecture().to_owned()),
        "cgroups" => Some(cgroups().to_owned()),
        _ => None,
    }
}

/// `v2` only where no controller is anywhere else: a plan for version 2 would find nothing in a mixture.
fn cgroups() -> &'static str {
    match Hierarchies::detect().map(|hierarchies| hierarchies.layout()) {
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
        assert_eq!(fact("hostname"), None);
    }
}
