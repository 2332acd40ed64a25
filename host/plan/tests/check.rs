//! What the check lets through and what it refuses, word by word.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rkt_plan::{
    Access, Answer, Asked, CapabilityChange, CapabilitySet, CheckedPlan, Credentials, JailWord, LimitKind, Origin,
    Place, Plan, Pod, Reach, Refusal, SeccompFilter, SeccompMode, Strictness, VolumeMount, Word, check, diff, explain,
};
use support::{asked, permissions, pod_of, root_user};

fn pod() -> Pod {
    pod_of(Asked { value: root_user(), by: Origin::Image }, vec![])
}

/// What a minimal plan needs.
const LEAST: [&str; 4] = ["share:user", "root", "user", "unfiltered"];

fn share(namespace: &str) -> Word {
    Word::Share { namespace: namespace.to_owned() }
}

fn app(word: JailWord) -> Word {
    Word::App { app: "db".to_owned(), word }
}

/// The least that an app needs, and more.
fn plan(more: impl IntoIterator<Item = Word>) -> Plan {
    let least = [
        share("user"),
        app(JailWord::Root { access: Access::ReadWrite }),
        app(JailWord::User { credentials: root_user() }),
    ];
    Plan { words: least.into_iter().chain(more).collect() }
}

fn judge(pod: &Pod, plan: &Plan, more: &[&str]) -> Result<CheckedPlan, Refusal> {
    let allowed = permissions(&[&LEAST, more].concat());
    check(pod, plan, &allowed, &allowed)
}

/// The text of the only objection.
fn refused(pod: &Pod, plan: &Plan, more: &[&str]) -> String {
    let refusal = judge(pod, plan, more).unwrap_err();
    assert_eq!(refusal.objections().len(), 1, "{refusal}");
    refusal.to_string()
}

fn bind(source: Place, target: &str, access: Access) -> Word {
    app(JailWord::Bind { source, target: target.to_owned(), access, recursive: true })
}

fn mount(kind: &str, target: &str, options: &[&str]) -> Word {
    let options = options.iter().map(|&option| option.to_owned()).collect();
    app(JailWord::Mount { kind: kind.to_owned(), target: target.to_owned(), options })
}

fn filter(mode: SeccompMode, calls: &[&str]) -> SeccompFilter {
    SeccompFilter { mode, calls: calls.iter().map(|&call| call.to_owned()).collect(), errno: None }
}

#[test]
fn the_least_plan_isolates_all_that_it_does_not_share() {
    let checked = judge(&pod(), &plan([]), &[]).unwrap();
    assert_eq!(
        checked.own().map(rkt_plan::Namespace::name).collect::<Vec<_>>(),
        ["pid", "network", "ipc", "uts", "cgroup"]
    );
    assert_eq!(checked.apps[0].capabilities, CapabilitySet::EMPTY);
    assert_eq!(checked.answers.len(), 1, "the image's user is a request");
}

#[test]
fn every_word_needs_its_permission_declared_and_granted() {
    let words = [
        (share("pid"), "share:pid"),
        (Word::Hostname { name: "a".into() }, "hostname"),
        (bind(Place::Empty("run".into()), "/run", Access::ReadWrite), "bind:empty"),
        (bind(Place::Host("/srv".into()), "/srv", Access::ReadOnly), "bind:host:ro:/srv"),
        (bind(Place::Host("/srv".into()), "/srv", Access::ReadWrite), "bind:host:rw:/srv"),
        (mount("proc", "/proc", &[]), "mount:proc"),
        (app(JailWord::Link { path: "/dev/fd".into(), to: "/proc/self/fd".into() }), "link"),
        (app(JailWord::Device { path: "/dev/null".into() }), "device:/dev/null"),
        (app(JailWord::Mask { path: "/proc/kcore".into() }), "mask"),
        (app(JailWord::ReadOnly { path: "/proc/sys".into() }), "read-only"),
        (app(JailWord::Capabilities { names: vec!["CAP_KILL".into()] }), "capability:CAP_KILL"),
        (app(JailWord::NoNewPrivileges), "no-new-privileges"),
        (app(JailWord::Seccomp { filter: filter(SeccompMode::Retain, &["@default"]) }), "seccomp"),
        (app(JailWord::Limit { what: "pids".into(), value: 10 }), "limit"),
        (app(JailWord::OomScore { adjustment: 5 }), "oom-score"),
        (app(JailWord::Stdio { mode: "raw".into() }), "stdio:raw"),
    ];
    for (word, permission) in words {
        let plan = plan([word.clone()]);
        let with = permissions(&[&LEAST[..], &[permission]].concat());
        let without = permissions(&LEAST);
        check(&pod(), &plan, &with, &with).unwrap_or_else(|refusal| panic!("{permission}: {refusal}"));
        let ungranted = check(&pod(), &plan, &with, &without).unwrap_err();
        assert!(
            ungranted.to_string().ends_with(&format!("the permission `{permission}` is not granted")),
            "{ungranted}"
        );
        assert_eq!(ungranted.not_granted().len(), 1);
        let undeclared = check(&pod(), &plan, &without, &with).unwrap_err();
        assert!(
            undeclared.to_string().contains(&format!("does not declare the permission `{permission}`")),
            "{undeclared}"
        );
        assert!(undeclared.to_string().starts_with(&format!("word 3 `{}`", word.name())), "{undeclared}");
    }
}

