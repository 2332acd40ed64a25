//! Pods in real directories under real locks: made, found, listed, collected, removed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rkt_appc::ImageManifest;
use rkt_executor::Changes;
use rkt_plan::{Access, Credentials, JailWord, Origin, Permissions, Plan, Word};
use rkt_pod::{
    AppImage, AppRequest, Event, ImageFiles, Keep, Monitor, Overrides, PluginIdentity, PodRequest, Pods, PodsError,
    Proposal, RemoveError, ResolvedPod, Stage, State, Uuid, Waivers, judge, resolve,
};
use rkt_sys::lock::Lock;
use tempfile::TempDir;

/// A data directory, and pods in it in whatever state a test wants.
struct Data {
    directory: TempDir,
    pods: Pods,
}

impl Data {
    fn new() -> Self {
        Self::in_directory(tempfile::tempdir().unwrap())
    }

    fn in_directory(directory: TempDir) -> Self {
        let pods = Pods::open(directory.path());
        Self { directory, pods }
    }

    fn path(&self, stage: &str, uuid: &str) -> PathBuf {
        self.directory.path().join("pods").join(stage).join(uuid)
    }

    /// A pod as it lies in a directory after its processes have ended.
    fn pod(&self, stage: &str, number: u32) -> String {
        let uuid = format!("{number:08x}-0000-4000-8000-000000000000");
        let path = self.path(stage, &uuid);
        fs::create_dir_all(path.join("stage1/rootfs/rkt/status")).unwrap();
        fs::create_dir_all(path.join("overlay/app.upper")).unwrap();
        fs::create_dir_all(path.join("overlay/app.work/work")).unwrap();
        fs::create_dir_all(path.join("appsinfo/app")).unwrap();
        fs::write(path.join("appsinfo/app/manifest"), "{}").unwrap();
        fs::write(path.join("pod"), MANIFEST).unwrap();
        fs::write(path.join("pod-created"), "").unwrap();
        fs::write(path.join("pid"), "17\n").unwrap();
        fs::write(path.join("stage1/rootfs/rkt/status/app"), "3").unwrap();
        uuid
    }

    fn lock(&self, stage: &str, uuid: &str) -> Lock {
        let directory = File::open(self.path(stage, uuid)).unwrap();
        Lock::try_exclusive(directory.into()).unwrap().unwrap()
    }

    fn states(&self) -> Vec<(String, State)> {
        let pods = self.pods.list(&Stage::ALL).unwrap();
        pods.map(|pod| pod.map(|pod| (pod.uuid().to_string(), pod.state())).unwrap()).collect()
    }

    fn collect(&self, keep: &Keep, later: Duration) -> Vec<String> {
        let mut events = Vec::new();
        self.pods.collect(keep, SystemTime::now() + later, &mut |event| events.push(told(&event))).unwrap();
        events
    }
}

const MANIFEST: &str = r#"{"acVersion":"2.0.0","acKind":"PodManifest","apps":[{"name":"app","image":{"id":
    "sha512-0000000000000000000000000000000000000000000000000000000000000000"}}],"volumes":[],"isolators":[],
    "annotations":[],"ports":[]}"#;

const KEEP: Keep = Keep { exited: Duration::from_mins(30), prepared: Duration::from_hours(24), mark_only: false };
const KEEP_NOTHING: Keep = Keep { exited: Duration::ZERO, prepared: Duration::ZERO, mark_only: false };

fn told(event: &Event) -> String {
    match event {
        Event::Exited(uuid) => format!("exited {}", &uuid.to_string()[..8]),
        Event::FailedPrepare(uuid) => format!("failed {}", &uuid.to_string()[..8]),
        Event::Expired(uuid) => format!("expired {}", &uuid.to_string()[..8]),
        Event::Removing(uuid) => format!("removing {}", &uuid.to_string()[..8]),
        Event::WithinGrace(uuid) => format!("kept {}", &uuid.to_string()[..8]),
        Event::Forgotten(uuid) => format!("forgotten {}", &uuid.to_string()[..8]),
        Event::NotRecorded(error) => panic!("{error}"),
        Event::Failed(error) => panic!("{error}"),
        Event::Unreadable(error) => panic!("{error}"),
    }
}

