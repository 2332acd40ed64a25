//! Archives made header by header, and a store to give them to, beside a directory that nothing may
//! touch.

#![allow(dead_code, clippy::unwrap_used, reason = "shared by tests, each of which uses a part")]

use std::error::Error;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rkt_appc::ImageKey;
use rkt_image::{Image, ImportError, InUse, Policy, Removal, RemoveError, Removed, Store, StoreError, Verification};
use tempfile::TempDir;

pub(crate) const MANIFEST: &str = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a",
    "labels":[{"name":"version","value":"1"},{"name":"os","value":"linux"},{"name":"arch","value":"amd64"}],
    "app":{"exec":["/bin/a"],"user":"0","group":"0"}}"#;

/// One header block; its fields can be set to any bytes.
#[derive(Clone)]
pub(crate) struct Block([u8; 512]);

/// Where fields stand in a header.
pub(crate) const MODE: Range<usize> = 100..108;
pub(crate) const UID: Range<usize> = 108..116;
pub(crate) const GID: Range<usize> = 116..124;
pub(crate) const SIZE: Range<usize> = 124..136;
pub(crate) const MTIME: Range<usize> = 136..148;
pub(crate) const LINK: Range<usize> = 157..257;
pub(crate) const MAGIC: Range<usize> = 257..265;
pub(crate) const PREFIX: Range<usize> = 345..500;

impl Block {
    pub(crate) fn new(kind: u8, name: &[u8]) -> Self {
        let mut bytes = [0; 512];
        bytes[156] = kind;
        Self(bytes)
            .set(0..100, name)
            .set(MODE, b"0000755\0")
            .set(UID, b"0000000\0")
            .set(GID, b"0000000\0")
            .set(MTIME, b"07640473400\0")
            .set(MAGIC, b"ustar\x0000")
            .size(0)
    }

    pub(crate) fn set(mut self, field: Range<usize>, value: &[u8]) -> Self {
        self.0[field.start..field.start + value.len()].copy_from_slice(value);
        assert!(value.len() <= field.len());
        self
    }

    pub(crate) fn size(self, size: u64) -> Self {
        self.set(SIZE, format!("{size:011o}\0").as_bytes())
    }

    pub(crate) fn link(self, target: &[u8]) -> Self {
        self.set(LINK, target)
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        self.set(MODE, format!("{mode:07o}\0").as_bytes())
    }

    pub(crate) fn owner(self, uid: u32, gid: u32) -> Self {
        let field = |id: u32| format!("{id:07o}\0").into_bytes();
        self.set(UID, &field(uid)).set(GID, &field(gid))
    }

    fn sealed(self) -> [u8; 512] {
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
        self.set(148..156, format!("{sum:06o}\0 ").as_bytes()).0
    }
}

/// An archive that is being written.
#[derive(Clone)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    /// An archive with a manifest and an empty rootfs.
    pub(crate) fn aci() -> Self {
        Self(Vec::new()).file("manifest", MANIFEST.as_bytes()).dir("rootfs/")
    }

    pub(crate) fn block(mut self, block: Block) -> Self {
        self.0.extend(block.sealed());
        self
    }

    pub(crate) fn content(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn entry(self, block: Block, content: &[u8]) -> Self {
        self.block(block.size(content.len() as u64)).content(content)
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(Block::new(b'0', name.as_bytes()), content)
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.block(Block::new(b'5', name.as_bytes()))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.block(Block::new(b'2', name.as_bytes()).link(target.as_bytes()))
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.block(Block::new(b'1', name.as_bytes()).link(target.as_bytes()))
    }

    pub(crate) fn long_name(self, name: &[u8]) -> Self {
        self.entry(Block::new(b'L', b"././@LongLink"), &[name, b"\0"].concat())
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.extended(b'x', records)
    }

    pub(crate) fn extended(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.entry(Block::new(kind, b"PaxHeaders/x"), &data)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [format!(" {key}=").as_bytes(), value, b"\n"].concat();
    let length = |digits: usize| digits + rest.len();
    let length = (1..5).map(length).find(|total| length(total.to_string().len()) == *total).unwrap();
    [length.to_string().as_bytes(), &rest].concat()
}

/// A store, and beside it a directory that must stay as it is.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    canary: Snapshot,
}

