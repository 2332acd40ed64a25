//! Images: reading, verifying, unpacking and keeping them.
//!
//! So far an image is an ACI in a file. This crate decides what may enter the store and in what shape; it
//! neither mounts nor runs what it keeps, and prints nothing.

#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "what is expected here cannot fail, as each message says")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod archive;
mod copy;
mod extract;
pub mod peek;
pub mod policy;
pub mod reference;
pub mod store;
mod tree;
pub mod verification;

pub use archive::pipeline::Progress;
pub use archive::{ArchiveError, EntryName, write_aci};
pub use copy::copy_tree;
pub use peek::{Peek, PeekError, peek};
pub use policy::{Devices, Limits, Policy};
pub use reference::{Reference, ReferenceError};
pub use store::{
    ArchiveDamage, DependencyError, Image, ImportError, InUse, Info, OlderStore, Origin, OutputError, Overwrite, Parts,
    Removal, RemoveError, Removed, RenderError, Rendering, Store, StoreError, TreeId, TreeState, VerifiedTree,
    VerifyError, one_tree,
};
pub use verification::{SignatureRequired, Verification, Verified};
