//! What fly plans. `UPDATE_PLANS=1 cargo test` writes the files anew, for review.
#![allow(clippy::unwrap_used, reason = "tests")]

use rkt_fly::plan;
use rkt_sdk::testing::assert_plan;
use rkt_sdk::{
    Access, CapabilityChange, Credentials, Limit, NoFacts, Pod, Request, SeccompFilter, SeccompMode, VolumeMount,
};

#[test]
fn an_app_that_asks_for_nothing() {
    assert_plan("tests/plans/nothing.txt", &plan(&Pod::of_apps(&["hello"]), &NoFacts).unwrap());
}

#[test]
fn an_app_that_asks_for_everything() {
    let mut pod = Pod::of_apps(&["db"]);
    let app = &mut pod.apps[0];
    app.user = Credentials { uid: 999, gid: 998, groups: vec![27, 100] };
    app.root_access = Access::ReadOnly;
    app.volumes = [("data", "/var/lib/db", Access::ReadWrite), ("conf", "/etc/db", Access::ReadOnly)]
        .map(|(volume, target, access)| VolumeMount { volume: volume.to_owned(), target: target.to_owned(), access })
        .into();
    app.limits = [("memory", 1 << 30), ("cpu", 500), ("pids", 100)]
        .map(|(what, value)| Limit { what: what.to_owned(), value })
        .into();
    app.capabilities = Some(CapabilityChange::Retain(vec!["CAP_CHOWN".to_owned()]));
    app.seccomp = Some(SeccompFilter {
        mode: SeccompMode::Remove,
        calls: vec!["@default-denied".to_owned(), "personality".to_owned()],
        errno: Some("EACCES".to_owned()),
    });
    app.no_new_privileges = true;
    app.oom_score = Some(500);
    for request in ["read-only-root", "volume/var/lib/db", "volume/etc/db", "limit/memory", "limit/cpu", "limit/pids"] {
        pod.requests.push(Request::new(format!("app/db/{request}")));
    }
    for request in ["capabilities", "seccomp", "no-new-privileges", "oom-score"] {
        pod.requests.push(Request::new(format!("app/db/{request}")));
    }
    assert_plan("tests/plans/everything.txt", &plan(&pod, &NoFacts).unwrap());
}

#[test]
fn capabilities_are_taken_away_from_all_there_are() {
    let mut pod = Pod::of_apps(&["hello"]);
    pod.apps[0].capabilities = Some(CapabilityChange::Remove(vec!["CAP_SYS_ADMIN".to_owned()]));
    let text = plan(&pod, &NoFacts).unwrap().to_string();
    let line = text.lines().find(|line| line.trim().starts_with("capabilities")).unwrap();
    assert_eq!(line.split_whitespace().count(), 1 + 40);
    assert!(!line.contains("CAP_SYS_ADMIN") && line.contains("CAP_SYS_BOOT"));
}

#[test]
fn a_volume_takes_the_place_of_what_fly_would_put_there() {
    let mut pod = Pod::of_apps(&["hello"]);
    for target in ["/tmp", "/dev"] {
        let volume = VolumeMount { volume: "v".to_owned(), target: target.to_owned(), access: Access::ReadWrite };
        pod.apps[0].volumes.push(volume);
    }
    let text = plan(&pod, &NoFacts).unwrap().to_string();
    assert!(!text.contains("mount tmpfs") && !text.contains("host(/dev)"), "{text}");
    assert!(text.contains("host(/proc)"), "{text}");
}

#[test]
fn what_fly_cannot_give_is_waived_in_the_users_words() {
    let mut pod = Pod::of_apps(&["hello"]);
    pod.requests.extend([Request::new("hostname"), Request::new("network/backend")]);
    let text = plan(&pod, &NoFacts).unwrap().to_string();
    assert!(text.contains("waive hostname: fly shares the host's name\n"), "{text}");
    assert!(text.contains("waive network/backend: this flavor knows no `network`\n"), "{text}");
    assert!(!text.contains("waive app/hello/user"), "{text}");
}

#[test]
fn two_apps_are_one_too_many() {
    let problem = plan(&Pod::of_apps(&["a", "b"]), &NoFacts).unwrap_err();
    assert_eq!(problem.message, "fly runs one app in a pod");
    assert_eq!(problem.hint.as_deref(), Some("--stage1=container"));
}

#[test]
fn an_option_is_refused_by_name() {
    let mut pod = Pod::of_apps(&["a"]);
    pod.settings.push(("turbo".to_owned(), "yes".to_owned()));
    assert_eq!(plan(&pod, &NoFacts).unwrap_err().message, "there is no option `turbo`");
}
