//! What kvm plans. `UPDATE_PLANS=1 cargo test` writes the files anew, for review.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use rkt_kvm::plan;
use rkt_sdk::testing::{assert_plan, pods};
use rkt_sdk::{Access, NoFacts, Pod, Problem, Reach, VolumeMount};

const KVM: &str = "/dev/kvm";

fn host() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("program:/usr/bin/qemu-system-x86_64", "present"), ("program:/usr/lib/qemu/virtiofsd", "present")])
}

fn text(pod: &Pod) -> String {
    plan(pod, &host()).unwrap().to_string()
}

fn refusal(pod: &Pod, facts: &BTreeMap<&str, &str>) -> Problem {
    plan(pod, facts).unwrap_err()
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
fn two_apps_on_an_emulated_processor() {
    let mut pod = pods::with_option("accel", "tcg");
    pod.apps = Pod::of_apps(&["web", "db"]).apps;
    assert_plan("tests/plans/emulated.txt", &plan(&pod, &host()).unwrap());
}

#[test]
fn a_volume_is_served_once_with_the_widest_access_that_an_app_has() {
    let mut pod = Pod::of_apps(&["web", "db"]);
    let mount = |volume: &str, target: &str, access| VolumeMount {
        volume: volume.to_owned(),
        target: target.to_owned(),
        access,
        reach: Reach::Recursive,
    };
    pod.apps[0].volumes = vec![mount("a", "/a", Access::ReadOnly), mount("b", "/b", Access::ReadOnly)];
    pod.apps[1].volumes = vec![mount("c", "/c", Access::ReadOnly), mount("a", "/a", Access::ReadWrite)];
    let text = text(&pod);
    for (number, bind) in ["volume(a) on /volumes/0 read-write", "volume(b) on /volumes/1 read-only"].iter().enumerate()
    {
        assert!(text.contains(bind), "{number}: {text}");
    }
    assert!(text.contains("volume(c) on /volumes/2 read-only") && !text.contains("/volumes/3"), "{text}");
    assert!(text.contains("virtiofs"), "{text}");
}

#[test]
fn a_volume_is_served_without_what_is_mounted_below_it_where_every_app_wants_it_so() {
    let mut pod = Pod::of_apps(&["web", "db"]);
    let mount = |volume: &str, reach| VolumeMount {
        volume: volume.to_owned(),
        target: format!("/{volume}"),
        access: Access::ReadWrite,
        reach,
    };
    pod.apps[0].volumes = vec![mount("a", Reach::Single), mount("b", Reach::Single)];
    pod.apps[1].volumes = vec![mount("a", Reach::Single), mount("b", Reach::Recursive)];
    let text = text(&pod);
    assert!(text.contains("volume(a) on /volumes/0 read-write single\n"), "{text}");
    assert!(text.contains("volume(b) on /volumes/1 read-write recursive\n"), "{text}");
}

#[test]
fn no_name_that_a_user_or_an_image_chose_is_in_an_argument_or_a_path_of_a_jail() {
    let mut pod = pods::with_volume_at("/x");
    pod.apps[0].name = "evil-app".to_owned();
    pod.apps[0].volumes[0].volume = "evil-volume".to_owned();
    "evil-host".clone_into(&mut pod.hostname);
    for line in text(&pod).lines().filter(|line| line.contains("evil")) {
        let at = line.split_once(" on ").map_or("", |(_, at)| at);
        assert!(!line.contains("argument") && !at.contains("evil"), "{line}");
    }
}

#[test]
fn the_machine_is_limited_to_what_its_apps_are_together() {
    let mut pod = Pod::of_apps(&["web", "db"]);
    let limit = |what: &str, value| rkt_sdk::Limit { what: what.to_owned(), value };
    pod.apps[0].limits = vec![limit("memory", 1 << 30), limit("cpu", 1500)];
    let one = text(&pod);
    assert!(one.contains("1152M") && !one.contains("limit cpu 2200"), "{one}");
    pod.apps[1].limits = vec![limit("memory", 1 << 30), limit("cpu", 700), limit("pids", 7)];
    let both = text(&pod);
    for line in [format!("limit memory {}", (2048_u64 + 128 + 256) << 20), "limit cpu 2200".to_owned()] {
        assert!(both.contains(&line), "{line}: {both}");
    }
    assert!(both.contains("2176M"), "{both}");
}

#[test]
fn kvm_is_used_where_it_may_work_and_emulation_where_it_was_asked_for() {
    let with = |device: &'static str, accel: Option<&str>| {
        let mut facts = host();
        facts.insert("device:/dev/kvm", device);
        let pod = accel.map_or_else(|| Pod::of_apps(&["hello"]), |accel| pods::with_option("accel", accel));
        plan(&pod, &facts).map(|plan| plan.to_string())
    };
    let uses_kvm = |plan: &str| {
        assert_eq!(plan.contains("argument kvm"), plan.contains("device /dev/kvm"), "{plan}");
        plan.contains("argument kvm")
    };
    for accel in [None, Some("kvm"), Some("auto")] {
        let plan = with("works", accel).unwrap();
        assert!(uses_kvm(&plan) && plan.contains("speaks-within 60\n"), "{accel:?}: {plan}");
        let plan = with("present", accel).unwrap();
        assert!(uses_kvm(&plan) && plan.contains("speaks-within 3, or else: "), "{accel:?}: {plan}");
        assert!(!plan.contains("emulated"), "{accel:?}: {plan}");
    }
    assert!(with("present", Some("kvm")).unwrap().contains("accel=tcg"));
    assert!(with("present", Some("auto")).unwrap().contains("or else: the next run emulates"));

    for device in ["works", "present", "fails", "absent"] {
        let plan = with(device, Some("tcg")).unwrap();
        assert!(!uses_kvm(&plan) && plan.contains("the processor is emulated: as is asked for"), "{device}: {plan}");
    }
    for (device, why) in [("fails", "a guest that used /dev/kvm did not speak"), ("absent", "there is no /dev/kvm")] {
        let plan = with(device, Some("auto")).unwrap();
        assert!(!uses_kvm(&plan) && plan.contains(&format!("emulated: {why}")), "{device}: {plan}");
        let refused = with(device, None).unwrap_err();
        let hint = refused.hint.unwrap();
        assert!(refused.message.contains(KVM) && hint.contains("accel=tcg") && hint.contains("[options.kvm]"));
    }
    assert!(uses_kvm(&with("fails", Some("kvm")).unwrap()));
    assert!(with("absent", Some("kvm")).is_err());
}

#[test]
fn what_is_missing_and_what_is_unknown_is_refused_by_name() {
    let pod = Pod::of_apps(&["hello"]);
    assert!(plan(&pod, &NoFacts).unwrap_err().message.contains("/usr/bin/qemu-system-x86_64"));
    let mut without = host();
    without.remove("program:/usr/lib/qemu/virtiofsd");
    plan(&pod, &without).unwrap();
    assert!(refusal(&pods::with_volume_at("/x"), &without).message.contains("/usr/lib/qemu/virtiofsd"));
    assert_eq!(refusal(&pods::with_option("turbo", "yes"), &host()).message, "there is no option `turbo`");
    assert_eq!(refusal(&pods::with_option("accel", "xen"), &host()).message, "accel is \"xen\"");
    assert_eq!(refusal(&pods::with_option("console", "-"), &host()).message, "console is \"-\"");
}
