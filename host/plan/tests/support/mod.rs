//! What the tests of the check share: a pod of one app that asks for as little as there is, and permissions.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests, each of which uses a part")]

use std::collections::BTreeMap;

use rkt_plan::{App, Asked, Credentials, Origin, Permissions, Pod, VolumeMount};

pub fn asked<T>(value: T) -> Asked<T> {
    Asked { value, by: Origin::CommandLine }
}

pub fn root_user() -> Credentials {
    Credentials { uid: 0, gid: 0, groups: vec![] }
}

/// A pod of one app, `db`, that asks for this user and these volumes and nothing else.
pub fn pod_of(user: Asked<Credentials>, volumes: Vec<VolumeMount>) -> Pod {
    let app = App {
        name: "db".to_owned(),
        user,
        read_only_root: None,
        volumes: volumes.into_iter().map(asked).collect(),
        limits: BTreeMap::new(),
        capabilities: None,
        seccomp: None,
        no_new_privileges: None,
        oom_score: None,
    };
    Pod {
        uuid: "6f0c2b1e-0000-4000-8000-000000000001".to_owned(),
        hostname: None,
        apps: vec![app],
        limits: BTreeMap::new(),
        settings: BTreeMap::new(),
    }
}

pub fn permissions(list: &[&str]) -> Permissions {
    list.iter().map(|text| text.parse().unwrap()).collect()
}
