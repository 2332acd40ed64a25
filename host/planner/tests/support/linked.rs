//! The shipped flavors as they are linked into tests, and what they say against what the host heard.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests, each of which uses a part")]

use std::collections::BTreeMap;

use rkt_plan::{self as host, Asked, Origin};
use rkt_sdk::{self as sdk, Facts};

/// A flavor's plan function.
pub type PlanFunction = fn(&sdk::Pod, &dyn Facts) -> Result<sdk::Plan, sdk::Problem>;

pub const FLAVORS: [(&str, PlanFunction); 2] = [("container", rkt_container::plan), ("fly", rkt_fly::plan)];

/// The pod that a flavor would see as this one.
pub fn seen_as(pod: &sdk::Pod) -> host::Pod {
    let asks = |id: &str| pod.requests.iter().any(|request| request.id() == id);
    let seen = host::Pod {
        uuid: pod.uuid.clone(),
        hostname: asks("hostname").then(|| asked(pod.hostname.clone())),
        apps: pod.apps.iter().map(app).collect(),
        limits: BTreeMap::new(),
        settings: pod.settings.iter().cloned().collect(),
    };
    let mut requests: Vec<_> = host::requests(&seen).into_iter().map(|request| request.id).collect();
    let mut meant: Vec<_> = pod.requests.iter().map(|request| request.id().to_owned()).collect();
    requests.sort();
    meant.sort();
    assert_eq!(requests, meant, "a pod of the tests that asks for what it has not, or the other way round");
    seen
}

fn app(app: &sdk::App) -> host::App {
    let sdk::Credentials { uid, gid, groups } = app.user.clone();
    host::App {
        name: app.name.clone(),
        user: asked(host::Credentials { uid, gid, groups }),
        read_only_root: (app.root_access == sdk::Access::ReadOnly).then_some(Origin::Image),
        volumes: app.volumes.iter().map(|volume| asked(mount(volume))).collect(),
        limits: app.limits.iter().map(|limit| (kind(&limit.what), asked(limit.value))).collect(),
        capabilities: app.capabilities.clone().map(|change| {
            asked(match change {
                sdk::CapabilityChange::Retain(names) => host::CapabilityChange::Retain(names.try_into().unwrap()),
                sdk::CapabilityChange::Remove(names) => host::CapabilityChange::Remove(names.try_into().unwrap()),
            })
        }),
        seccomp: app.seccomp.clone().map(|sdk::SeccompFilter { mode, calls, errno }| {
            let mode = match mode {
                sdk::SeccompMode::Retain => host::SeccompMode::Retain,
                sdk::SeccompMode::Remove => host::SeccompMode::Remove,
            };
            asked(host::SeccompFilter { mode, calls, errno })
        }),
        no_new_privileges: app.no_new_privileges.then_some(Origin::Image),
        oom_score: app.oom_score.map(|score| asked(score.try_into().unwrap())),
    }
}

fn asked<T>(value: T) -> Asked<T> {
    Asked { value, by: Origin::Image }
}

fn mount(mount: &sdk::VolumeMount) -> host::VolumeMount {
    let access = match mount.access {
        sdk::Access::ReadWrite => host::Access::ReadWrite,
        sdk::Access::ReadOnly => host::Access::ReadOnly,
    };
    let reach = match mount.reach {
        sdk::Reach::Single => host::Reach::Single,
        sdk::Reach::Recursive => host::Reach::Recursive,
    };
    host::VolumeMount { volume: mount.volume.clone(), target: mount.target.parse().unwrap(), access, reach }
}

fn kind(name: &str) -> host::LimitKind {
    host::LimitKind::ALL.into_iter().find(|kind| kind.name() == name).unwrap()
}

/// What the host heard, as the flavor would have made it.
pub fn heard(plan: &host::Plan) -> sdk::Plan {
    let mut heard = sdk::Plan::new();
    for word in &plan.words {
        match word {
            host::Word::Share { namespace } => {
                heard.share(sdk::Namespace::ALL.into_iter().find(|known| known.name() == namespace).unwrap())
            }
            host::Word::Hostname { name } => heard.hostname(name),
            host::Word::Claim { request, how } => heard.claim(&sdk::Request::new(request), how),
            host::Word::Waive { request, reason } => heard.waive(&sdk::Request::new(request), reason),
            host::Word::Note { text } => heard.note(text),
            host::Word::Program { role, .. } => panic!("no shipped flavor starts a program: {role}"),
            host::Word::App { app, word } => {
                heard_of_jail(heard.app(app), word);
                &mut heard
            }
        };
    }
    heard
}

fn heard_of_jail(mut jail: sdk::Jail<'_>, word: &host::JailWord) {
    use host::JailWord;
    match word {
        JailWord::Root { access } => jail.root(access_heard(*access)),
        JailWord::Bind { source, target, access, recursive } => {
            let source = match source {
                host::Place::Volume(name) => sdk::volume(name),
                host::Place::Empty(name) => sdk::empty(name),
                host::Place::Host(path) => sdk::host(path),
                other => panic!("no shipped flavor binds {other:?}"),
            };
            let reach = if *recursive { sdk::Reach::Recursive } else { sdk::Reach::Single };
            jail.bind(source, target, access_heard(*access), reach)
        }
        JailWord::Mount { kind, target, options } => {
            jail.mount(kind, target, &options.iter().map(String::as_str).collect::<Vec<_>>())
        }
        JailWord::Link { path, to } => jail.link(path, to),
        JailWord::Device { path } => jail.device(path),
        JailWord::Mask { path } => jail.mask(path),
        JailWord::ReadOnly { path } => jail.read_only(path),
        JailWord::User { credentials: host::Credentials { uid, gid, groups } } => {
            jail.user(&sdk::Credentials { uid: *uid, gid: *gid, groups: groups.clone() })
        }
        JailWord::Capabilities { names } => jail.capabilities(names.clone()),
        JailWord::NoNewPrivileges => jail.no_new_privileges(),
        JailWord::Seccomp { filter } => {
            let mode = match filter.mode {
                host::SeccompMode::Retain => sdk::SeccompMode::Retain,
                host::SeccompMode::Remove => sdk::SeccompMode::Remove,
            };
            jail.seccomp(&sdk::SeccompFilter { mode, calls: filter.calls.clone(), errno: filter.errno.clone() })
        }
        JailWord::File { path, mode, content } => jail.file(path, *mode, content),
        JailWord::Directory { path, mode } => jail.directory(path, *mode),
        JailWord::Channel { path } => jail.channel(path),
        JailWord::OwnUser => jail.own_user(),
        JailWord::Limit { what, value } => jail.limit(&sdk::Limit { what: what.clone(), value: *value }),
        JailWord::OomScore { adjustment } => jail.oom_score(*adjustment),
        JailWord::Stdio { mode } => jail.stdio(if mode == "raw" { sdk::Stdio::Raw } else { sdk::Stdio::Log }),
    };
}

fn access_heard(access: host::Access) -> sdk::Access {
    match access {
        host::Access::ReadWrite => sdk::Access::ReadWrite,
        host::Access::ReadOnly => sdk::Access::ReadOnly,
    }
}
