//! Images on their way into the store, in it, and out of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use rkt_appc::Labels;
use rkt_image::{Policy, Reference, ReferenceError, RemoveError, Store, StoreError, Verification, peek};
use support::{Block, Fixture, MANIFEST, Tar, chain};

/// The SHA-512 of the archive that `plain` makes, by `sha512sum`.
fn sha512sum(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    fs::write(&path, bytes).unwrap();
    let output = std::process::Command::new("sha512sum").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha512-{}", text.split(' ').next().unwrap())
}

fn plain() -> Vec<u8> {
    let byte = |number: u32| number.wrapping_mul(number).to_be_bytes()[2];
    let content: Vec<u8> = (0..1_000_000).map(byte).collect();
    let program = Block::new(b'0', b"rootfs/bin/a").mode(0o755).owner(1, 2);
    Tar::aci()
        .entry(program, &content)
        .pax(&[("mtime", b"1400000000.25")])
        .block(Block::new(b'5', b"rootfs/bin").mode(0o750).owner(3, 4))
        .symlink("rootfs/sh", "bin/a")
        .file("rootfs/etc/passwd", b"root:x:0:0::/:\n")
        .file("rootfs/etc/group", b"root:x:0:\n")
        .end()
}

fn read_all(mut reader: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn zstd_with_checksum(archive: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::read::Encoder::new(archive, 1).unwrap();
    encoder.include_checksum(true).unwrap();
    read_all(encoder)
}

/// The archive in each form that an ACI may have.
fn forms(archive: &[u8]) -> [(&'static str, Vec<u8>); 5] {
    [
        ("none", archive.to_vec()),
        ("gzip", read_all(flate2::read::GzEncoder::new(archive, flate2::Compression::fast()))),
        ("bzip2", read_all(bzip2::read::BzEncoder::new(archive, bzip2::Compression::fast()))),
        ("xz", read_all(liblzma::read::XzEncoder::new(archive, 1))),
        ("zstd", zstd_with_checksum(archive)),
    ]
}

#[test]
fn an_image_is_the_same_however_it_is_compressed() {
    let archive = plain();
    let id = sha512sum(&archive);
    for (form, bytes) in forms(&archive) {
        let fixture = Fixture::new();
        let image = fixture.accept(&bytes);
        assert_eq!(image.info.id.as_str(), id, "{form}");
        assert_eq!(fs::read(image.archive()).unwrap(), bytes, "{form}: kept as it came");
        assert_eq!(image.info.archive_bytes, bytes.len() as u64);
        assert_eq!(image.info.rootfs_bytes, 1_000_000 + 15 + 10);
        let program = image.rootfs().join("bin/a");
        let stat = fs::metadata(&program).unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o755, 1, 2));
        assert_eq!(stat.mtime(), 0o7_640_473_400);
        let directory = fs::metadata(image.rootfs().join("bin")).unwrap();
        assert_eq!((directory.mode() & 0o7777, directory.uid(), directory.gid()), (0o750, 3, 4));
        assert_eq!((directory.mtime(), directory.mtime_nsec()), (1_400_000_000, 250_000_000));
        let implied = fs::metadata(image.rootfs().join("etc")).unwrap();
        assert_eq!((implied.mode() & 0o7777, implied.mtime()), (0o755, 0));
        assert_eq!(fs::read_link(image.rootfs().join("sh")).unwrap(), Path::new("bin/a"));
    }
}

#[test]
fn pieces_compressed_one_after_the_other_are_one_archive() {
    let archive = plain();
    let (first, second) = archive.split_at(archive.len() / 2);
    for ((form, mut bytes), (_, rest)) in forms(first).into_iter().zip(forms(second)) {
        bytes.extend(rest);
        let image = Fixture::new().import(&bytes).unwrap_or_else(|error| panic!("{form}: {}", chain(&error)));
        assert_eq!(image.info.id.as_str(), sha512sum(&archive), "{form}");
    }
}

