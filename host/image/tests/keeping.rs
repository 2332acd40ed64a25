//! What stays in the store and what goes, and that what stays is what it was.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rkt_appc::ImageKey;
use rkt_image::{
    Image, InUse, Policy, RemoveError, Removed, StoreError, TreeState, Verification, VerifiedTree, VerifyError,
};
use support::{Fixture, Tar, chain, image, nobody};

const LISTED: &str = r#","pathWhitelist":["/x","/bin/a"]"#;

fn on(names: &[&str]) -> String {
    let list: Vec<String> = names.iter().map(|name| format!(r#"{{"imageName":"{name}"}}"#)).collect();
    format!(r#","dependencies":[{}]"#, list.join(","))
}

/// What pods say that they need: these, all of one pod.
fn needed(names: &[String]) -> impl FnMut() -> Result<InUse, StoreError> + use<'_> {
    move || {
        let mut in_use = InUse::default();
        for name in names {
            in_use.add(name.clone(), "pod-1");
        }
        Ok(in_use)
    }
}

fn outcomes(removed: Removed) -> Vec<(ImageKey, String)> {
    let said = |outcome: Result<_, RemoveError>| outcome.map_or_else(|error| chain(&error), |_| "removed".to_owned());
    removed.into_iter().map(|(key, outcome)| (key, said(outcome))).collect()
}

#[test]
fn what_a_pod_needs_stays_and_the_pod_is_named() {
    let fixture = Fixture::new();
    let base = fixture.accept(&image("base", "", &["x"]));
    let top = fixture.accept(&image("top", &on(&["base"]), &[]));
    let needs = top.render(Verification::Waived).unwrap().needs();
    let keys = [base.key(), top.key()];
    let removed: Result<Removed, StoreError> = fixture.store().remove(&keys, &mut needed(&needs));
    for (key, said) in outcomes(removed.unwrap()) {
        assert_eq!(said, format!("image {key} is used by pod pod-1: remove the pod first, with rkt rm"));
    }
    assert_eq!(fixture.left().len(), 2);
}

#[test]
fn what_an_image_depends_on_goes_with_it_and_not_before() {
    let fixture = Fixture::new();
    let base = fixture.accept(&image("base", "", &["x"]));
    let middle = fixture.accept(&image("middle", &on(&["base"]), &[]));
    let top = fixture.accept(&image("top", &on(&["middle"]), &[]));
    let said = chain(&fixture.remove(&base.key()).unwrap_err());
    assert!(said.contains("is what middle depends on: remove that first, or both at once"), "{said}");
    // Those that go are no reason to stay for each other, in whatever order.
    let keys = [base.key(), top.key(), middle.key()];
    let removed: Result<Removed, StoreError> = fixture.store().remove(&keys, &mut nobody);
    assert!(outcomes(removed.unwrap()).iter().all(|(_, said)| said == "removed"));
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}

#[test]
fn of_two_versions_only_the_one_that_is_depended_on_is_needed() {
    let fixture = Fixture::new();
    let version = |version: &str| format!(r#","labels":[{{"name":"version","value":"{version}"}}]"#);
    let old = fixture.accept(&image("base", &version("1"), &[]));
    let new = fixture.accept(&image("base", &version("2"), &[]));
    fixture.accept(&image("top", &on(&["base"]), &[]));
    assert!(matches!(fixture.remove(&new.key()), Err(RemoveError::Needed { .. })));
    fixture.remove(&old.key()).unwrap();
}

#[test]
fn a_merged_tree_goes_with_its_image() {
    let fixture = Fixture::new();
    let top = fixture.accept(&image("top", LISTED, &["x", "y"]));
    let tree = top.render(Verification::Waived).unwrap().trees()[0].clone();
    assert!(tree.join("x").exists());
    fixture.remove(&top.key()).unwrap();
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_damaged_image_can_be_removed_and_hides_no_other() {
    let fixture = Fixture::new();
    let bad = fixture.accept(&image("bad", "", &[]));
    let good = fixture.accept(&image("good", "", &[]));
    fs::write(bad.archive().with_file_name("manifest"), "{").unwrap();
    let store = fixture.store();
    assert_eq!(store.find("good", &rkt_appc::Labels::default()).unwrap().key(), good.key());
    let listed = store.list().unwrap();
    assert_eq!(listed.iter().filter(|image| image.is_ok()).count(), 1);
    assert_eq!(listed.len(), 2);
    let said = chain(&store.find("bad", &rkt_appc::Labels::default()).unwrap_err());
    assert!(said.contains("damaged"), "{said}");
    assert_eq!(store.key(&bad.key().as_str()[..20]).unwrap(), bad.key());
    fixture.remove(&bad.key()).unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
}

fn last_used(image: &Image, ago: Duration) {
    let used = fs::File::options().write(true).open(image.archive().with_file_name("used")).unwrap();
    used.set_modified(SystemTime::now() - ago).unwrap();
}

#[test]
fn images_that_were_not_used_for_long_are_collected_and_no_others() {
    let fixture = Fixture::new();
    let hour = Duration::from_hours(1);
    let [base, old, fresh, in_pod, other] =
        ["base", "old", "fresh", "in-pod", "other"].map(|name| fixture.accept(&image(name, "", &["x"])));
    let top = fixture.accept(&image("top", &on(&["base"]), &[]));
    let listed = fixture.accept(&image("listed", LISTED, &["x", "y"]));
    listed.render(Verification::Waived).unwrap();
    for image in [&base, &old, &in_pod, &other] {
        last_used(image, 3 * hour);
    }
    last_used(&other, 5 * hour);
    let needs = [in_pod.key().to_string()];
    let (trees, removed) =
        fixture.store().collect::<StoreError>(SystemTime::now() - 2 * hour, &mut needed(&needs)).unwrap();
    assert_eq!(trees.len(), 1, "a tree that no pod uses goes, whatever becomes of its image");
    let removed: Vec<_> = outcomes(removed).into_iter().collect();
    let mut gone: Vec<ImageKey> = removed.iter().map(|(key, _)| key.clone()).collect();
    gone.sort();
    let mut expected = [old.key(), other.key()];
    expected.sort();
    assert_eq!(gone, expected);
    let mut left: Vec<ImageKey> =
        fixture.store().list().unwrap().into_iter().map(|image| image.unwrap().key()).collect();
    left.sort();
    let mut stay = [base.key(), fresh.key(), in_pod.key(), top.key(), listed.key()];
    stay.sort();
    assert_eq!(left, stay);
    // The tree is made again when it is wanted.
    assert!(listed.render(Verification::Waived).unwrap().trees()[0].join("x").exists());
}

#[test]
fn a_tree_that_a_pod_uses_or_begins_to_use_is_not_collected() {
    let fixture = Fixture::new();
    let listed = fixture.accept(&image("listed", LISTED, &["x", "y"]));
    let rendering = listed.render(Verification::Waived).unwrap();
    let collect = |needs: &[String]| {
        fixture.store().collect::<StoreError>(SystemTime::UNIX_EPOCH, &mut needed(needs)).unwrap().0.len()
    };
    assert_eq!(collect(&[]), 0, "it is held");
    let needs = rendering.needs();
    drop(rendering);
    assert_eq!(collect(&needs), 0, "a pod has it");
    assert_eq!(collect(&[]), 1);
}

#[test]
fn whoever_begins_to_use_an_image_while_others_remove_it_has_it_or_hears_that_it_is_gone() {
    let fixture = Fixture::new();
    let archive = image("a", LISTED, &["x"]);
    let path = fixture.write(&archive);
    std::thread::scope(|scope| {
        let store = fixture.store();
        let remover = scope.spawn(move || {
            let mut removed = 0;
            while removed < 20 {
                for key in store.list().unwrap().into_iter().flatten().map(|image| image.key()).collect::<Vec<_>>() {
                    let outcome: Result<Removed, StoreError> = store.remove(&[key], &mut nobody);
                    match outcome.unwrap().remove(0).1 {
                        Ok(_) => removed += 1,
                        Err(RemoveError::Busy { .. } | RemoveError::Gone { .. }) => {}
                        Err(error) => panic!("{}", chain(&error)),
                    }
                }
            }
        });
        let store = fixture.store();
        let mut used = 0;
        while !remover.is_finished() {
            let imported = store.import(&path, Verification::Waived, &Policy::default(), &mut |_| {});
            // Removed between the last step of the import and this.
            let Ok(image) = imported else { continue };
            match image.render(Verification::Waived) {
                Err(error) => {
                    let said = chain(&error);
                    assert!(said.contains("has just been removed"), "{said}");
                }
                Ok(rendering) => {
                    used += 1;
                    assert_eq!(fs::read_to_string(rendering.trees()[0].join("x")).unwrap(), "a x");
                    assert_eq!(fs::read_to_string(image.rootfs().join("x")).unwrap(), "a x");
                }
            }
        }
        assert!(used > 0);
        remover.join().unwrap();
    });
}

fn verify(fixture: &Fixture, image: &Image) -> Result<Vec<VerifiedTree>, VerifyError> {
    verify_with(fixture, image, &[])
}

fn verify_with(fixture: &Fixture, image: &Image, needs: &[String]) -> Result<Vec<VerifiedTree>, VerifyError> {
    let mut in_use = needed(needs);
    let mut in_use = || Ok(in_use()?);
    fixture.store().verify(image, (Verification::Waived, &Policy::default()), &mut in_use)
}

fn damages(verified: Vec<VerifiedTree>) -> Vec<String> {
    let damage = |tree: VerifiedTree| match tree.state {
        TreeState::Rebuilt { damage } => Some(format!("{}: {damage}", tree.name)),
        _ => None,
    };
    verified.into_iter().filter_map(damage).collect()
}

/// Changes one bit, and nothing else that could tell.
fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(modified).unwrap();
}

#[test]
fn i11_a_bit_that_flips_anywhere_in_an_archive_is_found() {
    let archive = image("a", "", &["x"]);
    let gzip = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&archive).unwrap();
        encoder.finish().unwrap()
    };
    for bytes in [archive, gzip] {
        let fixture = Fixture::new();
        let image = fixture.accept(&bytes);
        assert_eq!(damages(verify(&fixture, &image).unwrap()), Vec::<String>::new());
        let length = u64::try_from(bytes.len()).unwrap();
        for at in (0..length).step_by(7) {
            flip(&image.archive(), at);
            let said = chain(&verify(&fixture, &image).unwrap_err());
            assert!(said.contains("is damaged: remove the image with rkt image rm"), "{at}: {said}");
            flip(&image.archive(), at);
        }
        assert_eq!(damages(verify(&fixture, &image).unwrap()), Vec::<String>::new());
    }
}

#[test]
fn a_tree_that_is_damaged_in_any_way_is_made_anew() {
    let fixture = Fixture::new();
    let image = fixture.accept(&Tar::aci().file("rootfs/bin/a", b"program").symlink("rootfs/l", "bin/a").end());
    let root = image.rootfs();
    let damaging: [(&str, &dyn Fn()); 8] = [
        ("\"/bin/a\" has another content", &|| flip(&root.join("bin/a"), 3)),
        ("\"/bin/a\" is missing", &|| fs::remove_file(root.join("bin/a")).unwrap()),
        ("\"/bin/new\" should not be there", &|| fs::write(root.join("bin/new"), "").unwrap()),
        ("\"/bin/a\" has another mode", &|| {
            fs::set_permissions(root.join("bin/a"), fs::Permissions::from_mode(0o4755)).unwrap();
        }),
        ("\"/bin/a\" has another owner", &|| {
            std::os::unix::fs::chown(root.join("bin/a"), Some(7), None).unwrap();
        }),
        ("\"/\" has another mode", &|| fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap()),
        ("it cannot be read", &|| fs::remove_dir_all(&root).unwrap()),
        ("its manifest is another", &|| {
            let manifest = image.archive().with_file_name("manifest");
            let text = fs::read_to_string(&manifest).unwrap().replace("/bin/a", "/bin/b");
            fs::write(manifest, text).unwrap();
        }),
    ];
    for (said, damage) in damaging {
        damage();
        let image = fixture.store().get_exact(&image.info.id).unwrap();
        let found = damages(verify(&fixture, &image).unwrap());
        assert!(found.len() == 1 && found[0].contains(said), "{said}: {found:?}");
        assert_eq!(fs::read(root.join("bin/a")).unwrap(), b"program", "{said}");
        assert_eq!(damages(verify(&fixture, &image).unwrap()), Vec::<String>::new(), "{said}");
    }
    assert_eq!(fixture.left().len(), 1);
}

#[test]
fn what_was_merged_of_a_damaged_tree_is_made_anew_as_well_and_what_is_made_of_it_goes() {
    let fixture = Fixture::new();
    fixture.accept(&image("base", "", &["x"]));
    let top = fixture.accept(&image("top", &format!("{}{LISTED}", on(&["base"])), &["bin/a"]));
    let tree = top.render(Verification::Waived).unwrap().trees()[0].clone();
    assert_eq!(damages(verify(&fixture, &top).unwrap()), Vec::<String>::new());
    let made = tree.with_file_name("root.erofs");
    fs::write(&made, "").unwrap();
    flip(&tree.join("x"), 0);
    let found = damages(verify(&fixture, &top).unwrap());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("base: \"/x\"") && found[1].starts_with("deps-sha512-"), "{found:?}");
    assert_eq!(fs::read_to_string(tree.join("x")).unwrap(), "base x");
    assert!(!made.exists());
    assert_eq!(damages(verify(&fixture, &top).unwrap()), Vec::<String>::new());
}

