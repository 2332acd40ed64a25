//! Hostile plugins, as real components (P1, P2, P14): each ends with an error that says which limit or
//! rule it broke, within that limit, and the next plugin plans as if nothing had been.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/component.rs"]
mod component;
mod support;

use std::time::{Duration, Instant};

use component::{module, plugin};
use rkt_planner::{Error, Failure, InstallError, Kept, Limits, Planner, Plugin, Refusal, install};
use support::{Answers, compiler, pod, program, shipped};

fn installed(component: &[u8]) -> Result<Plugin, InstallError> {
    let cache = tempfile::tempdir().unwrap();
    install("hostile", component, &Kept::at(cache.path()), &compiler())
}

/// How a plugin that should fail fails. A good plugin plans right after it.
fn failure_with(component: &[u8], limits: Limits) -> Failure {
    let plugin = installed(component).unwrap();
    let start = Instant::now();
    let planner = Planner::start(&program(), &plugin, limits).unwrap();
    let error = planner.plan(&pod(&["a"]), &Answers::default()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "a limit held up the pod: {error}");
    let next = Planner::start(&program(), &shipped("fly"), Limits::default()).unwrap();
    next.plan(&pod(&["a"]), &Answers::default()).unwrap();
    match error {
        Error::Failed { plugin, failure } if plugin == "hostile" => failure,
        other => panic!("{other:?}"),
    }
}

fn failure(deed: &str) -> Failure {
    failure_with(&plugin(deed), Limits::default())
}

fn refusal(component: &[u8]) -> Refusal {
    match installed(component).unwrap_err() {
        InstallError::Refused { plugin, refusal } if plugin == "hostile" => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plugin_that_does_nothing_gives_an_empty_plan() {
    let plugin = installed(&plugin("")).unwrap();
    let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
    let answer = planner.plan(&pod(&["a"]), &Answers::default()).unwrap();
    assert_eq!(answer.plan.words, []);
}

#[test]
fn p1_an_endless_loop_runs_out_of_fuel() {
    let failure = failure("(loop $again (br $again))");
    assert_eq!(failure, Failure::Fuel { limit: 50_000_000, function: Some("plan".to_owned()) });
}

#[test]
fn p1_an_endless_loop_while_it_is_set_up_runs_out_of_fuel() {
    let fields = r#"(memory (export "memory") 4)
        (func $forever (loop $again (br $again)))
        (start $forever)
        (func (export "plan") (param i32 i32) (result i32) (i32.const 0))"#;
    let failure = failure_with(&module("", fields), Limits::default());
    assert!(matches!(failure, Failure::Fuel { limit: 50_000_000, .. }), "{failure}");
}

#[test]
fn p1_memory_ends_at_its_limit() {
    let failure = failure("(loop $more (drop (memory.grow (i32.const 16))) (br $more))");
    assert_eq!(failure, Failure::Memory { limit: 64 << 20 });
}

#[test]
fn p1_memory_that_begins_too_large_is_not_made() {
    let fields = r#"(memory (export "memory") 2000)
        (func (export "plan") (param i32 i32) (result i32) (i32.const 0))"#;
    let failure = failure_with(&module("", fields), Limits::default());
    assert!(matches!(failure, Failure::Memory { .. }), "{failure}");
}

#[test]
fn p1_tables_end_at_their_limit() {
    let fields = r#"(memory (export "memory") 4)
        (table $t 1 funcref)
        (func (export "plan") (param i32 i32) (result i32)
          (loop $more (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $more))
          (i32.const 0))"#;
    let failure = failure_with(&module("", fields), Limits::default());
    assert_eq!(failure, Failure::Tables { limit: 20_000 });
}

#[test]
fn p1_deep_recursion_runs_out_of_stack() {
    let fields = r#"(memory (export "memory") 4)
        (func $deeper (param i64) (result i64)
          (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
        (func (export "plan") (param i32 i32) (result i32) (i32.wrap_i64 (call $deeper (i64.const 0))))"#;
    let failure = failure_with(&module("", fields), Limits::default());
    assert_eq!(failure, Failure::Stack { limit: 512 << 10, function: Some("deeper".to_owned()) });
}

#[test]
fn p1_a_million_words_are_too_many() {
    let failure = failure(
        "(loop $more
           (call $note (local.get $plan) (i32.const 0) (i32.const 1))
           (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000000))))",
    );
    assert_eq!(failure, Failure::Words { limit: 4096 });
}

#[test]
fn p1_a_million_places_are_too_many() {
    let failure = failure("(loop $more (drop (call $host (i32.const 0) (i32.const 1))) (br $more))");
    assert_eq!(failure, Failure::Words { limit: 4096 });
}

#[test]
fn p1_a_long_text_is_refused() {
    let failure = failure("(call $note (local.get $plan) (i32.const 0) (i32.const 100000))");
    assert_eq!(failure, Failure::Text { word: "note".to_owned(), limit: 65536 });
}

#[test]
fn p1_a_long_refusal_is_refused() {
    // A result at 1024: `err`, a message of 94320 bytes (which are text), no hint.
    let failure = failure(
        "(i32.store8 (i32.const 1024) (i32.const 1))
         (i32.store (i32.const 1032) (i32.const 94320))
         (call $drop-pod (local.get $pod))
         (call $drop-plan (local.get $plan))
         (return (i32.const 1024))",
    );
    assert_eq!(failure, Failure::Text { word: "problem".to_owned(), limit: 65536 });
}

#[test]
fn p1_many_texts_are_refused_together() {
    let failure = failure("(loop $more (call $note (local.get $plan) (i32.const 0) (i32.const 60000)) (br $more))");
    assert_eq!(failure, Failure::Texts { limit: 1 << 20 });
}

#[test]
fn p1_a_giant_text_is_not_even_copied() {
    let failure = failure(
        "(drop (memory.grow (i32.const 1000))) (call $note (local.get $plan) (i32.const 0) (i32.const 60000000))",
    );
    assert!(matches!(&failure, Failure::Contract { why, .. } if why.contains("too much data")), "{failure}");
}

#[test]
fn p1_a_list_that_names_one_text_over_and_over_is_not_copied_out() {
    // A list of a million entries of 60000 bytes each would be 60 GB on this side.
    let failure = failure(
        "(drop (memory.grow (i32.const 200)))
         (loop $more
           (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 8))) (i32.const 0))
           (i32.store (i32.add (i32.const 131076) (i32.mul (local.get $i) (i32.const 8))) (i32.const 60000))
           (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000000))))
         (call $capabilities
           (call $app (local.get $plan) (i32.const 0) (i32.const 1)) (i32.const 131072) (i32.const 1000000))",
    );
    assert!(matches!(&failure, Failure::Contract { why, .. } if why.contains("too much data")), "{failure}");
}

