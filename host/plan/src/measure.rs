//! Which of two uses of a word lets a pod do less.
//!
//! Every kind of word has its own measure, and all follow one rule: one use is within another where
//! whatever it lets a pod do, the other does too. What cannot be shown to be within is not.

use crate::answer::Answer;
use crate::capability::CapabilitySet;
use crate::checked::{FileSystem, Mount, MountOptions, Source, User};
use crate::diff::Strictness;
use crate::pod::{Access, LimitKind};
use crate::program::Confinement;
use crate::seccomp::SeccompPolicy;

/// A use of a word, as far as it can be compared with another use of that word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Whether the pod is in the host's namespace of this kind.
    SharesNamespace(bool),
    /// The use of the image as root.
    Root(Access),
    /// Something mounted.
    Mount {
        /// What.
        mount: Mount,
        /// Whether it hides a part of another mount.
        hides: bool,
    },
    /// A device node.
    Device,
    /// What is taken from a path.
    Protection(Protection),
    /// Whom a process runs as.
    User(User),
    /// Where a program runs.
    Confinement(Confinement),
    /// Its capabilities.
    Capabilities(CapabilitySet),
    /// Whether programs gain privileges by being executed.
    GainsPrivileges(bool),
    /// Its system calls; none: any.
    Seccomp(Option<SeccompPolicy>),
    /// A limit, in its unit.
    Limit(LimitKind, u64),
    /// The adjustment of whom the kernel kills first.
    OomScore(i16),
    /// What became of a request.
    Answer(Answer),
    /// What gives and takes no power: names, links, where output goes.
    Plain(String),
}

/// What is taken from a path. Less is left of what is unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protection {
    /// It cannot be read.
    Masked,
    /// It can only be read.
    ReadOnly,
}

/// The weight that the kernel gives to whatever has none of its own.
const USUAL_CPU_SHARES: u64 = 1024;

impl Measure {
    /// How a use compares with an earlier one.
    pub(crate) fn against(&self, earlier: &Self) -> Strictness {
        Strictness::of(self.is_within(earlier), earlier.is_within(self))
    }

    /// How a use compares with not using the word at all; none where that is no change of the plan.
    pub(crate) fn against_nothing(&self) -> Option<Strictness> {
        Some(match self {
            // Only the plan of a pod that asks for it has an answer.
            Self::Answer(_) => return None,
            Self::Mount { hides: false, .. } | Self::Device => Strictness::Weaker,
            Self::Protection(_) | Self::Limit(LimitKind::Memory | LimitKind::Cpu | LimitKind::Pids, _) => {
                Strictness::Stricter
            }
            Self::Limit(LimitKind::CpuShares, weight) => {
                Strictness::of(*weight <= USUAL_CPU_SHARES, *weight >= USUAL_CPU_SHARES)
            }
            // What it hides would be seen, or the word is a part of every app, so that the app is new,
            // or without the word the pod has what it inherits.
            Self::Mount { hides: true, .. }
            | Self::SharesNamespace(_)
            | Self::Root(_)
            | Self::User(_)
            | Self::Confinement(_)
            | Self::Capabilities(_)
            | Self::GainsPrivileges(_)
            | Self::Seccomp(_)
            | Self::OomScore(_)
            | Self::Plain(_) => Strictness::Other,
        })
    }

    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::SharesNamespace(one), Self::SharesNamespace(other))
            | (Self::GainsPrivileges(one), Self::GainsPrivileges(other)) => one <= other,
            (Self::Root(one), Self::Root(other)) => one <= other,
            (Self::Mount { mount: one, .. }, Self::Mount { mount: other, .. }) => mount_is_within(one, other),
            (Self::Device, Self::Device) => true,
            (Self::Protection(one), Self::Protection(other)) => one <= other,
            (Self::User(one), Self::User(other)) => user_is_within(one, other),
            (Self::Confinement(one), Self::Confinement(other)) => one <= other,
            (Self::Capabilities(one), Self::Capabilities(other)) => other.holds(*one),
            (Self::Seccomp(one), Self::Seccomp(other)) => match (one, other) {
                (_, None) => true,
                (None, Some(other)) => other.refuses_nothing(),
                (Some(one), Some(other)) => one.is_within(other),
            },
            (Self::Limit(_, one), Self::Limit(_, other)) => one <= other,
            // Whoever is killed later has the others killed in its place.
            (Self::OomScore(one), Self::OomScore(other)) => one >= other,
            (Self::Answer(one), Self::Answer(other)) => match (one, other) {
                (_, Answer::Waived { .. })
                | (Answer::Visible, Answer::Visible)
                | (Answer::Claimed { .. }, Answer::Claimed { .. }) => true,
                (Answer::Visible | Answer::Claimed { .. } | Answer::Waived { .. }, _) => false,
            },
            (Self::Plain(one), Self::Plain(other)) => one == other,
            _ => false,
        }
    }
}