#[test]
fn malformed_words_are_refused_with_their_number_and_reason() {
    let everything = &[
        "share:pid",
        "hostname",
        "bind:volume",
        "bind:empty",
        "bind:host:rw:/",
        "mount:proc",
        "mount:tmpfs",
        "link",
        "device:/",
        "mask",
        "read-only",
        "capability:all",
        "seccomp",
        "limit",
        "oom-score",
        "stdio:log",
        "claim",
    ];
    for (word, complaint) in [
        (share("time"), "no namespace \"time\""),
        (share("user"), "said already"),
        (Word::Hostname { name: "a_b".into() }, "is no host name"),
        (Word::Hostname { name: "x".repeat(65) }, "is no host name"),
        (Word::App { app: "web".into(), word: JailWord::NoNewPrivileges }, "no such app"),
        (app(JailWord::Root { access: Access::ReadOnly }), "said already"),
        (bind(Place::Host("/a/../etc".into()), "/a", Access::ReadOnly), "`.` or `..`"),
        (bind(Place::Host("/etc\0".into()), "/a", Access::ReadOnly), "NUL"),
        (bind(Place::Empty("a".into()), "/../a", Access::ReadOnly), "`.` or `..`"),
        (bind(Place::Empty("..".into()), "/a", Access::ReadOnly), "cannot be used"),
        (bind(Place::Empty("a/b".into()), "/a", Access::ReadOnly), "cannot be used"),
        (bind(Place::Empty("a".into()), "/", Access::ReadOnly), "only `root`"),
        (bind(Place::Volume("data".into()), "/data", Access::ReadOnly), "no volume \"data\""),
        (mount("ext4", "/a", &[]), "no kernel file system \"ext4\""),
        (mount("proc", "/proc", &["suid"]), "takes no option \"suid\""),
        (mount("tmpfs", "proc", &[]), "not absolute"),
        (app(JailWord::Link { path: "/a".into(), to: "b\0".into() }), "cannot be used"),
        (app(JailWord::Device { path: "null".into() }), "not absolute"),
        (app(JailWord::Mask { path: "/".into() }), "only `root`"),
        (app(JailWord::Capabilities { names: vec!["CAP_ROOT".into()] }), "no capability `CAP_ROOT`"),
        (app(JailWord::Seccomp { filter: filter(SeccompMode::Retain, &["raed"]) }), "no set `raed`"),
        (app(JailWord::Limit { what: "files".into(), value: 1 }), "no limit \"files\""),
        (app(JailWord::Limit { what: "memory".into(), value: 1 }), "out of range"),
        (app(JailWord::Limit { what: "memory".into(), value: u64::MAX }), "18446744073709551615 is out of range"),
        (app(JailWord::Limit { what: "cpu".into(), value: u64::MAX }), "out of range"),
        (app(JailWord::OomScore { adjustment: 1001 }), "out of range"),
        (app(JailWord::Stdio { mode: "file".into() }), "no output mode"),
    ] {
        let refusal = judge(&pod(), &plan([word.clone()]), everything).unwrap_err();
        assert!(refusal.to_string().contains(complaint), "{word:?}: {refusal}");
    }
}

#[test]
fn a_refusal_lists_all_objections_up_to_a_bound() {
    let words = (0..1000).map(|_| app(JailWord::NoNewPrivileges));
    let text = judge(&pod(), &plan(words), &[]).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 17);
    assert!(text.ends_with("and 984 more"), "{text}");
}

