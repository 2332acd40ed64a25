//! What bubble plans. `UPDATE_PLANS=1 cargo test` writes the files anew, for review.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use bubble::plan;
use rkt_sdk::testing::assert_plan;
use rkt_sdk::{
    Access, CapabilityChange, Credentials, Limit, NoFacts, Pod, Reach, Request, SeccompFilter, SeccompMode, VolumeMount,
};

fn host() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("program:/usr/bin/bwrap", "present")])
}

fn planned(pod: &Pod) -> String {
    plan(pod, &host()).unwrap().to_string()
}

#[test]
fn an_app_that_asks_for_nothing() {
    assert_plan("tests/plans/nothing.txt", &plan(&Pod::of_apps(&["hello"]), &host()).unwrap());
}

#[test]
fn an_app_that_asks_for_everything() {
    let mut pod = Pod::of_apps(&["db"]);
    pod.hostname = "db-1".to_owned();
    let app = &mut pod.apps[0];
    app.user = Credentials { uid: 999, gid: 998, groups: vec![27, 100] };
    app.root_access = Access::ReadOnly;
    app.volumes = [("data", "/var/lib/db", Access::ReadWrite), ("conf", "/etc/db", Access::ReadOnly)]
        .map(|(volume, target, access)| VolumeMount {
            volume: volume.to_owned(),
            target: target.to_owned(),
            access,
            reach: Reach::Recursive,
        })
        .into();
    app.limits = vec![Limit { what: "memory".to_owned(), value: 1 << 30 }];
    app.capabilities = Some(CapabilityChange::Retain(vec!["CAP_CHOWN".to_owned()]));
    let calls = vec!["@default-denied".to_owned()];
    app.seccomp = Some(SeccompFilter { mode: SeccompMode::Remove, calls, errno: None });
    app.no_new_privileges = true;
    app.oom_score = Some(500);
    let of_app = ["read-only-root", "volume/var/lib/db", "volume/etc/db", "limit/memory", "capabilities", "seccomp"];
    let of_app = of_app.iter().chain(&["no-new-privileges", "oom-score"]);
    pod.requests.extend(of_app.map(|request| Request::new(format!("app/db/{request}"))));
    pod.requests.extend([Request::new("hostname"), Request::new("network/backend")]);
    assert_plan("tests/plans/everything.txt", &plan(&pod, &host()).unwrap());
}

#[test]
fn each_request_is_answered_once() {
    let mut pod = Pod::of_apps(&["db"]);
    let kinds = ["capabilities", "limit/pids", "no-new-privileges", "oom-score", "read-only-root", "seccomp", "new"];
    pod.requests.extend(kinds.iter().map(|kind| Request::new(format!("app/db/{kind}"))));
    pod.requests.push(Request::new("hostname"));
    let text = planned(&pod);
    for request in &pod.requests {
        let answers = [format!("claim {}:", request.id()), format!("waive {}:", request.id())];
        let lines = text.lines().filter(|line| answers.iter().any(|answer| line.starts_with(answer)));
        assert_eq!(lines.count(), 1, "{}: {text}", request.id());
    }
}

#[test]
fn an_app_that_may_keep_no_capability_has_what_it_asks_for() {
    let mut pod = Pod::of_apps(&["db"]);
    pod.requests.push(Request::new("app/db/capabilities"));
    let none = CapabilityChange::Retain(Vec::new());
    for (change, answer) in [
        (none, "claim"),
        (CapabilityChange::Remove(vec!["CAP_KILL".to_owned()]), "claim"),
        (CapabilityChange::Retain(vec!["CAP_KILL".to_owned()]), "waive"),
    ] {
        pod.apps[0].capabilities = Some(change);
        assert!(planned(&pod).contains(&format!("{answer} app/db/capabilities: bubblewrap")), "{answer}");
    }
}

#[test]
fn a_volume_at_proc_is_the_apps_own_affair() {
    let mut pod = Pod::of_apps(&["db"]);
    let volume = VolumeMount {
        volume: "v".to_owned(),
        target: "/proc".to_owned(),
        access: Access::ReadOnly,
        reach: Reach::Recursive,
    };
    pod.apps[0].volumes.push(volume);
    let text = planned(&pod);
    assert!(!text.contains("tmpfs on /app/proc") && text.contains("volume(v) on /app/proc read-only"), "{text}");
}

#[test]
fn pods_that_it_cannot_run_are_refused() {
    let refused = |pod: &Pod| plan(pod, &host()).unwrap_err().message;
    assert_eq!(refused(&Pod::of_apps(&["a", "b"])), "bubble runs one app in a pod");
    let mut pod = Pod::of_apps(&["a"]);
    pod.settings.push(("turbo".to_owned(), "yes".to_owned()));
    assert_eq!(refused(&pod), "there is no option `turbo`");
    let problem = plan(&Pod::of_apps(&["a"]), &NoFacts).unwrap_err();
    assert_eq!(problem.message, "there is no /usr/bin/bwrap");
    assert_eq!(problem.hint.as_deref(), Some("install bubblewrap"));
}
