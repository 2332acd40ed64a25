//! Hostile archives: each is refused with its reason or lands inside, and nothing outside is touched.
//! Tests are named by the attack that they stand for.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rkt_image::{Devices, Limits, Policy};
use support::{Block, Fixture, GID, MAGIC, MODE, MTIME, PREFIX, SIZE, Tar, UID};

/// From an image's rootfs in the staging directory to the canary.
const OUT: &str = "../../../../../canary";

#[test]
fn i1_names_that_climb_out_are_refused() {
    let fixture = Fixture::new();
    for name in [
        &format!("rootfs/{OUT}/x")[..],
        "rootfs/a/../../../../../../../canary/x",
        "../canary/x",
        "rootfs/..",
        "..",
        "rootfs/../manifest2",
    ] {
        let said = fixture.refuse(&Tar::aci().file(name, b"x").end());
        assert!(said.contains("\"..\""), "{said}");
        let said = fixture.refuse(&Tar::aci().dir(name).end());
        assert!(said.contains("\"..\""), "{said}");
    }
}

#[test]
fn i1_absolute_names_are_refused() {
    let fixture = Fixture::new();
    let name = format!("{}/x", fixture.canary());
    for archive in [
        Tar::aci().file("/x", b"x"),
        Tar::aci().pax(&[("path", name.as_bytes())]).file("rootfs/x", b"x"),
        Tar::aci().long_name(name.as_bytes()).file("rootfs/x", b"x"),
        Tar::aci().entry(Block::new(b'0', b"x").set(PREFIX, b"/rootfs"), b"x"),
        Tar::aci().symlink("/x", "y"),
        Tar::aci().hard_link("rootfs/x", &name),
    ] {
        let said = fixture.refuse(&archive.end());
        assert!(said.contains("absolute") || said.contains("hard link"), "{said}");
    }
}

#[test]
fn i2_symlink_then_file_through_it_stays_inside() {
    let fixture = Fixture::new();
    // An absolute link leads to that path of the image, as it would when the image runs.
    let archive = Tar::aci().dir("rootfs/inside").symlink("rootfs/link", "/inside");
    let image = fixture.accept(&archive.file("rootfs/link/file", b"x").end());
    assert_eq!(fs::read(image.rootfs().join("inside/file")).unwrap(), b"x");

    for target in [OUT, &fixture.canary(), "/proc/self/root", "/proc/self/cwd", "/"] {
        for name in ["rootfs/link/x", "rootfs/link/deep/x"] {
            let archive = Tar::aci().symlink("rootfs/link", target);
            // Where the link leads there is nothing in this root, or the root itself.
            match fixture.import(&archive.file(name, b"evil").end()) {
                Ok(image) => assert_eq!(target, "/", "{:?}", image.rootfs()),
                Err(error) => assert_ne!(target, "/", "{}", support::chain(&error)),
            }
        }
    }
}

#[test]
fn i2_every_kind_of_entry_through_a_symlink_stays_inside() {
    for kind in [b'0', b'1', b'2', b'5', b'6'] {
        let fixture = Fixture::new();
        for target in [OUT, &fixture.canary()] {
            let archive = Tar::aci().file("rootfs/a", b"").symlink("rootfs/link", target);
            let link: &[u8] = if kind == b'1' { b"rootfs/a" } else { b"a" };
            let block = Block::new(kind, b"rootfs/link/x");
            let block = if matches!(kind, b'1' | b'2') { block.link(link) } else { block };
            fixture.refuse(&archive.block(block).end());
        }
    }
}

#[test]
fn i2_a_chain_of_symlinks_stays_inside() {
    let fixture = Fixture::new();
    let archive = Tar::aci()
        .dir("rootfs/a")
        .symlink("rootfs/a/up", "..")
        .symlink("rootfs/b", "a/up")
        .symlink("rootfs/c", "b/../../../../../..")
        .file("rootfs/c/canary", b"x");
    let image = fixture.accept(&archive.end());
    assert_eq!(fs::read(image.rootfs().join("canary")).unwrap(), b"x");
}

