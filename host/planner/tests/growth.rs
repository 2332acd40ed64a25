//! The contract only grows: what a plugin was built against yesterday is still there, as it was.
//!
//! `contract.txt` is the contract as it stood when it was last re-based, one item a line. A function may
//! be added, and a type that nothing older uses; whatever was there stays. While the contract is a
//! draft, a line may go by a commit of its own that says why: `UPDATE_CONTRACT=1 cargo test` writes the
//! file.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/component.rs"]
mod component;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rkt_plan::Word;
use rkt_planner::{Kept, Limits, Planner, install};
use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeOwner, WorldItem};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract.txt");

#[test]
fn whatever_was_in_the_contract_still_is_and_what_is_new_is_written_down() {
    let now = items(&component::stage1());
    if std::env::var_os("UPDATE_CONTRACT").is_some() {
        let lines: Vec<&str> = now.iter().map(String::as_str).collect();
        fs::write(BASELINE, lines.join("\n") + "\n").unwrap();
    }
    let then: BTreeSet<String> = fs::read_to_string(BASELINE).unwrap().lines().map(str::to_owned).collect();
    let gone: Vec<_> = then.difference(&now).collect();
    assert!(gone.is_empty(), "gone from the contract, or changed:\n{gone:#?}");
    let new: Vec<_> = now.difference(&then).collect();
    assert!(new.is_empty(), "new, and to be held from now on (UPDATE_CONTRACT=1 cargo test):\n{new:#?}");
}

#[test]
fn every_world_exports_one_function() {
    let resolve = component::stage1();
    assert!(resolve.worlds.iter().count() > 0);
    for (_, world) in &resolve.worlds {
        let functions = world.exports.values().filter(|item| matches!(item, WorldItem::Function(_))).count();
        assert_eq!((functions, world.exports.len()), (1, 1), "world {}", world.name);
    }
}

#[test]
fn a_plugin_of_yesterdays_contract_runs_today() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        // Yesterday nobody could ask for settings or volumes alone, remark, or adjust whom the kernel kills.
        let unknown = ["settings: func(", "note: func(", "oom-score: func(", "single-volumes: func("];
        let lines = text.lines().filter(|line| !unknown.iter().any(|function| line.trim().starts_with(function)));
        let yesterday = lines.collect::<Vec<_>>().join("\n");
        fs::write(folder.path().join(path.file_name().unwrap()), yesterday).unwrap();
    }
    let mut yesterday = Resolve::default();
    yesterday.push_dir(folder.path()).unwrap();
    assert_eq!(items(&component::stage1()).len() - items(&yesterday).len(), 5);

    let module = r#"(module
        (import "rkt:plugin/plans@0.1.0" "[method]plan.share" (func $share (param i32 i32 i32)))
        (import "rkt:plugin/pods@0.1.0" "[resource-drop]pod" (func $drop-pod (param i32)))
        (import "rkt:plugin/plans@0.1.0" "[resource-drop]plan" (func $drop-plan (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 1024) "pid")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048))
        (func (export "plan") (param i32 i32) (result i32)
          (call $share (local.get 1) (i32.const 1024) (i32.const 3))
          (call $drop-pod (local.get 0))
          (call $drop-plan (local.get 1))
          (i32.const 0)))"#;
    let old = component::component(&yesterday, "rkt:plugin/stage1", module);
    let cache = tempfile::tempdir().unwrap();
    let plugin = install("old", old.as_slice(), &Kept::at(cache.path()), &support::compiler()).unwrap();
    let planner = Planner::start(&support::program(), &plugin, Limits::default()).unwrap();
    let answer = planner.plan(&support::pod(&["a"]), &support::Answers::default()).unwrap();
    assert_eq!(answer.plan.words, [Word::Share { namespace: "pid".to_owned() }]);
}

#[test]
fn everything_in_the_contract_is_documented() {
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            undocumented(&path);
        }
    }
}

/// Fails on the first item of a file that has no `///` before it.
fn undocumented(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let mut before = "";
    for line in text.lines().map(str::trim) {
        let opens = ["interface ", "world ", "resource ", "record ", "enum ", "variant ", "flags ", "export "];
        let item = opens.iter().any(|word| line.starts_with(word)) || line.contains(": func(");
        assert!(!item || before.starts_with("///"), "{}: {line}", path.display());
        before = line;
    }
}

/// Every item of the contract, one line each.
fn items(resolve: &Resolve) -> BTreeSet<String> {
    let mut items = BTreeSet::new();
    for (_, interface) in &resolve.interfaces {
        let name = interface.name.as_deref().unwrap();
        for function in interface.functions.values() {
            items.insert(format!("{name}: {}", function_text(resolve, function)));
        }
        for id in interface.types.values() {
            let definition = &resolve.types[*id];
            let owned = matches!(definition.owner, TypeOwner::Interface(_));
            assert!(owned, "{:?}", definition.name);
            items.insert(format!("{name}: {}", definition_text(resolve, &definition.kind, definition.name.as_deref())));
        }
    }
    for (_, world) in &resolve.worlds {
        for item in world.exports.values() {
            if let WorldItem::Function(function) = item {
                items.insert(format!("world {}: export {}", world.name, function_text(resolve, function)));
            }
        }
    }
    items
}

fn function_text(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<_> =
        function.params.iter().map(|param| format!("{}: {}", param.name, type_text(resolve, param.ty))).collect();
    let result = function.result.map(|result| format!(" -> {}", type_text(resolve, result))).unwrap_or_default();
    format!("{}({}){result}", function.name, parameters.join(", "))
}

/// A type's whole definition: a field more or less is another line.
fn definition_text(resolve: &Resolve, kind: &TypeDefKind, name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    let members: Vec<String> = match kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().map(|field| format!("{}: {}", field.name, type_text(resolve, field.ty))).collect()
        }
        TypeDefKind::Variant(variant) => variant
            .cases
            .iter()
            .map(|case| match case.ty {
                Some(ty) => format!("{}({})", case.name, type_text(resolve, ty)),
                None => case.name.clone(),
            })
            .collect(),
        TypeDefKind::Enum(list) => list.cases.iter().map(|case| case.name.clone()).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| flag.name.clone()).collect(),
        TypeDefKind::Resource => Vec::new(),
        TypeDefKind::Type(other) => vec![type_text(resolve, *other)],
        other => panic!("{name}: the contract has not used {} yet", other.as_str()),
    };
    format!("{} {name} {{ {} }}", kind.as_str(), members.join(", "))
}

fn type_text(resolve: &Resolve, ty: Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let definition = &resolve.types[id];
    if let Some(name) = &definition.name {
        return name.clone();
    }
    let text = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| type_text(resolve, ty));
    match &definition.kind {
        TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", type_text(resolve, Type::Id(*id))),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", type_text(resolve, Type::Id(*id))),
        TypeDefKind::Option(inner) => format!("option<{}>", type_text(resolve, *inner)),
        TypeDefKind::List(inner) => format!("list<{}>", type_text(resolve, *inner)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", text(result.ok), text(result.err)),
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<_> = tuple.types.iter().map(|ty| type_text(resolve, *ty)).collect();
            format!("tuple<{}>", parts.join(", "))
        }
        other => panic!("the contract has not used {} yet", other.as_str()),
    }
}
