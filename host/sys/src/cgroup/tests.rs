use std::time::Duration;

use rustix::process::Pid;

use super::*;
use crate::spawn::{Child, Spawn};
use crate::testing::in_child;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn hierarchies_of_each_layout_are_told_apart() {
    let v2 = parse("30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/a/b\n");
    let expected = Hierarchy {
        version: Version::V2,
        controllers: Vec::new(),
        mount_point: "/sys/fs/cgroup".into(),
        own: "/sys/fs/cgroup/a/b".into(),
    };
    assert_eq!(v2, [expected]);
    assert_eq!(Hierarchies(v2).layout(), Layout::V2);

    let mounts = "\
        31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 31 0:30 / /sys/fs/cgroup/my\\040mem rw - cgroup cgroup rw,memory\n\
        34 31 0:30 / /again rw - cgroup cgroup rw,memory\n\
        35 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
    let memberships = "9:name=systemd:/\n4:memory:/user/1:2\n1:cpu,cpuacct:/\n";
    let hierarchies = Hierarchies(parse(mounts, memberships));
    assert_eq!(hierarchies.layout(), Layout::V1);
    let found: Vec<_> = hierarchies.iter().map(|hierarchy| (&hierarchy.controllers[..], &*hierarchy.own)).collect();
    assert_eq!(found[0], (&["cpu".to_owned(), "cpuacct".to_owned()][..], Path::new("/sys/fs/cgroup/cpu,cpuacct")));
    assert_eq!(found[1].1, Path::new("/sys/fs/cgroup/my mem/user/1:2"));
    assert_eq!(found[2].0, ["name=systemd"]);
    assert_eq!(found.len(), 3);
    assert_eq!(Hierarchies(Vec::new()).layout(), Layout::None);
}

#[test]
fn a_hierarchy_mounted_from_further_down_is_the_top_there() {
    let mount = |root: &str| format!("30 23 0:27 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    for (root, own) in [("/pod", "/sys/fs/cgroup/app"), ("/pod/app", "/sys/fs/cgroup"), ("/else", "/sys/fs/cgroup")] {
        let found = parse(&mount(root), "0::/pod/app\n");
        assert_eq!(found[0].own, Path::new(own), "{root}");
    }
}

#[test]
fn a_controller_that_no_hierarchy_has_is_named() {
    let hierarchies = Hierarchies(parse("30 23 0:27 / /c rw - cgroup2 cgroup2 rw\n", "0::/\n"));
    let error = hierarchies.group(Base::Top, Path::new("x"), &[Controller::Pids]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "cgroup the pids controller");
}

#[test]
fn a_group_cannot_be_named_out_of_its_base() {
    let hierarchies = Hierarchies(parse("30 23 0:27 / /c rw - cgroup2 cgroup2 rw\n", "0::/\n"));
    for path in ["", "/", "/a", "..", "a/../../b", "."] {
        assert!(hierarchies.group(Base::Top, Path::new(path), &[]).is_err(), "{path:?}");
    }
}

/// A group of this test's own on the real hierarchies, removed with what is in it.
struct Fixture {
    group: Group,
}

impl Fixture {
    fn new(name: &str, controllers: &[Controller]) -> Self {
        let path = format!("rkt-sys-test-{}-{name}/group", std::process::id());
        let group = Hierarchies::detect().unwrap().group(Base::Top, Path::new(&path), controllers).unwrap();
        group.create().unwrap();
        Self { group }
    }

    /// What a limit's file holds, under its name in the one version or the other.
    fn read(&self, v1: &str, v2: &str) -> String {
        let files = self.group.paths().flat_map(|path| [path.join(v1), path.join(v2)]);
        let file = files.into_iter().find(|file| file.exists()).unwrap();
        fs::read_to_string(file).unwrap().trim().to_owned()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let parents: Vec<_> = self.group.paths().map(|path| path.parent().unwrap().to_owned()).collect();
        let group = Group::reopen(parents.iter().map(PathBuf::as_path)).unwrap();
        self.group.kill_all(SOON).unwrap();
        group.remove(SOON).unwrap();
        assert!(parents.iter().all(|parent| !parent.exists()));
    }
}

fn sleeper(spec: Spawn<'_>) -> Child {
    spec.run(|| {
        loop {
            std::thread::park();
        }
    })
    .unwrap()
}

