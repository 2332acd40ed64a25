//! What nspawn plans. `UPDATE_PLANS=1 cargo test` writes the files anew, for review.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use rkt_nspawn::plan;
use rkt_sdk::testing::{assert_plan, pods};
use rkt_sdk::{CapabilityChange, NoFacts, Pod};

fn host() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("program:/usr/bin/systemd-nspawn", "present"), ("cgroups", "v2")])
}

fn text(pod: &Pod, facts: &BTreeMap<&str, &str>) -> String {
    plan(pod, facts).unwrap().to_string()
}

#[test]
fn an_app_that_asks_for_nothing() {
    assert_plan("tests/plans/nothing.txt", &plan(&Pod::of_apps(&["hello"]), &host()).unwrap());
}

#[test]
fn an_app_that_asks_for_everything() {
    assert_plan("tests/plans/everything.txt", &plan(&pods::everything_else(), &host()).unwrap());
}

#[test]
fn a_pod_is_a_machine_where_systemd_can_know_it_and_nobody_says_no() {
    let registered = |machined, cgroups, option: Option<&str>| {
        let mut facts = host();
        facts.insert("machined", machined);
        facts.insert("cgroups", cgroups);
        let pod = option.map_or_else(|| Pod::of_apps(&["a"]), |option| pods::with_option("register", option));
        let plan = plan(&pod, &facts).map(|plan| plan.to_string());
        plan.map(|plan| {
            assert_ne!(plan.contains("--register=yes"), plan.contains("--register=no"), "{plan}");
            plan.contains("--register=yes")
        })
    };
    assert_eq!(registered("running", "v2", None), Ok(true));
    for (machined, cgroups, option) in [("absent", "v2", None), ("running", "v1", None), ("running", "v2", Some("no"))]
    {
        assert_eq!(registered(machined, cgroups, option), Ok(false), "{machined} {cgroups} {option:?}");
    }
    assert_eq!(registered("running", "v2", Some("yes")).unwrap_err().message, "register is \"yes\"");
}

#[test]
fn no_name_that_a_user_or_an_image_chose_is_in_an_argument() {
    let mut pod = pods::with_volume_at("/x");
    pod.apps[0].name = "evil-app".to_owned();
    pod.apps[0].volumes[0].volume = "evil-volume".to_owned();
    "evil-host".clone_into(&mut pod.hostname);
    let text = text(&pod, &host());
    assert!(text.contains("evil-app") && text.contains("volume(evil-volume)"), "{text}");
    for line in text.lines().filter(|line| line.contains("evil")) {
        let is_told = ["argument", "environment"].iter().any(|word| line.contains(word));
        assert!(!is_told, "{line}");
    }
}

#[test]
fn init_has_what_apps_are_to_have_and_no_more() {
    let mut pod = Pod::of_apps(&["a", "b"]);
    assert!(!text(&pod, &host()).contains("--capability="));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    pod.apps[0].capabilities = Some(CapabilityChange::Retain(names(&["CAP_SYS_TIME", "CAP_KILL"])));
    pod.apps[1].capabilities = Some(CapabilityChange::Remove(names(&["CAP_SYS_MODULE"])));
    assert!(text(&pod, &host()).contains("argument --capability=CAP_SYS_TIME\n"));
    pod.apps[1].oom_score = Some(-5);
    assert!(text(&pod, &host()).contains("argument --capability=CAP_SYS_RESOURCE,CAP_SYS_TIME\n"));
}

#[test]
fn what_is_missing_and_what_is_unknown_is_refused_by_name() {
    let pod = Pod::of_apps(&["hello"]);
    let missing = plan(&pod, &NoFacts).unwrap_err();
    assert_eq!(missing.message, "there is no /usr/bin/systemd-nspawn");
    assert_eq!(missing.hint.as_deref(), Some("install systemd-container"));
    let unknown = plan(&pods::with_option("turbo", "yes"), &host()).unwrap_err();
    assert_eq!(unknown.message, "there is no option `turbo`");
}