/// All that an attack could change of the canary.
#[derive(Debug, PartialEq)]
struct Snapshot(Vec<(PathBuf, [u64; 6], i64, Vec<u8>)>);

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let canary = dir.path().join("canary");
        fs::create_dir(&canary).unwrap();
        fs::write(canary.join("file"), "alive").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for (path, mode) in [(canary.join("file"), 0o600), (canary.clone(), 0o700)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        }
        let canary = Snapshot::of(&canary);
        Self { dir, canary }
    }

    pub(crate) fn store(&self) -> Store {
        Store::at(&self.dir.path().join("data"))
    }

    /// The canary's absolute path.
    pub(crate) fn canary(&self) -> String {
        self.dir.path().join("canary").to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, archive: &[u8]) -> PathBuf {
        let path = self.dir.path().join("image.aci");
        fs::write(&path, archive).unwrap();
        path
    }

    pub(crate) fn import_with(&self, archive: &[u8], policy: &Policy) -> Result<Image, ImportError> {
        let path = self.write(archive);
        let imported = self.store().import(&path, Verification::Waived, policy, &mut |_| {});
        self.assert_untouched();
        imported
    }

    pub(crate) fn import(&self, archive: &[u8]) -> Result<Image, ImportError> {
        self.import_with(archive, &Policy::default())
    }

    /// The image, which must have been taken in.
    pub(crate) fn accept(&self, archive: &[u8]) -> Image {
        self.import(archive).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// What is said where the archive is refused, which it must be, and leave nothing.
    pub(crate) fn refuse(&self, archive: &[u8]) -> String {
        self.refuse_with(archive, &Policy::default())
    }

    pub(crate) fn refuse_with(&self, archive: &[u8], policy: &Policy) -> String {
        let error = match self.import_with(archive, policy) {
            Ok(image) => panic!("it was taken in: {}", image.rootfs().display()),
            Err(error) => error,
        };
        assert_eq!(self.left(), Vec::<PathBuf>::new());
        chain(&error)
    }

    /// Removes an image that no pod needs.
    pub(crate) fn remove(&self, key: &ImageKey) -> Result<Removal, RemoveError> {
        let removed: Result<Removed, StoreError> = self.store().remove(std::slice::from_ref(key), &mut nobody);
        removed.unwrap().remove(0).1
    }

    /// Removes all images.
    pub(crate) fn remove_all(&self) {
        for image in self.store().list().unwrap() {
            self.remove(&image.unwrap().key()).unwrap();
        }
    }

    /// What there is in the store, finished or not.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let cas = self.dir.path().join("data/cas");
        let list = |name| fs::read_dir(cas.join(name)).into_iter().flatten();
        list("image").chain(list("rendered")).chain(list("tmp")).map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn assert_untouched(&self) {
        assert_eq!(Snapshot::of(&self.dir.path().join("canary")), self.canary);
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let known = |name: &str| name.starts_with("data") || ["canary", "image.aci", "small"].contains(&name);
        names.for_each(|name| assert!(known(name.to_str().unwrap()), "{}", name.display()));
    }
}

impl Snapshot {
    fn of(directory: &Path) -> Self {
        let children = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = children.chain([directory.to_owned()]).collect();
        paths.sort();
        let describe = |path: PathBuf| {
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = fs::read(&path).unwrap_or_default();
            let numbers =
                [stat.ino(), stat.mode().into(), stat.uid().into(), stat.gid().into(), stat.nlink(), stat.size()];
            (path, numbers, stat.mtime(), content)
        };
        Self(paths.into_iter().map(describe).collect())
    }
}

/// No pod needs anything.
#[allow(clippy::unnecessary_wraps, reason = "stores ask for what may fail")]
pub(crate) fn nobody() -> Result<InUse, StoreError> {
    Ok(InUse::default())
}

/// The archive of an image of this name, with these fields in its manifest, and these files, of which each has its
/// path as content; a path that ends in `/` is a directory's.
pub(crate) fn image(name: &str, fields: &str, paths: &[&str]) -> Vec<u8> {
    let manifest = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"{name}",
            "app":{{"exec":["/bin/a"],"user":"0","group":"0"}}{fields}}}"#
    );
    let archive = Tar(Vec::new()).file("manifest", manifest.as_bytes()).dir("rootfs/");
    let add = |archive: Tar, path: &&str| match path.strip_suffix('/') {
        Some(path) => archive.dir(&format!("rootfs/{path}/")),
        None => archive.file(&format!("rootfs/{path}"), format!("{name} {path}").as_bytes()),
    };
    paths.iter().fold(archive, add).end()
}

/// An error with its causes, as a user sees it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut levels = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        levels.push(error.to_string());
        cause = error.source();
    }
    levels.join(": ")
}
