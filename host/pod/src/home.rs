//! What apps and volumes have in their pod's directory: made when the pod is, or when an app is added.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rkt_appc::{AcName, Volume, VolumeKind};
use rkt_executor::{Changes, Root, layers};
use rkt_sys::remove;
use rustix::fs::{AtFlags, Gid, Mode, Uid};

use crate::files;
use crate::images;
use crate::pod::image_manifest_path;
use crate::resolve::{ResolvedImage, Seed};

/// Where the manifests of apps' images are, a directory an app.
pub(crate) const MANIFESTS: &str = "appsinfo";

/// Where the directories are that take apps' changes. No name of an app has a dot in it.
pub(crate) const LAYERS: &str = "overlay";

/// Where the empty volumes are, by what plans call them.
pub(crate) const VOLUMES: &str = "sharedVolumes";

/// How an app's root is kept apart from its image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Storage {
    /// What it changes is in a layer over the image, which all share.
    #[default]
    Layers,
    /// It has a copy of the image (`--no-overlay`).
    Copies,
}

/// What the name of a copy ends with.
const COPY: &str = ".copy";

/// A pod's directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home<'a> {
    pub(crate) directory: BorrowedFd<'a>,
    /// Where it is once the pod runs, which is what launches name.
    pub(crate) path: &'a Path,
}

impl Home<'_> {
    /// Makes what an app has: the manifest of its image, and what takes its changes.
    pub(crate) fn add_app(self, app: &AcName, image: &ResolvedImage, storage: Storage) -> io::Result<Root> {
        files::make_directory(self.directory, &format!("{MANIFESTS}/{app}"), 0o750)?;
        let json = image.manifest.to_json();
        files::write(self.directory, &image_manifest_path(app), 0o640, json.as_bytes())?;
        if let Some(rendering) = &image.rendering {
            // From now on nobody removes them.
            let list = rendering.needs().join("\n");
            files::write(self.directory, &images::list_path(app), 0o640, list.as_bytes())?;
            rendering.mark_dependencies_used();
        }
        let top = image.trees.first().ok_or_else(|| io::Error::other(format!("the image of {app} is not unpacked")))?;
        let changes = match storage {
            Storage::Layers => self.add_layer(app, top)?,
            Storage::Copies => self.add_copy(app, &image.trees)?,
        };
        Ok(Root { lower: image.trees.clone(), changes })
    }

    fn add_layer(self, app: &AcName, top: &Path) -> io::Result<Changes> {
        let (upper, work) = (upper(app), format!("{LAYERS}/{app}.work"));
        for directory in [&upper, &work] {
            files::make_directory(self.directory, directory, 0o750)?;
        }
        // The upper layer's own mode and owner are those that the app sees on its `/`.
        let tree = fs::metadata(top)?;
        self.change(&upper, tree.uid(), tree.gid(), Mode::from_raw_mode(tree.mode() & 0o7777))?;
        Ok(Changes::Layer { upper: self.path.join(upper), work: self.path.join(work) })
    }

    fn add_copy(self, app: &AcName, trees: &[PathBuf]) -> io::Result<Changes> {
        let [tree] = trees else {
            return Err(io::Error::other(format!(
                "the image of {app} is unpacked in layers, which are not copied yet"
            )));
        };
        let copy = copy(app);
        files::make_directory(self.directory, &copy, 0o750)?;
        let (from, to) = (fs::File::open(tree)?, files::open_directory(self.directory, &copy)?);
        rkt_image::copy_tree(from.as_fd(), to)?;
        Ok(Changes::Copy { copy: self.path.join(copy) })
    }

    /// How the apps that are there are kept, for another one.
    pub(crate) fn storage(self) -> io::Result<Storage> {
        let layers = files::open_directory(self.directory, LAYERS)?;
        let is_copy = |entry: &String| entry.ends_with(COPY);
        Ok(if files::names(layers.as_fd())?.iter().any(is_copy) { Storage::Copies } else { Storage::Layers })
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

    /// Makes an empty volume, which plans call `place`. It begins with what the seed of its name has, if there is one.
    pub(crate) fn add_empty(self, place: &str, volume: &Volume, seeds: &[Seed]) -> io::Result<()> {
        let VolumeKind::Empty { mode, uid, gid } = volume.kind else { return Ok(()) };
        match files::make_directory(self.directory, VOLUMES, 0o755) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        let path = format!("{VOLUMES}/{place}");
        files::make_directory(self.directory, &path, 0o700)?;
        if let Some(seed) = seeds.iter().find(|seed| seed.volume == place) {
            self.sow(&path, seed)?;
        }
        self.change(&path, uid.get(), gid.get(), Mode::from_raw_mode(mode.into()))
    }

    /// Fills a volume with what its seed has.
    fn sow(self, path: &str, seed: &Seed) -> io::Result<()> {
        let image = layers::of_image(&seed.trees).map_err(io::Error::other)?;
        let source = image.open_dir(Path::new(seed.directory.as_str()))?;
        rkt_image::copy_tree(source.as_fd(), files::open_directory(self.directory, path)?)
    }

    /// Where an empty volume is, which plans call `place`, once the pod runs.
    pub(crate) fn empty(self, place: &str) -> PathBuf {
        self.path.join(VOLUMES).join(place)
    }

    /// Removes the empty volumes that are not among these, by what plans call them.
    pub(crate) fn remove_empties_but(self, places: &[String]) -> rkt_sys::Result<()> {
        let failed = |cause: io::Error| rkt_sys::Error::new("open", VOLUMES, cause);
        let parent = match files::open_directory(self.directory, VOLUMES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        for entry in files::names(parent.as_fd()).map_err(failed)? {
            if !places.contains(&entry) {
                remove::remove_tree(parent.as_fd(), OsStr::new(&entry))?;
            }
        }
        Ok(())
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

/// The same of an app that has a copy of its image.
pub(crate) fn copy(app: &AcName) -> String {
    format!("{LAYERS}/{app}{COPY}")
}

fn whole(name: &str) -> &str {
    name
}

fn before_dot(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
