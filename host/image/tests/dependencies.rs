//! Images that depend on others: how these are found, stacked, and merged.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rkt_image::{Image, Rendering, Verification, one_tree};
use support::{Block, Fixture, Tar, chain, image};

/// What a manifest says of images that it depends on.
fn on(names: &[&str]) -> String {
    let list: Vec<String> = names.iter().map(|name| format!(r#"{{"imageName":"{name}"}}"#)).collect();
    format!(r#","dependencies":[{}]"#, list.join(","))
}

fn only(paths: &[&str]) -> String {
    format!(r#","pathWhitelist":{}"#, serde_json::to_string(paths).unwrap())
}

fn rendered(image: &Image) -> Rendering {
    image.render(Verification::Waived).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn refused(image: &Image) -> String {
    chain(&image.render(Verification::Waived).unwrap_err())
}

/// The files of a tree with their content; directories end in `/`.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                found.insert(format!("{name}/"), String::new());
                open.push(path);
            } else {
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// The image whose files are seen at each path: contents begin with the name of their image.
fn whose(root: &Path) -> Vec<(String, String)> {
    let first = |text: String| text.split(' ').next().unwrap_or_default().to_owned();
    tree(root).into_iter().filter(|(path, _)| !path.ends_with('/')).map(|(path, text)| (path, first(text))).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[test]
fn an_image_without_dependencies_is_run_from_its_own_tree() {
    let fixture = Fixture::new();
    let alone = fixture.accept(&image("alone", "", &["a"]));
    let rendering = rendered(&alone);
    assert_eq!(rendering.trees(), [alone.rootfs()]);
    assert_eq!(one_tree(rendering.trees()).unwrap(), alone.rootfs());
    assert_eq!(rendering.needs(), [alone.key().to_string()]);
}

#[test]
fn dependencies_are_stacked_the_one_listed_last_highest_and_each_above_its_own() {
    let fixture = Fixture::new();
    let [d, b] = ["d", "b"].map(|name| fixture.accept(&image(name, "", &["x"])));
    let c = fixture.accept(&image("c", &on(&["d"]), &["x"]));
    let a = fixture.accept(&image("a", &on(&["b", "c"]), &["y"]));
    let rendering = rendered(&a);
    assert_eq!(rendering.trees(), [&a, &c, &d, &b].map(Image::rootfs));
    let mut needs = [&a, &c, &d, &b].map(|image| image.key().to_string()).to_vec();
    assert_eq!(rendering.needs()[..4], needs);
    // One tree of them has the same name whenever it is made, and is made once.
    let one = one_tree(rendering.trees()).unwrap();
    needs.push(one.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(rendering.needs(), needs);
    assert!(needs[4].starts_with("deps-sha512-") && needs[4].len() == 76, "{needs:?}");
    assert_eq!(whose(&one), pairs(&[("x", "c"), ("y", "a")]));
    let made = fs::metadata(&one).unwrap().ino();
    assert_eq!(fs::metadata(one_tree(rendered(&a).trees()).unwrap()).unwrap().ino(), made);
}

#[test]
fn an_image_that_is_met_twice_is_stacked_once() {
    let fixture = Fixture::new();
    let d = fixture.accept(&image("d", "", &["x", "z"]));
    let b = fixture.accept(&image("b", &on(&["d"]), &["x"]));
    let c = fixture.accept(&image("c", &on(&["d"]), &["y"]));
    let a = fixture.accept(&image("a", &on(&["b", "c"]), &[]));
    assert_eq!(rendered(&a).trees(), [&a, &c, &d, &b].map(Image::rootfs));
}

#[test]
fn a_diamond_of_diamonds_is_no_explosion_and_depth_no_limit() {
    let fixture = Fixture::new();
    fixture.accept(&image("n0", "", &["x"]));
    for level in 1..=30 {
        let below = format!("n{}", level - 1);
        let other = format!("m{level}");
        fixture.accept(&image(&other, &on(&[&below]), &[]));
        fixture.accept(&image(&format!("n{level}"), &on(&[&other, &below]), &[]));
    }
    let top = fixture.store().find("n30", &rkt_appc::Labels::default()).unwrap();
    // So many are merged: old kernels stack no more than a few.
    let rendering = rendered(&top);
    assert_eq!(rendering.trees().len(), 1);
    assert_eq!(rendering.needs().len(), 62);
    assert_eq!(whose(&rendering.trees()[0]), pairs(&[("x", "n0")]));
}

#[test]
fn i12_images_that_depend_on_each_other_are_refused_and_the_circle_is_shown() {
    let fixture = Fixture::new();
    let versioned = r#","labels":[{"name":"version","value":"7"}]"#;
    let a = fixture.accept(&image("a", &on(&["b"]), &[]));
    fixture.accept(&image("b", &format!("{}{versioned}", on(&["c"])), &[]));
    fixture.accept(&image("c", &on(&["b"]), &[]));
    assert_eq!(refused(&a), "dependencies go in a circle: b:7 → c → b:7");
    let own = fixture.accept(&image("own", &on(&["own"]), &[]));
    assert_eq!(refused(&own), "dependencies go in a circle: own → own");
}

#[test]
fn what_is_missing_is_named_with_who_needs_it() {
    let fixture = Fixture::new();
    let id = format!("sha512-{}", "ab".repeat(32));
    for (fields, said) in [
        (
            on(&["gone"]),
            "top depends on gone, which is not in the store: fetch it first: no image named \"gone\"".into(),
        ),
        (
            r#","dependencies":[{"imageName":"gone","labels":[{"name":"version","value":"1"}]}]"#.to_owned(),
            "top depends on gone with version=1, which is not in the store: fetch it first".to_owned(),
        ),
        (
            format!(r#","dependencies":[{{"imageName":"gone","imageID":"{id}"}}]"#),
            format!("top depends on gone with the ID {id}, which is not in the store: fetch it first"),
        ),
    ] {
        let top = fixture.accept(&image("top", &fields, &[]));
        assert!(refused(&top).starts_with(&said), "{}", refused(&top));
    }
    // What is there and does not fit is told.
    fixture.accept(&image("gone", r#","labels":[{"name":"version","value":"2"}]"#, &[]));
    let fields = r#","dependencies":[{"imageName":"gone","labels":[{"name":"version","value":"1"}]}]"#;
    let top = fixture.accept(&image("top", fields, &[]));
    assert!(refused(&top).ends_with("there is one with version=2"), "{}", refused(&top));
}

#[test]
fn a_dependency_is_what_it_is_said_to_be() {
    let fixture = Fixture::new();
    let base = fixture.accept(&image("base", "", &["x"]));
    let (id, size) = (base.info.id.as_str(), base.info.archive_bytes);
    let top = |fields: String| fixture.accept(&image("top", &format!(r#","dependencies":[{{{fields}}}]"#), &[]));
    for id in [id, base.key().as_str()] {
        let top = top(format!(r#""imageName":"base","imageID":"{id}","size":{size}"#));
        assert_eq!(rendered(&top).trees().len(), 2);
    }
    let said = refused(&top(format!(r#""imageName":"other","imageID":"{id}""#)));
    assert!(said.contains("the image of that ID calls itself \"base\""), "{said}");
    let said = refused(&top(format!(r#""imageName":"base","size":{}"#, size + 1)));
    assert!(said.contains(&format!("base of {} bytes, but what is in the store has {size}", size + 1)), "{said}");
}

#[test]
fn of_several_that_fit_the_one_imported_last_is_meant_and_one_for_another_machine_does_not_fit() {
    let fixture = Fixture::new();
    let labels = |list: &[(&str, &str)]| {
        let list: Vec<String> =
            list.iter().map(|(name, value)| format!(r#"{{"name":"{name}","value":"{value}"}}"#)).collect();
        format!(r#","labels":[{}]"#, list.join(","))
    };
    let one = fixture.accept(&image("base", &labels(&[("version", "1")]), &[]));
    let two = fixture.accept(&image("base", &labels(&[("version", "2")]), &[]));
    let other = fixture.accept(&image("base", &labels(&[("os", "linux"), ("arch", "s390x")]), &[]));
    let below = |top: &Image| rendered(top).trees()[1].clone();
    let top = fixture.accept(&image("top", &on(&["base"]), &[]));
    assert_eq!(below(&top), two.rootfs());
    let first = r#","dependencies":[{"imageName":"base","labels":[{"name":"version","value":"1"}]}]"#;
    assert_eq!(below(&fixture.accept(&image("top", first, &[]))), one.rootfs());
    let foreign = labels(&[("os", "linux"), ("arch", "s390x")]);
    assert_eq!(below(&fixture.accept(&image("top", &format!("{}{foreign}", on(&["base"])), &[]))), other.rootfs());
    // Whatever was fetched without a version is what is meant by none.
    one.mark_latest();
    assert_eq!(below(&top), one.rootfs());
}

#[test]
fn a_dependency_found_by_its_name_needs_who_vouches_for_it() {
    let fixture = Fixture::new();
    let base = fixture.accept(&image("base", "", &[]));
    let top = fixture.accept(&image("top", &on(&["base"]), &[]));
    let said = chain(&top.render(Verification::Required).unwrap_err());
    assert!(said.contains("top depends on base") && said.contains("--insecure-options=image"), "{said}");
    let by_id = format!(r#","dependencies":[{{"imageName":"base","imageID":"{}"}}]"#, base.info.id);
    assert!(fixture.accept(&image("top", &by_id, &[])).render(Verification::Required).is_ok());
}

#[test]
fn an_images_own_whitelist_leaves_out_what_it_does_not_list() {
    let fixture = Fixture::new();
    let paths = ["bin/a", "bin/b", "empty/", "kept/", "etc/x"];
    let some = fixture.accept(&image("some", &only(&["/bin/a", "/kept/"]), &paths));
    let seen = tree(&rendered(&some).trees()[0]);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["bin/", "bin/a", "kept/"]);
    // The image itself has all.
    assert_eq!(tree(&some.rootfs()).len(), 7);
}

#[test]
fn whitelists_hold_for_what_lies_below_them() {
    let fixture = Fixture::new();
    fixture.accept(&image("d", "", &["a", "b", "c", "d", "e/f"]));
    fixture.accept(&image("c", &format!("{}{}", on(&["d"]), only(&["/b", "/c", "/d"])), &["c", "x"]));
    fixture.accept(&image("b", "", &["a", "y"]));
    let a =
        fixture.accept(&image("a", &format!("{}{}", on(&["b", "c"]), only(&["/a", "/b", "/c", "/x", "/z"])), &["z"]));
    // `/d` is not on a's, `/x` not on c's; what b has is on a's or gone.
    assert_eq!(whose(&rendered(&a).trees()[0]), pairs(&[("a", "b"), ("b", "d"), ("c", "c"), ("z", "a")]));
    let free = fixture.accept(&image("free", &on(&["b", "c"]), &[]));
    let seen = whose(&rendered(&free).trees()[0]);
    assert_eq!(seen, pairs(&[("a", "b"), ("b", "d"), ("c", "c"), ("d", "d"), ("y", "b")]));
}

#[test]
fn under_what_is_no_directory_nothing_from_below_is_seen() {
    let fixture = Fixture::new();
    fixture.accept(&image("low", "", &["p/low", "q/low", "r"]));
    fixture.accept(&image("middle", &on(&["low"]), &["p", "q/middle", "r/middle"]));
    let top = fixture.accept(&image("top", &on(&["middle"]), &["p/top", "q/top"]));
    let seen = whose(&one_tree(rendered(&top).trees()).unwrap());
    let expected =
        [("p/top", "top"), ("q/low", "low"), ("q/middle", "middle"), ("q/top", "top"), ("r/middle", "middle")];
    assert_eq!(seen, pairs(&expected));
}

#[test]
fn files_of_a_merged_tree_are_those_of_the_images_and_directories_have_what_the_topmost_has() {
    let fixture = Fixture::new();
    let manifest = |name: &str, fields: &str| {
        format!(r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"{name}"{fields}}}"#).into_bytes()
    };
    let low = Tar(Vec::new())
        .file("manifest", &manifest("low", ""))
        .dir("rootfs/")
        .block(Block::new(b'5', b"rootfs/d").mode(0o700).owner(1, 2))
        .entry(Block::new(b'0', b"rootfs/d/s").mode(0o4755).owner(3, 4), b"x")
        .hard_link("rootfs/again", "rootfs/d/s")
        .symlink("rootfs/link", "d/s")
        .block(Block::new(b'6', b"rootfs/fifo"))
        .end();
    let low = fixture.accept(&low);
    let top = Tar(Vec::new())
        .file("manifest", &manifest("top", &on(&["low"])))
        .block(Block::new(b'5', b"rootfs").mode(0o711).owner(5, 6))
        .pax(&[("SCHILY.xattr.user.mark", b"yes"), ("mtime", b"1000.5")])
        .block(Block::new(b'5', b"rootfs/d").mode(0o1777).owner(7, 8))
        .end();
    let one = one_tree(rendered(&fixture.accept(&top)).trees()).unwrap();
    let directory = fs::metadata(one.join("d")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.uid(), directory.gid()), (0o1777, 7, 8));
    assert_eq!((directory.mtime(), directory.mtime_nsec()), (1000, 500_000_000));
    let mut mark = [0; 3];
    assert_eq!(rustix::fs::getxattr(one.join("d"), "user.mark", &mut mark).unwrap(), 3);
    let root = fs::metadata(&one).unwrap();
    assert_eq!((root.permissions().mode() & 0o7777, root.uid()), (0o711, 5));
    for name in ["d/s", "again", "link", "fifo"] {
        let inode = |root: &Path| fs::symlink_metadata(root.join(name)).unwrap().ino();
        assert_eq!(inode(&one), inode(&low.rootfs()), "{name}");
    }
    assert_eq!(fs::metadata(one.join("d/s")).unwrap().mode() & 0o7777, 0o4755);
}
