//! What fly plans. `UPDATE_PLANS=1 cargo test` writes the files anew, for review.
#![allow(clippy::unwrap_used, reason = "tests")]

use rkt_fly::plan;
use rkt_sdk::testing::{assert_plan, pods};
use rkt_sdk::{CapabilityChange, NoFacts, Pod, Request};

#[test]
fn an_app_that_asks_for_nothing() {
    assert_plan("tests/plans/nothing.txt", &plan(&Pod::of_apps(&["hello"]), &NoFacts).unwrap());
}

#[test]
fn an_app_that_asks_for_everything() {
    assert_plan("tests/plans/everything.txt", &plan(&pods::everything(), &NoFacts).unwrap());
}

#[test]
fn capabilities_are_taken_away_from_all_there_are() {
    let pod = pods::with_capabilities(CapabilityChange::Remove(vec!["CAP_SYS_ADMIN".to_owned()]));
    let text = plan(&pod, &NoFacts).unwrap().to_string();
    let line = text.lines().find(|line| line.trim().starts_with("capabilities")).unwrap();
    assert_eq!(line.split_whitespace().count(), 1 + 40);
    assert!(!line.contains("CAP_SYS_ADMIN") && line.contains("CAP_SYS_BOOT"));
}

#[test]
fn a_volume_takes_the_place_of_what_fly_would_put_there() {
    for (target, gone, left) in [("/tmp", "mount tmpfs", "host(/dev)"), ("/dev", "host(/dev)", "host(/proc)")] {
        let text = plan(&pods::with_volume_at(target), &NoFacts).unwrap().to_string();
        assert!(!text.contains(gone) && text.contains(left), "{target}: {text}");
    }
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
    let pod = pods::with_option("turbo", "yes");
    assert_eq!(plan(&pod, &NoFacts).unwrap_err().message, "there is no option `turbo`");
}
