//! Questions about the host.

use std::collections::BTreeMap;

/// Answers about the host. Every answer is recorded beside the plan: the same pod and the same
/// answers must give the same plan.
pub trait Facts {
    /// The answer to one question, or none where the host does not know the question. The contract
    /// lists the questions (`wit/facts.wit`).
    fn fact(&self, name: &str) -> Option<String>;
}

impl dyn Facts + '_ {
    /// How the host's control groups are laid out.
    pub fn cgroups(&self) -> Cgroups {
        match self.fact("cgroups").as_deref() {
            Some("v2") => Cgroups::Unified,
            Some("v1") => Cgroups::Split,
            _ => Cgroups::Absent,
        }
    }

    /// Whether the host has a program at this absolute path.
    pub fn has_program(&self, path: &str) -> bool {
        self.fact(&format!("program:{path}")).as_deref() == Some("present")
    }

    /// What is known of the host's device at this absolute path.
    pub fn device(&self, path: &str) -> Device {
        match self.fact(&format!("device:{path}")).as_deref() {
            Some("absent") => Device::Absent,
            Some("works") => Device::Works,
            Some("fails") => Device::Fails,
            _ => Device::Untried,
        }
    }

    /// Whether systemd-machined can be asked.
    pub fn has_machined(&self) -> bool {
        self.fact("machined").as_deref() == Some("running")
    }
}

/// What a host knows of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// There is none.
    Absent,
    /// It may be there, and more is not known.
    Untried,
    /// An init that a program with it started has spoken.
    Works,
    /// Such an init was given its time and has not spoken, or the program crashed before.
    Fails,
}

/// Layouts of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// All controllers in one hierarchy (version 2).
    Unified,
    /// Some controllers in hierarchies of their own (version 1).
    Split,
    /// None that this host tells of.
    Absent,
}

/// A host that answers nothing; for tests.
#[derive(Debug, Clone, Copy)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn fact(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Answers by name; for tests.
impl Facts for BTreeMap<&str, &str> {
    fn fact(&self, name: &str) -> Option<String> {
        self.get(name).map(|answer| (*answer).to_owned())
    }
}