#[test]
fn i2_a_file_is_never_written_through_a_symlink_of_its_name() {
    let fixture = Fixture::new();
    for target in ["target", &format!("{}/file", fixture.canary()), "/dangling"] {
        let archive = Tar::aci().file("rootfs/target", b"old").symlink("rootfs/link", target);
        let said = fixture.refuse(&archive.file("rootfs/link", b"new").end());
        assert!(said.contains("\"rootfs/link\"") && said.contains("already"), "{said}");
    }
}

#[test]
fn i3_symlink_then_directory_of_its_name_changes_nothing_behind_it() {
    let fixture = Fixture::new();
    for target in [OUT, &fixture.canary(), "."] {
        let archive = Tar::aci().symlink("rootfs/link", target);
        let directory = Block::new(b'5', b"rootfs/link").mode(0o777).owner(1, 1);
        let said = fixture.refuse(&archive.block(directory).end());
        assert!(said.contains("already"), "{said}");
    }
}

#[test]
fn i3_rootfs_itself_cannot_be_a_link() {
    let fixture = Fixture::new();
    let manifest = Tar(Vec::new()).file("manifest", support::MANIFEST.as_bytes());
    for archive in [
        manifest.clone().symlink("rootfs", &fixture.canary()),
        manifest.clone().dir("rootfs").symlink("rootfs", &fixture.canary()),
        manifest.clone().file("rootfs", b""),
        Tar(Vec::new()).symlink("manifest", "/etc/passwd").dir("rootfs"),
    ] {
        fixture.refuse(&archive.end());
    }
}

#[test]
fn i4_a_directory_that_links_name_is_one_directory() {
    let fixture = Fixture::new();
    let archive = Tar::aci().dir("rootfs/a").symlink("rootfs/l", "a").dir("rootfs/a/b");
    // The same directory and file again, by another path.
    let said = fixture.refuse(&archive.clone().dir("rootfs/l/b").end());
    assert!(said.contains("already"), "{said}");
    let archive = archive.file("rootfs/a/f", b"1");
    let said = fixture.refuse(&archive.file("rootfs/l/f", b"2").end());
    assert!(said.contains("already"), "{said}");
}

#[test]
fn i5_hard_links_reach_only_files_of_the_image() {
    let fixture = Fixture::new();
    let canary = fixture.canary();
    let out = format!("rootfs/{OUT}/file");
    for target in [&out[..], &format!("{canary}/file"), "manifest", "rootfs/missing", "rootfs", "", "../x"] {
        let said = fixture.refuse(&Tar::aci().hard_link("rootfs/x", target).end());
        assert!(said.contains("hard link"), "{said}");
    }
    for through in [OUT, &canary] {
        let archive = Tar::aci().symlink("rootfs/link", through);
        fixture.refuse(&archive.hard_link("rootfs/x", "rootfs/link/file").end());
    }
}

#[test]
fn i5_hard_links_to_links_and_directories_are_refused() {
    let fixture = Fixture::new();
    let link = Tar::aci().symlink("rootfs/link", &format!("{}/file", fixture.canary()));
    let said = fixture.refuse(&link.hard_link("rootfs/x", "rootfs/link").end());
    assert!(said.contains("no file"), "{said}");
    let said = fixture.refuse(&Tar::aci().dir("rootfs/d").hard_link("rootfs/x", "rootfs/d").end());
    assert!(said.contains("no file"), "{said}");
}

#[test]
fn i5_a_hard_link_shares_its_file() {
    let fixture = Fixture::new();
    let archive = Tar::aci().file("rootfs/a", b"x").hard_link("rootfs/d/b", "./rootfs//a");
    let image = fixture.accept(&archive.end());
    let inode = |name| fs::metadata(image.rootfs().join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("d/b"));
}

#[test]
fn i6_whiteouts_are_plain_files() {
    let fixture = Fixture::new();
    let archive = Tar::aci().file("rootfs/a", b"x").file("rootfs/.wh.a", b"");
    let archive = archive.file("rootfs/.wh..wh..opq", b"").dir("rootfs/.wh...");
    let image = fixture.accept(&archive.end());
    for name in ["a", ".wh.a", ".wh..wh..opq", ".wh..."] {
        assert!(image.rootfs().join(name).exists(), "{name}");
    }
}

