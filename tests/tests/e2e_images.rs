//! Images: what they depend on, how they are looked at, written out and removed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rkt_tests::aci::{AciBuilder, Compression};
use rkt_tests::{FLAVORS, Output, Rkt, images};
use serde_json::{Value, json};

/// An image that depends on others, by their names.
fn on(image: AciBuilder, names: &[&str]) -> AciBuilder {
    let list: Vec<Value> = names.iter().map(|name| json!({"imageName": format!("example.com/{name}")})).collect();
    image.manifest("dependencies", json!(list))
}

fn only(image: AciBuilder, paths: &[&str]) -> AciBuilder {
    image.manifest("pathWhitelist", json!(paths))
}

/// An image with files of these paths, whose contents are `NAME PATH` and a line's end.
fn files(name: &str, paths: &[&str]) -> AciBuilder {
    let add = |image: AciBuilder, path: &&str| image.file(path, 0o644, format!("{name} {path}\n").as_bytes());
    paths.iter().fold(AciBuilder::new(&format!("example.com/{name}")), add)
}

fn fetch(rkt: &Rkt, name: &str, image: &AciBuilder) -> String {
    let file = rkt.image(name, image);
    rkt.run(["fetch", "--full", &file]).succeeds().stdout.trim_end().to_owned()
}

/// A data directory with an app whose program, users and files are in three images.
fn three(rkt: &Rkt) {
    let probe = images::probe("program").file("etc/passwd", 0o644, b"alice:x:1000:1001::/:/x\n");
    let probe = probe.file("etc/group", 0o644, b"alice:x:1001:\n");
    fetch(rkt, "program", &probe);
    fetch(rkt, "data", &files("data", &["data/one", "data/two"]));
    let top = on(files("top", &["data/two", "data/three"]), &["program", "data"]);
    fetch(
        rkt,
        "top",
        &top.exec(["/probe", "list", "/data", "+", "show", "/data/one", "/data/two"]).user("alice", "alice"),
    );
}

#[test]
fn an_app_sees_the_files_of_all_that_its_image_depends_on() {
    let rkt = Rkt::new();
    three(&rkt);
    let expected = ["one", "three", "two", "data data/one", "top data/two"];
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, "example.com/top"]).succeeds();
        assert_eq!(output.lines_of("top"), expected, "{flavor}");
        // Users are those of whichever image has the files.
        let output = rkt.run(["run", flavor, "example.com/top", "--exec=/probe", "--", "rights"]).succeeds();
        assert!(output.stdout.contains("1000") && output.stdout.contains("1001"), "{flavor}: {output}");
        // What it writes is its own.
        let write = ["write", "/data/one", "changed", "+", "show", "/data/one"];
        rkt.run(["run", flavor, "example.com/top", "--user=0", "--exec=/probe", "--"].iter().chain(&write)).succeeds();
        assert_eq!(rkt.run(["run", flavor, "example.com/top"]).succeeds().lines_of("top"), expected);
    }
    assert!(!rkt.data().join("cas/rendered").read_dir().unwrap().any(|_| true), "nothing had to be merged");
    rkt.run(["plan", "example.com/top"]).succeeds();
    rkt.collect();
}

#[test]
fn a_whitelist_leaves_out_what_it_does_not_list_and_the_tree_is_made_once() {
    let rkt = Rkt::new();
    three(&rkt);
    let listed = only(on(files("listed", &["data/four"]), &["top"]), &["/probe", "/data/one", "/data/four"]);
    fetch(&rkt, "listed", &listed.exec(["/probe", "list", "/data"]));
    let trees = || fs::read_dir(rkt.data().join("cas/rendered")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(trees().count(), 1, "a fetch leaves nothing to be made");
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, "example.com/listed"]).succeeds();
        assert_eq!(output.lines_of("listed"), ["four", "one"], "{flavor}");
    }
    assert_eq!(trees().count(), 1);
    // A pod that is there, also one that has ended, keeps it.
    rkt.run(["image", "gc", "--grace-period=0s"]).succeeds();
    assert_eq!(trees().count(), 1);
    rkt.collect();
    let output = rkt.run(["image", "gc"]).succeeds();
    assert!(output.stderr.contains("removed treestore \"deps-sha512-"), "{output}");
    assert_eq!(trees().count(), 0);
    rkt.run(["run", "example.com/listed"]).succeeds();
    rkt.collect();
}

