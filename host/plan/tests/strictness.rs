//! Which of two plans is the stricter: word by word, both ways, and as a whole.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use Strictness::{Other, Same, Stricter, Weaker};
use rkt_plan::{
    Access, Change, CheckedPlan, Credentials, Difference, JailWord, Origin, Place, Plan, Pod, Reach, SeccompFilter,
    SeccompMode, Strictness, VolumeMount, Word, check, diff,
};
use support::{asked, permissions, pod_of};

/// Enough for every word here.
const ALLOWED: [&str; 31] = [
    "share:pid",
    "share:network",
    "share:ipc",
    "share:uts",
    "share:cgroup",
    "share:user",
    "hostname",
    "root",
    "user",
    "bind:volume",
    "bind:empty",
    "bind:host:rw:/",
    "mount:proc",
    "mount:sysfs",
    "mount:tmpfs",
    "mount:devpts",
    "mount:mqueue",
    "mount:cgroup2",
    "link",
    "device:/",
    "mask",
    "read-only",
    "capability:all",
    "no-new-privileges",
    "seccomp",
    "unfiltered",
    "limit",
    "oom-score",
    "stdio:log",
    "stdio:raw",
    "claim",
];

fn credentials(uid: u32, groups: &[u32]) -> Credentials {
    Credentials { uid, gid: uid, groups: groups.to_vec() }
}

/// A pod of one app with two volumes that asks for nothing else that a plan could leave out.
fn pod() -> Pod {
    let volume = |name: &str| {
        let target = format!("/{name}").parse().unwrap();
        VolumeMount { volume: name.to_owned(), target, access: Access::ReadWrite, reach: Reach::Recursive }
    };
    pod_of(asked(credentials(5, &[])), vec![volume("data"), volume("logs")])
}

fn app(word: JailWord) -> Word {
    Word::App { app: "db".to_owned(), word }
}

/// The least plan with these words. What it does not say of requests it waives.
fn checked(words: &[Word]) -> CheckedPlan {
    let says =
        |wanted: fn(&JailWord) -> bool| words.iter().any(|word| matches!(word, Word::App { word, .. } if wanted(word)));
    let mut all = words.to_vec();
    all.push(Word::Share { namespace: "user".into() });
    if !says(|word| matches!(word, JailWord::Root { .. })) {
        all.push(app(JailWord::Root { access: Access::ReadWrite }));
    }
    if !says(|word| matches!(word, JailWord::User { .. })) {
        all.push(app(JailWord::User { credentials: credentials(5, &[]) }));
    }
    let allowed = permissions(&ALLOWED);
    loop {
        match check(&pod(), &Plan { words: all.clone() }, &allowed, &allowed) {
            Ok(plan) => return plan,
            Err(refusal) => {
                let text = refusal.to_string();
                let unmet = ["app/db/user", "app/db/volume/data", "app/db/volume/logs"];
                let waived: Vec<Word> = unmet
                    .iter()
                    .filter(|request| text.contains(*request))
                    .map(|request| Word::Waive { request: (*request).to_owned(), reason: "not here".to_owned() })
                    .collect();
                assert!(!waived.is_empty() && all.len() < 40, "{text}");
                all.extend(waived);
            }
        }
    }
}

/// The differences that are not about what became of requests.
fn in_words(first: &[Word], second: &[Word]) -> Vec<Difference> {
    diff(&checked(first), &checked(second)).into_iter().filter(|change| change.subject != "requests").collect()
}

fn reversed(strictness: Strictness) -> Strictness {
    match strictness {
        Stricter => Weaker,
        Weaker => Stricter,
        same => same,
    }
}

/// Asserts what the second is against the first, and the first against the second.
#[track_caller]
fn compares(first: &[Word], second: &[Word], expected: Strictness) {
    for (one, other, expected) in [(first, second, expected), (second, first, reversed(expected))] {
        let changes = in_words(one, other);
        assert_eq!(changes.len(), 1, "{one:?} and {other:?}: {changes:?}");
        assert_eq!(changes[0].strictness, expected, "{one:?} and {other:?}: {changes:?}");
    }
    assert_eq!(in_words(first, first), []);
    assert_eq!(in_words(second, second), []);
}

fn bind_with(source: Place, access: Access, recursive: bool) -> Word {
    app(JailWord::Bind { source, target: "/at".into(), access, recursive })
}

fn bind(source: Place) -> Word {
    bind_with(source, Access::ReadWrite, true)
}

fn volume(name: &str) -> Place {
    Place::Volume(name.to_owned())
}

fn empty(name: &str) -> Place {
    Place::Empty(name.to_owned())
}

fn host(path: &str) -> Place {
    Place::Host(path.to_owned())
}