#[test]
fn i7_no_path_stands_twice() {
    let fixture = Fixture::new();
    for (first, second) in [
        ("rootfs/a", "rootfs/a"),
        ("rootfs/a", "./rootfs//a"),
        ("rootfs/a/b", "rootfs/./a/b"),
        ("rootfs/x", "manifest"),
    ] {
        let said = fixture.refuse(&Tar::aci().file(first, b"1").file(second, b"2").end());
        assert!(said.contains("already") || said.contains("twice"), "{said}");
    }
    for archive in [
        Tar::aci().dir("rootfs/a").dir("rootfs/a/"),
        Tar::aci().dir("rootfs"),
        Tar::aci().file("rootfs/a", b"").dir("rootfs/a"),
        Tar::aci().dir("rootfs/a").file("rootfs/a", b""),
        Tar::aci().file("rootfs/a/b", b"").dir("rootfs/a").dir("rootfs/a"),
        Tar::aci().symlink("rootfs/a", "b").symlink("rootfs/a", "c"),
        Tar::aci().file("rootfs/a", b"").hard_link("rootfs/a", "rootfs/a"),
        Tar::aci().file("rootfs/a", b"").block(Block::new(b'6', b"rootfs/a")),
    ] {
        let said = fixture.refuse(&archive.end());
        assert!(said.contains("already"), "{said}");
    }
}

#[test]
fn i7_headers_that_disagree_on_size_are_refused() {
    let fixture = Fixture::new();
    // A reader that takes the other size finds the hidden entry.
    let hidden = Tar(Vec::new()).file("rootfs/hidden", b"evil").0;
    for (in_header, record) in [(0, hidden.len()), (hidden.len(), 0), (512, hidden.len())] {
        let record = record.to_string();
        let block = Block::new(b'0', b"rootfs/a").size(in_header as u64);
        let archive = Tar::aci().pax(&[("size", record.as_bytes())]).block(block);
        let said = fixture.refuse(&archive.content(&hidden).end());
        assert!(said.contains("different sizes"), "{said}");
    }
    // Saying it twice in the same way is not ambiguous.
    let archive = Tar::aci().pax(&[("size", b"1")]);
    fixture.accept(&archive.file("rootfs/a", b"x").end());
}

#[test]
fn i7_content_where_there_can_be_none_is_refused() {
    let fixture = Fixture::new();
    let hidden = Tar(Vec::new()).file("rootfs/hidden", b"evil").0;
    for kind in [b'1', b'2', b'5', b'6'] {
        let block = Block::new(kind, b"rootfs/a").link(b"rootfs/b");
        let archive = Tar::aci().file("rootfs/b", b"");
        let said = fixture.refuse(&archive.entry(block, &hidden).end());
        assert!(said.contains("has content"), "{said}");
    }
}

#[test]
fn i7_an_entry_is_announced_once_and_then_comes() {
    let fixture = Fixture::new();
    let name: &[(&str, &[u8])] = &[("path", b"rootfs/x")];
    for archive in [
        Tar::aci().pax(name).pax(name).file("rootfs/a", b""),
        Tar::aci().long_name(b"rootfs/x").long_name(b"rootfs/y").file("rootfs/a", b""),
        Tar::aci().pax(name).long_name(b"rootfs/y").file("rootfs/a", b""),
        Tar::aci().pax(name),
        Tar::aci().long_name(b"rootfs/x"),
        Tar::aci().extended(b'g', name).file("rootfs/a", b""),
        Tar::aci().pax(&[("path", b"rootfs/x"), ("path", b"rootfs/y")]).file("rootfs/a", b""),
        Tar::aci().pax(&[("path", b"rootfs/x\0/../../y")]).file("rootfs/a", b""),
        Tar::aci().pax(&[("path", b"")]).file("rootfs/a", b""),
        Tar::aci().long_name(b"rootfs/x\0y").file("rootfs/a", b""),
    ] {
        fixture.refuse(&archive.end());
    }
    let comment: &[(&str, &[u8])] = &[("comment", b"5c1b2f0")];
    let archive = Tar::aci().extended(b'g', comment).pax(name).file("rootfs/a", b"1");
    let image = fixture.accept(&archive.long_name(b"rootfs/y").file("rootfs/a", b"2").end());
    assert_eq!(fs::read(image.rootfs().join("x")).unwrap(), b"1");
    assert_eq!(fs::read(image.rootfs().join("y")).unwrap(), b"2");
}