#[test]
fn i11_a_truncated_or_corrupt_file_is_refused_and_leaves_nothing() {
    let archive = plain();
    for (form, bytes) in forms(&archive) {
        let fixture = Fixture::new();
        for length in [0, 1, 300, bytes.len() / 2, bytes.len() - 600, bytes.len() - 1] {
            let said = fixture.refuse(&bytes[..length]);
            assert!(said.starts_with("cannot import image file"), "{form} {length}: {said}");
        }
        if form != "none" {
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 0x10;
            fixture.refuse(&flipped);
            fixture.refuse(&[&bytes[..], b"something else"].concat());
        }
    }
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    let fixture = Fixture::new();
    for bytes in [&b""[..], b"#!/bin/sh\n", b"PK\x03\x04", &[0; 2000], b"\x7fELF"] {
        let said = fixture.refuse(bytes);
        assert!(said.contains("not an ACI"), "{said}");
    }
    let missing = fixture.dir.path().join("missing.aci");
    let import = |path: &Path| {
        let error = fixture.store().import(path, Verification::Waived, &Policy::default(), &mut |_| {});
        chain(&error.unwrap_err())
    };
    let said = import(&missing);
    assert!(said.contains("missing.aci") && said.contains("No such file"), "{said}");
    assert!(import(fixture.dir.path()).contains("not a regular file"));
}

#[test]
fn i8_a_bomb_ends_the_import_early() {
    let zeros = 1_u64 << 32;
    let block = Block::new(b'0', b"rootfs/zeros").size(zeros);
    let archive = Tar::aci().block(block).0;
    let content = std::io::repeat(0).take(zeros);
    let bomb = zstd::stream::read::Encoder::new(archive.chain(content), 1).unwrap();
    let fixture = Fixture::new();
    let said = fixture.refuse(&read_all(bomb));
    assert!(said.contains("200 uncompressed bytes for each compressed one"), "{said}");
}

#[test]
fn a_signature_is_required_before_the_file_is_read() {
    let fixture = Fixture::new();
    // Nothing could read this file, so what is said comes from before.
    let file = Path::new("/nonexistent/a.aci");
    let store = fixture.store();
    let error = store.import(file, Verification::Required, &Policy::default(), &mut |_| {}).unwrap_err();
    let said = chain(&error);
    assert!(said.contains("signature verification") && said.contains("--insecure-options=image"), "{said}");
    let error = peek(file, Verification::Required, &Policy::default()).unwrap_err();
    assert!(chain(&error).contains("--insecure-options=image"));
    assert!(!fixture.dir.path().join("data").exists());
}

#[test]
fn importing_again_gives_the_same_image() {
    let fixture = Fixture::new();
    let first = fixture.accept(&plain());
    let second = fixture.accept(&forms(&plain())[1].1);
    assert_eq!(first.info, second.info);
    assert_eq!(fixture.left().len(), 1);
}

#[test]
fn importers_at_once_agree_on_one_image() {
    let fixture = Fixture::new();
    let files: Vec<PathBuf> = (0..8).map(|number| fixture.dir.path().join(format!("data-{number}.aci"))).collect();
    for file in &files {
        fs::write(file, plain()).unwrap();
    }
    thread::scope(|scope| {
        for file in &files {
            let store = fixture.store();
            scope.spawn(move || {
                let image = store.import(file, Verification::Waived, &Policy::default(), &mut |_| {}).unwrap();
                assert_eq!(fs::metadata(image.rootfs().join("bin/a")).unwrap().size(), 1_000_000);
                store.sweep().unwrap();
            });
        }
    });
    assert_eq!(fixture.left().len(), 1);
}

#[test]
fn a_file_that_was_imported_is_known_again_until_it_changes() {
    let fixture = Fixture::new();
    let path = fixture.write(&plain());
    let mut reads = 0;
    let mut import = || {
        let mut read = false;
        let image = fixture.store().import(&path, Verification::Waived, &Policy::default(), &mut |_| read = true);
        image.unwrap();
        reads += u32::from(read);
        read
    };
    assert!(import());
    // A file that has just changed is not relied on; soon enough it is.
    while import() {}
    assert!(!import());
    fs::write(&path, plain()).unwrap();
    assert!(import(), "the file changed");
    while import() {}
    fixture.remove_all();
    assert!(import(), "the image is gone");
}

#[test]
fn an_image_is_found_by_the_beginning_of_its_id() {
    let fixture = Fixture::new();
    let image = fixture.accept(&plain());
    let store = fixture.store();
    let id = image.info.id.as_str();
    for prefix in [id, &id[..9], &id[..71], &id[..70], image.key().as_str()] {
        assert_eq!(store.get(prefix).unwrap().info, image.info, "{prefix}");
    }
    // Only a key's digits are looked at, as rkt has always done.
    assert!(store.get(&format!("{}zz", &id[..71])).is_ok());
    let said = |prefix: &str| store.get(prefix).unwrap_err().to_string();
    assert!(said("sha256-00").starts_with("wrong key prefix"));
    assert!(said("sha512-0").starts_with("image ID too short"));
    assert!(said("sha512-../../x").starts_with("no image IDs found"));
    let other = if id.as_bytes()[7] == b'0' { "sha512-10" } else { "sha512-00" };
    assert!(said(other).starts_with("no image IDs found"));
}

