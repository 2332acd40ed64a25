//! What the shipped components and the shipped program are made of.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::Command;

use wit_component::DecodedWasm;
use wit_parser::WorldItem;

#[test]
fn flavors_import_nothing_but_the_contract_and_export_their_plan() {
    for flavor in ["fly", "container"] {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(&support::component(flavor)).unwrap() else {
            panic!("{flavor} is no component");
        };
        let world = &resolve.worlds[world];
        for (key, item) in &world.imports {
            let name = resolve.name_world_key(key);
            // Another name for a type of an interface is no import of its own.
            assert!(
                name.starts_with("rkt:plugin/") || matches!(item, WorldItem::Type { .. }),
                "{flavor} imports {name}"
            );
        }
        let exports: Vec<_> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
        assert_eq!(exports, ["plan"], "{flavor}");
    }
}

#[test]
fn flavors_declare_what_they_need() {
    for (flavor, has, has_not) in [("fly", "capability:all", "hostname"), ("container", "hostname", "capability:all")] {
        let permissions = support::shipped(flavor).permissions().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(permissions.contains(&has.to_owned()) && !permissions.contains(&has_not.to_owned()), "{permissions:?}");
    }
}

/// Everything that a package is built of.
fn parts(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn rkt_contains_no_compiler_and_only_the_compiler_program_does() {
    let rkt = parts("rkt-cli");
    assert!(rkt.contains("rkt-planner v"), "{rkt}");
    // Some of its small tables are shared with the runtime; these two are the compiler itself.
    for part in ["cranelift-codegen v", "wasmtime-internal-cranelift v"] {
        assert!(!rkt.contains(part), "{part} became a part of rkt");
        assert!(parts("rkt-compiler").contains(part));
    }
}
