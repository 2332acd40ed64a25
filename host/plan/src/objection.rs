//! What the check has against a plan.

use std::fmt;

use crate::capability::UnknownCapability;
use crate::path::{CleanPath, PathError};
use crate::permission::Permission;
use crate::seccomp::SeccompError;

/// How many objections a refusal lists; a plan of thousands of bad words needs no longer list.
const LISTED: usize = 16;

/// A plan that may not be enacted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    objections: Vec<Objection>,
    unlisted: usize,
}

impl Refusal {
    /// None where there is nothing to object to.
    pub(crate) fn from_objections(mut objections: Vec<Objection>) -> Option<Self> {
        if objections.is_empty() {
            return None;
        }
        let unlisted = objections.len().saturating_sub(LISTED);
        objections.truncate(LISTED);
        Some(Self { objections, unlisted })
    }

    /// The objections, in the order of the plan; never empty.
    pub fn objections(&self) -> &[Objection] {
        &self.objections
    }

    /// The permissions that were missing from the grant, each once.
    pub fn not_granted(&self) -> Vec<&Permission> {
        let mut missing = Vec::new();
        for objection in &self.objections {
            if let Problem::NotGranted { permission } = &objection.problem
                && !missing.contains(&permission)
            {
                missing.push(permission);
            }
        }
        missing
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, objection) in self.objections.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{objection}")?;
        }
        if self.unlisted > 0 {
            write!(f, "\nand {} more", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// One thing against a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The number of the word, from 0, and its name; none where a word is missing.
    pub word: Option<(usize, &'static str)>,
    /// The app or program that the word is about, for people.
    pub about: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((index, name)) = self.word {
            write!(f, "word {index} `{name}`")?;
            if let Some(about) = &self.about {
                write!(f, " of {about}")?;
            }
            f.write_str(": ")?;
        } else if let Some(about) = &self.about {
            write!(f, "{about}: ")?;
        }
        write!(f, "{}", self.problem)?;
        let mut cause = std::error::Error::source(&self.problem);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What can be wrong with a plan. Text of the plugin's is shown as a Rust string, so that no control
/// character of it reaches a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The plugin's component does not say that it needs this.
    #[error("the plugin does not declare the permission `{permission}`")]
    NotDeclared {
        /// What it would need.
        permission: Permission,
    },
    /// Policy does not give the plugin this.
    #[error("the permission `{permission}` is not granted")]
    NotGranted {
        /// What it would need.
        permission: Permission,
    },
    /// A namespace that the contract does not name.
    #[error("there is no namespace {name:?}")]
    Namespace {
        /// The name.
        name: String,
    },
    /// A host name that is none (hostname(7)).
    #[error("{name:?} is no host name")]
    Hostname {
        /// The name.
        name: String,
    },
    /// The host's name would change.
    #[error("the host name cannot be set in the host's own uts namespace")]
    HostnameOfTheHost,
    /// This rkt makes no user namespaces.
    #[error("this rkt cannot give a pod a user namespace of its own; the plan has to share the host's")]
    UserNamespace,
    /// An app that the pod does not have.
    #[error("the pod has no such app")]
    UnknownApp,
    /// A path that is malformed.
    #[error("path {path:?}")]
    Path {
        /// The text.
        path: String,
        /// Why it is no path.
        #[source]
        cause: PathError,
    },
    /// A text with a NUL, or one that is too long for what it is.
    #[error("{text:?} cannot be used here")]
    Text {
        /// The text.
        text: String,
    },
    /// Something in place of the root.
    #[error("only `root` can be at /")]
    AtRoot,
    /// Two things in one place.
    #[error("{path} is taken already")]
    Taken {
        /// The place.
        path: CleanPath,
    },
    /// Something below the kernel's own files.
    #[error("nothing can be put on {target}, below the kernel's own files on {below}")]
    BelowKernelFiles {
        /// What was to be put there.
        target: CleanPath,
        /// Where the kernel's are.
        below: CleanPath,
    },
    /// A word of rkt's own part where a program does that part.
    #[error("`{word}` is not rkt's to do: the plan's program starts what is inside")]
    OfTheProgram {
        /// The word.
        word: &'static str,
    },
    /// A word for apps, said of a program.
    #[error("`{word}` is a word for apps")]
    OnlyApps {
        /// The word.
        word: &'static str,
    },
    /// A word for programs, said of an app.
    #[error("`{word}` is a word for programs")]
    OnlyPrograms {
        /// The word.
        word: &'static str,
    },
    /// A word for helpers, said of another program.
    #[error("`{word}` is a word for helpers")]
    OnlyHelpers {
        /// The word.
        word: &'static str,
    },
    /// Rights of a process that has all of them, or more than files in what is a tree only.
    #[error("`{word}` says nothing of a program that runs outside of its jail")]
    OutsideOfTheJail {
        /// The word.
        word: &'static str,
    },
    /// What a jail has no need of.
    #[error("`{word}` is for programs that run outside of their jail")]
    OnlyOutside {
        /// The word.
        word: &'static str,
    },
    /// A program of the plugin's own, outside of a jail.
    #[error("only a program of the host can run outside of its jail")]
    UnconfinedPayload,
    /// A program that is neither the host's nor the payload's.
    #[error("a program is a file of the host or of the payload")]
    NoProgram,
    /// A piece that is several arguments, with others.
    #[error("a command and the words of whoever enters are arguments by themselves")]
    NotAlone,
    /// The words of whoever enters, elsewhere.
    #[error("only `enter` is told the words of whoever enters")]
    OnlyEnter,
    /// The path of a tree, for a program that is in it.
    #[error("a program in its jail has the tree as its root")]
    TreeOfAJail,
    /// Two ways to speak with init.
    #[error("the channel is a socket or a descriptor, not both")]
    TwoChannels,
    /// Time for an init that there is not, or a channel of a program that starts none.
    #[error("only the program that starts rkt's init has a channel, and time to speak on it")]
    NobodySpeaks,
    /// A socket where nobody but the program would find it.
    #[error("the channel of a program in its jail is a descriptor")]
    SocketInAJail,
    /// A place that is a connection.
    #[error("the channel is a descriptor of the program and no place to bind")]
    ChannelIsNoPlace,
    /// Something of the host for an app that does not run on it.
    #[error("{path}: only volumes and empty places come to an init behind a descriptor")]
    OutOfReach {
        /// Where it was to be.
        path: CleanPath,
    },
    /// A way to enter or to stop what init does anyway.
    #[error("only an opaque pod is entered and stopped by a program, in the jail of the pod's own")]
    TemplateWithoutNeed,
    /// What a program that runs in another's jail cannot have.
    #[error("`{word}` is not for enter and stop, which run in the jail of the pod's program")]
    OfATemplate {
        /// The word.
        word: &'static str,
    },
    /// A sign of readiness where nobody can watch for it.
    #[error("{path} is not right in an empty place of the jail, where it could be watched for")]
    ReadyElsewhere {
        /// Where it was to be.
        path: CleanPath,
    },
    /// An artifact that there is not.
    #[error("there is no artifact {kind:?} of {of:?}")]
    Artifact {
        /// Its kind.
        kind: String,
        /// What it was to be made of.
        of: String,
    },
    /// Something that others use too.
    #[error("it can be used for reading only")]
    NeverWritten,
    /// More than any app asked for.
    #[error("no app wants to write to the volume {name:?}")]
    VolumeForReading {
        /// The volume.
        name: String,
    },
    /// More than any app asked for.
    #[error("every app wants the volume {name:?} without what is mounted below it")]
    VolumeAlone {
        /// The volume.
        name: String,
    },
    /// A volume that the app was not to have.
    #[error("the pod has no volume {name:?}")]
    UnknownVolume {
        /// The name.
        name: String,
    },
    /// A file system that the contract does not name.
    #[error("there is no kernel file system {kind:?} for a plan")]
    FileSystem {
        /// The type.
        kind: String,
    },
    /// An option that the contract does not document for this kind.
    #[error("{kind} takes no option {option:?}")]
    Option {
        /// The type.
        kind: &'static str,
        /// The option.
        option: String,
    },
    /// A capability that is none.
    #[error("capabilities")]
    Capability(#[source] UnknownCapability),
    /// A filter without meaning.
    #[error("filter")]
    Seccomp(#[source] SeccompError),
    /// A limit on nothing.
    #[error("there is no limit {what:?}")]
    LimitKind {
        /// What was to be limited.
        what: String,
    },
    /// A limit that makes no sense.
    #[error("{value} is out of range for {what}, {least} to {most}")]
    Range {
        /// What was to be limited.
        what: &'static str,
        /// To what.
        value: i128,
        /// The least that makes sense.
        least: i128,
        /// The most that makes sense.
        most: i128,
    },
    /// A way of output that the contract does not name.
    #[error("there is no output mode {mode:?}")]
    Stdio {
        /// The name.
        mode: String,
    },
    /// A word that can be said once.
    #[error("it was said already")]
    Twice,
    /// An app that the plan leaves out, or one whose plan lacks a word.
    #[error("the plan lacks `{word}` for it")]
    Missing {
        /// The word.
        word: &'static str,
    },
    /// An answer to something that was not asked.
    #[error("the pod did not ask for {request:?}")]
    UnknownRequest {
        /// As the plan calls it.
        request: String,
    },
    /// A request that is answered more than once, be it by being visible.
    #[error("{request}, asked for by {by}, is answered twice")]
    AnsweredTwice {
        /// The request.
        request: String,
        /// By whom, for people.
        by: &'static str,
    },
    /// A request that nothing in the plan answers.
    #[error("{request}, asked for by {by}, is neither visible in the plan, nor claimed, nor waived")]
    Unanswered {
        /// The request.
        request: String,
        /// By whom, for people.
        by: &'static str,
    },
}
