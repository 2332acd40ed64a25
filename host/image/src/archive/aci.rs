//! The layout of an ACI (specification, "Image Layout"): a file `manifest` and a directory `rootfs`,
//! in any order, and nothing else beside them.

use std::io::{BufRead, Read as _};
use std::path::Path;

use rkt_appc::ImageManifest;

use super::ArchiveError;
use super::reader::{Content, Entry, Kind, Reader};
use crate::{Devices, Limits, Policy};

/// What an image says of itself: as it stands in the archive, and what that means.
pub(crate) struct Manifest {
    pub(crate) json: Vec<u8>,
    pub(crate) parsed: ImageManifest,
}

/// What is done with the files of an image. Devices are not shown to it.
pub(crate) trait Visitor {
    /// One entry of the root filesystem. `path` is relative to it, and empty for its own directory.
    fn visit<R: BufRead>(
        &mut self,
        path: &Path,
        entry: &Entry,
        content: Content<'_, '_, R>,
    ) -> Result<(), ArchiveError>;
}

/// Reads a whole ACI, shows each entry of its root filesystem to `visitor` and returns its manifest.
pub(crate) fn read(
    archive: impl BufRead,
    policy: &Policy,
    visitor: &mut impl Visitor,
) -> Result<Manifest, ArchiveError> {
    let limits = &policy.limits;
    let mut reader = Reader::new(archive, limits);
    let mut manifest = None;
    let mut has_rootfs = false;
    while let Some(entry) = reader.next()? {
        if entry.path == Path::new("manifest") {
            if manifest.is_some() {
                return Err(entry.refused("the archive holds it twice"));
            }
            manifest = Some(read_manifest(&entry, reader.content(), limits)?);
        } else if let Ok(path) = entry.path.strip_prefix("rootfs") {
            if path == Path::new("") {
                if entry.kind != Kind::Directory {
                    return Err(entry.refused("rootfs is not a directory"));
                }
                has_rootfs = true;
            }
            if is_left_out(&entry, policy)? {
                continue;
            }
            visitor.visit(path, &entry, reader.content())?;
        } else if entry.path != Path::new("") || entry.kind != Kind::Directory {
            let reason = "an ACI holds nothing beside its manifest and its rootfs";
            return Err(entry.refused(reason));
        }
    }
    match (manifest, has_rootfs) {
        (None, _) => Err(ArchiveError::NoManifest),
        (_, false) => Err(ArchiveError::NoRootfs),
        (Some(manifest), true) => Ok(manifest),
    }
}

fn is_left_out(entry: &Entry, policy: &Policy) -> Result<bool, ArchiveError> {
    match (&entry.kind, policy.devices) {
        (Kind::Device, Devices::Refuse) => {
            Err(entry.refused("device nodes in an image are not allowed; a pod has its own"))
        }
        (kind, _) => Ok(*kind == Kind::Device),
    }
}

fn read_manifest<R: BufRead>(
    entry: &Entry,
    mut content: Content<'_, '_, R>,
    limits: &Limits,
) -> Result<Manifest, ArchiveError> {
    let Kind::File(size) = entry.kind else {
        return Err(entry.refused("manifest is not a regular file"));
    };
    if size > limits.manifest_bytes {
        let limit = limits.manifest_bytes;
        return Err(ArchiveError::Limit { what: "bytes in the manifest", limit });
    }
    let mut json = Vec::new();
    content.read_to_end(&mut json).map_err(ArchiveError::from_read)?;
    let parsed = ImageManifest::from_json(&json).map_err(ArchiveError::Manifest)?;
    Ok(Manifest { json, parsed })
}
