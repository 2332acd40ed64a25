//! Commands that change the store, killed at their system calls: what is left is sound, goes with the next
//! collection, and the same command succeeds.
//!
//! Each call that a command makes is one place to kill it at. A run takes some of them; all are taken where
//! `RKT_KILL_AT_EVERY_CALL` is set.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rkt_tests::aci::AciBuilder;
use rkt_tests::{Output, Rkt};
use serde_json::json;

/// Every which call is taken where not all are. Commands make the same calls each time: a prime takes different
/// ones of repeated steps.
const SAMPLE: usize = 23;

/// `rkt` with these words, traced.
fn traced(rkt: &Rkt, flags: &[&str], words: &[&str]) -> Output {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(flags).args(rkt.words(words)).stdin(Stdio::null()).current_dir(rkt.home());
    Output::of(&mut command)
}

/// The calls that a command makes, by name, and how many of each its busiest thread makes.
fn calls(rkt: &Rkt, words: &[&str]) -> Vec<(String, usize)> {
    let log = rkt.home().join("calls");
    traced(rkt, &["-o", log.to_str().unwrap()], words).succeeds();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        if let Some((name, _)) = rest.trim_start().split_once('(')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            *counts.entry((name.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    fs::remove_file(&log).unwrap();
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((name, _), count) in counts {
        let known = most.entry(name).or_default();
        *known = count.max(*known);
    }
    most.into_iter().collect()
}

/// Kills a command at its calls, one after the other. `prepare` is called before each attempt, and `check` after it with
/// what is to be said where something is wrong.
fn kill_at_calls(rkt: &Rkt, words: &[&str], prepare: &dyn Fn(), check: &dyn Fn(&str)) {
    prepare();
    let all = calls(rkt, words);
    check("it was not killed");
    let places = all.iter().flat_map(|(name, count)| (1..=*count).map(move |number| (name.as_str(), number)));
    let step = if std::env::var_os("RKT_KILL_AT_EVERY_CALL").is_some() { 1 } else { SAMPLE };
    let (mut attempts, mut killed) = (0, 0);
    for (name, number) in places.step_by(step) {
        // That is how the program itself begins; there is nothing to kill before it.
        if name == "execve" {
            continue;
        }
        prepare();
        let inject = format!("inject={name}:signal=KILL:when={number}");
        let output = traced(rkt, &["-o", "/dev/null", "-e", &format!("trace={name}"), "-e", &inject], words);
        attempts += 1;
        killed += usize::from(output.status.code().is_none());
        let what = format!("{words:?}, killed at {name} {number}");
        assert!(output.status.code().is_none() || output.status.success(), "{what}: {output}");
        check(&what);
    }
    // Threads do not take turns: now and then one makes a call less than before.
    assert!(killed * 10 >= attempts * 9, "{words:?}: only {killed} of {attempts} attempts came so far");
    if let Some(log) = std::env::var_os("RKT_KILL_AT_EVERY_CALL") {
        let line = format!("{}: killed at {killed} of {attempts} calls\n", words.join(" "));
        let file = fs::File::options().append(true).create(true).open(log).unwrap();
        std::io::Write::write_all(&mut &file, line.as_bytes()).unwrap();
    }
}

const NAMES: [&str; 2] = ["example.com/base", "example.com/top"];

/// The files of two images of which the second depends on the first and leaves out some of it.
fn two(rkt: &Rkt) -> [String; 2] {
    let base = AciBuilder::new(NAMES[0]).file("a/x", 0o644, b"x").file("a/y", 0o600, b"y").symlink("l", "a/x");
    let top = AciBuilder::new(NAMES[1]).file("a/z", 0o755, b"z").exec(["/a/z"]);
    let top = top.manifest("dependencies", json!([{"imageName": NAMES[0]}]));
    let top = top.manifest("pathWhitelist", json!(["/a/x", "/a/z"]));
    [rkt.image("base", &base), rkt.image("top", &top)]
}

fn listed(rkt: &Rkt) -> Vec<String> {
    let output = rkt.run(["image", "list", "--no-legend", "--fields=name", "--sort=name"]).succeeds();
    assert_eq!(output.stderr, "", "{output}");
    output.stdout.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Whatever is listed is whole, and what is not is swept.
fn assert_sound(rkt: &Rkt, what: &str) {
    let names = listed(rkt);
    rkt.run(["image", "gc"]).succeeds();
    assert_eq!(listed(rkt), names, "{what}");
    let left = |part: &str| fs::read_dir(rkt.data().join("cas").join(part)).into_iter().flatten().count();
    assert_eq!((left("tmp"), left("rendered"), left("image")), (0, 0, names.len()), "{what}");
    for name in &names {
        let output = rkt.run(["image", "verify", name]);
        assert!(output.status.success() && !output.stdout.contains("rebuilding"), "{what}: {output}");
    }
}

fn empty(rkt: &Rkt) {
    rkt.run(["image", "gc", "--grace-period=0s"]).succeeds();
    assert_eq!(listed(rkt), Vec::<String>::new());
}

#[test]
fn a_fetch_that_is_killed_at_any_call_leaves_whole_images_and_the_next_succeeds() {
    let rkt = Rkt::new();
    let [base, top] = two(&rkt);
    let fetch = ["fetch", &base, &top];
    let check = |what: &str| {
        assert_sound(&rkt, what);
        rkt.run(fetch).succeeds();
        assert_eq!(listed(&rkt), NAMES, "{what}");
        let rendered = rkt.home().join("rendered");
        rkt.run(["image", "render", "--overwrite", "--rootfs-only", NAMES[1], "rendered"]).succeeds();
        assert_eq!(names(&rendered.join("a")), ["x", "z"], "{what}");
    };
    kill_at_calls(&rkt, &fetch, &|| empty(&rkt), &check);
}

#[test]
fn a_removal_that_is_killed_at_any_call_leaves_whole_images_and_the_next_succeeds() {
    let rkt = Rkt::new();
    let [base, top] = two(&rkt);
    let remove = ["image", "rm", NAMES[0], NAMES[1]];
    let check = |what: &str| {
        // What depends on another goes first, or with it.
        let names = listed(&rkt);
        assert!(names != [NAMES[1]], "{what}");
        assert_sound(&rkt, what);
        if !names.is_empty() {
            rkt.run(["image", "rm"].into_iter().chain(names.iter().map(String::as_str))).succeeds();
        }
        assert_eq!(listed(&rkt), Vec::<String>::new(), "{what}");
    };
    kill_at_calls(&rkt, &remove, &|| drop(rkt.run(["fetch", &base, &top]).succeeds()), &check);
}

#[test]
fn a_collection_that_is_killed_at_any_call_leaves_whole_images_and_the_next_succeeds() {
    let rkt = Rkt::new();
    let [base, top] = two(&rkt);
    let check = |what: &str| {
        assert!(listed(&rkt) != [NAMES[1]], "{what}");
        assert_sound(&rkt, what);
        empty(&rkt);
    };
    let collect = ["image", "gc", "--grace-period=0s"];
    kill_at_calls(&rkt, &collect, &|| drop(rkt.run(["fetch", &base, &top]).succeeds()), &check);
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Kills a command that writes to `out/place`; `old` makes what is there before, and `is` says whether it is that, or what
/// is written.
fn writes(words: &[&str], old: &dyn Fn(&Path), is_old: &dyn Fn(&Path) -> bool, is_new: &dyn Fn(&Path) -> bool) {
    let rkt = Rkt::new();
    let [base, top] = two(&rkt);
    rkt.run(["fetch", &base, &top]).succeeds();
    let out = rkt.home().join("out");
    let place = out.join("place");
    let prepare = || {
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        old(&place);
        assert!(is_old(&place));
    };
    let check = |what: &str| {
        assert!(is_old(&place) || is_new(&place), "{what}");
        rkt.run(["image", "gc"]).succeeds();
        assert!(names(&out).is_empty() || names(&out) == ["place"], "{what}: {:?}", names(&out));
        assert!(is_old(&place) || is_new(&place), "{what}");
        if !is_new(&place) {
            rkt.run(words).succeeds();
        }
        assert!(is_new(&place), "{what}");
        assert_eq!(fs::read_dir(rkt.data().join("cas/tmp")).unwrap().count(), 0, "{what}");
    };
    kill_at_calls(&rkt, words, &prepare, &check);
}

fn nothing(_: &Path) {}

fn is_missing(place: &Path) -> bool {
    place.symlink_metadata().is_err()
}

#[test]
fn an_export_that_is_killed_at_any_call_leaves_a_whole_file_or_none() {
    let is_whole = |place: &Path| place.metadata().is_ok_and(|file| file.len() > 2048 && file.len() % 512 == 0);
    writes(&["image", "export", NAMES[1], "out/place"], &nothing, &is_missing, &is_whole);
}

#[test]
fn an_extraction_that_is_killed_at_any_call_leaves_the_old_directory_or_the_new() {
    let old = |place: &Path| {
        fs::create_dir(place).unwrap();
        fs::write(place.join("old"), "").unwrap();
    };
    let is_old = |place: &Path| place.is_dir() && names(place) == ["old"];
    let is_new = |place: &Path| place.is_dir() && names(place) == ["manifest", "rootfs"];
    writes(&["image", "extract", "--overwrite", NAMES[1], "out/place"], &old, &is_old, &is_new);
}

#[test]
fn a_rendering_that_is_killed_at_any_call_leaves_no_directory_or_a_whole_one() {
    let is_new = |place: &Path| place.is_dir() && names(place) == ["a"] && names(&place.join("a")) == ["x", "z"];
    writes(&["image", "render", "--rootfs-only", NAMES[1], "out/place"], &nothing, &is_missing, &is_new);
}