#[test]
fn p1_endless_questions_are_too_many() {
    let failure = failure(
        "(loop $more
           (i32.store8 (i32.const 1024) (i32.add (i32.const 33) (i32.rem_u (local.get $i) (i32.const 90))))
           (i32.store8 (i32.const 1025) (i32.add (i32.const 33) (i32.div_u (local.get $i) (i32.const 90))))
           (call $fact (i32.const 1024) (i32.const 2) (i32.const 2048))
           (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8000))))",
    );
    assert_eq!(failure, Failure::Questions { limit: 256 });
}

#[test]
fn a_trap_names_its_kind_and_its_function() {
    let failure = failure("unreachable");
    assert!(
        matches!(&failure, Failure::Trap { what, function: Some(name) }
        if what.contains("unreachable") && name == "plan"),
        "{failure}"
    );
}

#[test]
fn p4_a_text_that_is_no_text_breaks_the_contract() {
    let failure = failure(
        "(i32.store8 (i32.const 1024) (i32.const 255)) (call $note (local.get $plan) (i32.const 1024) (i32.const 1))",
    );
    assert!(matches!(&failure, Failure::Contract { why, .. } if why.contains("utf-8")), "{failure}");
}

#[test]
fn a_text_outside_of_memory_breaks_the_contract() {
    let failure = failure("(call $note (local.get $plan) (i32.const -100) (i32.const 200))");
    assert!(matches!(failure, Failure::Contract { .. } | Failure::Trap { .. }), "{failure}");
}

#[test]
fn a_handle_that_was_never_given_breaks_the_contract() {
    let failure = failure("(call $note (i32.const 77) (i32.const 0) (i32.const 1))");
    assert!(matches!(&failure, Failure::Contract { .. } | Failure::Trap { .. }), "{failure}");
}

