//! Pods as plugins see them, plans, permissions, requests; the check, its explanation, and the
//! difference between two plans.
//!
//! Nothing here does I/O or knows how a plan is enacted: everything is a value, so that flavors and
//! the check can be tested anywhere. The contract that plugins are built against is in `wit/`; each
//! word of it has one case in [`Word`] or [`JailWord`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod answer;
mod artifact;
mod capability;
mod change;
mod check;
mod checked;
mod diff;
mod explain;
mod facet;
mod grant;
mod measure;
mod objection;
mod path;
mod payload;
mod permission;
mod pod;
mod program;
mod request;
mod seccomp;
mod shape;
mod syscalls;
mod word;

pub use answer::{Answer, Answered};
pub use artifact::{Artifact, ArtifactKind};
pub use capability::{Capability, CapabilitySet, UnknownCapability};
pub use change::{AppChange, Unchangeable, change};
pub use check::check;
pub use checked::{
    CheckedPlan, Directory, FileSystem, Jail, Link, Mount, MountOptions, NewFile, Reach, Root, Source, Stdio, User,
};
pub use diff::{Change, Difference, Strictness, diff};
pub use explain::{explain, printable};
pub use grant::{Grant, GrantError, Trust};
pub use objection::{Objection, Problem, Refusal};
pub use path::{CleanPath, PathError};
pub use permission::{Namespace, Permission, PermissionError, Permissions};
pub use pod::{
    Access, App, Asked, CapabilityChange, Credentials, LimitKind, Origin, Pod, SeccompFilter, SeccompMode, VolumeMount,
};
pub use program::{
    Argument, Channel, Confinement, Handle, Helper, Inside, MainProgram, Piece, Program, ProgramFile, Template,
};
pub use request::{Request, requests};
pub use seccomp::{Condition, SeccompError, SeccompPolicy};
pub use shape::{Hole, Shape, ShapeError};
pub use word::{JailWord, Piece as SpokenPiece, Place, Plan, ProgramWord, Role, Word};
