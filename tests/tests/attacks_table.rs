//! `ATTACKS.md` and the tests say the same.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use rkt_tests::workspace;

fn table() -> String {
    fs::read_to_string(workspace().join("tests/ATTACKS.md")).unwrap()
}

/// A file as the table names it.
fn file(name: &str) -> PathBuf {
    let below = if name.contains('/') { "" } else { "tests/tests" };
    workspace().join(below).join(name)
}

/// The names of the tests in a file.
fn tests_in(name: &str) -> Vec<String> {
    let text = fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let functions =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("fn ")?.split_once('(').map(|(name, _)| name));
    functions.map(str::to_owned).collect()
}

/// Pairs of a file and the beginning of a test's name, as the table has them.
fn named() -> BTreeSet<(String, String)> {
    let mut named = BTreeSet::new();
    for row in table().lines().filter(|line| line.starts_with('|')) {
        let mut file = None;
        for quoted in row.split('`').skip(1).step_by(2) {
            if PathBuf::from(quoted).extension().is_some_and(|extension| extension == "rs") {
                file = Some(quoted.to_owned());
            } else if let Some(file) = file.as_ref().filter(|_| quoted.contains('_')) {
                named.insert((file.clone(), quoted.to_owned()));
            }
        }
    }
    named
}

#[test]
fn every_test_that_the_table_names_exists() {
    let named = named();
    assert!(named.len() > 40, "{named:?}");
    for (file, beginning) in named {
        assert!(tests_in(&file).iter().any(|test| test.starts_with(&beginning)), "{file} has no test {beginning}…");
    }
}

#[test]
fn every_attack_that_is_tested_is_in_the_table() {
    let named = named();
    for file in [
        "attacks_setup.rs",
        "attacks_running.rs",
        "attacks_plugins.rs",
        "attacks_apps.rs",
        "e2e_replay.rs",
        "host/image/tests/hostile.rs",
        "host/planner/tests/determinism.rs",
    ] {
        for test in tests_in(file) {
            let id = test.split('_').next().unwrap();
            let is_a_row = id.len() > 1 && id[1..].chars().all(|digit| digit.is_ascii_digit());
            let is_named = named.iter().any(|(named, beginning)| named == file && test.starts_with(beginning.as_str()));
            assert!(!is_a_row || is_named, "{file}: {test} is in no row");
        }
    }
}

#[test]
fn every_row_has_a_test_or_a_reason() {
    let rows: Vec<String> =
        table().lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id")).map(str::to_owned).collect();
    assert_eq!(rows.len(), 19 + 24 + 6 + 14 + 1);
    for row in rows {
        assert!(row.contains('`') || row.contains("not yet: "), "{row}");
    }
}