fn mount_at(kind: &str, target: &str, options: &[&str]) -> Word {
    let options = options.iter().map(|&option| option.to_owned()).collect();
    app(JailWord::Mount { kind: kind.to_owned(), target: target.to_owned(), options })
}

fn mount(kind: &str, options: &[&str]) -> Word {
    mount_at(kind, "/at", options)
}

fn limit(what: &str, value: u64) -> Word {
    app(JailWord::Limit { what: what.to_owned(), value })
}

fn capabilities(names: &[&str]) -> Word {
    app(JailWord::Capabilities { names: names.iter().map(|&name| name.to_owned()).collect() })
}

fn seccomp(mode: SeccompMode, calls: &[&str], errno: Option<&str>) -> Word {
    let calls = calls.iter().map(|&call| call.to_owned()).collect();
    app(JailWord::Seccomp { filter: SeccompFilter { mode, calls, errno: errno.map(str::to_owned) } })
}

fn retain(calls: &[&str]) -> Word {
    seccomp(SeccompMode::Retain, calls, None)
}

#[test]
fn a_namespace_of_the_pods_own_is_stricter_than_the_hosts() {
    for namespace in ["pid", "network", "ipc", "uts", "cgroup"] {
        compares(&[], &[Word::Share { namespace: namespace.into() }], Weaker);
    }
}

#[test]
fn names_links_and_outputs_give_and_take_nothing() {
    let hostname = |name: &str| Word::Hostname { name: name.into() };
    compares(&[], &[hostname("a")], Other);
    compares(&[hostname("a")], &[hostname("b")], Other);
    let link = |to: &str| app(JailWord::Link { path: "/dev/fd".into(), to: to.into() });
    compares(&[], &[link("/proc/self/fd")], Other);
    compares(&[link("/proc/self/fd")], &[link("/elsewhere")], Other);
    compares(&[], &[app(JailWord::Stdio { mode: "raw".into() })], Other);
}

#[test]
fn remarks_are_no_part_of_what_is_done() {
    assert_eq!(in_words(&[], &[Word::Note { text: "a remark".into() }]), []);
}

#[test]
fn reading_is_stricter_than_writing() {
    let root = |access| app(JailWord::Root { access });
    compares(&[root(Access::ReadWrite)], &[root(Access::ReadOnly)], Stricter);
}

#[test]
fn a_bind_is_stricter_with_less_access_less_below_it_and_less_of_the_host() {
    let writable = |source| [bind(source)];
    compares(&[], &writable(volume("data")), Weaker);
    compares(&[], &writable(empty("run")), Weaker);
    compares(&[], &writable(host("/srv")), Weaker);
    compares(&writable(volume("data")), &[bind_with(volume("data"), Access::ReadOnly, true)], Stricter);
    compares(&writable(volume("data")), &[bind_with(volume("data"), Access::ReadWrite, false)], Stricter);
    // Less in one way and more in another is neither.
    let (one, other) =
        (bind_with(host("/srv"), Access::ReadOnly, true), bind_with(host("/srv"), Access::ReadWrite, false));
    compares(&[one], &[other], Other);
    compares(&writable(host("/srv")), &writable(volume("data")), Stricter);
    compares(&writable(volume("data")), &writable(empty("run")), Stricter);
    compares(&writable(host("/srv")), &writable(empty("run")), Stricter);
    compares(&writable(host("/srv")), &writable(host("/srv/data")), Stricter);
    compares(&writable(host("/srv")), &writable(host("/srv2")), Other);
    compares(&writable(volume("data")), &writable(volume("logs")), Other);
    compares(&writable(empty("run")), &writable(empty("tmp")), Other);
    // Reading what is the host's is not less than writing to what is nobody's.
    compares(&writable(empty("run")), &[bind_with(host("/srv"), Access::ReadOnly, true)], Other);
}