fn image(tree: &Path) -> AppImage {
    let json = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/app",
            "labels":[{{"name":"os","value":"linux"}},{{"name":"arch","value":"{}"}}],
            "app":{{"exec":["/bin/app"],"user":"0","group":"0","mountPoints":[{{"name":"data","path":"/data"}}]}}}}"#,
        rkt_pod::host_architecture()
    );
    AppImage {
        id: format!("sha512-{}", "0".repeat(128)).parse().unwrap(),
        manifest: ImageManifest::from_json(json.as_bytes()).unwrap(),
        files: ImageFiles::Archive { passwd: None, group: None },
        trees: vec![tree.to_owned()],
        rendering: None,
    }
}

fn resolved(uuid: Uuid, tree: &Path, volumes: &str) -> ResolvedPod {
    let request = PodRequest {
        apps: vec![AppRequest { image: image(tree), overrides: Overrides::default() }],
        volumes: serde_json::from_str(volumes).unwrap(),
        ..PodRequest::default()
    };
    resolve(uuid, request, Origin::CommandLine).unwrap()
}

/// The least that a pod's plan can say.
fn proposal() -> Proposal {
    let app = |word| Word::App { app: "app".to_owned(), word };
    let credentials = Credentials { uid: 0, gid: 0, groups: vec![] };
    let words = vec![
        Word::Share { namespace: "user".to_owned() },
        app(JailWord::Root { access: Access::ReadWrite }),
        app(JailWord::User { credentials }),
        Word::Waive { request: "app/app/volume/data".to_owned(), reason: "not \u{1b}[2J here".to_owned() },
    ];
    let allowed: Permissions =
        ["share:user", "root", "user", "unfiltered"].iter().map(|text| text.parse().unwrap()).collect();
    let plugin = PluginIdentity {
        name: "plain".to_owned(),
        digest: "sha256:00".to_owned(),
        image: None,
        trust: rkt_plan::Trust::Wasm,
    };
    Proposal { plugin, facts: BTreeMap::new(), plan: Plan { words }, declared: allowed.clone(), granted: allowed }
}

#[test]
fn a_pod_in_the_making_is_locked_and_gone_when_it_is_given_up() {
    let data = Data::new();
    let new = data.pods.create().unwrap();
    assert_eq!(data.states(), [(new.uuid().to_string(), State::Preparing)]);
    let found = data.pods.find(&new.uuid().to_string()[..4].to_uppercase()).unwrap();
    assert!(matches!(data.pods.remove(&found, &mut |_| {}), Err(RemoveError::Busy { .. })));
    drop(new);
    assert_eq!(data.states(), []);
}

#[test]
fn what_a_pod_needs_is_made_with_the_modes_that_apps_see() {
    let data = Data::new();
    let tree = tempfile::tempdir().unwrap();
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o1751)).unwrap();
    let new = data.pods.create().unwrap();
    let pod = resolved(new.uuid(), tree.path(), r#"[{"name":"data","kind":"empty","mode":"1777","uid":5,"gid":6}]"#);
    new.write_manifest(&pod).unwrap();
    let places = new.make_places(&pod, None).unwrap().places;

    // The launch names what will be in `run`; until then it is in `prepare`.
    let prepared = data.path("prepare", &new.uuid().to_string());
    let now = |path: &Path| prepared.join(path.strip_prefix(data.path("run", &new.uuid().to_string())).unwrap());
    let Changes::Layer { upper, work } = &places.roots["app"].changes else { panic!("layers are what there is") };
    let upper = fs::metadata(now(upper)).unwrap();
    assert_eq!(upper.mode() & 0o7777, 0o1751);
    assert_eq!(fs::metadata(now(work)).unwrap().mode() & 0o777, 0o750);
    let volume = fs::metadata(now(&places.volumes["data"])).unwrap();
    assert_eq!((volume.mode() & 0o7777, volume.uid(), volume.gid()), (0o1777, 5, 6));
    assert_eq!(fs::metadata(prepared.join("pod")).unwrap().mode() & 0o777, 0o640);
    let found = data.pods.get(new.uuid()).unwrap().unwrap();
    assert_eq!(found.manifest().unwrap(), pod.manifest);
    let name = &pod.manifest.apps()[0].name;
    assert_eq!(found.image_manifest(name).unwrap().name.as_str(), "example.com/app");
}