#[test]
fn i7_sparse_files_and_unknown_kinds_are_refused() {
    let fixture = Fixture::new();
    for kind in [b'S', b'7', b'D', b'M', b'N', b'V', b'X', b'A', b's', 0xff] {
        let said = fixture.refuse(&Tar::aci().block(Block::new(kind, b"rootfs/a")).end());
        assert!(said.contains("\"rootfs/a\""), "{said}");
    }
    let sparse: &[(&str, &[u8])] = &[("GNU.sparse.major", b"1")];
    let said = fixture.refuse(&Tar::aci().pax(sparse).file("rootfs/a", b"").end());
    assert!(said.contains("sparse"), "{said}");
}

#[test]
fn i7_damaged_headers_are_refused() {
    let fixture = Fixture::new();
    let base = || Block::new(b'0', b"rootfs/a");
    for block in [
        base().set(SIZE, b"-0000000001\0"),
        base().set(SIZE, b"0000000000x\0"),
        base().set(SIZE, &[0xff; 12]),
        base().set(SIZE, b"\x80\x01\0\0\0\0\0\0\0\0\0\0"),
        base().set(MODE, b"rwxr-xr-"),
        base().set(MTIME, b"yesterday\0"),
        base().set(MAGIC, b"\0\0\0\0\0\0\0\0"),
        base().set(MAGIC, b"ustar\x0001"),
        base().set(508..512, b"tar\0"),
        Block::new(b'0', b"rootfs/a/"),
        Block::new(b'0', b""),
    ] {
        let said = fixture.refuse(&Tar::aci().block(block).end());
        assert!(said.contains("malformed") || said.contains("refused"), "{said}");
    }
    let mut flipped = Tar::aci().file("rootfs/a", b"").end();
    let at = flipped.len() - 1024 - 512;
    flipped[at] ^= 1;
    assert!(fixture.refuse(&flipped).contains("checksum"));
}

#[test]
fn i7_an_archive_ends_once() {
    let fixture = Fixture::new();
    let whole = Tar::aci().end();
    let second = [&whole[..], &Tar(Vec::new()).file("rootfs/evil", b"").end()].concat();
    assert!(fixture.refuse(&second).contains("follows the end"));
    let one_zero_block = [&Tar::aci().0[..], &[0; 512], &Tar(Vec::new()).file("rootfs/evil", b"").end()].concat();
    assert!(fixture.refuse(&one_zero_block).contains("one block of zeros"));
    for end in [&whole[..whole.len() - 1024], &whole[..whole.len() - 512], &whole[..whole.len() - 1]] {
        assert!(fixture.refuse(end).contains("ends before"), "{}", end.len());
    }
    // Tools fill archives up to whole records.
    let filled = [&whole[..], &[0; 10240]].concat();
    fixture.accept(&filled);
}