/// To a user of its own nothing of anybody else's belongs.
fn user_is_within(one: &User, other: &User) -> bool {
    match (one, other) {
        (User::Own, _) => true,
        (User::Ids(_), User::Own) => false,
        (User::Ids(one), User::Ids(other)) => {
            (one.uid, one.gid) == (other.uid, other.gid) && one.groups.iter().all(|id| other.groups.contains(id))
        }
    }
}

fn mount_is_within(one: &Mount, other: &Mount) -> bool {
    match (one, other) {
        (
            Mount::Bind { source: one, access: our_access, reach: our_reach, .. },
            Mount::Bind { source: other, access, reach, .. },
        ) => source_is_within(one, other) && our_access <= access && our_reach <= reach,
        (
            Mount::FileSystem { kind: one, options: ours, .. },
            Mount::FileSystem { kind: other, options: theirs, .. },
        ) => one == other && options_are_within(ours, theirs),
        (Mount::FileSystem { kind, options, .. }, Mount::Bind { source, access, .. }) => {
            is_no_more_than(*kind, source) && (options.read_only || *access == Access::ReadWrite)
        }
        (Mount::Bind { .. }, Mount::FileSystem { .. }) => false,
    }
}

/// In an empty directory there is nothing of anybody else's. A volume is what the user gave, without
/// what a path of the host can have: programs with privileges and devices.
fn source_is_within(one: &Source, other: &Source) -> bool {
    match (one, other) {
        (Source::Host(one), Source::Host(other)) | (Source::Payload(one), Source::Payload(other)) => other.holds(one),
        (Source::Volume(_), Source::Host(_)) => true,
        (Source::Empty(_), other) if !matches!(other, Source::Empty(_)) => true,
        (one, other) => one == other,
    }
}

/// A new file system shows the pod's part of what the host has at the usual place, and a new tmpfs
/// shows nothing.
fn is_no_more_than(kind: FileSystem, source: &Source) -> bool {
    let place = match kind {
        FileSystem::Tmpfs => return matches!(source, Source::Volume(_) | Source::Host(_)),
        FileSystem::Proc => "/proc",
        FileSystem::Sysfs => "/sys",
        FileSystem::Devpts => "/dev/pts",
        FileSystem::Mqueue => "/dev/mqueue",
        FileSystem::Cgroup2 => "/sys/fs/cgroup",
    };
    matches!(source, Source::Host(path) if path.as_str() == place)
}

fn options_are_within(one: &MountOptions, other: &MountOptions) -> bool {
    let mut names = one.parameters.iter().chain(&other.parameters).map(|(name, _)| name.as_str());
    let parameters = names.all(|name| parameter_is_within(name, one.last(name), other.last(name)));
    one.read_only >= other.read_only && one.no_exec >= other.no_exec && parameters
}

fn parameter_is_within(name: &str, one: Option<&str>, other: Option<&str>) -> bool {
    one == other
        || match name {
            "size" => Size::of(one).is_within(Size::of(other)),
            // proc(5): 1 hides what is in other users' directories, 2 the directories too.
            "hidepid" => match (hidden(one), hidden(other)) {
                (Some(one), Some(other)) => one >= other,
                _ => false,
            },
            _ => false,
        }
}

fn hidden(value: Option<&str>) -> Option<u8> {
    value.unwrap_or("0").parse().ok().filter(|level| *level <= 2)
}

/// How much a tmpfs may hold (tmpfs(5)).
#[derive(Clone, Copy)]
enum Size {
    Unlimited,
    Bytes(u64),
    /// Of the host's memory.
    Percent(u64),
    /// What is no number that fits.
    Unknown,
}

impl Size {
    fn of(value: Option<&str>) -> Self {
        let value = value.unwrap_or("50%");
        let digits = value.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let Ok(number) = digits.parse::<u64>() else { return Self::Unknown };
        let bytes = |shift: u32| number.checked_mul(1 << shift).map_or(Self::Unknown, Self::Bytes);
        match &value[digits.len()..] {
            _ if number == 0 => Self::Unlimited,
            "" => Self::Bytes(number),
            "k" => bytes(10),
            "m" => bytes(20),
            "g" => bytes(30),
            "%" => Self::Percent(number),
            _ => Self::Unknown,
        }
    }

    /// A part of the memory and a number of bytes are the one on this host and the other on that.
    fn is_within(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::Unlimited) => true,
            (Self::Bytes(one), Self::Bytes(other)) | (Self::Percent(one), Self::Percent(other)) => one <= other,
            _ => false,
        }
    }
}