#[test]
fn an_id_that_several_images_begin_with_is_ambiguous() {
    let fixture = Fixture::new();
    let image = fixture.accept(&plain());
    let key = image.key();
    let twin = format!("{}{}", &key.as_str()[..70], if key.as_str().ends_with('0') { '1' } else { '0' });
    let images = fixture.dir.path().join("data/cas/image");
    fs::create_dir(images.join(twin)).unwrap();
    let said = fixture.store().get(&key.as_str()[..20]).unwrap_err().to_string();
    assert!(said.starts_with("ambiguous image ID"), "{said}");
    assert!(fixture.store().get(key.as_str()).is_ok());
}

#[test]
fn a_name_gives_the_image_imported_last_that_has_the_labels() {
    let fixture = Fixture::new();
    let archive = |version: &str| {
        let manifest = MANIFEST.replace(r#""value":"1""#, &format!(r#""value":"{version}""#));
        Tar(Vec::new()).file("manifest", manifest.as_bytes()).dir("rootfs").end()
    };
    let [one, two] = ["1", "2"].map(|version| fixture.accept(&archive(version)).info.id);
    let store = fixture.store();
    let labels = |json: &str| serde_json::from_str::<Labels>(json).unwrap();
    let version = |version: &str| labels(&format!(r#"[{{"name":"version","value":"{version}"}}]"#));
    assert_eq!(store.find("example.com/a", &Labels::default()).unwrap().info.id, two);
    assert_eq!(store.find("example.com/a", &version("1")).unwrap().info.id, one);
    assert!(matches!(store.find("example.com/a", &version("3")), Err(StoreError::NoSuchName { .. })));
    assert!(matches!(store.find("example.com", &Labels::default()), Err(StoreError::NoSuchName { .. })));
    assert_eq!(store.list().unwrap().len(), 2);
}

#[test]
fn a_reference_gives_its_image_and_a_name_only_where_it_was_vouched_for() {
    let fixture = Fixture::new();
    let file = fixture.write(&plain());
    let resolve = |text: &str, verification| {
        let reference = Reference::parse(text).unwrap();
        fixture.store().resolve(&reference, verification, &Policy::default(), &mut |_| {})
    };
    let image = resolve(file.to_str().unwrap(), Verification::Waived).unwrap();
    let id = image.info.id.as_str();
    for text in [id, &id[..12]] {
        // An ID names the content, so nobody needs to vouch for it.
        assert_eq!(resolve(text, Verification::Required).unwrap().info, image.info);
    }
    for text in ["example.com/a", "example.com/a:1", "example.com/a,version=1"] {
        assert_eq!(resolve(text, Verification::Waived).unwrap().info, image.info);
        let error = resolve(text, Verification::Required).unwrap_err();
        assert!(matches!(error, ReferenceError::SignatureRequired(_)), "{error}");
    }
    let error = resolve("docker://redis", Verification::Waived).unwrap_err();
    assert!(error.to_string().contains("Docker registries are not supported"), "{error}");
    assert!(resolve("example.com/a:2", Verification::Waived).is_err());
}

#[test]
fn an_image_in_use_is_not_removed() {
    let fixture = Fixture::new();
    let image = fixture.accept(&plain());
    let store = fixture.store();
    let held = image.hold().unwrap();
    let key = image.key();
    assert!(matches!(fixture.remove(&key), Err(RemoveError::Busy { .. })));
    assert!(image.rootfs().join("bin/a").exists());
    drop(held);
    fixture.remove(&key).unwrap();
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
    assert!(image.hold().is_err());
    assert!(store.get(image.key().as_str()).is_err());
}

#[test]
fn a_store_that_does_not_exist_holds_nothing_and_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(&dir.path().join("data"));
    assert!(store.list().unwrap().is_empty());
    assert_eq!(store.sweep().unwrap(), 0);
    assert!(store.get("sha512-00").is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_was_cut_off_is_swept_and_what_goes_on_is_not() {
    let fixture = Fixture::new();
    fixture.accept(&plain());
    let tmp = fixture.dir.path().join("data/cas/tmp");
    for name in ["import-abandoned", "import-going-on"] {
        fs::create_dir_all(tmp.join(name).join("rootfs/deep/er")).unwrap();
    }
    let going_on = fs::File::open(tmp.join("import-going-on")).unwrap();
    let lock = rkt_sys::lock::Lock::exclusive(going_on.into()).unwrap();
    assert_eq!(fixture.store().sweep().unwrap(), 1);
    assert!(tmp.join("import-going-on").exists());
    drop(lock);
    assert_eq!(fixture.store().sweep().unwrap(), 1);
    assert_eq!(fixture.store().list().unwrap().len(), 1);
}

/// A small file system that is gone when this is.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, size: &std::ffi::CStr) -> Self {
        fs::create_dir(&path).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("rkt-test", &path, "tmpfs", flags, Some(size)).unwrap();
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_is_said_to_be_full_and_nothing_is_left() {
    let fixture = Fixture::new();
    let file = fixture.write(&plain());
    // Room for the copy of the file and for half of what is in it.
    for size in [c"size=300k", c"size=1500k", c"nr_inodes=12"] {
        let small = Small::mount(fixture.dir.path().join("small"), size);
        let store = Store::at(&small.0);
        let error = store.import(&file, Verification::Waived, &Policy::default(), &mut |_| {}).unwrap_err();
        let said = chain(&error);
        assert!(said.contains("No space left on device"), "{said}");
        assert!(store.list().unwrap().is_empty());
        let staging = fs::read_dir(small.0.join("cas/tmp")).unwrap();
        assert_eq!(staging.count(), 0);
        drop(small);
        fs::remove_dir(fixture.dir.path().join("small")).unwrap();
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let fixture = Fixture::new();
    let data = fixture.dir.path().join("data");
    fs::write(&data, "in the way").unwrap();
    let said = chain(&fixture.import(&plain()).unwrap_err());
    assert!(said.contains("cannot make directory") && said.contains("data/cas"), "{said}");
}

#[test]
fn a_damaged_image_in_the_store_is_said_to_be_damaged() {
    let fixture = Fixture::new();
    let image = fixture.accept(&plain());
    let directory = image.rootfs().parent().unwrap().to_owned();
    for name in ["info", "manifest"] {
        let good = fs::read(directory.join(name)).unwrap();
        fs::write(directory.join(name), "{").unwrap();
        let said = chain(&fixture.store().get(image.key().as_str()).unwrap_err());
        assert!(said.contains("damaged"), "{said}");
        fs::write(directory.join(name), good).unwrap();
    }
}

#[test]
fn use_is_noted() {
    let fixture = Fixture::new();
    let image = fixture.accept(&plain());
    let used = image.rootfs().parent().unwrap().join("used");
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(used).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(image.last_used(), long_ago);
    image.mark_used();
    assert!(image.last_used() > long_ago);
}

#[test]
fn a_peek_sees_what_an_import_would_and_needs_no_store() {
    let fixture = Fixture::new();
    for (form, bytes) in forms(&plain()) {
        let file = fixture.write(&bytes);
        let peek = peek(&file, Verification::Waived, &Policy::default()).unwrap();
        assert_eq!(peek.id.as_str(), sha512sum(&plain()), "{form}");
        assert_eq!(peek.manifest.name.as_str(), "example.com/a");
        assert_eq!(peek.passwd.unwrap(), b"root:x:0:0::/:\n");
        assert_eq!(peek.group.unwrap(), b"root:x:0:\n");
    }
    assert!(!fixture.dir.path().join("data").exists());
    let file = fixture.write(&Tar::aci().symlink("rootfs/etc/passwd", "/etc/passwd").end());
    assert!(peek(&file, Verification::Waived, &Policy::default()).unwrap().passwd.is_none());
    let file = fixture.write(&Tar::aci().file("../x", b"").end());
    assert!(peek(&file, Verification::Waived, &Policy::default()).is_err());
}

#[test]
fn progress_ends_at_the_size_of_the_file() {
    let fixture = Fixture::new();
    let file = fixture.write(&forms(&plain())[1].1);
    let mut last = (0, 0);
    let mut progress = |progress: rkt_image::Progress| {
        assert!(progress.read >= last.0);
        last = (progress.read, progress.total);
    };
    fixture.store().import(&file, Verification::Waived, &Policy::default(), &mut progress).unwrap();
    let size = fs::metadata(&file).unwrap().size();
    assert_eq!(last, (size, size));
}
