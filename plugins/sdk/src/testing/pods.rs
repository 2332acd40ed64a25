//! Pods to plan in tests: between them they ask for everything that a pod can ask for.

use crate::{
    Access, CapabilityChange, Credentials, Limit, Pod, Reach, Request, SeccompFilter, SeccompMode, VolumeMount,
};

/// Every pod of this module, with what to call it.
pub fn all() -> Vec<(String, Pod)> {
    let mut pods = vec![
        ("nothing".to_owned(), Pod::of_apps(&["hello"])),
        ("two apps".to_owned(), Pod::of_apps(&["web", "db"])),
        ("everything".to_owned(), everything()),
        ("everything else".to_owned(), everything_else()),
        ("an option".to_owned(), with_option("turbo", "yes")),
    ];
    pods.extend(TAKEN.map(|target| (format!("a volume at {target}"), with_volume_at(target))));
    pods.extend(CHANGES.map(|(name, change)| (name.to_owned(), with_capabilities(change()))));
    pods
}

/// Paths at which flavors put something of their own.
const TAKEN: [&str; 8] = ["/tmp", "/dev", "/proc", "/sys", "/sys/fs/cgroup", "/dev/null", "/dev/shm", "/dev/ptmx"];

/// What a pod may ask of capabilities, by a name for it.
type Change = (&'static str, fn() -> CapabilityChange);

/// What can be asked of capabilities, by themselves.
const CHANGES: [Change; 4] = [
    ("a capability retained", || CapabilityChange::Retain(vec!["CAP_NET_ADMIN".to_owned()])),
    ("no capability retained", || CapabilityChange::Retain(Vec::new())),
    ("a capability removed", || CapabilityChange::Remove(vec!["CAP_SYS_ADMIN".to_owned()])),
    ("no capability removed", || CapabilityChange::Remove(Vec::new())),
];

/// An app that asks for one of everything: capabilities and calls by what is to be given.
pub fn everything() -> Pod {
    let mut pod = demanding();
    let app = &mut pod.apps[0];
    app.capabilities = Some(CapabilityChange::Retain(vec!["CAP_CHOWN".to_owned()]));
    app.seccomp = Some(SeccompFilter {
        mode: SeccompMode::Remove,
        calls: vec!["@default-denied".to_owned(), "personality".to_owned()],
        errno: Some("EACCES".to_owned()),
    });
    app.oom_score = Some(500);
    pod
}

/// The same with a host name, and with capabilities and calls the other way round.
pub fn everything_else() -> Pod {
    let mut pod = demanding();
    "db.example.com".clone_into(&mut pod.hostname);
    pod.requests.insert(0, Request::new("hostname"));
    let app = &mut pod.apps[0];
    app.capabilities = Some(CapabilityChange::Remove(vec!["CAP_MKNOD".to_owned(), "CAP_NET_RAW".to_owned()]));
    app.seccomp = Some(SeccompFilter {
        mode: SeccompMode::Retain,
        calls: vec!["@default".to_owned(), "clock_settime".to_owned()],
        errno: None,
    });
    app.oom_score = Some(-500);
    pod
}

/// What both have in common, and all of their requests about the app.
fn demanding() -> Pod {
    let mut pod = Pod::of_apps(&["db"]);
    let app = &mut pod.apps[0];
    app.user = Credentials { uid: 999, gid: 998, groups: vec![27, 100] };
    app.root_access = Access::ReadOnly;
    app.volumes = [("data", "/var/lib/db", Access::ReadWrite), ("conf", "/etc/db", Access::ReadOnly)]
        .map(|(volume, target, access)| volume_on(volume, target, access))
        .into();
    app.volumes[1].reach = Reach::Single;
    app.limits = [("memory", 1 << 30), ("cpu", 500), ("pids", 100)]
        .map(|(what, value)| Limit { what: what.to_owned(), value })
        .into();
    app.no_new_privileges = true;
    for request in ["read-only-root", "volume/var/lib/db", "volume/etc/db", "limit/memory", "limit/cpu", "limit/pids"] {
        pod.requests.push(Request::new(format!("app/db/{request}")));
    }
    for request in ["capabilities", "seccomp", "no-new-privileges", "oom-score"] {
        pod.requests.push(Request::new(format!("app/db/{request}")));
    }
    pod
}

/// A volume with what is mounted below it.
fn volume_on(volume: &str, target: &str, access: Access) -> VolumeMount {
    VolumeMount { volume: volume.to_owned(), target: target.to_owned(), access, reach: Reach::Recursive }
}

/// An app that wants a volume at this path.
pub fn with_volume_at(target: &str) -> Pod {
    let mut pod = Pod::of_apps(&["hello"]);
    pod.apps[0].volumes.push(volume_on("v", target, Access::ReadWrite));
    pod.requests.push(Request::new(format!("app/hello/volume{target}")));
    pod
}

/// An app that asks for this of its capabilities, and nothing else.
pub fn with_capabilities(change: CapabilityChange) -> Pod {
    let mut pod = Pod::of_apps(&["hello"]);
    pod.apps[0].capabilities = Some(change);
    pod.requests.push(Request::new("app/hello/capabilities"));
    pod
}

/// An app that asks for nothing, in a pod to which `--stage1-option=NAME=VALUE` was given.
pub fn with_option(name: &str, value: &str) -> Pod {
    let mut pod = Pod::of_apps(&["hello"]);
    pod.settings.push((name.to_owned(), value.to_owned()));
    pod
}