#[test]
fn a_host_volume_is_where_its_links_lead_and_must_be_there() {
    let data = Data::new();
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("real")).unwrap();
    symlink("real", tree.path().join("link")).unwrap();
    let volume =
        |name: &str| format!(r#"[{{"name":"data","kind":"host","source":"{}/{name}"}}]"#, tree.path().display());
    let new = data.pods.create().unwrap();
    let places = new.make_places(&resolved(new.uuid(), tree.path(), &volume("link")), None).unwrap().places;
    assert_eq!(places.volumes["data"], tree.path().join("real").canonicalize().unwrap());
    let new = data.pods.create().unwrap();
    let error = new.make_places(&resolved(new.uuid(), tree.path(), &volume("none")), None).unwrap_err();
    assert!(error.to_string().ends_with("/none\" of volume \"data\""), "{error}");
}

#[test]
fn a_pod_that_cannot_be_started_leaves_nothing() {
    let data = Data::new();
    let tree = tempfile::tempdir().unwrap();
    let new = data.pods.create().unwrap();
    let pod = resolved(new.uuid(), tree.path(), "[]");
    let written = new.make_places(&pod, None).unwrap();
    let verdict = judge(&pod.view, proposal(), Waivers::Told).unwrap();
    assert_eq!(verdict.waived().count(), 1);
    let monitor = Monitor { program: data.directory.path().join("missing"), debug: false };
    let error = new.start(pod.view, pod.commands, written, verdict, &monitor);
    assert!(error.to_string().contains("missing"), "{error}");
    assert_eq!(data.states(), []);
}

#[test]
fn what_is_not_given_is_refused_where_that_is_wanted_and_cannot_steer_a_terminal() {
    let tree = tempfile::tempdir().unwrap();
    let pod = resolved(Uuid::NIL, tree.path(), "[]");
    let error = judge(&pod.view, proposal(), Waivers::Refused).unwrap_err().to_string();
    assert!(error.contains("volume app-data on /data for app app (not ?[2J here)"), "{error}");
}

#[test]
fn directories_and_locks_tell_all_states() {
    let data = Data::new();
    let stages = [
        ("embryo", State::Embryo, State::Embryo),
        ("prepare", State::AbortedPrepare, State::Preparing),
        ("prepared", State::Prepared, State::Prepared),
        ("run", State::Exited, State::Running),
        ("exited-garbage", State::ExitedGarbage, State::ExitedDeleting),
        ("garbage", State::Garbage, State::Deleting),
    ];
    for (number, (stage, unlocked, locked)) in stages.into_iter().enumerate() {
        let uuid = data.pod(stage, u32::try_from(number).unwrap());
        let state = || data.states().into_iter().find(|(name, _)| *name == uuid).unwrap().1;
        assert_eq!(state(), unlocked, "{stage}");
        let lock = data.lock(stage, &uuid);
        assert_eq!(state(), locked, "{stage}");
        drop(lock);
    }
}

#[test]
fn an_embryo_that_nobody_holds_is_garbage_at_once_and_its_maker_makes_another() {
    let data = Data::new();
    let held = data.pod("embryo", 1);
    let lock = data.lock("embryo", &held);
    data.pod("embryo", 2);
    assert_eq!(data.collect(&KEEP, Duration::ZERO), ["failed 00000002"]);
    drop(lock);
    assert_eq!(data.collect(&KEEP, Duration::ZERO), ["failed 00000001"]);
    assert_eq!(data.states(), []);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                data.collect(&KEEP, Duration::ZERO);
            }
        });
        for _ in 0..500 {
            let new = data.pods.create().unwrap();
            assert!(data.path("prepare", &new.uuid().to_string()).exists());
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(data.states(), []);
}

#[test]
fn collectors_and_removers_are_in_nobodys_way() {
    let data = Data::new();
    let uuids: Vec<String> = (0..200).map(|number| data.pod("run", number)).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            // What fails for a pod is a panic.
            scope.spawn(|| data.collect(&KEEP_NOTHING, Duration::ZERO));
        }
        scope.spawn(|| {
            for uuid in &uuids {
                let Ok(pod) = data.pods.find(uuid) else { continue };
                let removed = data.pods.remove(&pod, &mut |event| drop(told(&event)));
                assert!(matches!(removed, Ok(()) | Err(RemoveError::Busy { .. })), "{removed:?}");
            }
        });
    });
    assert_eq!(data.states(), []);
}

#[test]
fn pods_are_found_by_the_beginning_of_their_uuid() {
    let data = Data::new();
    data.pod("run", 0x1a2b_0001);
    data.pod("exited-garbage", 0x1a2c_0002);
    data.pod("garbage", 0x9999_0000);
    let text = |prefix: &str| data.pods.find(prefix).unwrap_err().to_string();
    assert_eq!(data.pods.find("1A2B").unwrap().state(), State::Exited);
    assert_eq!(text("1a2"), "ambiguous uuid, 2 matches");
    assert_eq!(text("77"), "no matches found for \"77\"");
    // What is on its way out is not heard of any more.
    assert_eq!(text("9999"), "no matches found for \"9999\"");
    assert!(matches!(data.pods.find("../run"), Err(PodsError::NoMatch { .. })));
}

