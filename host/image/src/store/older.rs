//! The store of rkt 1, which may be in the same data directory. It is recognised, never read as a store and never
//! changed: its directories (`cas/db`, `cas/blob`, `cas/imageManifest`, `cas/tree`) have other names than ours.

use std::path::PathBuf;

use super::Store;

/// What rkt 1 has left in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderStore {
    /// Its database.
    pub database: PathBuf,
    /// Where its images are, each an archive that can be fetched as a file.
    pub blobs: PathBuf,
}

impl Store {
    /// The store of rkt 1 in the same data directory; none where there is none.
    pub fn older(&self) -> Option<OlderStore> {
        let (database, blobs) = (self.cas.join("db"), self.cas.join("blob"));
        let is_there = database.join("ql.db").is_file() || blobs.is_dir();
        is_there.then_some(OlderStore { database, blobs })
    }
}
