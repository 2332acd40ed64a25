use std::fs;

use super::*;
use crate::namespace::{Namespace, Namespaces, unshare};
use crate::root::Root;
use crate::testing::in_child;

fn in_mount_namespace(body: impl FnOnce()) {
    in_child(|| {
        unshare(Namespaces::NONE.with(Namespace::Mount)).unwrap();
        set_propagation_of_all(Propagation::Private).unwrap();
        body();
    });
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn tmpfs() -> OwnedFd {
    FileSystem::new("tmpfs").unwrap().option("mode", "0755").unwrap().mount(Attributes::MOUNT_ATTR_NODEV).unwrap()
}

#[test]
fn a_detached_mount_is_usable_before_it_is_attached_and_seen_after() {
    let directory = tempfile::tempdir().unwrap();
    in_mount_namespace(|| {
        let mount = tmpfs();
        let root = Root::from_fd(mount.try_clone().unwrap()).unwrap();
        root.create_file(Path::new("hello"), Mode::from(0o644)).unwrap();
        assert!(!directory.path().join("hello").exists());
        attach(mount.as_fd(), open(directory.path()).as_fd()).unwrap();
        assert!(directory.path().join("hello").exists());
        unmount_detached(directory.path()).unwrap();
        assert!(!directory.path().join("hello").exists());
    });
}

#[test]
fn a_refusal_names_option_and_file_system_and_what_the_kernel_says() {
    in_child(|| {
        let error = FileSystem::new("tmpfs").unwrap().option("colour", "red").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("fsconfig tmpfs: colour=red ("), "{text}");
        assert!(text.contains("Unknown parameter 'colour'"), "{text}");
        assert_eq!(error.errno(), Some(Errno::INVAL));
    });
}

#[test]
fn a_clone_can_be_read_only_while_the_original_is_written() {
    let directory = tempfile::tempdir().unwrap();
    in_mount_namespace(|| {
        let clone = clone_tree(open(directory.path()).as_fd(), Depth::One).unwrap();
        let read_only = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
        change(clone.as_fd(), read_only, Depth::One).unwrap();
        fs::write(directory.path().join("file"), "new").unwrap();
        let root = Root::from_fd(clone).unwrap();
        assert_eq!(root.read_file(Path::new("file"), 10).unwrap(), b"new");
        let error = root.create_file(Path::new("other"), Mode::from(0o644)).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ROFS));
    });
}

#[test]
fn a_change_that_the_kernel_refuses_is_named() {
    in_mount_namespace(|| {
        let not_a_mount = tempfile::tempdir().unwrap();
        let private =
            Change { set: Attributes::MOUNT_ATTR_RDONLY, propagation: Some(Propagation::Private), ..Change::default() };
        let error = change(open(not_a_mount.path()).as_fd(), private, Depth::One).unwrap_err();
        assert_eq!(error.to_string(), "mount_setattr +MOUNT_ATTR_RDONLY Private");
    });
}

#[test]
fn a_recursive_clone_has_what_is_mounted_below_and_a_single_one_has_not() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    in_mount_namespace(|| {
        attach(tmpfs().as_fd(), open(&below).as_fd()).unwrap();
        fs::write(below.join("file"), "").unwrap();
        let file = Path::new("below/file");
        let seen = |depth| {
            let clone = clone_tree(open(directory.path()).as_fd(), depth).unwrap();
            Root::from_fd(clone).unwrap().stat(file).is_ok()
        };
        assert!(seen(Depth::Recursive));
        assert!(!seen(Depth::One));
    });
}

#[test]
fn after_pivot_root_nothing_of_the_old_tree_is_left() {
    let directory = tempfile::tempdir().unwrap();
    in_mount_namespace(|| {
        let mount = tmpfs();
        attach(mount.as_fd(), open(directory.path()).as_fd()).unwrap();
        Root::from_fd(mount.try_clone().unwrap()).unwrap().create_file(Path::new("only"), Mode::from(0o644)).unwrap();
        pivot_root(mount.as_fd()).unwrap();
        let names: Vec<_> = fs::read_dir("/").unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["only"]);
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
    });
}

/// Directories of an overlay, in a tmpfs of their own.
fn layers(names: &[&str]) -> (tempfile::TempDir, Vec<OwnedFd>) {
    let directory = tempfile::tempdir().unwrap();
    attach(tmpfs().as_fd(), open(directory.path()).as_fd()).unwrap();
    let open_layer = |name: &&str| {
        let layer = directory.path().join(name);
        fs::create_dir(&layer).unwrap();
        fs::write(layer.join("who"), name).unwrap();
        fs::write(layer.join(name), "").unwrap();
        open(&layer)
    };
    let layers = names.iter().map(open_layer).collect();
    (directory, layers)
}

#[test]
fn the_first_lower_layer_is_on_top_and_changes_go_to_the_upper() {
    in_mount_namespace(|| {
        let (directory, layers) = layers(&["one", "two:,\\ ", "upper"]);
        let work = directory.path().join("work");
        fs::create_dir(&work).unwrap();
        let work = open(&work);
        fs::remove_file(directory.path().join("upper/who")).unwrap();
        let overlay = Overlay {
            name: "test",
            lower: &[layers[0].as_fd(), layers[1].as_fd()],
            upper: Some(Upper { directory: layers[2].as_fd(), work: work.as_fd() }),
            flags: &["volatile"],
        };
        for mount in [Overlay::mount, Overlay::all_layers_at_once] {
            let mount = mount(&overlay, Attributes::empty()).unwrap();
            let root = Root::from_fd(mount).unwrap();
            assert_eq!(root.read_file(Path::new("who"), 10).unwrap(), b"one");
            root.stat(Path::new("two:,\\ ")).unwrap();
            let change = Path::new("change");
            root.create_file(change, Mode::from(0o644)).unwrap();
            drop(root);
            fs::remove_file(directory.path().join("upper/change")).unwrap();
            fs::remove_dir_all(directory.path().join("work/work/incompat")).unwrap();
        }
        unmount_detached(directory.path()).unwrap();
    });
}

#[test]
fn an_overlay_of_more_layers_than_one_option_can_name_is_mounted() {
    in_mount_namespace(|| {
        let names: Vec<_> = (0..40).map(|number| format!("layer{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let (directory, layers) = layers(&names);
        let lower: Vec<_> = layers.iter().map(AsFd::as_fd).collect();
        let overlay = Overlay { name: "test", lower: &lower, upper: None, flags: &[] };
        let root = Root::from_fd(overlay.mount(Attributes::empty()).unwrap()).unwrap();
        for name in names {
            root.stat(Path::new(name)).unwrap();
        }
        unmount_detached(directory.path()).unwrap();
    });
}
