//! Plugins from files: compiled once, kept where they can be believed, and compiled again where not
//! (P6, P7).
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/component.rs"]
mod component;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use component::plugin;
use rkt_planner::{InstallError, Kept, Limits, Planner, install, reinstall};
use support::{Answers, compiler, component as shipped_component, pod, program};

/// A program that is not there: whoever needs it has nothing kept.
const NO_COMPILER: &str = "/nonexistent/compiler";

fn needs_compiling(component: &[u8], plugins: &Path) -> bool {
    match install("test", component, &Kept::at(plugins), Path::new(NO_COMPILER)) {
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
    let (kept, cache) = (Kept::at(&data.path().join("plugins")), data.path().join("plugins/cache"));
    let component = shipped_component("fly");
    let first = install("fly", component.as_slice(), &kept, &compiler()).unwrap();
    let again = install("fly", component.as_slice(), &kept, Path::new(NO_COMPILER)).unwrap();
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
    let plugins = tempfile::tempdir().unwrap();
    let (kept, cache) = (Kept::at(plugins.path()), plugins.path().join("cache"));
    let component = plugin("");
    install("test", component.as_slice(), &kept, &compiler()).unwrap();
    assert!(!needs_compiling(&component, plugins.path()));
    let file = only_file(&cache);
    let good = fs::read(&file).unwrap();
    for index in [0, 8, 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[index] ^= 1;
        fs::write(&file, &bad).unwrap();
        assert!(needs_compiling(&component, plugins.path()), "byte {index}");
    }
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    assert!(needs_compiling(&component, plugins.path()), "cut off");
    install("test", component.as_slice(), &kept, &compiler()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), good, "compiling is reproducible");
}

#[test]
fn p7_kept_code_that_others_could_have_written_is_not_believed() {
    let plugins = tempfile::tempdir().unwrap();
    let (kept, cache) = (Kept::at(plugins.path()), plugins.path().join("cache"));
    let component = plugin("");
    install("test", component.as_slice(), &kept, &compiler()).unwrap();
    let file = only_file(&cache);
    for (path, mode, kept) in [(file.as_path(), 0o600, 0o620), (cache.as_path(), 0o700, 0o702)] {
        fs::set_permissions(path, fs::Permissions::from_mode(kept)).unwrap();
        assert!(needs_compiling(&component, plugins.path()), "{} {kept:o}", path.display());
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(!needs_compiling(&component, plugins.path()));
    }
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
        assert!(needs_compiling(&component, plugins.path()), "another's file");
        std::os::unix::fs::chown(&file, Some(0), None).unwrap();
    }
    let elsewhere = cache.join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert!(needs_compiling(&component, plugins.path()), "a link");
}

#[test]
fn p6_code_of_another_component_is_not_taken_for_this_one() {
    let plugins = tempfile::tempdir().unwrap();
    let (kept, cache) = (Kept::at(plugins.path()), plugins.path().join("cache"));
    let (ours, theirs) = (plugin(""), plugin("unreachable"));
    install("theirs", theirs.as_slice(), &kept, &compiler()).unwrap();
    let file = only_file(&cache);
    let code = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    install("ours", ours.as_slice(), &kept, &compiler()).unwrap();
    fs::write(only_file(&cache), code).unwrap();
    assert!(needs_compiling(&ours, plugins.path()));
}

#[test]
fn where_nothing_can_be_kept_the_plugin_still_runs() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let component = plugin("");
    let plugin = install("test", component.as_slice(), &Kept::at(&in_the_way.join("plugins")), &compiler()).unwrap();
    let planner = Planner::start(&program(), &plugin, Limits::default()).unwrap();
    assert_eq!(planner.plan(&pod(&["a"]), &Answers::default()).unwrap().plan.words, []);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_program_that_is_no_compiler_is_an_error_that_names_the_plugin() {
    let plugins = tempfile::tempdir().unwrap();
    let (kept, cache) = (Kept::at(plugins.path()), plugins.path().join("cache"));
    for (program, said) in [("/bin/false", "exit code 1"), ("/bin/true", "is not that plugin")] {
        let error = install("test", plugin("").as_slice(), &kept, Path::new(program)).unwrap_err().to_string();
        assert!(error.contains("`test`") && error.contains(said), "{error}");
    }
    assert!(!cache.exists() && fs::read_dir(plugins.path()).unwrap().count() == 0);
}