#[test]
fn a_file_system_is_stricter_with_more_options_and_than_the_hosts_own() {
    for (plain, stricter) in [
        (mount("tmpfs", &[]), mount("tmpfs", &["ro"])),
        (mount("tmpfs", &[]), mount("tmpfs", &["noexec"])),
        (mount("tmpfs", &["size=64m"]), mount("tmpfs", &["size=65535k"])),
        (mount("tmpfs", &["size=1g"]), mount("tmpfs", &["size=1g", "size=1"])),
        (mount("tmpfs", &[]), mount("tmpfs", &["size=10%"])),
        (mount("tmpfs", &["size=0"]), mount("tmpfs", &[])),
        (mount("proc", &[]), mount("proc", &["hidepid=1"])),
        (mount("proc", &["hidepid=1"]), mount("proc", &["hidepid=2"])),
        (bind(host("/proc")), mount("proc", &[])),
        (bind(host("/sys")), mount("sysfs", &["ro"])),
        (bind(host("/dev/pts")), mount("devpts", &[])),
        (bind(host("/dev/mqueue")), mount("mqueue", &[])),
        (bind(host("/sys/fs/cgroup")), mount("cgroup2", &[])),
        (bind(host("/tmp")), mount("tmpfs", &[])),
        (bind(volume("data")), mount("tmpfs", &[])),
    ] {
        compares(&[plain], &[stricter], Stricter);
    }
    for (one, other) in [
        (mount("tmpfs", &["ro"]), mount("tmpfs", &["noexec"])),
        (mount("tmpfs", &["mode=755"]), mount("tmpfs", &["mode=777"])),
        // Half of the memory is more than this on one host and less on another.
        (mount("tmpfs", &[]), mount("tmpfs", &["size=64m"])),
        (mount("proc", &[]), mount("sysfs", &[])),
        (bind(host("/srv")), mount("proc", &[])),
        (bind(volume("data")), mount("proc", &[])),
        (bind(empty("run")), mount("tmpfs", &[])),
        (bind_with(host("/tmp"), Access::ReadOnly, true), mount("tmpfs", &[])),
    ] {
        compares(&[one], &[other], Other);
    }
    compares(&[mount("tmpfs", &["size=1m"])], &[mount("tmpfs", &["size=1024k"])], Same);
    for kind in ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2"] {
        compares(&[], &[mount(kind, &[])], Weaker);
    }
}

#[test]
fn what_a_mount_hides_is_seen_without_it() {
    let below = [bind(host("/srv"))];
    let over = [bind(host("/srv")), mount_at("tmpfs", "/at/secret", &[])];
    compares(&below, &over, Other);
    // In a new tmpfs there is nothing to hide.
    compares(&[mount("tmpfs", &[])], &[mount("tmpfs", &[]), mount_at("tmpfs", "/at/more", &[])], Weaker);
}

#[test]
fn devices_are_weaker_and_masks_and_read_only_paths_stricter_than_none() {
    let device = |path: &str| app(JailWord::Device { path: path.into() });
    let mask = || app(JailWord::Mask { path: "/proc/kcore".into() });
    let read_only = || app(JailWord::ReadOnly { path: "/proc/kcore".into() });
    compares(&[], &[device("/dev/null")], Weaker);
    compares(&[], &[mask()], Stricter);
    compares(&[], &[read_only()], Stricter);
    compares(&[read_only()], &[mask()], Stricter);
    assert_eq!(in_words(&[mask()], &[mask(), read_only()]), [], "there is nothing left to be read");
}

#[test]
fn fewer_groups_are_stricter_and_users_beyond_comparing() {
    let user = |uid, groups: &[u32]| app(JailWord::User { credentials: credentials(uid, groups) });
    compares(&[user(5, &[6, 7])], &[user(5, &[7])], Stricter);
    compares(&[user(5, &[6])], &[user(5, &[7])], Other);
    compares(&[user(0, &[])], &[user(5, &[])], Other);
}

#[test]
fn fewer_capabilities_and_no_new_privileges_are_stricter() {
    compares(&[], &[capabilities(&["CAP_KILL"])], Weaker);
    compares(&[capabilities(&["CAP_KILL", "CAP_CHOWN"])], &[capabilities(&["CAP_KILL"])], Stricter);
    compares(&[capabilities(&["CAP_KILL"])], &[capabilities(&["CAP_CHOWN"])], Other);
    compares(&[], &[app(JailWord::NoNewPrivileges)], Stricter);
}

#[test]
fn a_filter_is_stricter_within_another_and_says_what_changed() {
    compares(&[], &[retain(&["read"])], Stricter);
    compares(&[], &[seccomp(SeccompMode::Remove, &["mount"], None)], Stricter);
    compares(&[], &[retain(&["@all"])], Same);
    compares(&[retain(&["read", "write"])], &[retain(&["read"])], Stricter);
    compares(&[retain(&["@default", "clone"])], &[retain(&["@default"])], Stricter);
    compares(&[retain(&["@all"])], &[seccomp(SeccompMode::Remove, &["mount"], None)], Stricter);
    // The same number of calls, and not the same calls.
    compares(&[retain(&["read"])], &[retain(&["write"])], Other);
    compares(&[retain(&["read"])], &[seccomp(SeccompMode::Retain, &["read"], Some("ENOSYS"))], Same);
    let changed = |first: &[Word], second: &[Word]| match in_words(first, second).remove(0).change {
        Change::Changed { to, .. } => to,
        other => panic!("{other:?}"),
    };
    let text = changed(&[retain(&["read", "close"])], &[retain(&["write", "close"])]);
    assert!(text.ends_with(" (-read, +write)"), "{text}");
    let text = changed(&[retain(&["@default"])], &[retain(&["read"])]);
    assert!(text.matches('-').count() == 8 && text.ends_with(" more)"), "{text}");
    let text = changed(&[retain(&["read"])], &[seccomp(SeccompMode::Retain, &["read"], Some("ENOSYS"))]);
    assert!(text.ends_with(", refused in another way"), "{text}");
}