#[test]
fn what_is_missing_or_goes_in_circles_is_said_and_nothing_is_left() {
    let rkt = Rkt::new();
    let top = rkt.image("top", &on(images::probe("top").exec(["/probe", "say", "x"]), &["base"]));
    let words = ["example.com/top depends on example.com/base, which is not in the store: fetch it first"];
    rkt.run(["fetch", &top]).refuses(&words);
    rkt.run(["run", &top]).refuses(&words);
    rkt.run(["plan", "example.com/top"]).refuses(&words);
    rkt.assert_no_pods();
    // In one line the order does not matter.
    let base = rkt.image("base", &files("base", &["x"]));
    rkt.run(["fetch", &top, &base]).succeeds();
    rkt.run(["run", &top]).succeeds();
    let base = rkt.image("base", &on(files("base", &["y"]), &["top"]));
    let circle = |order: &str| format!("dependencies go in a circle: {}", order.replace('/', "example.com/"));
    rkt.run(["fetch", &base]).refuses(&[&circle("/base → /top → /base")]);
    rkt.run(["run", &top]).refuses(&[&circle("/top → /base → /top")]);
    rkt.collect();
}

#[test]
fn an_id_that_several_images_share_is_answered_with_them() {
    let rkt = Rkt::new();
    let keys: Vec<String> = (0..40).map(|number| fetch(&rkt, "a", &files("a", &[&format!("{number}")]))).collect();
    let two = &keys[0][..="sha512-".len()];
    rkt.run(["image", "cat-manifest", two]).refuses(&["image ID too short"]);
    let (start, all) = keys
        .iter()
        .find_map(|key| {
            let start = &key[.."sha512-".len() + 2];
            let all: Vec<&String> = keys.iter().filter(|other| other.starts_with(start)).collect();
            (all.len() > 1).then(|| (start.to_owned(), all))
        })
        .expect("two of these images, which are ever the same, begin alike");
    let refused = rkt.run(["run", &start]).refuses(&[&format!("ambiguous image ID: {start:?}")]);
    assert!(all.iter().all(|key| refused.stderr.contains(key.as_str())), "{refused}");
    rkt.run(["run", "sha512-zz"]).refuses(&["no image named \"sha512-zz\""]);
    rkt.assert_no_pods();
}

#[test]
fn images_are_removed_unless_a_pod_or_an_image_needs_them() {
    let rkt = Rkt::new();
    three(&rkt);
    let running = rkt.image("running", &images::probe("running").exec(["/probe", "wait"]));
    let pod = rkt.start([&running]);
    let refused = rkt.run(["image", "rm", "example.com/running"]);
    refused.refuses(&[&format!("is used by pod {}", pod.uuid), "1 image(s) cannot be removed", "error(s) found while"]);
    let refused = rkt.run(["image", "rm", "example.com/data", "nobody"]);
    refused.refuses(&[
        "is what example.com/top depends on",
        "no image named \"nobody\"",
        "2 image(s) cannot be removed",
    ]);
    rkt.run(["image", "gc", "--grace-period=0s"]).succeeds();
    let names = || {
        let listed = rkt.run(["image", "list", "--no-legend", "--fields=name"]).succeeds().stdout;
        listed.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["example.com/running"]);
    pod.end();
    // It has ended, and can still be looked at.
    rkt.run(["image", "rm", "example.com/running"]).refuses(&["is used by pod"]);
    rkt.collect();
    let removed = rkt.run(["image", "rm", "example.com/running"]).succeeds();
    assert!(removed.stdout.starts_with("successfully removed aci for image: \"sha512-"), "{removed}");
    assert_eq!(removed.stderr, "rm: 1 image(s) successfully removed\n");
    assert_eq!(names(), Vec::<String>::new());
    rkt.run(["image", "rm"]).ends_with(254);
    // All at once, in whatever order.
    three(&rkt);
    let removed = rkt.run(["image", "rm", "example.com/data", "example.com/program", "example.com/top"]).succeeds();
    assert_eq!(removed.stderr, "rm: 3 image(s) successfully removed\n");
    assert_eq!(fs::read_dir(rkt.data().join("cas/tmp")).unwrap().count(), 0);
}