#[test]
fn limits_reach_the_kernel() {
    let fixture = Fixture::new("limits", &[Controller::Memory, Controller::Cpu, Controller::Pids]);
    let group = &fixture.group;
    group.set_memory_limit(64 << 20).unwrap();
    assert_eq!(fixture.read("memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    group.set_pids_limit(17).unwrap();
    assert_eq!(fixture.read("pids.max", "pids.max"), "17");
    group.set_cpu_quota(250).unwrap();
    assert!(["25000", "25000 100000"].contains(&&*fixture.read("cpu.cfs_quota_us", "cpu.max")));
    group.set_cpu_quota(1).unwrap();
    assert!(["1000", "1000 1000000"].contains(&&*fixture.read("cpu.cfs_quota_us", "cpu.max")));
    group.set_cpu_shares(1024).unwrap();
    assert!(["1024", "39"].contains(&&*fixture.read("cpu.shares", "cpu.weight")));
}

#[test]
fn a_group_limits_only_what_it_was_made_for() {
    let fixture = Fixture::new("partial", &[Controller::Pids]);
    let error = fixture.group.set_memory_limit(1 << 20).unwrap_err();
    assert_eq!(error.to_string(), "cgroup the memory controller");
}

#[test]
fn the_pids_limit_stops_a_fork() {
    in_child(|| {
        let fixture = Fixture::new("fork", &[Controller::Pids]);
        fixture.group.set_pids_limit(1).unwrap();
        let (ready, go) = std::io::pipe().unwrap();
        let child = Spawn::default()
            .run(move || {
                let mut byte = [0];
                rustix::io::read(&ready, &mut byte).unwrap();
                let error = Spawn::default().run(|| 0).unwrap_err();
                i32::from(error.errno() != Some(rustix::io::Errno::AGAIN))
            })
            .unwrap();
        fixture.group.add(child.pid).unwrap();
        rustix::io::write(&go, b"x").unwrap();
        assert_eq!(child.process.wait().unwrap(), crate::pidfd::Exit::Code(0));
    });
}

#[test]
fn killing_ends_all_processes_of_a_group_also_those_further_down() {
    in_child(|| {
        let fixture = Fixture::new("kill", &[Controller::Pids]);
        let children = [sleeper(Spawn::default()), sleeper(Spawn::default())];
        for path in fixture.group.paths() {
            fs::create_dir(path.join("below")).unwrap();
            fs::write(path.join("cgroup.procs"), children[0].pid.to_string()).unwrap();
            fs::write(path.join("below/cgroup.procs"), children[1].pid.to_string()).unwrap();
        }
        assert_eq!(fixture.group.pids().unwrap(), children.each_ref().map(|child| child.pid));
        fixture.group.kill_all(SOON).unwrap();
        assert_eq!(fixture.group.pids().unwrap(), []);
        for child in children {
            assert_eq!(child.process.wait().unwrap(), crate::pidfd::Exit::Signal(libc::SIGKILL));
        }
    });
}

/// Every way to kill that this host has: by the unified hierarchy, by the freezer, or neither.
#[test]
fn each_way_of_killing_ends_a_group() {
    in_child(|| {
        let fixture = Fixture::new("ways", &[Controller::Pids]);
        let hierarchies = Hierarchies::detect().unwrap();
        let top = |hierarchy: &Hierarchy| {
            let path = hierarchy.mount_point.join(format!("rkt-sys-test-{}-ways", std::process::id()));
            (path.join("alone"), path)
        };
        for hierarchy in hierarchies.iter().filter(|hierarchy| !hierarchy.controllers.contains(&"cpuset".to_owned())) {
            let (path, parent) = top(hierarchy);
            fs::create_dir_all(&path).unwrap();
            let group = Group::reopen([path.as_path()]).unwrap();
            let child = sleeper(Spawn::default());
            group.add(child.pid).unwrap();
            group.kill_all(SOON).unwrap();
            assert_eq!(group.pids().unwrap(), [], "{hierarchy:?}");
            child.process.wait().unwrap();
            group.remove(SOON).unwrap();
            let _ = fs::remove_dir(parent);
        }
        drop(fixture);
    });
}

#[test]
fn a_process_is_born_in_a_unified_group() {
    in_child(|| {
        let fixture = Fixture::new("born", &[]);
        let Some(directory) = fixture.group.open_unified().unwrap() else {
            return assert_eq!(Hierarchies::detect().unwrap().layout(), Layout::V1);
        };
        let cgroup = Some(std::os::fd::AsFd::as_fd(&directory));
        let child = sleeper(Spawn { cgroup, ..Spawn::default() });
        assert_eq!(fixture.group.pids().unwrap(), [child.pid]);
        fixture.group.kill_all(SOON).unwrap();
    });
}

#[test]
fn a_group_with_processes_is_not_removed() {
    in_child(|| {
        let fixture = Fixture::new("busy", &[]);
        let child = sleeper(Spawn::default());
        fixture.group.add(child.pid).unwrap();
        assert!(fixture.group.remove(Duration::ZERO).is_err());
        assert_eq!(fixture.group.pids().unwrap(), [child.pid]);
    });
}

#[test]
fn what_is_no_cgroup_is_not_taken_for_one() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Group::reopen([directory.path()]).is_err());
    let gone = directory.path().join("gone");
    let group = Group::reopen([gone.as_path()]).unwrap();
    group.kill_all(SOON).unwrap();
    group.remove(SOON).unwrap();
    assert_eq!(group.pids().unwrap(), Vec::<Pid>::new());
}