#[test]
fn exit_codes_and_times_are_read_back() {
    let data = Data::new();
    let uuid = data.pod("run", 1);
    let pod = data.pods.find(&uuid).unwrap();
    assert_eq!(pod.exit(&"app".parse().unwrap()).unwrap().unwrap().code, 3);
    assert_eq!(pod.exit(&"other".parse().unwrap()).unwrap(), None);
    assert_eq!(pod.pid().unwrap(), Some(17));
    assert!(pod.created().unwrap().unwrap() <= pod.started().unwrap().unwrap());
    assert_eq!(pod.record().unwrap(), None);
}

#[test]
fn garbage_is_marked_kept_for_its_time_and_removed() {
    let data = Data::new();
    let running = data.pod("run", 1);
    let lock = data.lock("run", &running);
    data.pod("run", 2);
    data.pod("prepare", 3);
    data.pod("prepared", 4);
    assert_eq!(data.collect(&KEEP, Duration::ZERO), ["exited 00000002", "failed 00000003", "kept 00000002"]);
    let hour = Duration::from_hours(1);
    assert_eq!(data.collect(&KEEP, hour), ["removing 00000002"]);
    assert_eq!(data.collect(&KEEP, hour * 25), ["expired 00000004"]);
    assert_eq!(data.states(), [(running, State::Running)]);
    drop(lock);
    let mark = Keep { mark_only: true, ..KEEP_NOTHING };
    assert_eq!(data.collect(&mark, Duration::ZERO), ["exited 00000001"]);
    assert_eq!(data.states().len(), 1);
    assert_eq!(data.collect(&KEEP_NOTHING, Duration::ZERO), ["removing 00000001"]);
    assert_eq!(data.states(), []);
}

#[test]
fn links_in_a_pod_lead_removal_nowhere() {
    let data = Data::new();
    let canary = data.directory.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "").unwrap();
    let uuid = data.pod("run", 1);
    symlink(&canary, data.path("run", &uuid).join("overlay/app.upper/link")).unwrap();
    symlink(&canary, data.path("run", &uuid).join("sharedVolumes")).unwrap();
    let pod = data.pods.find(&uuid).unwrap();
    data.pods.remove(&pod, &mut |_| {}).unwrap();
    assert_eq!(data.states(), []);
    assert!(canary.join("file").exists());
}

#[test]
fn a_running_pod_is_not_removed_and_readers_keep_nobody_out() {
    let data = Data::new();
    let uuid = data.pod("run", 1);
    let lock = data.lock("run", &uuid);
    let pod = data.pods.find(&uuid).unwrap();
    let error = data.pods.remove(&pod, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), format!("pod \"{uuid}\" is currently running"));
    drop(lock);
    let pod = data.pods.find(&uuid).unwrap();
    std::thread::scope(|scope| {
        // Readers share the lock all the time.
        let readers = [(); 4].map(|()| scope.spawn(|| while data.pods.find(&uuid).is_ok() {}));
        data.pods.remove(&pod, &mut |_| {}).unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn a_thousand_pods_are_listed_and_collected_in_time() {
    // In memory: how long a disk takes to free what is removed says nothing about rkt.
    let data = Data::in_directory(tempfile::tempdir_in("/dev/shm").unwrap());
    (0..1000).for_each(|number| drop(data.pod("run", number)));
    let started = Instant::now();
    let mut count = 0;
    for pod in data.pods.list(&Stage::LISTED).unwrap() {
        let pod = pod.unwrap();
        pod.manifest().unwrap();
        pod.created().unwrap();
        pod.started().unwrap();
        count += 1;
    }
    let listed = started.elapsed();
    assert_eq!(count, 1000);
    let started = Instant::now();
    data.collect(&KEEP_NOTHING, Duration::ZERO);
    let collected = started.elapsed();
    assert_eq!(data.states(), []);
    // The budgets are 20 ms and 1 s on an idle machine (tests/bench); here other tests run too.
    assert!(listed < Duration::from_millis(400), "{listed:?}");
    assert!(collected < Duration::from_secs(10), "{collected:?}");
}