#[test]
fn what_a_prepared_pod_needs_stays_until_it_has_run() {
    let rkt = Rkt::new();
    three(&rkt);
    let uuid = rkt.run(["prepare", "example.com/top"]).succeeds().stdout.trim_end().to_owned();
    // What it depends on by then is what it was prepared with.
    fetch(&rkt, "data", &files("data", &["data/other"]));
    for name in ["example.com/program", "example.com/top"] {
        rkt.run(["image", "rm", name]).refuses(&[&format!("is used by pod {uuid}")]);
    }
    rkt.run(["image", "gc", "--grace-period=0s"]).succeeds();
    let output = rkt.run(["run-prepared", &uuid]).succeeds();
    assert_eq!(output.lines_of("top"), ["one", "three", "two", "data data/one", "top data/two"]);
    rkt.collect();
    rkt.run(["image", "gc", "--grace-period=0s"]).succeeds();
    assert_eq!(rkt.run(["image", "list", "--no-legend"]).succeeds().stdout, "");
}

#[test]
fn where_it_is_not_known_what_a_pod_needs_nothing_is_removed() {
    let rkt = Rkt::new();
    let key = fetch(&rkt, "hello", &images::hello());
    let pod = rkt.data().join("pods/run/0c3ab969-8b6d-4f8c-9f2c-6a6f3d6b7c1e");
    fs::create_dir_all(&pod).unwrap();
    fs::write(pod.join("pod"), "{").unwrap();
    for command in [["image", "rm", &key], ["image", "gc", "--grace-period=0s"]] {
        rkt.run(command).refuses(&["it is not known which images pod \"0c3ab969-", "rkt gc"]);
        assert!(directory(&rkt, &key).is_dir());
    }
    rkt.run(["gc", "--grace-period=0s"]).succeeds();
    rkt.run(["image", "rm", &key]).succeeds();
    rkt.collect();
}

#[test]
fn an_image_that_a_dependency_makes_a_pod_need_stays() {
    let rkt = Rkt::new();
    three(&rkt);
    let pod = rkt.start(["example.com/top", "--exec=/probe", "--", "wait"]);
    for name in ["example.com/data", "example.com/program", "example.com/top"] {
        rkt.run(["image", "rm", name]).refuses(&[&format!("is used by pod {}", pod.uuid)]);
    }
    rkt.run(["image", "gc", "--grace-period=0s"]).succeeds();
    rkt.run(["enter", &pod.uuid, "/probe", "show", "/data/one"]).succeeds();
    pod.end();
    rkt.collect();
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_image_is_exported_extracted_and_rendered() {
    let rkt = Rkt::new();
    three(&rkt);
    let out = rkt.home().join("out");
    let path = |name: &str| out.join(name).to_str().unwrap().to_owned();
    fs::create_dir(&out).unwrap();
    let packed = images::hello();
    let file = rkt.home().join("hello.aci");
    packed.write(&file, Compression::Gzip);
    rkt.run(["fetch", file.to_str().unwrap()]).succeeds();

    let exported = path("hello.aci");
    assert_eq!(rkt.run(["image", "export", "example.com/hello", &exported]).succeeds().stdout, "");
    assert_eq!(fs::read(&exported).unwrap(), packed.bytes(Compression::None));
    let export = ["image", "export", "example.com/hello", &exported];
    rkt.run(export).refuses(&["export: output ACI file exists (try --overwrite)"]);
    rkt.run(export.iter().chain(&["--overwrite"])).succeeds();

    rkt.run(["image", "extract", "example.com/top", &path("extracted")]).succeeds();
    assert_eq!(names(&out.join("extracted")), ["manifest", "rootfs"]);
    assert_eq!(names(&out.join("extracted/rootfs/data")), ["three", "two"]);
    rkt.run(["image", "render", "--rootfs-only", "example.com/top", &path("rendered")]).succeeds();
    assert_eq!(names(&out.join("rendered")), ["data", "etc", "probe"]);
    assert_eq!(names(&out.join("rendered/data")), ["one", "three", "two"]);
    for command in ["extract", "render"] {
        rkt.run(["image", command, "example.com/top", &path("rendered")])
            .refuses(&[&format!("{command}: output directory exists (try --overwrite)")]);
        rkt.run(["image", command, "--overwrite", "example.com/top", "/"])
            .refuses(&["this would delete your root filesystem. Refusing."]);
        rkt.run(["image", command, "--overwrite", "example.com/top", &path("rendered")]).succeeds();
        assert_eq!(names(&out.join("rendered")), ["manifest", "rootfs"]);
    }
    assert_eq!(names(&out), ["extracted", "hello.aci", "rendered"]);
    rkt.run(["image", "export", "nobody", &exported]).refuses(&["export: no image named \"nobody\" in the store"]);
    rkt.run(["image", "extract", "./hello.aci", &exported]).refuses(&["is no image of the store", "hint: "]);
}

#[test]
fn a_manifest_is_printed_as_it_was_meant() {
    let rkt = Rkt::new();
    let key = fetch(&rkt, "hello", &images::hello().manifest("unknown", json!({"ignored": true})));
    let output = rkt.run(["image", "cat-manifest", &key[..12]]).succeeds();
    assert!(output.stdout.starts_with("{\n\t\"acKind\": \"ImageManifest\",\n"), "{output}");
    assert_eq!(output.json()["name"], "example.com/hello");
    let output = rkt.run(["image", "cat-manifest", "--pretty-print=false", "example.com/hello"]).succeeds();
    assert_eq!(output.stdout.lines().count(), 1);
    assert!(output.json().get("unknown").is_none());
}

/// Changes one bit of a file, and nothing else that could tell.
fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(modified).unwrap();
}