#[test]
fn an_app_that_the_plan_leaves_out_is_refused() {
    let text = refused(&pod(), &Plan { words: vec![share("user")] }, &[]);
    assert_eq!(text, "app \"db\": the plan lacks `app` for it");
    let no_user = Plan { words: vec![share("user"), app(JailWord::Root { access: Access::ReadWrite })] };
    assert_eq!(refused(&pod(), &no_user, &[]), "app \"db\": the plan lacks `user` for it");
}

#[test]
fn an_unfiltered_app_needs_a_permission_unless_the_user_wants_it() {
    let allowed = permissions(&["share:user", "root", "user", "seccomp"]);
    let refusal = check(&pod(), &plan([]), &allowed, &allowed).unwrap_err();
    assert!(refusal.to_string().contains("`unfiltered`"), "{refusal}");

    let mut pod = pod();
    pod.apps[0].seccomp = Some(asked(filter(SeccompMode::Retain, &["@all"])));
    check(&pod, &plan([]), &allowed, &allowed).unwrap();
    let word = app(JailWord::Seccomp { filter: filter(SeccompMode::Retain, &["@all"]) });
    check(&pod, &plan([word.clone()]), &allowed, &allowed).unwrap();

    pod.apps[0].seccomp.as_mut().unwrap().by = Origin::Image;
    assert!(check(&pod, &plan([word]), &allowed, &allowed).unwrap_err().to_string().contains("`unfiltered`"));
}

#[test]
fn capabilities_beyond_the_grant_are_the_users_to_give_and_not_the_images() {
    let mut pod = pod();
    let wanted = CapabilitySet::from_names(["CAP_NET_ADMIN", "CAP_KILL"]).unwrap();
    pod.apps[0].capabilities = Some(asked(CapabilityChange::Retain(wanted)));
    let word = app(JailWord::Capabilities { names: vec!["CAP_NET_ADMIN".into(), "CAP_KILL".into()] });
    judge(&pod, &plan([word.clone()]), &[]).unwrap();

    pod.apps[0].capabilities.as_mut().unwrap().by = Origin::Image;
    let text = refused(&pod, &plan([word]), &["capability:CAP_KILL"]);
    assert!(text.contains("does not declare the permission `capability:CAP_NET_ADMIN`"), "{text}");
}

#[test]
fn two_things_cannot_be_in_one_place_nor_ours_among_the_kernels() {
    let allowed = &["mount:proc", "mount:sysfs", "mount:cgroup2", "mount:tmpfs", "bind:empty", "device:/"];
    let twice = plan([mount("proc", "/proc", &[]), mount("tmpfs", "/proc", &[])]);
    assert!(refused(&pod(), &twice, allowed).contains("/proc is taken"));
    let inside = plan([mount("proc", "/proc", &[]), bind(Place::Empty("a".into()), "/proc/self", Access::ReadOnly)]);
    assert!(refused(&pod(), &inside, allowed).contains("below the kernel's own files on /proc"));
    let kernels = plan([mount("cgroup2", "/sys/fs/cgroup", &["ro"]), mount("sysfs", "/sys", &["ro"])]);
    let checked = judge(&pod(), &kernels, allowed).unwrap();
    let targets: Vec<_> = checked.apps[0].mounts.iter().map(|mount| mount.target().as_str().to_owned()).collect();
    assert_eq!(targets, ["/sys", "/sys/fs/cgroup"], "parents come first, whatever the order of words");
}

#[test]
fn a_host_name_needs_a_uts_namespace_and_own_users_do_not_exist_yet() {
    let text = refused(&pod(), &plan([share("uts"), Word::Hostname { name: "a".into() }]), &["share:uts", "hostname"]);
    assert!(text.contains("uts namespace"), "{text}");
    let mut words = plan([]).words;
    words.remove(0);
    assert!(refused(&pod(), &Plan { words }, &[]).contains("user namespace"));
}

