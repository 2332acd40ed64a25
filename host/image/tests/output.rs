//! Images on their way out of the store.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rkt_image::{Image, OutputError, Overwrite, Parts, Policy, Verification};
use support::{Fixture, chain, image};

/// A directory for outputs, in the fixture's own.
fn outputs(fixture: &Fixture) -> PathBuf {
    let path = fixture.dir.path().join("data-out");
    fs::create_dir_all(&path).unwrap();
    path
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn extract(fixture: &Fixture, image: &Image, to: &Path, parts: Parts, overwrite: Overwrite) -> Result<(), OutputError> {
    fixture.store().extract(image, to, parts, overwrite, &Policy::default())
}

#[test]
fn an_export_is_the_uncompressed_archive_whatever_the_image_came_as() {
    let archive = image("a", "", &["x", "y/z"]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&archive).unwrap();
    for bytes in [archive.clone(), encoder.finish().unwrap()] {
        let fixture = Fixture::new();
        let image = fixture.accept(&bytes);
        let to = outputs(&fixture).join("a.aci");
        let export = |overwrite| fixture.store().export(&image, &to, overwrite, &Policy::default());
        export(Overwrite::Refused).unwrap();
        assert_eq!(fs::read(&to).unwrap(), archive);
        assert_eq!(chain(&export(Overwrite::Refused).unwrap_err()), "output ACI file exists (try --overwrite)");
        fs::write(&to, "other").unwrap();
        export(Overwrite::Allowed).unwrap();
        assert_eq!(fs::read(&to).unwrap(), archive);
        assert_eq!(names(&outputs(&fixture)), ["a.aci"]);
        // A link is replaced, not what it leads to.
        let canary = fixture.canary() + "/file";
        fs::remove_file(&to).unwrap();
        symlink(&canary, &to).unwrap();
        assert!(matches!(export(Overwrite::Refused), Err(OutputError::FileExists)));
        export(Overwrite::Allowed).unwrap();
        fixture.assert_untouched();
        assert_eq!(fixture.left().len(), 1);
    }
}

#[test]
fn a_damaged_archive_is_not_written_and_what_was_there_stays() {
    let fixture = Fixture::new();
    let image = fixture.accept(&image("a", "", &["x"]));
    let out = outputs(&fixture);
    fs::write(out.join("a.aci"), "other").unwrap();
    fs::create_dir(out.join("a")).unwrap();
    let mut bytes = fs::read(image.archive()).unwrap();
    let content = bytes.windows(3).position(|window| window == b"a x").unwrap();
    bytes[content] ^= 1;
    fs::write(image.archive(), bytes).unwrap();
    let exported = fixture.store().export(&image, &out.join("a.aci"), Overwrite::Allowed, &Policy::default());
    assert!(matches!(exported, Err(OutputError::Damaged(_))));
    let extracted = extract(&fixture, &image, &out.join("a"), Parts::All, Overwrite::Allowed);
    assert!(matches!(extracted, Err(OutputError::Damaged(_))));
    assert_eq!(fs::read_to_string(out.join("a.aci")).unwrap(), "other");
    assert_eq!(names(&out), ["a", "a.aci"]);
    assert_eq!(names(&out.join("a")), Vec::<String>::new());
    assert_eq!(fixture.left().len(), 1);
}

#[test]
fn an_image_is_extracted_alone_and_rendered_with_what_it_depends_on() {
    let fixture = Fixture::new();
    fixture.accept(&image("base", "", &["x", "y"]));
    let fields = r#","dependencies":[{"imageName":"base"}]"#;
    let top = fixture.accept(&image("top", fields, &["x"]));
    let listed = fixture.accept(&image("listed", &format!(r#"{fields},"pathWhitelist":["/y"]"#), &["x"]));
    let out = outputs(&fixture);
    let render = |image, name: &str, parts| {
        let trust = (Verification::Waived, &Policy::default());
        fixture.store().render_into(image, &out.join(name), parts, Overwrite::Refused, trust).unwrap();
    };
    extract(&fixture, &top, &out.join("extracted/deep"), Parts::All, Overwrite::Refused).unwrap();
    let extracted = out.join("extracted/deep");
    assert_eq!(names(&extracted), ["manifest", "rootfs"]);
    assert_eq!(names(&extracted.join("rootfs")), ["x"]);
    assert_eq!(
        fs::read(extracted.join("manifest")).unwrap(),
        fs::read(top.archive().with_file_name("manifest")).unwrap()
    );
    extract(&fixture, &top, &out.join("files"), Parts::Files, Overwrite::Refused).unwrap();
    assert_eq!(names(&out.join("files")), ["x"]);
    render(&top, "rendered", Parts::All);
    assert_eq!(names(&out.join("rendered")), ["manifest", "rootfs"]);
    assert_eq!(names(&out.join("rendered/rootfs")), ["x", "y"]);
    assert_eq!(fs::read_to_string(out.join("rendered/rootfs/x")).unwrap(), "top x");
    render(&listed, "listed", Parts::Files);
    assert_eq!(names(&out.join("listed")), ["y"]);
    // What is written is nobody else's file.
    fs::write(out.join("rendered/rootfs/y"), "changed").unwrap();
    render(&top, "again", Parts::Files);
    assert_eq!(fs::read_to_string(out.join("again/y")).unwrap(), "base y");
    assert_eq!(names(&out), ["again", "extracted", "files", "listed", "rendered"]);
    assert_eq!(fixture.left().len(), 3);
}

#[test]
fn what_is_there_is_replaced_as_a_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let image = fixture.accept(&image("a", "", &["x"]));
    let place = outputs(&fixture).join("place");
    let kinds: [&dyn Fn(); 3] =
        [&|| fs::create_dir_all(place.join("old/deep")).unwrap(), &|| fs::write(&place, "old").unwrap(), &|| {
            symlink(fixture.canary(), &place).unwrap();
        }];
    for (index, make) in kinds.iter().enumerate() {
        make();
        let refused = extract(&fixture, &image, &place, Parts::Files, Overwrite::Refused).unwrap_err();
        assert_eq!(chain(&refused), "output directory exists (try --overwrite)", "{index}");
        extract(&fixture, &image, &place, Parts::Files, Overwrite::Allowed).unwrap();
        assert_eq!(names(&place), ["x"], "{index}");
        fs::remove_dir_all(&place).unwrap();
        fixture.assert_untouched();
    }
    assert_eq!(names(&outputs(&fixture)), Vec::<String>::new());
}

#[test]
fn the_hosts_root_and_the_store_are_never_replaced() {
    let fixture = Fixture::new();
    let image = fixture.accept(&image("a", "", &["x"]));
    let data = fixture.dir.path().join("data");
    for root in ["/", "//", "/..", "/tmp/.."] {
        let error = extract(&fixture, &image, Path::new(root), Parts::All, Overwrite::Allowed).unwrap_err();
        assert_eq!(chain(&error), "this would delete your root filesystem. Refusing.", "{root}");
        let error = extract(&fixture, &image, Path::new(root), Parts::All, Overwrite::Refused).unwrap_err();
        assert!(matches!(error, OutputError::DirectoryExists), "{root}");
    }
    for place in [fixture.dir.path(), &data, &data.join("cas"), &data.join("cas/../../data")] {
        let error = extract(&fixture, &image, place, Parts::All, Overwrite::Allowed).unwrap_err();
        assert!(matches!(error, OutputError::HoldsStore(_)), "{}: {error}", place.display());
    }
    // Something of another file system in the place would be lost, or be in the way half way through.
    let place = outputs(&fixture).join("pl ace");
    fs::create_dir_all(place.join("mounted")).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("rkt-test", place.join("mounted"), "tmpfs", flags, None).unwrap();
    let error = extract(&fixture, &image, &place, Parts::All, Overwrite::Allowed).unwrap_err();
    rustix::mount::unmount(place.join("mounted"), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(matches!(error, OutputError::Mounted { .. }), "{error}");
    assert!(place.join("mounted").is_dir());
}

#[test]
fn what_was_cut_off_outside_of_the_store_is_swept_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.accept(&image("a", "", &["x"]));
    let (out, tmp) = (outputs(&fixture), fixture.dir.path().join("data/cas/tmp"));
    let note = |name: &str, path: &Path| {
        fs::create_dir(tmp.join(name)).unwrap();
        fs::write(tmp.join(name).join("path"), path.to_str().unwrap()).unwrap();
    };
    fs::create_dir_all(out.join(".rkt-new-x/part-0/rootfs")).unwrap();
    fs::create_dir(out.join("users")).unwrap();
    note("outside-x", &out.join(".rkt-new-x"));
    note("outside-gone", &out.join(".rkt-new-gone"));
    note("outside-torn", &out.join("users"));
    fs::create_dir(tmp.join("outside-begun")).unwrap();
    assert_eq!(fixture.store().sweep().unwrap(), 4);
    assert_eq!(names(&out), ["users"]);
    assert_eq!(names(&tmp), Vec::<String>::new());
}