#[test]
fn i8_each_limit_ends_the_import() {
    let fixture = Fixture::new();
    let limits = Limits {
        unpacked_bytes: 100_000,
        entries: 10,
        depth: 5,
        path_bytes: 60,
        header_bytes: 2000,
        attribute_bytes: 100,
        manifest_bytes: 1000,
        ..Limits::default()
    };
    let policy = Policy { limits, devices: Devices::Refuse };
    fixture.import_with(&Tar::aci().file("rootfs/a", b"x").end(), &policy).unwrap();
    fixture.remove_all();

    let many = (0..20).fold(Tar::aci(), |archive, index| archive.dir(&format!("rootfs/{index}")));
    let attribute: &[(&str, &[u8])] = &[("SCHILY.xattr.user.a", &[b'x'; 101])];
    let header: &[(&str, &[u8])] = &[("comment", &[b'x'; 2000])];
    let long = format!("rootfs/{}", "x".repeat(60));
    for (archive, words) in [
        (Tar::aci().file("rootfs/a", &vec![0; 100_000]), "100000 uncompressed bytes"),
        (many, "10 entries"),
        (Tar::aci().file("rootfs/1/2/3/4/5", b""), "deeper"),
        (Tar::aci().file(&long, b""), "longer"),
        (Tar::aci().symlink("rootfs/a", &long), "longer"),
        (Tar::aci().pax(header).file("rootfs/a", b""), "2000 bytes in one extended header"),
        (Tar::aci().pax(attribute).file("rootfs/a", b""), "attribute is larger"),
        (Tar(Vec::new()).file("manifest", &[b' '; 1001]), "1000 bytes in the manifest"),
    ] {
        let said = fixture.refuse_with(&archive.end(), &policy);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn i8_a_size_that_is_only_claimed_takes_no_memory_and_no_disk() {
    let fixture = Fixture::new();
    for (block, words) in [
        (Block::new(b'0', b"rootfs/a").size(0o777_7777_7777), "ends before"),
        (Block::new(b'x', b"rootfs/a").size(0o777_7777_7777), "extended header"),
        (Block::new(b'L', b"rootfs/a").size(0o777_7777_7777), "extended header"),
        (Block::new(b'0', b"manifest").size(0o777_7777_7777), "manifest"),
    ] {
        let archive = Tar(Vec::new()).dir("rootfs").block(block);
        let said = fixture.refuse(&archive.content(b"x").end());
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn i9_device_nodes_are_refused_by_name_or_left_out() {
    let fixture = Fixture::new();
    for kind in [b'3', b'4'] {
        let archive = Tar::aci().block(Block::new(kind, b"rootfs/dev/sda")).file("rootfs/a", b"").end();
        let said = fixture.refuse(&archive);
        assert!(said.contains("\"rootfs/dev/sda\"") && said.contains("device"), "{said}");
    }
    let policy = Policy { devices: Devices::Skip, ..Policy::default() };
    let archive = Tar::aci().block(Block::new(b'3', b"rootfs/dev/sda")).file("rootfs/a", b"").end();
    let image = fixture.import_with(&archive, &policy).unwrap();
    assert!(image.rootfs().join("a").exists());
    assert!(!image.rootfs().join("dev/sda").exists());
}

#[test]
fn i9_only_attributes_that_are_content_arrive() {
    let fixture = Fixture::new();
    // VFS_CAP_REVISION_2, one capability (capabilities(7), "File capabilities"); a byte of it is a
    // line feed, which records of text would break at.
    let capability: &[u8] = &[1, 0, 0, 2, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let attributes: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.security.capability", capability),
        ("SCHILY.xattr.user.note", b"kept"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/canary"),
        ("SCHILY.xattr.security.selinux", b"system_u:object_r:shadow_t:s0"),
    ];
    let archive = Tar::aci().pax(attributes).file("rootfs/a", b"x").pax(&attributes[1..]).dir("rootfs/d");
    let image = fixture.accept(&archive.end());
    let names = |name: &str| {
        let mut list = vec![0; 1000];
        let length = rustix::fs::listxattr(image.rootfs().join(name), &mut list[..]).unwrap();
        let mut names: Vec<_> = list[..length].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        names.retain(|name| !name.is_empty() && name != b"security.selinux");
        names.sort();
        names
    };
    assert_eq!(names("a"), [&b"security.capability"[..], b"user.note"]);
    assert_eq!(names("d"), [b"user.note"]);
    let mut value = [0; 20];
    rustix::fs::getxattr(image.rootfs().join("a"), "security.capability", &mut value[..]).unwrap();
    assert_eq!(value, capability);
}

#[test]
fn i9_set_user_id_bits_are_content_of_the_image_out_of_reach_of_users() {
    let fixture = Fixture::new();
    let block = Block::new(b'0', b"rootfs/su").mode(0o6755).owner(5, 6);
    let image = fixture.accept(&Tar::aci().entry(block, b"x").end());
    let stat = fs::metadata(image.rootfs().join("su")).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o6755, 5, 6));
    let cas = fixture.dir.path().join("data/cas");
    assert_eq!(fs::metadata(cas).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn i17_fifos_are_made_and_never_opened_by_the_import() {
    let fixture = Fixture::new();
    let block = Block::new(b'6', b"rootfs/etc/passwd").mode(0o640).owner(7, 8);
    let image = fixture.accept(&Tar::aci().block(block).end());
    let stat = fs::symlink_metadata(image.rootfs().join("etc/passwd")).unwrap();
    assert!(stat.file_type().is_fifo());
    assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o640, 7, 8));
}

#[test]
fn i18_owners_that_are_no_ids_are_refused() {
    let fixture = Fixture::new();
    let binary = |id: u64| [&[0x80][..], &id.to_be_bytes()[1..]].concat();
    for field in [UID, GID] {
        for value in [binary(0x7fff_ffff), binary(0xffff_ffff), binary(1 << 32), vec![0xff; 8]] {
            let block = Block::new(b'0', b"rootfs/a").set(field.clone(), &value);
            let said = fixture.refuse(&Tar::aci().entry(block, b"").end());
            assert!(said.contains("owner") || said.contains("ID"), "{said}");
        }
    }
    for (key, value) in [("uid", "2147483647"), ("gid", "4294967295"), ("uid", "-1"), ("gid", "0x0")] {
        let archive = Tar::aci().pax(&[(key, value.as_bytes())]);
        fixture.refuse(&archive.file("rootfs/a", b"").end());
    }
    let largest = Block::new(b'0', b"rootfs/a").set(UID, &binary(0x7fff_fffe));
    let image = fixture.accept(&Tar::aci().entry(largest, b"").end());
    assert_eq!(fs::metadata(image.rootfs().join("a")).unwrap().uid(), 0x7fff_fffe);
}

#[test]
fn r19_names_in_errors_cannot_act_on_a_terminal() {
    let fixture = Fixture::new();
    let name = b"rootfs/\x1b[2J\xff\n/..";
    let said = fixture.refuse(&Tar::aci().block(Block::new(b'5', name)).end());
    assert!(said.contains(r#""rootfs/\u{1b}[2J\xFF\n/..""#), "{said}");
}

#[test]
fn nothing_stands_beside_manifest_and_rootfs() {
    let fixture = Fixture::new();
    for name in ["other", "rootfs2", "rootfs.bak/a", "Manifest", "manifest/a"] {
        let said = fixture.refuse(&Tar::aci().file(name, b"").end());
        assert!(said.contains("nothing beside") && said.contains(name), "{said}");
    }
    // What `tar` makes of a directory.
    let archive = Tar(Vec::new()).dir("./").dir("./rootfs/").file("./rootfs/a", b"");
    let image = fixture.accept(&archive.file("./manifest", support::MANIFEST.as_bytes()).end());
    assert!(image.rootfs().join("a").exists());
}

#[test]
fn manifest_and_rootfs_must_be_there() {
    let fixture = Fixture::new();
    let said = fixture.refuse(&Tar(Vec::new()).dir("rootfs").end());
    assert!(said.contains("no image manifest"), "{said}");
    let manifest = Tar(Vec::new()).file("manifest", support::MANIFEST.as_bytes());
    assert!(fixture.refuse(&manifest.clone().end()).contains("no rootfs"));
    assert!(fixture.refuse(&manifest.file("rootfs/a", b"").end()).contains("no rootfs"));
    let bad = Tar(Vec::new()).file("manifest", br#"{"acKind":"ImageManifest","acVersion":"1"}"#);
    let said = fixture.refuse(&bad.dir("rootfs").end());
    assert!(said.contains("the image manifest is invalid at acVersion"), "{said}");
}

#[test]
fn a_path_below_a_file_is_refused() {
    let fixture = Fixture::new();
    let said = fixture.refuse(&Tar::aci().file("rootfs/a", b"").file("rootfs/a/b/c", b"").end());
    assert!(said.contains("\"rootfs/a/b/c\"") && said.contains("Not a directory"), "{said}");
    assert!(!Path::new(&fixture.canary()).join("a").exists());
}
