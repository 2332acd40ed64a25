//! Many commands at once on one data directory: each does what it says, and none waits for ever.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::thread;
use std::time::Duration;

use rkt_tests::{Output, Rkt};

/// How many there are at once.
const CROWD: u32 = 200;
/// When somebody waits for somebody for ever: the whole takes less than a minute on two processors.
const DEADLINE: Duration = Duration::from_mins(5);
/// What every image here says.
const SAID: &str = "here";

/// What one of the crowd does, one command after the other.
#[derive(Debug, Clone, Copy)]
enum Mix {
    RunAndLook,
    RunAndRemove,
    StartAndStop,
    PrepareAndRun,
    PrepareAndRemove,
    FetchAndList,
    Collect,
}

const MIXES: [Mix; 7] = [
    Mix::RunAndLook,
    Mix::RunAndRemove,
    Mix::StartAndStop,
    Mix::PrepareAndRun,
    Mix::PrepareAndRemove,
    Mix::FetchAndList,
    Mix::Collect,
];

/// The same numbers each time, in no order that anybody chose (Numerical Recipes' generator).
fn numbers(seed: u32) -> impl Iterator<Item = usize> {
    let next = |number: &u32| Some(number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).skip(1).map(|number| usize::try_from(number >> 16).unwrap())
}

/// One of the crowd.
struct Member<'a> {
    rkt: &'a Rkt,
    number: u32,
    images: &'a [String],
    flavor: &'static str,
}

impl Member<'_> {
    fn does(&self, mix: Mix) {
        match mix {
            Mix::RunAndLook => {
                let uuid = self.run();
                self.is_known(&uuid);
            }
            Mix::RunAndRemove => {
                let uuid = self.run();
                let removed = self.rkt(&["rm", &uuid]);
                assert!(removed.status.success() || is_told_to_be_gone(&removed), "{removed}");
                self.is_known(&uuid);
            }
            Mix::StartAndStop => self.start_and_stop(),
            Mix::PrepareAndRun => {
                let uuid = self.prepare();
                let ran = self.rkt(&["run-prepared", &uuid]).succeeds();
                assert!(ran.stdout.contains(SAID), "{ran}");
                self.is_known(&uuid);
            }
            Mix::PrepareAndRemove => {
                let uuid = self.prepare();
                self.rkt(&["rm", &uuid]).succeeds();
            }
            Mix::FetchAndList => {
                self.rkt(&["fetch", self.image()]).succeeds();
                for words in [&["image", "list"][..], &["list"], &["list", "--full", "--format=json"]] {
                    let listed = self.rkt(words).succeeds();
                    assert_eq!(listed.stderr, "", "{words:?}: {listed}");
                }
            }
            Mix::Collect => {
                self.rkt(&["gc", "--grace-period=0s"]).succeeds();
            }
        }
    }

    fn rkt(&self, words: &[&str]) -> Output {
        Output::within(&mut self.rkt.command(words), DEADLINE)
    }

    fn image(&self) -> &str {
        &self.images[usize::try_from(self.number).unwrap() % self.images.len()]
    }

    /// A file that is this one's own, for a UUID.
    fn uuid_file(&self) -> String {
        self.rkt.home().join(format!("uuid-{}", self.number)).display().to_string()
    }

    fn run(&self) -> String {
        let save = format!("--uuid-file-save={}", self.uuid_file());
        let ran = self.rkt(&["run", self.flavor, &save, self.image()]).succeeds();
        assert!(ran.stdout.contains(SAID), "{ran}");
        fs::read_to_string(self.uuid_file()).unwrap()
    }

    fn prepare(&self) -> String {
        self.rkt(&["prepare", self.flavor, self.image()]).succeeds().stdout.trim_end().to_owned()
    }

    fn start_and_stop(&self) {
        let save = format!("--uuid-file-save={}", self.uuid_file());
        thread::scope(|scope| {
            let words = ["run", self.flavor, &save, self.image(), "--exec=/probe", "--", "wait"];
            let runs = scope.spawn(move || self.rkt(&words));
            let uuid = rkt_tests::wait_for_within("a UUID", DEADLINE, || {
                let uuid = fs::read_to_string(self.uuid_file()).unwrap_or_default();
                (uuid.len() == 36).then_some(uuid)
            });
            self.rkt(&["status", "--wait-ready=300s", &uuid]).succeeds();
            self.rkt(&["stop", &uuid]).succeeds();
            let ran = runs.join().unwrap();
            assert!(ran.status.code().is_some(), "{ran}");
            self.is_known(&uuid);
        });
    }

    /// A pod that ran is there, or somebody has collected it and it is remembered.
    fn is_known(&self, uuid: &str) {
        let replayed = self.rkt(&["replay", uuid]).succeeds();
        assert!(replayed.stdout.starts_with("same\n"), "{replayed}");
    }
}

/// A collector was faster, or is at it.
fn is_told_to_be_gone(output: &Output) -> bool {
    ["no matches found", "currently being deleted"].iter().any(|told| output.stderr.contains(told))
}

#[test]
fn two_hundred_mixes_at_once_lose_no_pod_and_end() {
    let rkt = Rkt::new();
    let images: Vec<String> = ["one", "two", "three"].map(|name| rkt.probe(name, ["say", SAID])).into_iter().collect();
    let mixes: Vec<Mix> = numbers(1).map(|number| MIXES[number % MIXES.len()]).take(CROWD as usize).collect();
    thread::scope(|scope| {
        for (number, mix) in (0..).zip(&mixes) {
            let flavor = rkt_tests::FLAVORS[usize::try_from(number).unwrap() % 2];
            let member = Member { rkt: &rkt, number, images: &images, flavor };
            scope.spawn(move || member.does(*mix));
        }
    });
    rkt.assert_nothing_lives();
    let listed = rkt.run(["list"]).succeeds();
    assert_eq!(listed.stderr, "", "{listed}");
    for image in &images {
        let ran = rkt.run(["run", image.as_str()]).succeeds();
        assert!(ran.stdout.contains(SAID), "{ran}");
    }
    rkt.collect();
}
