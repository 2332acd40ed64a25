//! What apps and volumes have in their pod's directory: made when the pod is, or when an app is added.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rkt_appc::{AcName, UnixId, Volume, VolumeKind};
use rkt_executor::Root;
use rkt_sys::remove;
use rustix::fs::{AtFlags, Gid, Mode, Uid};

use crate::files;
use crate::images;
use crate::pod::image_manifest_path;
use crate::resolve::ResolvedImage;

/// Where the manifests of apps' images are, a directory an app.
pub(crate) const MANIFESTS: &str = "appsinfo";

/// Where the directories are that take apps' changes. No name of an app has a dot in it.
pub(crate) const LAYERS: &str = "overlay";

/// Where the empty volumes are, by their names.
pub(crate) const VOLUMES: &str = "sharedVolumes";

/// A pod's directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home<'a> {
    pub(crate) directory: BorrowedFd<'a>,
    /// Where it is once the pod runs, which is what launches name.
    pub(crate) path: &'a Path,
}

/// Why a volume cannot be used.
#[derive(Debug)]
pub(crate) enum NoVolume {
    /// The path of the host that it is.
    Source { source: String, cause: io::Error },
    /// The directory that it would be.
    Directory(io::Error),
}

impl Home<'_> {
    /// Makes what an app has: the manifest of its image, and the directories that take its changes.
    pub(crate) fn add_app(self, app: &AcName, image: &ResolvedImage) -> io::Result<Root> {
        files::make_directory(self.directory, &format!("{MANIFESTS}/{app}"), 0o750)?;
        let json = image.manifest.to_json();
        files::write(self.directory, &image_manifest_path(app), 0o640, json.as_bytes())?;
        if let Some(rendering) = &image.rendering {
            // From now on nobody removes them.
            let list = rendering.needs().join("\n");
            files::write(self.directory, &images::list_path(app), 0o640, list.as_bytes())?;
            rendering.mark_used();
        }
        let top = image.trees.first().ok_or_else(|| io::Error::other(format!("the image of {app} is not unpacked")))?;
        let (upper, work) = (upper(app), format!("{LAYERS}/{app}.work"));
        for directory in [&upper, &work] {
            files::make_directory(self.directory, directory, 0o750)?;
        }
        // The upper layer's own mode and owner are those that the app sees on its `/`.
        let tree = fs::metadata(top)?;
        self.change(&upper, tree.uid(), tree.gid(), Mode::from_raw_mode(tree.mode() & 0o7777))?;
        Ok(Root { lower: image.trees.clone(), upper: self.path.join(upper), work: self.path.join(work) })
    }

    /// Removes what apps left that are not among these. What an app of the same name would have must not be
    /// there when it comes: its layers are the kernel's for good.
    pub(crate) fn remove_apps_but(self, apps: &[&AcName]) -> rkt_sys::Result<()> {
        let is_known = |name: &str| apps.iter().any(|app| app.as_str() == name);
        for (parent, app_of) in [(MANIFESTS, whole as fn(&str) -> &str), (LAYERS, before_dot)] {
            let failed = |cause: io::Error| rkt_sys::Error::new("open", parent, cause);
            let directory = files::open_directory(self.directory, parent).map_err(failed)?;
            for entry in files::names(directory.as_fd()).map_err(failed)? {
                if !is_known(app_of(&entry)) {
                    remove::remove_tree(directory.as_fd(), OsStr::new(&entry))?;
                }
            }
        }
        Ok(())
    }

    /// Where a volume is. One that is empty is made.
    pub(crate) fn add_volume(self, volume: &Volume) -> Result<PathBuf, NoVolume> {
        match &volume.kind {
            VolumeKind::Host { .. } => self.volume(volume),
            VolumeKind::Empty { mode, uid, gid } => {
                self.add_empty(&volume.name, *mode, *uid, *gid).map_err(NoVolume::Directory)?;
                self.volume(volume)
            }
        }
    }

    /// Where a volume is that the pod has already.
    pub(crate) fn volume(self, volume: &Volume) -> Result<PathBuf, NoVolume> {
        match &volume.kind {
            VolumeKind::Host { source, .. } => {
                fs::canonicalize(source).map_err(|cause| NoVolume::Source { source: source.clone(), cause })
            }
            VolumeKind::Empty { .. } => Ok(self.path.join(VOLUMES).join(volume.name.as_str())),
        }
    }

    /// Removes the empty volumes that are not among these.
    pub(crate) fn remove_empties_but(self, volumes: &[Volume]) -> rkt_sys::Result<()> {
        let failed = |cause: io::Error| rkt_sys::Error::new("open", VOLUMES, cause);
        let parent = match files::open_directory(self.directory, VOLUMES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        for entry in files::names(parent.as_fd()).map_err(failed)? {
            if !volumes.iter().any(|volume| volume.name.as_str() == entry) {
                remove::remove_tree(parent.as_fd(), OsStr::new(&entry))?;
            }
        }
        Ok(())
    }

    fn add_empty(self, name: &AcName, mode: u16, uid: UnixId, gid: UnixId) -> io::Result<()> {
        match files::make_directory(self.directory, VOLUMES, 0o755) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        let path = format!("{VOLUMES}/{name}");
        files::make_directory(self.directory, &path, 0o700)?;
        self.change(&path, uid.get(), gid.get(), Mode::from_raw_mode(mode.into()))
    }

    /// Gives a directory its owner and mode; the mode last, since a new owner clears bits of it.
    fn change(self, path: &str, uid: u32, gid: u32, mode: Mode) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(self.directory, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(rustix::fs::chmodat(self.directory, path, mode, AtFlags::empty())?)
    }
}

/// The directory that takes an app's changes, in its pod's directory.
pub(crate) fn upper(app: &AcName) -> String {
    format!("{LAYERS}/{app}.upper")
}

fn whole(name: &str) -> &str {
    name
}

fn before_dot(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
