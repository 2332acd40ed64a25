//! The shipped flavors, as components, in their cages.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use rkt_plan::{JailWord, Word};
use rkt_planner::{Error, Limits, Planner};
use support::{Answers, pod, program, shipped};

#[test]
fn fly_plans_a_pod_from_end_to_end() {
    let plugin = shipped("fly");
    let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
    let answer = planner.plan(&pod(&["hello"]), &Answers::default()).unwrap();
    assert_eq!(answer.facts, BTreeMap::new());
    let shared = answer.plan.words.iter().filter(|word| matches!(word, Word::Share { .. })).count();
    assert_eq!(shared, 6);
    let root = |word: &Word| matches!(word, Word::App { app, word: JailWord::Root { .. } } if app == "hello");
    assert!(answer.plan.words.iter().any(root));
}

#[test]
fn a_plugins_own_refusal_arrives_with_its_hint() {
    let planner = Planner::start(&program(), &shipped("fly"), Limits::default()).unwrap();
    match planner.plan(&pod(&["a", "b"]), &Answers::default()).unwrap_err() {
        Error::Refused { plugin, message, hint } => {
            assert_eq!(plugin, "fly");
            assert_eq!(message, "fly runs one app in a pod");
            assert_eq!(hint.as_deref(), Some("--stage1=container"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn answers_are_recorded_and_the_same_answers_give_the_same_plan() {
    let plugin = shipped("container");
    let plan = |cgroups: &str| {
        let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
        planner.plan(&pod(&["a", "b"]), &Answers::default().with("cgroups", cgroups)).unwrap()
    };
    let unified = plan("v2");
    assert_eq!(unified.facts, BTreeMap::from([("cgroups".to_owned(), Some("v2".to_owned()))]));
    assert_eq!(unified, plan("v2"));
    assert_ne!(unified.plan, plan("v1").plan);
}