fn directory(rkt: &Rkt, key: &str) -> PathBuf {
    rkt.data().join("cas/image").join(key)
}

#[test]
fn damage_is_found_and_what_can_be_made_anew_is() {
    let rkt = Rkt::new();
    let key = fetch(&rkt, "hello", &images::hello());
    let sound = format!("successfully verified checksum for image: \"example.com/hello\" (\"{key}\")\n");
    let verify = || rkt.run(["image", "verify", "example.com/hello"]);
    assert_eq!(verify().succeeds().stdout, sound);
    flip(&directory(&rkt, &key).join("rootfs/probe"), 4711);
    let damage =
        "tree cache verification failed for image example.com/hello: \"/probe\" has another content;  rebuilding...\n";
    assert_eq!(verify().succeeds().stdout, format!("{damage}{sound}"));
    assert_eq!(verify().succeeds().stdout, sound);
    rkt.run(["run", "example.com/hello"]).succeeds();
    flip(&directory(&rkt, &key).join("rootfs/probe"), 4711);
    verify().refuses(&["cannot be made anew while it is used", "is used by pod", "error(s) found while verifying"]);
    rkt.collect();
    verify().succeeds();
    flip(&directory(&rkt, &key).join("archive"), 4711);
    verify().refuses(&["the archive of image sha512-", "remove the image with rkt image rm, and fetch it again"]);
    rkt.run(["image", "export", "example.com/hello", "out.aci"]).refuses(&["is damaged"]);
    rkt.run(["image", "rm", "example.com/hello"]).succeeds();
    fetch(&rkt, "hello", &images::hello());
    assert_eq!(verify().succeeds().stdout, sound);
}

