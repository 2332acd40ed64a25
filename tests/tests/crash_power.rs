//! A power cut at any write: what was made durable is there and whole, and what was not is not there at all.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rkt_tests::disk::{Cut, Disk, Past, contents};
use rkt_tests::kills::{is_all, spread};
use rkt_tests::{Rkt, images};
use serde_json::Value;

/// How many cuts are looked at where not all of them are.
const SPREAD: u64 = 24;

/// Something that is durable from one position of the disk until it is asked to go, at another.
#[derive(Debug)]
struct Promise<T> {
    what: T,
    from: usize,
    until: usize,
}

impl<T> Promise<T> {
    /// Whether what is on the disk for certain has to have it.
    fn holds(&self, certain: usize) -> bool {
        (self.from..self.until).contains(&certain)
    }
}

/// All that commands have said to be done, and what it has to look like.
#[derive(Debug, Default)]
struct Promises {
    /// Images by their keys, and all that is in their directories.
    images: BTreeMap<String, Promise<Vec<(PathBuf, String)>>>,
    /// Prepared pods by their UUIDs, and what they say.
    prepared: BTreeMap<String, Promise<&'static str>>,
}

fn image_directory(rkt: &Rkt, key: &str) -> PathBuf {
    rkt.data().join("cas/image").join(key)
}

/// What an image is: all that is in its directory but the empty files whose times say when it was used and imported.
fn image_of(rkt: &Rkt, key: &str) -> Vec<(PathBuf, String)> {
    let is_note = |path: &PathBuf| ["imported", "latest", "used"].iter().any(|note| path.as_os_str() == *note);
    contents(&image_directory(rkt, key)).into_iter().filter(|(path, _)| !is_note(path)).collect()
}

fn keys(rkt: &Rkt) -> Vec<String> {
    let entries = fs::read_dir(rkt.data().join("cas/image")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Fetches an image, and notes what is promised then.
fn fetch(rkt: &Rkt, disk: &Disk, promises: &mut Promises, image: &str) {
    let key = rkt.run(["fetch", "--full", image]).succeeds().stdout.trim_end().to_owned();
    let from = disk.position();
    let what = image_of(rkt, &key);
    promises.images.insert(key, Promise { what, from, until: usize::MAX });
}

/// Prepares a pod that says its word.
fn prepare(rkt: &Rkt, disk: &Disk, promises: &mut Promises, image: &str) -> String {
    let prepared = rkt.run(["prepare", "--stage1=fly", image, "--exec=/probe", "--", "say", "prepared"]).succeeds();
    let uuid = prepared.stdout.trim_end().to_owned();
    promises.prepared.insert(uuid.clone(), Promise { what: "prepared", from: disk.position(), until: usize::MAX });
    uuid
}

/// What is on the disk after a cut is what was promised, or nothing; the rest is garbage and goes; and all can be
/// done again.
fn is_sound(rkt: &Rkt, promises: &Promises, certain: usize, files: &[String]) {
    rkt.run(["image", "list"]).succeeds();
    let there = keys(rkt);
    for (key, promise) in &promises.images {
        assert!(there.contains(key) || !promise.holds(certain), "image {key} is gone");
    }
    for key in &there {
        let promise = promises.images.get(key).unwrap_or_else(|| panic!("image {key} came from nowhere"));
        assert!(image_of(rkt, key) == promise.what, "image {key} is torn");
    }
    let listed: Value = rkt.run(["list", "--full", "--format=json"]).succeeds().json();
    let prepared = listed.as_array().into_iter().flatten().filter(|pod| pod["state"] == "prepared");
    let prepared: Vec<&str> = prepared.map(|pod| pod["name"].as_str().unwrap()).collect();
    for (uuid, promise) in &promises.prepared {
        assert!(prepared.contains(&uuid.as_str()) || !promise.holds(certain), "the prepared pod {uuid} is gone");
    }
    for uuid in prepared {
        let promise = &promises.prepared[uuid];
        let said = rkt.run(["run-prepared", uuid]).succeeds();
        assert_eq!(said.stdout, format!("{}\n", promise.what), "{uuid}");
    }
    rkt.collect();
    assert_eq!(fs::read_dir(rkt.data().join("cas/tmp")).into_iter().flatten().count(), 0, "what is left of imports");
    for file in files {
        rkt.run(["fetch", file]).succeeds();
    }
    assert_eq!(rkt.run(["run", "--stage1=fly", &files[0]]).succeeds().stdout, "whole\n");
}

#[test]
#[allow(clippy::print_stderr, reason = "the figures are for whoever looks")]
fn after_a_power_cut_at_any_write_each_image_and_prepared_pod_is_whole_or_absent() {
    let rkt = Rkt::new();
    let small = rkt.image("small", &images::hello().exec(["/probe", "say", "whole"]));
    let more = images::probe("more").file("a/file", 0o4755, &vec![7; 200_000]).symlink("a/link", "file");
    let more =
        rkt.image("more", &(0..40).fold(more, |image, n| image.file(&format!("many/{n}"), 0o644, b"one of many")));
    let files = [small, more];

    let disk = Disk::under(&rkt);
    let mut promises = Promises::default();
    fetch(&rkt, &disk, &mut promises, &files[0]);
    prepare(&rkt, &disk, &mut promises, &files[0]);
    fetch(&rkt, &disk, &mut promises, &files[1]);
    rkt.run(["run", "--stage1=fly", &files[0]]).succeeds();
    let gone = prepare(&rkt, &disk, &mut promises, &files[0]);
    promises.prepared.get_mut(&gone).unwrap().until = disk.position();
    rkt.run(["run-prepared", &gone]).succeeds();
    rkt.run(["gc", "--grace-period=0s"]).succeeds();
    let mut past = disk.into_past();

    let cuts = past.cuts();
    let number = if is_all() { cuts.len() } else { usize::try_from(SPREAD).unwrap() };
    let tried: Vec<Cut> =
        spread(cuts.len() as u64, number as u64).map(|at| cuts[usize::try_from(at).unwrap() - 1]).collect();
    for cut in &tried {
        look(&rkt, &mut past, &promises, *cut, &files);
    }
    eprintln!("power: {} writes, {} of {} cuts looked at", past.writes(), tried.len(), cuts.len());
}

#[allow(clippy::print_stderr, reason = "it is for whoever looks for the reason")]
fn look(rkt: &Rkt, past: &mut Past, promises: &Promises, cut: Cut, files: &[String]) {
    struct Told(Cut);
    impl Drop for Told {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("that was with a power cut {:?}", self.0);
            }
        }
    }
    let told = Told(cut);
    let certain = past.certain(cut);
    past.after(cut, || is_sound(rkt, promises, certain, files));
    drop(told);
}
