//! What is remembered of removed pods: moved whole, whatever interrupts; bounded; planned again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rkt_plan::{
    Access, App, Asked, Credentials, JailWord, LimitKind, Origin, Permissions, Plan, Pod, Strictness, Word,
};
use rkt_pod::{
    Event, Keep, KeepRecords, PastExit, PluginIdentity, Pods, Proposal, Record, Records, RecordsError, ReplayError,
    Stage,
};
use tempfile::TempDir;

const KEEP_NOTHING: Keep = Keep { exited: Duration::ZERO, prepared: Duration::ZERO, mark_only: false };
const DAY: Duration = Duration::from_hours(24);

fn credentials() -> Credentials {
    Credentials { uid: 0, gid: 0, groups: vec![] }
}

fn app(word: JailWord) -> Word {
    Word::App { app: "app".to_owned(), word }
}

fn permissions(list: &[&str]) -> Permissions {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

/// The record of a pod of one app, planned by a plugin with this digest.
fn record(digest: &str) -> Record {
    let app_of_pod = App {
        name: "app".to_owned(),
        user: Asked { value: credentials(), by: Origin::Image },
        read_only_root: None,
        volumes: vec![],
        limits: BTreeMap::from([(LimitKind::Pids, Asked { value: 9, by: Origin::CommandLine })]),
        capabilities: None,
        seccomp: None,
        no_new_privileges: None,
        oom_score: None,
    };
    let pod = Pod {
        uuid: uuid(1),
        hostname: None,
        apps: vec![app_of_pod],
        limits: BTreeMap::new(),
        settings: BTreeMap::new(),
    };
    let proposal = Proposal {
        plugin: PluginIdentity {
            name: "plain".to_owned(),
            digest: digest.to_owned(),
            image: None,
            trust: rkt_plan::Trust::Wasm,
        },
        facts: BTreeMap::from([("kernel".to_owned(), Some("6.1".to_owned())), ("odd".to_owned(), None)]),
        plan: Plan { words: words([app(JailWord::Limit { what: "pids".into(), value: 9 })]) },
        declared: permissions(&["share:user", "root", "user", "unfiltered", "limit", "mask", "device:/dev/null"]),
        granted: permissions(&["share:user", "root", "user", "unfiltered", "limit"]),
    };
    let answers = proposal.check(&pod).unwrap().answers;
    Record { pod, proposal, answers }
}

fn words(more: impl IntoIterator<Item = Word>) -> Vec<Word> {
    let least = [
        Word::Share { namespace: "user".to_owned() },
        app(JailWord::Root { access: Access::ReadWrite }),
        app(JailWord::User { credentials: credentials() }),
    ];
    least.into_iter().chain(more).collect()
}

fn uuid(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// A data directory.
struct Data {
    directory: TempDir,
    pods: Pods,
}

impl Data {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pods = Pods::open(directory.path());
        Self { directory, pods }
    }

    fn pod(&self, stage: &str, number: u32) -> PathBuf {
        self.directory.path().join("pods").join(stage).join(uuid(number))
    }

    fn record(&self, number: u32) -> PathBuf {
        self.directory.path().join("records").join(uuid(number))
    }

    /// A pod that has something recorded, in whatever part of its life.
    fn make(&self, stage: &str, number: u32) {
        let path = self.pod(stage, number);
        fs::create_dir_all(path.join("stage1/rootfs/rkt/status")).unwrap();
        fs::create_dir_all(path.join("overlay/app.upper/etc")).unwrap();
        fs::write(path.join("pod"), "{}").unwrap();
        fs::write(path.join("record.json"), serde_json::to_vec(&record("sha256:aa")).unwrap()).unwrap();
        for (file, content, seconds) in
            [("pod-created", "", 100), ("pid", "17\n", 101), ("stage1/rootfs/rkt/status/app", "3", 102)]
        {
            fs::write(path.join(file), content).unwrap();
            touch(&path.join(file), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        }
    }

    /// What a collection of everything says besides that it removes pods.
    fn collect(&self) -> Vec<String> {
        let mut said = Vec::new();
        let report = &mut |event| match event {
            Event::Failed(error) => panic!("{error}"),
            Event::Unreadable(error) => panic!("{error}"),
            Event::NotRecorded(error) => said.push(error.to_string()),
            _ => {}
        };
        self.pods.collect(&KEEP_NOTHING, SystemTime::now(), report).unwrap();
        assert_eq!(self.pods.list(&Stage::ALL).unwrap().count(), 0);
        said
    }

    /// The numbers of the pods that something is remembered of.
    fn remembered(&self) -> Vec<u32> {
        let uuids = Records::open(self.directory.path()).uuids().unwrap();
        let mut numbers: Vec<u32> =
            uuids.iter().map(|uuid| u32::from_str_radix(&uuid.to_string()[..8], 16).unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }
}

fn touch(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_removed_pod_is_remembered_with_all_that_was_recorded() {
    let data = Data::new();
    data.make("run", 1);
    let before = data.pods.recorded("00000001").unwrap();
    let pod = data.pods.find(&uuid(1)).unwrap();
    data.pods.remove(&pod, &mut |_| {}).unwrap();
    assert!(data.pods.find(&uuid(1)).is_err());
    assert_eq!(data.pods.recorded("00000001").unwrap(), before);
    let past = data.pods.records().get(before.0).unwrap().unwrap();
    let second = 1_000_000_000;
    assert_eq!((past.uuid, &past.record), (before.0, &record("sha256:aa")));
    assert_eq!((past.created, past.started, past.ended), (Some(100 * second), Some(101 * second), Some(102 * second)));
    assert_eq!(past.exits, BTreeMap::from([("app".to_owned(), PastExit { code: 3, at: 102 * second })]));
    assert_eq!(past.record.answers.len(), 2, "what became of requests");
    assert_eq!(fs::metadata(data.record(1)).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(data.record(1).parent().unwrap()).unwrap().mode() & 0o7777, 0o750);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(data.record(1)).unwrap()).unwrap();
    assert_eq!(json["version"], 1);
}

#[test]
fn a_pod_that_was_killed_has_no_end_that_is_known() {
    let data = Data::new();
    data.make("run", 1);
    fs::remove_file(data.pod("run", 1).join("stage1/rootfs/rkt/status/app")).unwrap();
    assert_eq!(data.collect(), Vec::<String>::new());
    let past = data.pods.records().get(uuid(1).parse().unwrap()).unwrap().unwrap();
    assert_eq!((past.ended, past.exits.len()), (None, 0));
}

#[test]
fn a_pod_that_never_ran_is_not_remembered() {
    let data = Data::new();
    for (number, stage) in (1..).zip(["prepare", "prepared", "garbage"]) {
        // The record is written a moment before a pod becomes one that runs.
        data.make(stage, number);
    }
    data.collect();
    assert_eq!(data.remembered(), Vec::<u32>::new());
    data.make("prepared", 4);
    assert_eq!(data.pods.recorded(&uuid(4)).unwrap().1, record("sha256:aa"));
    fs::remove_file(data.pod("prepared", 4).join("record.json")).unwrap();
    let error = data.pods.recorded(&uuid(4)).unwrap_err();
    assert!(matches!(error, RecordsError::NeverStarted { .. }), "{error}");
}

/// What the removal of an undisturbed pod leaves.
fn undisturbed() -> Vec<u8> {
    let data = Data::new();
    data.make("run", 1);
    data.collect();
    fs::read(data.record(1)).unwrap()
}

/// What it is called, and how it comes about.
type State<'a> = (&'a str, &'a dyn Fn(&Data));

#[test]
fn every_state_that_an_interruption_leaves_is_finished() {
    let whole = undisturbed();
    let moved = |data: &Data| {
        fs::create_dir_all(data.record(1).parent().unwrap()).unwrap();
        fs::write(data.record(1), &whole).unwrap();
    };
    let gone = |data: &Data, files: &[&str]| {
        for file in files {
            let path = data.pod("exited-garbage", 1).join(file);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    };
    let pending = |data: &Data, content: &[u8]| {
        fs::write(data.pod("exited-garbage", 1).join("record.past"), content).unwrap();
    };
    let states: [State<'_>; 9] = [
        ("only marked", &|_| {}),
        ("nothing written", &|data| pending(data, b"")),
        ("half written", &|data| pending(data, &whole[..whole.len() / 2])),
        ("written", &|data| pending(data, &whole)),
        ("moved", &moved),
        ("moved, and its own gone", &|data| {
            moved(data);
            gone(data, &["record.json"]);
        }),
        ("the ends of apps gone", &|data| {
            moved(data);
            gone(data, &["record.json", "stage1", "pid"]);
        }),
        ("all but the manifest gone", &|data| {
            moved(data);
            gone(data, &["record.json", "stage1", "overlay", "pid", "pod-created"]);
        }),
        ("all of it gone", &|data| {
            moved(data);
            gone(data, &["record.json", "stage1", "overlay", "pid", "pod-created", "pod"]);
        }),
    ];
    for (state, make) in states {
        for by_name in [false, true] {
            let data = Data::new();
            data.make("exited-garbage", 1);
            make(&data);
            assert_eq!(data.pods.recorded(&uuid(1)).unwrap().1, record("sha256:aa"), "{state}");
            if by_name {
                let pod = data.pods.find(&uuid(1)).unwrap();
                data.pods.remove(&pod, &mut |_| {}).unwrap();
            }
            assert_eq!(data.collect(), Vec::<String>::new(), "{state}");
            assert!(fs::read(data.record(1)).unwrap() == whole, "{state}");
            let records = fs::read_dir(data.record(1).parent().unwrap()).unwrap().count();
            assert_eq!(records, 1, "{state}");
        }
    }
}

#[test]
fn what_cannot_be_remembered_is_said_and_removed() {
    let data = Data::new();
    data.make("run", 1);
    fs::write(data.directory.path().join("records"), "in the way").unwrap();
    let said = data.collect();
    assert!(said.len() == 1 && said[0].ends_with("/records"), "{said:?}");
    fs::remove_file(data.directory.path().join("records")).unwrap();
    // As a power cut leaves it.
    data.make("run", 2);
    fs::write(data.pod("run", 2).join("record.json"), "{\"pod\":").unwrap();
    assert_eq!(data.collect(), [format!("the record of pod \"{}\"", uuid(2))]);
    assert_eq!(data.remembered(), Vec::<u32>::new());
}

#[test]
fn records_are_forgotten_by_number_and_by_age_the_oldest_first() {
    let data = Data::new();
    let now = SystemTime::now();
    for number in 1..=6 {
        data.make("run", number);
    }
    data.collect();
    for number in 1..=6 {
        touch(&data.record(number), now - DAY * number);
    }
    let forget = |keep, now| {
        let mut forgotten = Vec::new();
        let report = &mut |event| match event {
            Event::Forgotten(uuid) => forgotten.push(u32::from_str_radix(&uuid.to_string()[..8], 16).unwrap()),
            other => panic!("{other:?}"),
        };
        data.pods.records().forget(&keep, now, report).unwrap();
        forgotten
    };
    let all = KeepRecords { number: 6, age: DAY * 6 };
    assert_eq!(forget(all, now), Vec::<u32>::new());
    assert_eq!(forget(KeepRecords { age: DAY * 5, ..all }, now), [6]);
    assert_eq!(forget(KeepRecords { number: 3, ..all }, now), [5, 4]);
    assert_eq!(forget(KeepRecords { number: 2, age: DAY + DAY / 2 }, now), [3, 2]);
    assert_eq!(data.remembered(), [1]);
    // A clock that was set back makes nothing older.
    assert_eq!(forget(KeepRecords { number: 1, age: DAY / 2 }, now - DAY * 9), Vec::<u32>::new());
    assert_eq!(forget(KeepRecords { number: 0, age: Duration::MAX }, now), [1]);
    assert_eq!(data.remembered(), Vec::<u32>::new());
    fs::remove_dir(data.directory.path().join("records")).unwrap();
    assert_eq!(forget(all, now), Vec::<u32>::new());
}

#[test]
fn what_is_no_record_of_ours_is_refused_as_what_it_is() {
    let data = Data::new();
    data.make("run", 1);
    data.collect();
    let get = || data.pods.recorded(&uuid(1)).unwrap_err().to_string();
    let whole = fs::read_to_string(data.record(1)).unwrap();
    fs::write(data.record(1), whole.replacen("\"version\":1", "\"version\":2,\"new\":[]", 1)).unwrap();
    assert!(get().contains("was made by a later rkt"), "{}", get());
    for torn in ["", &whole[..whole.len() - 1], "[]"] {
        fs::write(data.record(1), torn).unwrap();
        assert!(get().ends_with("is damaged"), "{}", get());
    }
    // What has another name is not ours, and stays.
    fs::write(data.record(1).with_file_name("README"), "").unwrap();
    fs::remove_file(data.record(1)).unwrap();
    assert_eq!(data.remembered(), Vec::<u32>::new());
    assert!(get().starts_with("no matches found"), "{}", get());
}

#[test]
fn a_uuid_means_a_pod_or_a_record_and_never_two() {
    let data = Data::new();
    data.make("run", 0x1a2b_0001);
    data.collect();
    data.make("run", 0x1a2c_0002);
    let error = data.pods.recorded("1A2").unwrap_err().to_string();
    assert_eq!(error, "ambiguous uuid, 2 matches");
    assert_eq!(data.pods.recorded("1A2B").unwrap().0.to_string(), uuid(0x1a2b_0001));
    assert_eq!(data.pods.recorded("1a2c").unwrap().0.to_string(), uuid(0x1a2c_0002));
    assert!(data.pods.recorded("").is_err() && data.pods.recorded("../pods").is_err());
}

#[test]
fn components_are_those_that_pods_and_records_name() {
    let data = Data::new();
    let of = |stage: &str, number, digest: &str| {
        data.make(stage, number);
        fs::write(data.pod(stage, number).join("record.json"), serde_json::to_vec(&record(digest)).unwrap()).unwrap();
    };
    of("run", 1, "sha256:11");
    data.collect();
    of("run", 2, "sha256:22");
    of("exited-garbage", 3, "sha256:33");
    of("garbage", 4, "sha256:44");
    // What nobody can understand names nothing, and is no reason to stop.
    fs::write(data.record(5), "torn").unwrap();
    data.make("run", 6);
    fs::write(data.pod("run", 6).join("record.json"), "").unwrap();
    let components: Vec<String> = data.pods.components().unwrap().into_iter().collect();
    assert_eq!(components, ["sha256:11", "sha256:22", "sha256:33"]);
    // A later form says it in the same place.
    let whole = fs::read_to_string(data.record(1)).unwrap();
    fs::write(data.record(1), whole.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
    assert_eq!(data.pods.components().unwrap().len(), 3);
}

/// What is proposed for the recorded pod now, with more words than then.
fn now(more: impl IntoIterator<Item = Word>) -> Proposal {
    let mut proposal = record("sha256:bb").proposal;
    proposal.plan.words.extend(more);
    proposal
}

#[test]
fn a_plan_of_the_same_words_is_the_same_and_other_words_may_be() {
    let record = record("sha256:aa");
    let replay = record.replay(&now([])).unwrap();
    assert_eq!((replay.strictness, replay.identical), (Strictness::Same, true));
    assert_eq!((&replay.differences[..], &replay.not_granted[..], &replay.unanswered[..]), (&[][..], &[][..], &[][..]));
    let replay = record.replay(&now([Word::Note { text: "hello".into() }])).unwrap();
    assert_eq!((replay.strictness, replay.identical, replay.differences.len()), (Strictness::Same, false, 0));
}

#[test]
fn what_was_not_granted_then_is_compared_and_said() {
    let record = record("sha256:aa");
    let mask = app(JailWord::Mask { path: "/proc/kcore".into() });
    let device = app(JailWord::Device { path: "/dev/null".into() });
    let replay = record.replay(&now([mask.clone()])).unwrap();
    assert_eq!((replay.strictness, &replay.not_granted[..]), (Strictness::Stricter, &["mask".to_owned()][..]));
    let replay = record.replay(&now([mask, device])).unwrap();
    assert_eq!(replay.strictness, Strictness::Other);
    assert_eq!(replay.not_granted, ["mask", "device:/dev/null"]);
    let undeclared = app(JailWord::NoNewPrivileges);
    let error = record.replay(&now([undeclared])).unwrap_err();
    assert!(matches!(error, ReplayError::Now { .. }) && error.to_string() == "the plan of plain is refused", "{error}");
    let mut broken = record.clone();
    broken.proposal.plan.words.clear();
    assert!(matches!(broken.replay(&now([])), Err(ReplayError::Then { .. })));
}

#[test]
fn what_was_not_asked_then_is_unknown_and_said() {
    let record = record("sha256:aa");
    assert_eq!((record.fact("kernel"), record.fact("odd"), record.fact("cgroups")), (Some("6.1"), None, None));
    let mut proposal = now([]);
    proposal.facts.insert("cgroups".to_owned(), None);
    assert_eq!(record.replay(&proposal).unwrap().unanswered, ["cgroups"]);
    proposal.facts.clear();
    assert_eq!(record.replay(&proposal).unwrap().unanswered, Vec::<String>::new());
}

#[test]
fn a_request_that_is_not_met_any_more_is_weaker() {
    let record = record("sha256:aa");
    let mut proposal = now([Word::Waive { request: "app/app/limit/pids".into(), reason: "not now".into() }]);
    proposal.plan.words.retain(|word| !matches!(word, Word::App { word: JailWord::Limit { .. }, .. }));
    let replay = record.replay(&proposal).unwrap();
    assert_eq!((replay.strictness, replay.differences.len()), (Strictness::Weaker, 2), "{:?}", replay.differences);
}

/// What a record holds of a pod is what its plugin sees, which has no commands and no environment.
#[test]
fn a_record_has_no_place_for_variables_and_commands() {
    let json = serde_json::to_value(record("sha256:aa")).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&json), ["answers", "declared", "facts", "granted", "plan", "plugin", "pod"]);
    assert_eq!(keys(&json["pod"]), ["apps", "hostname", "settings", "uuid"]);
    assert_eq!(
        keys(&json["pod"]["apps"][0]),
        [
            "capabilities",
            "limits",
            "name",
            "no_new_privileges",
            "oom_score",
            "read_only_root",
            "seccomp",
            "user",
            "volumes"
        ]
    );
}
