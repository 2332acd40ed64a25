//! Plugins from files: compiled once, kept where they can be believed, and compiled again where not
//! (P6, P7).
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/component.rs"]
mod component;
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use component::plugin;
use rkt_planner::{InstallError, Limits, Planner, install};
use support::{Answers, compiler, component as shipped_component, pod, program};

/// A program that is not there: whoever needs it has nothing kept.
const NO_COMPILER: &str = "/nonexistent/compiler";

fn needs_compiling(component: &[u8], cache: &Path) -> bool {
    match install("test", component, cache, Path::new(NO_COMPILER)) {
        Ok(_) => false,
        Err(InstallError::Start { compiler, .. }) => {
            assert_eq!(compiler, Path::new(NO_COMPILER));
            true
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// The one file in a directory.
fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_flavor_from_a_file_is_compiled_once_and_plans_like_the_shipped_one() {
    let data = tempfile::tempdir().unwrap();
    let cache = data.path().join("plugins/cache");
    let component = shipped_component("fly");
    let first = install("fly", component.as_slice(), &cache, &compiler()).unwrap();
    let again = install("fly", component.as_slice(), &cache, Path::new(NO_COMPILER)).unwrap();
    assert_eq!(first.digest(), again.digest());
    let plan = |plugin| {
        let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
        planner.plan(&pod(&["a"]), &Answers::default()).unwrap()
    };
    let shipped = plan(support::shipped("fly"));
    assert_eq!(plan(first), shipped);
    assert_eq!(plan(again), shipped);
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(only_file(&cache)).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn p7_kept_code_that_was_changed_is_compiled_again() {
    let cache = tempfile::tempdir().unwrap();
    let component = plugin("");
    install("test", component.as_slice(), cache.path(), &compiler()).unwrap();
    assert!(!needs_compiling(&component, cache.path()));
    let file = only_file(cache.path());
    let good = fs::read(&file).unwrap();
    for index in [0, 8, 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[index] ^= 1;
        fs::write(&file, &bad).unwrap();
        assert!(needs_compiling(&component, cache.path()), "byte {index}");
    }
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    assert!(needs_compiling(&component, cache.path()), "cut off");
    install("test", component.as_slice(), cache.path(), &compiler()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), good, "compiling is reproducible");
}

#[test]
fn p7_kept_code_that_others_could_have_written_is_not_believed() {
    let cache = tempfile::tempdir().unwrap();
    let component = plugin("");
    install("test", component.as_slice(), cache.path(), &compiler()).unwrap();
    let file = only_file(cache.path());
    for (path, mode, kept) in [(file.as_path(), 0o600, 0o620), (cache.path(), 0o700, 0o702)] {
        fs::set_permissions(path, fs::Permissions::from_mode(kept)).unwrap();
        assert!(needs_compiling(&component, cache.path()), "{} {kept:o}", path.display());
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(!needs_compiling(&component, cache.path()));
    }
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
        assert!(needs_compiling(&component, cache.path()), "another's file");
        std::os::unix::fs::chown(&file, Some(0), None).unwrap();
    }
    let elsewhere = cache.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert!(needs_compiling(&component, cache.path()), "a link");
}

#[test]
fn p6_code_of_another_component_is_not_taken_for_this_one() {
    let cache = tempfile::tempdir().unwrap();
    let (ours, theirs) = (plugin(""), plugin("unreachable"));
    install("theirs", theirs.as_slice(), cache.path(), &compiler()).unwrap();
    let file = only_file(cache.path());
    let code = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    install("ours", ours.as_slice(), cache.path(), &compiler()).unwrap();
    fs::write(only_file(cache.path()), code).unwrap();
    assert!(needs_compiling(&ours, cache.path()));
}

#[test]
fn where_nothing_can_be_kept_the_plugin_still_runs() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let component = plugin("");
    let plugin = install("test", component.as_slice(), &in_the_way.join("cache"), &compiler()).unwrap();
    let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
    assert_eq!(planner.plan(&pod(&["a"]), &Answers::default()).unwrap().plan.words, []);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_program_that_is_no_compiler_is_an_error_that_names_the_plugin() {
    let cache = tempfile::tempdir().unwrap();
    for (program, said) in [("/bin/false", "exit code 1"), ("/bin/true", "is not that plugin")] {
        let error = install("test", plugin("").as_slice(), cache.path(), Path::new(program)).unwrap_err().to_string();
        assert!(error.contains("`test`") && error.contains(said), "{error}");
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}
