//! How far a pod's life has come: the directory that it is in, and whether somebody holds its lock.

use std::fmt;

/// One of the six directories that pods move through, by rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Made a moment ago.
    Embryo,
    /// Being filled.
    Prepare,
    /// Complete, and not started.
    Prepared,
    /// Started.
    Run,
    /// Ended, and kept for a while.
    ExitedGarbage,
    /// Never started, and to be removed.
    Garbage,
}

impl Stage {
    /// In the order of a life, so that a search in this order meets a pod that moves meanwhile.
    pub const ALL: [Self; 6] =
        [Self::Embryo, Self::Prepare, Self::Prepared, Self::Run, Self::ExitedGarbage, Self::Garbage];

    /// Those that users hear of.
    pub const LISTED: [Self; 4] = [Self::Prepare, Self::Prepared, Self::Run, Self::ExitedGarbage];

    /// The name of the directory.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Embryo => "embryo",
            Self::Prepare => "prepare",
            Self::Prepared => "prepared",
            Self::Run => "run",
            Self::ExitedGarbage => "exited-garbage",
            Self::Garbage => "garbage",
        }
    }
}

/// What users are told. The ten texts are an interface: scripts compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Made a moment ago.
    Embryo,
    /// Being prepared.
    Preparing,
    /// Its preparation ended without completing it.
    AbortedPrepare,
    /// Ready to be started.
    Prepared,
    /// Some process of it lives.
    Running,
    /// All of its processes have ended.
    Exited,
    /// Ended, and being removed.
    ExitedDeleting,
    /// Ended, and marked for removal.
    ExitedGarbage,
    /// Never started, and being removed.
    Deleting,
    /// Never started, and marked for removal.
    Garbage,
}

impl State {
    /// The state of a pod that is in this directory, with its lock held or not.
    pub fn of(stage: Stage, locked: bool) -> Self {
        match (stage, locked) {
            (Stage::Embryo, _) => Self::Embryo,
            (Stage::Prepare, true) => Self::Preparing,
            (Stage::Prepare, false) => Self::AbortedPrepare,
            // Whoever holds this lock is about to start it.
            (Stage::Prepared, _) => Self::Prepared,
            (Stage::Run, true) => Self::Running,
            (Stage::Run, false) => Self::Exited,
            (Stage::ExitedGarbage, true) => Self::ExitedDeleting,
            (Stage::ExitedGarbage, false) => Self::ExitedGarbage,
            (Stage::Garbage, true) => Self::Deleting,
            (Stage::Garbage, false) => Self::Garbage,
        }
    }

    /// Whether it was started at some time.
    pub fn has_started(self) -> bool {
        self == Self::Running || self.has_ended()
    }

    /// Whether it was started and no process of it lives.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Exited | Self::ExitedDeleting | Self::ExitedGarbage)
    }

    /// The text for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embryo => "embryo",
            Self::Preparing => "preparing",
            Self::AbortedPrepare => "aborted prepare",
            Self::Prepared => "prepared",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::ExitedDeleting => "exited deleting",
            Self::ExitedGarbage => "exited garbage",
            Self::Deleting => "deleting",
            Self::Garbage => "garbage",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_and_lock_say_the_state() {
        let table = [
            (Stage::Embryo, "embryo", "embryo"),
            (Stage::Prepare, "aborted prepare", "preparing"),
            (Stage::Prepared, "prepared", "prepared"),
            (Stage::Run, "exited", "running"),
            (Stage::ExitedGarbage, "exited garbage", "exited deleting"),
            (Stage::Garbage, "garbage", "deleting"),
        ];
        for (stage, unlocked, locked) in table {
            assert_eq!(State::of(stage, false).to_string(), unlocked);
            assert_eq!(State::of(stage, true).to_string(), locked);
        }
    }
}
