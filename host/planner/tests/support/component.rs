//! Components written by hand: a core module in text, made a component of a world of the contract.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests, each of which uses a part")]

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a plugin of the contract needs beside its deed: memory, an allocator that never frees, the
/// imports that deeds use.
const PRELUDE: &str = r#"
  (import "rkt:plugin/facts@0.1.0" "fact" (func $fact (param i32 i32 i32)))
  (import "rkt:plugin/places@0.1.0" "host" (func $host (param i32 i32) (result i32)))
  (import "rkt:plugin/plans@0.1.0" "[method]plan.share" (func $share (param i32 i32 i32)))
  (import "rkt:plugin/plans@0.1.0" "[method]plan.note" (func $note (param i32 i32 i32)))
  (import "rkt:plugin/plans@0.1.0" "[method]plan.app" (func $app (param i32 i32 i32) (result i32)))
  (import "rkt:plugin/plans@0.1.0" "[method]jail.capabilities" (func $capabilities (param i32 i32 i32)))
  (import "rkt:plugin/pods@0.1.0" "[resource-drop]pod" (func $drop-pod (param i32)))
  (import "rkt:plugin/plans@0.1.0" "[resource-drop]plan" (func $drop-plan (param i32)))
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))
    (local.get $at))
"#;

/// A stage1 plugin whose call does the deed, with the pod's handle in `$pod` and the plan's in `$plan`.
/// The first 64 KiB of memory hold zeros, which read as `ok` where they are a result.
pub fn plugin(deed: &str) -> Vec<u8> {
    module(
        "",
        &format!(
            r#"(memory (export "memory") 4)
               (func $plan (export "plan") (param $pod i32) (param $plan i32) (result i32)
                 (local $i i32)
                 {deed}
                 (call $drop-pod (local.get $pod))
                 (call $drop-plan (local.get $plan))
                 (i32.const 0))"#
        ),
    )
}

/// A plugin of the contract, with more fields of a module before and after what every plugin has.
pub fn module(imports: &str, fields: &str) -> Vec<u8> {
    component(&stage1(), "rkt:plugin/stage1", &format!("(module {imports} {PRELUDE} {fields})"))
}

/// The contract as it is in the tree.
pub fn stage1() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))).unwrap();
    resolve
}

/// A component of a world.
pub fn component(resolve: &Resolve, world: &str, module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap();
    let package = resolve.packages.iter().next().unwrap().0;
    let world = resolve.select_world(&[package], Some(world.rsplit('/').next().unwrap())).unwrap();
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(false).encode().unwrap()
}