#[test]
fn a_smaller_limit_is_stricter_and_one_more_too() {
    for (what, more, less) in
        [("memory", 8192, 4096), ("cpu", 1000, 10), ("pids", 9, 8), ("cpu-shares", 4096, 2048), ("cpu-shares", 512, 2)]
    {
        compares(&[limit(what, more)], &[limit(what, less)], Stricter);
    }
    for what in ["memory", "cpu", "pids"] {
        compares(&[], &[limit(what, 5000)], Stricter);
    }
    // Without a weight there is the usual one.
    compares(&[], &[limit("cpu-shares", 1023)], Stricter);
    compares(&[], &[limit("cpu-shares", 1024)], Same);
    compares(&[], &[limit("cpu-shares", 1025)], Weaker);
}

#[test]
fn whoever_is_killed_first_has_less() {
    let score = |adjustment| app(JailWord::OomScore { adjustment });
    compares(&[score(-5)], &[score(5)], Stricter);
    compares(&[], &[score(5)], Other);
}

#[test]
fn a_request_that_becomes_waived_is_weaker() {
    let waive = |reason: &str| Word::Waive { request: "app/db/volume/data".into(), reason: reason.into() };
    let claim = |how: &str| Word::Claim { request: "app/db/volume/data".into(), how: how.into() };
    let visible = app(JailWord::Bind {
        source: volume("data"),
        target: "/data".into(),
        access: Access::ReadWrite,
        recursive: true,
    });
    let of_requests = |first: &Word, second: &Word| {
        let (first, second) = (checked(std::slice::from_ref(first)), checked(std::slice::from_ref(second)));
        let changes = diff(&first, &second).into_iter().filter(|change| change.subject == "requests");
        changes.map(|change| change.strictness).collect::<Vec<_>>()
    };
    for (first, second, expected) in [
        (&visible, &waive("no"), Weaker),
        (&claim("inside"), &waive("no"), Weaker),
        (&visible, &claim("inside"), Other),
        (&claim("inside"), &claim("elsewhere"), Same),
        (&waive("no"), &waive("never"), Same),
    ] {
        assert_eq!(of_requests(first, second), [expected], "{first:?} {second:?}");
        assert_eq!(of_requests(second, first), [reversed(expected)], "{first:?} {second:?}");
    }
}

#[test]
fn a_request_that_only_one_pod_makes_is_no_difference_of_plans() {
    let mut more = pod();
    more.apps[0].read_only_root = Some(Origin::CommandLine);
    let allowed = permissions(&ALLOWED);
    let plan = |pod: &Pod, more: &[&str]| {
        let mut words = vec![
            Word::Share { namespace: "user".into() },
            app(JailWord::Root { access: Access::ReadWrite }),
            app(JailWord::User { credentials: credentials(5, &[]) }),
        ];
        let waived = ["app/db/volume/data", "app/db/volume/logs"].iter().chain(more);
        words.extend(waived.map(|id| Word::Waive { request: (*id).to_owned(), reason: "no".to_owned() }));
        check(pod, &Plan { words }, &allowed, &allowed).unwrap()
    };
    assert_eq!(diff(&plan(&pod(), &[]), &plan(&more, &["app/db/read-only-root"])), []);
}

#[test]
fn a_whole_is_stricter_only_where_nothing_in_it_is_weaker_or_beyond_comparing() {
    let whole = |first: &[Word], second: &[Word]| Strictness::of_all(&in_words(first, second));
    let (mask, share) = (app(JailWord::Mask { path: "/proc/kcore".into() }), Word::Share { namespace: "pid".into() });
    let (less, named) = (limit("pids", 5), Word::Hostname { name: "a".into() });
    let usual = limit("cpu-shares", 1024);
    assert_eq!(whole(&[], &[]), Same);
    assert_eq!(whole(&[], std::slice::from_ref(&usual)), Same);
    assert_eq!(whole(&[], &[mask.clone(), less.clone(), usual.clone()]), Stricter);
    assert_eq!(whole(&[mask.clone(), less.clone(), usual], &[]), Weaker);
    assert_eq!(whole(&[], &[mask.clone(), share]), Other);
    assert_eq!(whole(&[], &[mask, named.clone()]), Other);
    assert_eq!(whole(&[less], &[named]), Other);
}