#[test]
fn images_are_listed_by_any_column_in_either_order_and_format() {
    let rkt = Rkt::new();
    let small = fetch(&rkt, "small", &files("small", &["x"]).label("version", "1.0"));
    let large = fetch(&rkt, "large", &AciBuilder::new("example.com/large").file("x", 0o644, &vec![7; 2 << 20]));
    let list = |words: &[&str]| rkt.run(["image", "list"].iter().chain(words)).succeeds().stdout;
    let cells = |words: &[&str]| {
        let text = list(words);
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let text = list(&[]);
    let head: Vec<&str> = text.lines().next().unwrap().split('\t').filter(|cell| !cell.is_empty()).collect();
    assert_eq!(head, ["ID", "NAME", "SIZE", "IMPORT TIME", "LAST USED"]);
    assert!(text.contains(&small[..19]) && !text.contains(&small[..20]), "{text}");
    for (sort, order, first) in [
        ("name", "asc", "example.com/large"),
        ("name", "desc", "example.com/small:1.0"),
        ("size", "asc", "example.com/small:1.0"),
        ("size", "desc", "example.com/large"),
        ("importtime", "asc", "example.com/small:1.0"),
        ("importtime", "desc", "example.com/large"),
    ] {
        let flags = ["--no-legend", "--fields=name", &format!("--sort={sort}"), &format!("--order={order}")];
        assert_eq!(cells(&flags)[0], first, "{flags:?}");
    }
    // What is fetched again is imported last, and what is run is used last.
    rkt.run(["fetch", rkt.home().join("small.aci").to_str().unwrap()]).succeeds();
    assert_eq!(cells(&["--no-legend", "--fields=name", "--order=desc"])[0], "example.com/small:1.0");
    let sizes = rkt.run(["image", "list", "--format=json", "--sort=name"]).succeeds().json();
    for (image, key) in sizes.as_array().unwrap().iter().zip([&large, &small]) {
        let archive = fs::metadata(directory(&rkt, key).join("archive")).unwrap().len();
        let content = fs::metadata(directory(&rkt, key).join("rootfs/x")).unwrap().len();
        assert_eq!(image["size"], archive + content);
        assert_eq!(image["id"], **key);
        assert!(image["import_time"].as_u64() > Some(1_600_000_000_000_000_000), "{image}");
        assert!(image["last_used_time"].is_u64(), "{image}");
    }
    assert_eq!(list(&["--format=json"]).lines().count(), 1);
    assert!(list(&["--full", "--fields=id,size", "--no-legend"]).contains(&large));
    rkt.run(["image", "list", "--order=sideways"]).ends_with(254);
    rkt.run(["image", "list", "--fields=colour"]).ends_with(254);
    // One that is damaged hides no other.
    fs::write(directory(&rkt, &large).join("info"), "{").unwrap();
    let output = rkt.run(["image", "list"]).succeeds();
    assert!(output.stdout.contains("example.com/small") && output.stderr.contains("is damaged"), "{output}");
    rkt.run(["image", "rm", &large]).succeeds();
}

#[test]
fn the_store_of_an_older_rkt_is_left_alone_and_said_to_be_there() {
    let rkt = Rkt::new();
    let cas = rkt.data().join("cas");
    let blob = cas.join("blob/sha512/ab/sha512-ab0123");
    for path in [&cas.join("db/ql.db"), &cas.join("tree/deps-sha512-ab/rendered"), &cas.join("tmp/partial"), &blob] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, images::hello().bytes(Compression::None)).unwrap();
    }
    let says = |output: Output| {
        assert!(output.stderr.contains("is the store of an older rkt, which is left alone and not read"), "{output}");
    };
    says(rkt.run(["image", "list"]).succeeds());
    says(rkt.run(["run", "example.com/hello"]).ends_with(254));
    rkt.run(["image", "gc", "--grace-period=0s"]).succeeds();
    rkt.run(["gc"]).succeeds();
    // What it says can be done.
    rkt.run(["fetch", blob.to_str().unwrap()]).succeeds();
    rkt.run(["run", "example.com/hello"]).succeeds();
    rkt.collect();
    rkt.run(["image", "rm", "example.com/hello"]).succeeds();
    for path in ["db/ql.db", "tree/deps-sha512-ab/rendered", "tmp/partial", "blob/sha512/ab/sha512-ab0123"] {
        assert!(cas.join(path).is_file(), "{path}");
    }
}

#[test]
fn images_of_plugins_are_kept_for_their_pods_and_are_whole() {
    let rkt = Rkt::new();
    let dependent = rkt.image("plugin", &on(files("plugin", &["plugin.wasm"]), &["plugin"]));
    let hello = rkt.image("hello", &images::hello());
    rkt.run(["run", &format!("--stage1={dependent}"), &hello]).refuses(&["a plugin's has neither"]);
    rkt.assert_no_pods();
}
