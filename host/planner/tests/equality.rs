//! A flavor linked, as native code and as a component: the same plan, or the same refusal, for every pod
//! of the flavors' tests and every kind of host.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/linked.rs"]
mod linked;
mod support;

use std::collections::BTreeMap;

use linked::{FLAVORS, heard, seen_as};
use rkt_plan::Trust;
use rkt_planner::{Error, Limits, Planned, Planner, Plugin};
use rkt_sdk::testing::pods;
use support::{Answers, native, native_program, program, shipped};

/// What a flavor may be told of control groups.
const CGROUPS: [Option<&str>; 3] = [Some("v1"), Some("v2"), None];

/// The words, or the problem and its hint.
type Answer<P> = Result<P, (String, Option<String>)>;

fn planned(plugin: &Plugin, pod: &rkt_plan::Pod, cgroups: Option<&str>) -> Answer<Planned> {
    let program = match plugin.trust() {
        Trust::Wasm => program(),
        Trust::Native => native_program(),
    };
    let answers = cgroups.map_or_else(Answers::default, |cgroups| Answers::default().with("cgroups", cgroups));
    match Planner::start(&program, plugin, Limits::default()).unwrap().plan(pod, &answers) {
        Ok(planned) => Ok(planned),
        Err(Error::Refused { message, hint, .. }) => Err((message, hint)),
        Err(other) => panic!("{}: {other:?}", plugin.name()),
    }
}

#[test]
fn linked_native_and_component_give_the_same_plan_for_every_pod() {
    let (mut plans, mut refusals) = (0, 0);
    for (flavor, linked) in FLAVORS {
        let component = shipped(flavor);
        let native = native(flavor);
        assert_eq!((component.trust(), native.trust()), (Trust::Wasm, Trust::Native));
        assert_eq!(component.permissions(), native.permissions());
        assert_eq!(component.contract(), native.contract());
        for (name, pod) in pods::all() {
            for cgroups in CGROUPS {
                let facts: BTreeMap<&str, &str> = cgroups.map(|cgroups| ("cgroups", cgroups)).into_iter().collect();
                let linked = linked(&pod, &facts).map_err(|problem| (problem.message, problem.hint));
                let native = planned(&native, &seen_as(&pod), cgroups);
                let component = planned(&component, &seen_as(&pod), cgroups);
                let about = format!("{flavor}, {name}, {cgroups:?}");
                let bytes = |answer: &Answer<Planned>| {
                    answer.as_ref().map(|planned| serde_json::to_string(&planned.plan).unwrap()).map_err(Clone::clone)
                };
                assert_eq!(bytes(&native), bytes(&component), "{about}");
                assert_eq!(native.as_ref().map(|it| &it.facts), component.as_ref().map(|it| &it.facts), "{about}");
                let heard = native.map(|native| heard(&native.plan));
                assert_eq!(
                    heard.as_ref().map(ToString::to_string),
                    linked.as_ref().map(ToString::to_string),
                    "{about}"
                );
                assert_eq!(heard, linked, "{about}");
                if linked.is_ok() { plans += 1 } else { refusals += 1 }
            }
        }
    }
    // fly refuses two apps, and both an option.
    assert_eq!((plans, refusals), (93, 9));
}
