//! What an app sees of what is elsewhere too.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use rkt_plan::{Access, JailWord, Place};
use rkt_sys::mount::{self, Attributes, FileSystem};
use rkt_sys::root::Root;

use crate::pod::{TestPod, wait_for};

fn both(scripts: &[&str]) -> [TestPod; 2] {
    [TestPod::isolated(scripts), TestPod::shared(scripts)]
}

/// A tmpfs on a directory of the host, for as long as this lives.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn on(path: &'a Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let tmpfs = FileSystem::new("tmpfs").unwrap().mount(Attributes::empty()).unwrap();
        mount::attach(tmpfs.as_fd(), Root::open(path).unwrap().as_fd()).unwrap();
        Self(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        mount::unmount_detached(self.0).unwrap();
    }
}

#[test]
fn a_volume_is_written_through_and_holds_no_set_user_id_programs_and_no_devices() {
    for mut pod in both(&["echo new > /deep/data/file; grep ' /deep/data ' /proc/self/mountinfo"]) {
        let volume = pod.path().join("volume");
        fs::create_dir(&volume).unwrap();
        pod.add_volume("a", "data", volume.clone(), "/deep/data");
        let ended = pod.run();
        assert!(ended.output.contains("nosuid,nodev"), "{}{}", ended.output, ended.error);
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.read("volume/file").as_deref(), Some("new\n"));
    }
}

#[test]
fn read_only_holds_for_what_is_mounted_below_too() {
    let mut pod = TestPod::isolated(&["echo x > /data/file; echo x > /data/below/file; cat /data/below/old"]);
    let volume = pod.path().join("volume");
    let below = volume.join("below");
    let mounted = Mounted::on(&below);
    fs::write(below.join("old"), "old\n").unwrap();
    let source = Place::Host(volume.to_str().unwrap().to_owned());
    pod.app("a", JailWord::Bind { source, target: "/data".to_owned(), access: Access::ReadOnly, recursive: true });
    let ended = pod.run();
    assert_eq!(ended.error.matches("Read-only file system").count(), 2, "{}", ended.error);
    assert!(ended.output.ends_with(": old\n"), "{}", ended.output);
    drop(mounted);
}

#[test]
fn a_file_and_an_empty_place_are_bound_and_apps_share_the_place() {
    let mut pod = TestPod::isolated(&[
        "cat /etc/new/name; echo shared > /run/x/file",
        "while ! grep -s shared /run/x/file; do :; done",
    ]);
    let file = pod.path().join("name");
    fs::write(&file, "content\n").unwrap();
    let source = Place::Host(file.to_str().unwrap().to_owned());
    let target = "/etc/new/name".to_owned();
    pod.app("a", JailWord::Bind { source, target, access: Access::ReadOnly, recursive: false });
    for app in ["a", "b"] {
        let (source, target) = (Place::Empty("run".to_owned()), "/run/x".to_owned());
        pod.app(app, JailWord::Bind { source, target, access: Access::ReadWrite, recursive: true });
    }
    let ended = pod.run();
    assert!(ended.output.contains("]: content\n") && ended.output.contains("]: shared\n"), "{}", ended.output);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn what_the_host_mounts_later_appears_in_a_pod_that_runs() {
    for mut pod in both(&["while ! [ -e /data/below/late ]; do sleep 0.01; done; echo seen"]) {
        let volume = pod.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let outer = Mounted::on(&volume);
        let shared = mount::Change { propagation: Some(mount::Propagation::Shared), ..mount::Change::default() };
        mount::change(Root::open(&volume).unwrap().as_fd(), shared, mount::Depth::One).unwrap();
        pod.add_volume("a", "data", volume.clone(), "/data");
        let pod = pod.start();
        pod.wait_until_ready();
        let below = volume.join("below");
        let inner = Mounted::on(&below);
        fs::write(below.join("late"), "").unwrap();
        let ended = pod.finish();
        assert!(ended.output.ends_with("seen\n"), "{}{}", ended.output, ended.error);
        drop((inner, outer));
        wait_for(|| !fs::read_to_string("/proc/self/mountinfo").unwrap().contains(volume.to_str().unwrap()));
    }
}