/// A pod that asks for one thing of each kind.
fn demanding() -> Pod {
    let mut pod = pod();
    pod.hostname = Some(asked("db.example".to_owned()));
    let app = &mut pod.apps[0];
    app.read_only_root = Some(Origin::CommandLine);
    app.volumes.push(asked(VolumeMount {
        volume: "data".to_owned(),
        target: "/data".parse().unwrap(),
        access: Access::ReadOnly,
        reach: Reach::Recursive,
    }));
    app.limits.insert(LimitKind::Memory, asked(1 << 20));
    app.capabilities = Some(asked(CapabilityChange::Remove(CapabilitySet::from_names(["CAP_KILL"]).unwrap())));
    app.seccomp = Some(asked(filter(SeccompMode::Remove, &["mount"])));
    app.no_new_privileges = Some(Origin::Image);
    app.oom_score = Some(asked(100));
    pod
}

const DEMANDED: [&str; 10] = [
    "hostname",
    "bind:volume",
    "limit",
    "capability:CAP_KILL",
    "capability:CAP_CHOWN",
    "seccomp",
    "no-new-privileges",
    "oom-score",
    "claim",
    "share:pid",
];

/// Words that meet them all, each with the request that it answers.
fn meeting() -> Vec<(Word, &'static str)> {
    vec![
        (Word::Hostname { name: "db.example".into() }, "hostname"),
        (app(JailWord::Root { access: Access::ReadOnly }), "app/db/read-only-root"),
        (bind(Place::Volume("data".into()), "/data", Access::ReadOnly), "app/db/volume/data"),
        (app(JailWord::Limit { what: "memory".into(), value: 1 << 20 }), "app/db/limit/memory"),
        (app(JailWord::Capabilities { names: vec!["CAP_CHOWN".into()] }), "app/db/capabilities"),
        (app(JailWord::Seccomp { filter: filter(SeccompMode::Retain, &["@default"]) }), "app/db/seccomp"),
        (app(JailWord::NoNewPrivileges), "app/db/no-new-privileges"),
        (app(JailWord::OomScore { adjustment: 100 }), "app/db/oom-score"),
        (app(JailWord::User { credentials: root_user() }), "app/db/user"),
    ]
}

fn words(list: &[(Word, &'static str)]) -> Plan {
    Plan { words: std::iter::once(share("user")).chain(list.iter().map(|(word, _)| word.clone())).collect() }
}

#[test]
fn each_request_is_seen_when_it_is_met() {
    let checked = judge(&demanding(), &words(&meeting()), &DEMANDED).unwrap();
    assert_eq!(checked.answers.len(), 9);
    assert!(checked.answers.iter().all(|answered| answered.answer == Answer::Visible));
}

#[test]
fn a_request_met_too_loosely_is_not_met() {
    let looser = [
        (Word::Hostname { name: "other".into() }, "hostname"),
        (app(JailWord::Root { access: Access::ReadWrite }), "app/db/read-only-root"),
        (bind(Place::Volume("data".into()), "/data", Access::ReadWrite), "app/db/volume/data"),
        (app(JailWord::Limit { what: "memory".into(), value: (1 << 20) + 1 }), "app/db/limit/memory"),
        (app(JailWord::Capabilities { names: vec!["CAP_KILL".into()] }), "app/db/capabilities"),
        (app(JailWord::Seccomp { filter: filter(SeccompMode::Remove, &["reboot"]) }), "app/db/seccomp"),
        (app(JailWord::OomScore { adjustment: 99 }), "app/db/oom-score"),
        (app(JailWord::User { credentials: Credentials { uid: 0, gid: 0, groups: vec![7] } }), "app/db/user"),
    ];
    for (word, request) in looser {
        let mut list = meeting();
        let place = list.iter().position(|(_, id)| *id == request).unwrap();
        list[place].0 = word;
        let text = refused(&demanding(), &words(&list), &DEMANDED);
        assert!(text.starts_with(request) && text.contains("neither visible"), "{text}");
    }
}

#[test]
fn silence_is_refused_and_an_answer_has_to_be_the_only_one() {
    let mut list = meeting();
    list.retain(|(_, request)| *request != "app/db/limit/memory");
    let text = refused(&demanding(), &words(&list), &DEMANDED);
    assert_eq!(
        text,
        "app/db/limit/memory, asked for by the command line, is neither visible in the plan, nor claimed, nor waived"
    );

    let waive = (Word::Waive { request: "app/db/limit/memory".into(), reason: "no limits here".into() }, "");
    list.push(waive.clone());
    let checked = judge(&demanding(), &words(&list), &DEMANDED).unwrap();
    let waived = checked.answers.iter().find(|answered| answered.request == "app/db/limit/memory").unwrap();
    assert_eq!(waived.answer, Answer::Waived { reason: "no limits here".into() });

    let claim = (Word::Claim { request: "app/db/limit/memory".into(), how: "in the guest".into() }, "");
    list.push(claim);
    assert!(refused(&demanding(), &words(&list), &DEMANDED).contains("answered twice"));

    let mut seen_and_waived = meeting();
    seen_and_waived.push(waive);
    assert!(refused(&demanding(), &words(&seen_and_waived), &DEMANDED).contains("answered twice"));
}

#[test]
fn an_answer_to_nothing_is_refused() {
    let text = refused(&pod(), &plan([Word::Waive { request: "hostname".into(), reason: String::new() }]), &[]);
    assert_eq!(text, "the pod did not ask for \"hostname\"");
}

#[test]
fn control_characters_of_a_plugin_never_reach_a_reader() {
    let escape = "\u{1b}[2J";
    let checked = judge(&pod(), &plan([Word::Note { text: escape.into() }]), &[]).unwrap();
    assert!(!explain(&checked).contains(escape));
    assert!(!refused(&pod(), &plan([share(escape)]), &[]).contains(escape));
}

#[test]
fn the_difference_says_which_plan_is_stricter() {
    let base = judge(&demanding(), &words(&meeting()), &DEMANDED).unwrap();
    assert_eq!(diff(&base, &base), []);
    for (request, word, verdict) in [
        ("app/db/limit/memory", app(JailWord::Limit { what: "memory".into(), value: 4096 }), Strictness::Stricter),
        ("app/db/capabilities", app(JailWord::Capabilities { names: vec![] }), Strictness::Stricter),
        (
            "app/db/seccomp",
            app(JailWord::Seccomp { filter: filter(SeccompMode::Retain, &["read"]) }),
            Strictness::Stricter,
        ),
    ] {
        let mut list = meeting();
        let place = list.iter().position(|(_, id)| *id == request).unwrap();
        list[place].0 = word;
        let other = judge(&demanding(), &words(&list), &DEMANDED).unwrap();
        let changes = diff(&base, &other);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].strictness, verdict, "{request}");
        assert_eq!(diff(&other, &base)[0].strictness, Strictness::Weaker, "{request}");
    }
    let mut list = meeting();
    list.push((share("pid"), ""));
    let sharing = judge(&demanding(), &words(&list), &DEMANDED).unwrap();
    assert_eq!(diff(&base, &sharing)[0].strictness, Strictness::Weaker);
}

