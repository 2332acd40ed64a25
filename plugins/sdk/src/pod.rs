//! The pod as a plugin sees it: plain values, all of them resolved by the host.

use crate::plan::{Problem, Reach};

/// The pod that is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The pod's UUID, lower case with dashes.
    pub uuid: String,
    /// The host name that the pod is to carry: the one asked for, or `rkt-UUID`.
    pub hostname: String,
    /// In the order in which they were named. Never empty.
    pub apps: Vec<App>,
    /// What was asked for explicitly and this plugin has to answer.
    pub requests: Vec<Request>,
    /// The names and values of `--stage1-option=NAME=VALUE`; no name twice.
    pub settings: Vec<(String, String)>,
}

impl Pod {
    /// A pod of apps that ask for nothing but to run as root; for tests to start from.
    pub fn of_apps(names: &[&str]) -> Self {
        Self {
            uuid: "b8a9a9d2-6d0e-4f0f-8a2f-1b2c3d4e5f60".to_owned(),
            hostname: "rkt-b8a9a9d2-6d0e-4f0f-8a2f-1b2c3d4e5f60".to_owned(),
            apps: names.iter().map(|name| App::named(name)).collect(),
            requests: names.iter().map(|name| Request::new(format!("app/{name}/user"))).collect(),
            settings: Vec::new(),
        }
    }

    /// The value of `--stage1-option=NAME=VALUE`; none where it was not given.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Refuses the pod where it has a setting that is not among those known: a misspelt option is
    /// never silently ignored.
    ///
    /// # Errors
    /// Names the first setting that is not known.
    pub fn allow_settings(&self, known: &[&str]) -> Result<(), Problem> {
        match self.settings.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Problem::new(format!("there is no option `{name}`"))),
            None => Ok(()),
        }
    }

    /// The requests of one kind, such as `hostname` (see [`Request::kind`]).
    pub fn requests_for<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Request> {
        self.requests.iter().filter(move |request| request.kind() == kind)
    }
}

/// An app of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Unique in the pod.
    pub name: String,
    /// Whom it is to run as.
    pub user: Credentials,
    /// How its own root file system is to be mounted.
    pub root_access: Access,
    /// The volumes wanted. No two have the same target.
    pub volumes: Vec<VolumeMount>,
    /// The limits asked for.
    pub limits: Vec<Limit>,
    /// The capabilities asked for; none: the flavor decides.
    pub capabilities: Option<CapabilityChange>,
    /// The filter asked for; none: the flavor decides.
    pub seccomp: Option<SeccompFilter>,
    /// Whether the pod asks that executing a program gains nothing.
    pub no_new_privileges: bool,
    /// The adjustment asked for, -1000 to 1000.
    pub oom_score: Option<i32>,
}

impl App {
    /// An app run by root that asks for nothing; for tests to start from.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            user: Credentials::default(),
            root_access: Access::ReadWrite,
            volumes: Vec::new(),
            limits: Vec::new(),
            capabilities: None,
            seccomp: None,
            no_new_privileges: false,
            oom_score: None,
        }
    }

    /// Whether a volume is wanted at this very path, so that a flavor puts nothing of its own there.
    pub fn has_volume_at(&self, path: &str) -> bool {
        self.volumes.iter().any(|wanted| wanted.target == path)
    }
}

/// Numeric ids, as the kernel knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups, without `gid`.
    pub groups: Vec<u32>,
}

/// How much a mount may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading and writing.
    ReadWrite,
    /// Reading.
    ReadOnly,
}

/// A volume wanted at a path of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume's name, as [`volume`](crate::volume) takes it.
    pub volume: String,
    /// An absolute path in the app's root.
    pub target: String,
    /// How.
    pub access: Access,
    /// Whether it is wanted with what is mounted below its source.
    pub reach: Reach,
}

/// A limit on all processes of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is limited: `memory`, `cpu`, `cpu-shares` or `pids`; later hosts may know more.
    pub what: String,
    /// In the unit that the contract gives for it.
    pub value: u64,
}

/// What a pod asks of an app's capabilities, by the kernel's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapabilityChange {
    /// Exactly these.
    Retain(Vec<String>),
    /// The flavor's own default without these.
    Remove(Vec<String>),
}

impl CapabilityChange {
    /// What is left of a flavor's default.
    pub fn of_default(&self, default: &[&str]) -> Vec<String> {
        match self {
            Self::Retain(names) => names.clone(),
            Self::Remove(names) => {
                let kept = default.iter().filter(|name| !names.iter().any(|removed| removed == *name));
                kept.map(|name| (*name).to_owned()).collect()
            }
        }
    }
}

/// Whether the calls that a filter names are allowed or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeccompMode {
    /// Only these are allowed.
    Retain,
    /// These are refused.
    Remove,
}

/// A filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompFilter {
    /// What naming a call means.
    pub mode: SeccompMode,
    /// Names of calls, and of sets that the host keeps, such as `@default`.
    pub calls: Vec<String>,
    /// What a refused call answers, such as `EPERM`; none: the host's default.
    pub errno: Option<String>,
}

impl SeccompFilter {
    /// Only what an ordinary program needs: the host's set `@default`.
    pub fn default_set() -> Self {
        Self { mode: SeccompMode::Retain, calls: vec!["@default".to_owned()], errno: None }
    }
}

/// Something that the pod asks for explicitly. A plan shows it, claims it or waives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request(String);

impl Request {
    /// A request by its identifier; for tests. A plugin is given its requests in [`Pod::requests`].
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The identifier, such as `hostname` or `app/redis/limit/memory`.
    pub fn id(&self) -> &str {
        &self.0
    }

    /// The app that it is about; none where it is about the pod.
    pub fn app(&self) -> Option<&str> {
        Some(self.0.strip_prefix("app/")?.split_once('/')?.0)
    }

    /// What is asked for, without app and detail: `hostname`, `user`, `volume`, `limit` and so on.
    pub fn kind(&self) -> &str {
        let about = match self.0.strip_prefix("app/").and_then(|rest| rest.split_once('/')) {
            Some((_, about)) => about,
            None => &self.0,
        };
        about.split('/').next().unwrap_or(about)
    }
}

/// Every capability that this version of the SDK knows (capabilities(7)), for a flavor whose default
/// is to keep them all. A name that the host's kernel does not have is left out by the host.
pub const ALL_CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_tells_app_and_kind() {
        for (id, app, kind) in [
            ("hostname", None, "hostname"),
            ("app/db/user", Some("db"), "user"),
            ("app/db/volume/var/lib", Some("db"), "volume"),
            ("app/db/limit/memory", Some("db"), "limit"),
        ] {
            let request = Request::new(id);
            assert_eq!((request.app(), request.kind()), (app, kind), "{id}");
        }
    }

    #[test]
    fn capabilities_are_retained_exactly_or_removed_from_the_default() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let default = ["CAP_CHOWN", "CAP_KILL"];
        assert_eq!(CapabilityChange::Retain(names(&["CAP_BPF"])).of_default(&default), ["CAP_BPF"]);
        assert_eq!(CapabilityChange::Remove(names(&["CAP_KILL", "CAP_BPF"])).of_default(&default), ["CAP_CHOWN"]);
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let mut pod = Pod::of_apps(&["a"]);
        assert_eq!(pod.allow_settings(&[]), Ok(()));
        pod.settings.push(("memroy".to_owned(), "1".to_owned()));
        assert_eq!(
            pod.allow_settings(&["memory"]).map_err(|problem| problem.message),
            Err("there is no option `memroy`".to_owned())
        );
    }
}