#[test]
fn a_component_is_kept_and_planned_with_when_its_file_and_its_code_are_gone() {
    let plugins = tempfile::tempdir().unwrap();
    let kept = Kept::at(plugins.path());
    let digest = install("test", plugin("").as_slice(), &kept, &compiler()).unwrap().digest().to_owned();
    reinstall("test", &digest, &kept, Path::new(NO_COMPILER)).unwrap();
    fs::remove_dir_all(plugins.path().join("cache")).unwrap();
    let again = reinstall("test", &digest, &kept, &compiler()).unwrap();
    assert_eq!((again.name(), again.digest()), ("test", digest.as_str()));
    let planner = Planner::start(&program(), &again, Limits::default()).unwrap();
    assert_eq!(planner.plan(&pod(&["a"]), &Answers::default()).unwrap().plan.words, []);
}

#[test]
fn p6_a_kept_component_that_was_changed_is_not_the_one_that_was_kept() {
    let plugins = tempfile::tempdir().unwrap();
    let kept = Kept::at(plugins.path());
    let digest = install("test", plugin("").as_slice(), &kept, &compiler()).unwrap().digest().to_owned();
    let file = only_file(&plugins.path().join("components"));
    for changed in [plugin("unreachable"), Vec::new()] {
        fs::write(&file, changed).unwrap();
        let error = reinstall("test", &digest, &kept, &compiler()).unwrap_err();
        assert!(matches!(error, InstallError::NotKept { .. }), "{error:?}");
    }
    fs::remove_file(&file).unwrap();
    let error = reinstall("test", &digest, &kept, &compiler()).unwrap_err().to_string();
    assert_eq!(error, format!("the component of plugin `test` ({digest}) is not kept here"));
}

#[test]
fn plugins_that_nothing_names_are_collected_when_they_are_not_used() {
    let plugins = tempfile::tempdir().unwrap();
    let kept = Kept::at(plugins.path());
    let digest_of = |component: &[u8]| install("test", component, &kept, &compiler()).unwrap().digest().to_owned();
    let (named, other) = (digest_of(&plugin("")), digest_of(&plugin("unreachable")));
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    // What another engine would have made, and what an interruption leaves.
    fs::write(plugins.path().join(format!("cache/{}-wasmtime-1.0.0.artifact", hex(&named))), "").unwrap();
    fs::write(plugins.path().join(format!("components/{}.wasm.17", hex(&named))), "").unwrap();
    let left = || {
        let lists = ["cache", "components"].map(|directory| {
            let entries = fs::read_dir(plugins.path().join(directory)).unwrap();
            let mut files: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            files
        });
        lists.concat()
    };
    let collect = |named: &[&String], later: Duration| {
        let named: BTreeSet<String> = named.iter().map(|digest| (*digest).clone()).collect();
        kept.collect(&named, SystemTime::now() + later).unwrap();
    };
    let day = Duration::from_hours(24);
    collect(&[], Duration::ZERO);
    collect(&[], day * 6);
    assert_eq!(left().len(), 6, "whoever uses a plugin now may be about to name it");
    collect(&[&named, &other], day * 8);
    assert_eq!(left().len(), 4, "{:?}", left());
    collect(&[&named], day * 8);
    assert_eq!(left().len(), 2);
    assert!(left().iter().all(|name| name.starts_with(&hex(&named))), "{:?}", left());
    reinstall("test", &named, &kept, Path::new(NO_COMPILER)).unwrap();
    collect(&[], day * 8);
    assert_eq!(left(), Vec::<String>::new());
    Kept::at(&plugins.path().join("none")).collect(&BTreeSet::new(), SystemTime::now()).unwrap();
}

#[test]
fn a_plugin_that_is_used_stays_although_it_was_kept_long_ago() {
    let plugins = tempfile::tempdir().unwrap();
    let kept = Kept::at(plugins.path());
    let component = plugin("");
    install("test", component.as_slice(), &kept, &compiler()).unwrap();
    let (code, source) = (only_file(&plugins.path().join("cache")), only_file(&plugins.path().join("components")));
    let long_ago = SystemTime::now() - Duration::from_hours(24 * 30);
    for file in [&code, &source] {
        fs::File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    install("test", component.as_slice(), &kept, Path::new(NO_COMPILER)).unwrap();
    kept.collect(&BTreeSet::new(), SystemTime::now()).unwrap();
    assert!(code.exists() && source.exists());
}