#[test]
fn a_question_before_the_call_breaks_the_contract() {
    // By hand: what makes components of modules lets no module call out while it is set up.
    let component = wat::parse_str(
        r#"(component
             (import "rkt:plugin/facts@0.1.0"
               (instance $facts (export "fact" (func (param "name" string) (result (option string))))))
             (import "rkt:plugin/pods@0.1.0" (instance $pods (export "pod" (type (sub resource)))))
             (import "rkt:plugin/plans@0.1.0" (instance $plans (export "plan" (type (sub resource)))))
             (import "rkt:plugin/problems@0.1.0" (instance $problems
               (type $p (record (field "message" string) (field "hint" (option string))))
               (export "problem" (type (eq $p)))))
             (alias export $pods "pod" (type $pod))
             (alias export $plans "plan" (type $plan))
             (alias export $problems "problem" (type $problem))
             (core module $base
               (memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
             (core instance $base (instantiate $base))
             (alias core export $base "memory" (core memory $memory))
             (alias core export $base "realloc" (core func $realloc))
             (core func $fact (canon lower (func $facts "fact") (memory $memory) (realloc $realloc)))
             (core module $m
               (import "facts" "fact" (func $fact (param i32 i32 i32)))
               (func $early (call $fact (i32.const 0) (i32.const 1) (i32.const 1024)))
               (start $early)
               (func (export "f") (param i32 i32) (result i32) (i32.const 0)))
             (core instance $i (instantiate $m (with "facts" (instance (export "fact" (func $fact))))))
             (alias core export $i "f" (core func $f))
             (func (export "plan") (param "pod" (borrow $pod)) (param "plan" (borrow $plan))
               (result (result (error $problem)))
               (canon lift (core func $f) (memory $memory) (realloc $realloc))))"#,
    )
    .unwrap();
    let failure = failure_with(&component, Limits::default());
    assert!(matches!(&failure, Failure::Contract { why, .. } if why.contains("before it was called")), "{failure}");
}

#[test]
fn p2_what_is_not_in_the_contract_is_refused_before_anything_is_compiled() {
    let mut resolve = component::stage1();
    let source = r"package a:b; world w {
        import wasi:cli/environment@0.2.0;
        export plan: func();
    }
    package wasi:cli@0.2.0 { interface environment { get: func(name: string) -> option<string>; } }";
    let package = resolve.push_str("w.wit", source).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = wat::parse_str(
        r#"(module (import "wasi:cli/environment@0.2.0" "get" (func (param i32 i32 i32)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "plan")))"#,
    )
    .unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    let component = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    assert_eq!(refusal(&component), Refusal::Import { import: "wasi:cli/environment@0.2.0".to_owned() });
}

#[test]
fn p2_another_version_of_the_contract_is_refused_as_such() {
    let component = wat::parse_str(
        r#"(component (import "rkt:plugin/pods@0.9.0" (instance))
             (core module $m (func (export "f"))) (core instance $i (instantiate $m))
             (func $f (canon lift (core func $i "f"))) (export "plan" (func $f)))"#,
    )
    .unwrap();
    assert_eq!(refusal(&component), Refusal::OtherContract { import: "rkt:plugin/pods@0.9.0".to_owned() });
}

#[test]
fn an_interface_of_the_contract_with_another_shape_does_not_link() {
    let component = wat::parse_str(
        r#"(component
             (import "rkt:plugin/facts@0.1.0" (instance (export "fact" (func (param "name" u32)))))
             (core module $m (func (export "f"))) (core instance $i (instantiate $m))
             (func $f (canon lift (core func $i "f"))) (export "plan" (func $f)))"#,
    )
    .unwrap();
    let failure = failure_with(&component, Limits::default());
    assert!(matches!(&failure, Failure::Link { why } if why.contains("fact")), "{failure}");
}

#[test]
fn p14_what_is_no_component_is_refused() {
    let whole = plugin("");
    for bytes in [&b""[..], b"\0asm", b"#!/bin/sh\n", &whole[..whole.len() / 2], &vec![0xff; 4096]] {
        assert!(matches!(refusal(bytes), Refusal::Invalid { .. }), "{} bytes", bytes.len());
    }
    assert_eq!(refusal(&wat::parse_str("(module)").unwrap()), Refusal::CoreModule);
    let mut flipped = whole.clone();
    for index in (8..whole.len()).step_by(97) {
        flipped[index] ^= 0x55;
        // Whether it is still a component or not: no crash, and no plan that harms.
        if let Err(error) = installed(&flipped) {
            assert!(matches!(error, InstallError::Refused { .. }), "byte {index}: {error:?}");
        }
        flipped[index] ^= 0x55;
    }
}

#[test]
fn p14_a_section_of_100_mb_is_refused_by_its_size() {
    let mut component = plugin("");
    // A custom section without a name: id 0, its size as LEB128, an empty name, then nothing of use.
    component.extend([0, 0x80, 0x80, 0x80, 0x32, 0]);
    component.resize(component.len() + (100 << 20), 0);
    assert_eq!(refusal(&component), Refusal::TooLarge { limit: 32 << 20 });
}

#[test]
fn a_plugin_that_says_nothing_of_its_needs_is_granted_nothing() {
    let component = plugin(
        "(i32.store (i32.const 1024) (i32.const 0x646970))
           (call $share (local.get $plan) (i32.const 1024) (i32.const 3))",
    );
    let plugin = installed(&component).unwrap();
    assert_eq!(plugin.permissions().iter().count(), 0);
    let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
    let pod = pod(&["a"]);
    let answer = planner.plan(&pod, &Answers::default()).unwrap();
    let everything = ["share:pid", "root", "user"].map(|text| text.parse().unwrap()).into_iter().collect();
    let refusal = rkt_plan::check(&pod, &answer.plan, plugin.permissions(), &everything).unwrap_err();
    assert!(refusal.to_string().contains("share"), "{refusal}");
}
