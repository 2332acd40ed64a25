//! A plan as text, one word a line, for people and for tests to compare.

use std::fmt;

use crate::plan::{JailWord, Place, Plan, Reach, Word};
use crate::pod::{Access, Credentials, SeccompFilter, SeccompMode};
use crate::program::{Piece, ProgramWord, Role};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in &self.words {
            writeln!(f, "{word}")?;
        }
        for (app, words) in &self.apps {
            writeln!(f, "app {app}")?;
            for word in words {
                writeln!(f, "  {word}")?;
            }
        }
        for program in &self.programs {
            writeln!(f, "{} {}", program.role, program.file)?;
            for word in &program.words {
                writeln!(f, "  {word}")?;
            }
            for word in &program.jail {
                writeln!(f, "  jail {word}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("program"),
            Self::Helper(name) => write!(f, "helper {name}"),
            Self::Enter => f.write_str("enter"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

impl fmt::Display for ProgramWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(pieces) => {
                f.write_str("argument ")?;
                pieces.iter().try_for_each(|piece| write!(f, "{piece}"))
            }
            Self::Environment { name, value } => write!(f, "environment {name}={value}"),
            Self::EnvironmentOf(app) => write!(f, "environment-of {app}"),
            Self::Unconfined => f.write_str("unconfined"),
            Self::OwnDirectory(path) => write!(f, "own-directory {path}"),
            Self::SpeaksWithin { seconds, hint: None } => write!(f, "speaks-within {seconds}"),
            Self::SpeaksWithin { seconds, hint: Some(hint) } => write!(f, "speaks-within {seconds}, or else: {hint}"),
            Self::ReadyWhen(path) => write!(f, "ready-when {path}"),
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Descriptor(place, access) => write!(f, "<descriptor {place} {access}>"),
            Self::Tree => f.write_str("<tree>"),
            Self::Command(app) => write!(f, "<command {app}>"),
            Self::WorkingDirectory(app) => write!(f, "<working-directory {app}>"),
            Self::Words => f.write_str("<words>"),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(namespace) => write!(f, "share {}", namespace.name()),
            Self::Hostname(name) => write!(f, "hostname {name}"),
            Self::Claim { request, how } => write!(f, "claim {request}: {how}"),
            Self::Waive { request, reason } => write!(f, "waive {request}: {reason}"),
            Self::Note(text) => write!(f, "note: {text}"),
        }
    }
}

impl fmt::Display for JailWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(access) => write!(f, "root {access}"),
            Self::Bind { source, target, access, reach } => {
                write!(f, "bind {source} on {target} {access} {reach}")
            }
            Self::Mount { kind, target, options } => list(f, &format!("mount {kind} on {target}"), options),
            Self::Link { path, to } => write!(f, "link {path} to {to}"),
            Self::Device(path) => write!(f, "device {path}"),
            Self::Mask(path) => write!(f, "mask {path}"),
            Self::ReadOnly(path) => write!(f, "read-only {path}"),
            Self::File { path, mode, content } => write!(f, "file {path} {mode:04o} {content:?}"),
            Self::Directory { path, mode } => write!(f, "directory {path} {mode:04o}"),
            Self::Channel(path) => write!(f, "channel {path}"),
            Self::OwnUser => f.write_str("own-user"),
            Self::User(who) => write!(f, "user {who}"),
            Self::Capabilities(names) => list(f, "capabilities", names),
            Self::NoNewPrivileges => f.write_str("no-new-privileges"),
            Self::Seccomp(filter) => write!(f, "seccomp {filter}"),
            Self::Limit(limit) => write!(f, "limit {} {}", limit.what, limit.value),
            Self::OomScore(adjustment) => write!(f, "oom-score {adjustment}"),
            Self::Stdio(mode) => write!(f, "stdio {}", mode.name()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(name) => write!(f, "volume({name})"),
            Self::Empty(name) => write!(f, "empty({name})"),
            Self::Host(path) => write!(f, "host({path})"),
            Self::Payload(path) => write!(f, "payload({path})"),
            Self::RootOf(app) => write!(f, "root-of({app})"),
            Self::Artifact { kind, of } if of.is_empty() => write!(f, "{kind}"),
            Self::Artifact { kind, of } => write!(f, "{kind}({of})"),
            Self::Channel => f.write_str("channel"),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
        })
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Recursive => "recursive",
        })
    }
}

/// `UID:GID`, and the supplementary groups where there are any.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)?;
        self.groups.iter().try_for_each(|group| write!(f, " +{group}"))
    }
}

impl fmt::Display for SeccompFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            SeccompMode::Retain => "retain",
            SeccompMode::Remove => "remove",
        };
        list(f, mode, &self.calls)?;
        self.errno.iter().try_for_each(|errno| write!(f, " errno={errno}"))
    }
}

fn list(f: &mut fmt::Formatter<'_>, head: &str, items: &[String]) -> fmt::Result {
    f.write_str(head)?;
    items.iter().try_for_each(|item| write!(f, " {item}"))
}
