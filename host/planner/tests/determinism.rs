//! The same pod and the same answers give the same plan, to the byte (P11).
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/component.rs"]
mod component;
mod support;

use rkt_plan::{
    Access, Asked, CapabilityChange, CapabilitySet, Credentials, LimitKind, Origin, Pod, Reach, SeccompFilter,
    SeccompMode, VolumeMount,
};
use rkt_planner::{Kept, Limits, Planner, Plugin, install};
use support::{Answers, compiler, pod, program, shipped};

fn asked<T>(value: T) -> Asked<T> {
    Asked { value, by: Origin::CommandLine }
}

/// A pod whose app asks for something of everything, and of some things for many.
fn demanding() -> Pod {
    let mut pod = pod(&["db"]);
    let app = &mut pod.apps[0];
    app.user = asked(Credentials { uid: 999, gid: 998, groups: (1..20).collect() });
    app.read_only_root = Some(Origin::Image);
    for number in 0..20 {
        let reach = if number % 2 == 0 { Reach::Single } else { Reach::Recursive };
        let target = format!("/srv/{number}").parse().unwrap();
        app.volumes.push(asked(VolumeMount { volume: format!("v{number}"), target, access: Access::ReadOnly, reach }));
    }
    app.limits = LimitKind::ALL.map(|kind| (kind, asked(4096))).into();
    app.capabilities = Some(asked(CapabilityChange::Remove(CapabilitySet::from_names(["CAP_KILL"]).unwrap())));
    let calls = ["@default", "clock_settime", "reboot"].map(str::to_owned).into();
    app.seccomp = Some(asked(SeccompFilter { mode: SeccompMode::Retain, calls, errno: Some("ENOSYS".to_owned()) }));
    app.no_new_privileges = Some(Origin::CommandLine);
    app.oom_score = Some(asked(7));
    pod
}

/// What a plugin says in a process of its own, as it is recorded; a refusal in its words.
fn bytes(plugin: &Plugin, pod: &Pod, cgroups: &str) -> Vec<u8> {
    let planner = Planner::start(&program(), plugin, Limits::default()).unwrap();
    match planner.plan(pod, &Answers::default().with("cgroups", cgroups)) {
        Ok(answer) => serde_json::to_vec(&(answer.plan, answer.facts)).unwrap(),
        Err(refusal) => refusal.to_string().into_bytes(),
    }
}

#[test]
fn p11_every_fixture_is_planned_in_the_same_bytes_each_time() {
    for flavor in ["fly", "container"] {
        let plugin = shipped(flavor);
        for pod in [pod(&["a"]), pod(&["a", "b", "c"]), demanding()] {
            for cgroups in ["v1", "v2"] {
                let first = bytes(&plugin, &pod, cgroups);
                assert!(!first.is_empty());
                for _ in 0..3 {
                    assert!(bytes(&plugin, &pod, cgroups) == first, "{flavor} {cgroups} {pod:?}");
                }
            }
        }
        assert!(bytes(&plugin, &demanding(), "v1").len() > 1000, "{flavor} plans the pod that asks for everything");
    }
}

#[test]
fn p11_a_component_is_compiled_to_the_same_plugin_each_time() {
    let component = support::component("container");
    let plan = || {
        let directory = tempfile::tempdir().unwrap();
        let plugin = install("again", component.as_slice(), &Kept::at(directory.path()), &compiler()).unwrap();
        bytes(&plugin, &demanding(), "v2")
    };
    assert!(plan() == bytes(&shipped("container"), &demanding(), "v2"));
}

#[test]
fn p11_a_number_that_is_none_has_the_same_bits_on_every_processor() {
    // Processors differ in the sign that they give it.
    let check =
        |bits: &str, more: &str| format!("(if (i32.ne {bits} (i32.const 0x7fc00000)) (then unreachable)) {more}");
    let zero = "(f32.load (i32.const 0))";
    let deed = check(&format!("(i32.reinterpret_f32 (f32.div {zero} {zero}))"), "");
    let root = format!("(f32.sqrt (f32.sub {zero} (f32.const 1)))");
    let deed = check(&format!("(i32.reinterpret_f32 {root})"), &deed);
    let directory = tempfile::tempdir().unwrap();
    let component = component::plugin(&deed);
    let plugin = install("nan", component.as_slice(), &Kept::at(directory.path()), &compiler()).unwrap();
    let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
    assert_eq!(planner.plan(&pod(&["a"]), &Answers::default()).unwrap().plan.words, []);
}