#[test]
fn an_explanation_says_what_a_reviewer_asks() {
    let checked = judge(&demanding(), &words(&meeting()), &DEMANDED).unwrap();
    let text = explain(&checked);
    let expected = "\
pod
  namespaces     pid: its own
                 network: its own, with loopback only
                 ipc: its own
                 uts: its own
                 cgroup: its own
                 user: the host's
  host name      db.example
app db
  root           the image, read-only
  mounts         /data: volume data, read-only, with all mounts below
  user           0:0
  capabilities   CAP_CHOWN
  privileges     programs gain none
  system calls   SECCOMP
  limits         memory 1048576 bytes
  oom score      100
  output         log
requests
  host name db.example: in the plan
  user 0:0 for app db: in the plan
  a read-only root for app db: in the plan
  volume data on /data for app db: in the plan
  memory at most 1048576 for app db: in the plan
  capabilities without CAP_KILL for app db: in the plan
  a filter of system calls for app db: in the plan
  no new privileges for app db: in the plan
  an out-of-memory adjustment of 100 for app db: in the plan
";
    // How many calls there are depends on the architecture.
    let calls = text.lines().find(|line| line.contains("system calls")).unwrap().trim_start();
    let calls = calls.strip_prefix("system calls").unwrap().trim();
    assert_eq!(text, expected.replace("SECCOMP", calls));
    assert!(calls.contains(" of "), "{calls}");
}

#[test]
fn a_checked_plan_is_written_out_in_the_words_of_the_contract() {
    let json = serde_json::to_value(judge(&demanding(), &words(&meeting()), &DEMANDED).unwrap()).unwrap();
    assert_eq!(json["shared"], serde_json::json!(["user"]));
    assert_eq!(json["apps"][0]["capabilities"], serde_json::json!(["CAP_CHOWN"]));
    assert_eq!(json["apps"][0]["mounts"][0]["bind"]["target"], "/data");
    assert_eq!(json["answers"][0]["answer"], "visible");
}