#[test]
fn a_damaged_tree_that_a_pod_uses_is_left_to_it_and_said() {
    let fixture = Fixture::new();
    let image = fixture.accept(&image("a", "", &["x"]));
    flip(&image.rootfs().join("x"), 0);
    let said = chain(&verify_with(&fixture, &image, &[image.key().to_string()]).unwrap_err());
    assert!(said.contains("\"/x\" has another content") && said.contains("is used by pod pod-1"), "{said}");
    assert_ne!(fs::read_to_string(image.rootfs().join("x")).unwrap(), "a x");
    assert_eq!(fixture.left().len(), 1);
}

#[test]
fn the_store_of_an_older_rkt_is_seen_and_nothing_of_it_is_changed() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store().older(), None);
    let cas = fixture.dir.path().join("data/cas");
    for (file, content) in [
        ("db/ql.db", "old"),
        ("blob/sha512/ab/sha512-ab", "old"),
        ("imageManifest/sha512/ab/sha512-ab", "old"),
        ("tree/deps-sha512-ab/rendered", "old"),
        ("tmp/sha512-cd", "partial"),
    ] {
        fs::create_dir_all(cas.join(file).parent().unwrap()).unwrap();
        fs::write(cas.join(file), content).unwrap();
    }
    let older = fixture.store().older().unwrap();
    assert_eq!((older.database, older.blobs), (cas.join("db"), cas.join("blob")));
    let new = fixture.accept(&image("new", "", &[]));
    assert_eq!(fixture.store().list().unwrap().len(), 1);
    fixture.remove(&new.key()).unwrap();
    fixture.store().collect::<StoreError>(SystemTime::now(), &mut nobody).unwrap();
    for file in ["db/ql.db", "blob/sha512/ab/sha512-ab", "tree/deps-sha512-ab/rendered", "tmp/sha512-cd"] {
        assert!(cas.join(file).is_file(), "{file}");
    }
}
