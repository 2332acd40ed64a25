//! What the pod asks for explicitly, and when a plan shows it.
//!
//! | identifier | visible when the plan |
//! |---|---|
//! | `hostname` | sets that name |
//! | `pod-limit/KIND` | never: there is no word for it yet, so it is claimed or waived |
//! | `app/APP/user` | runs the app as exactly that user and those groups |
//! | `app/APP/read-only-root` | uses the root read-only |
//! | `app/APP/volume/TARGET` | binds that volume at that target with no wider access or reach |
//! | `app/APP/limit/KIND` | sets a limit of that kind that is no looser |
//! | `app/APP/capabilities` | keeps no capability that was not to be kept |
//! | `app/APP/seccomp` | allows no call that was not to be allowed |
//! | `app/APP/no-new-privileges` | sets it |
//! | `app/APP/oom-score` | sets that very adjustment |

use crate::checked::{CheckedPlan, Jail, Mount, Reach, Root, Source, User};
use crate::pod::{Access, App, CapabilityChange, Credentials, LimitKind, Origin, Pod, SeccompFilter, VolumeMount};
use crate::seccomp::SeccompPolicy;

/// One thing that a pod asks for, addressed to its flavor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// What plans call it by.
    pub id: String,
    /// Who asked.
    pub by: Origin,
    ask: Ask<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask<'a> {
    Hostname(&'a str),
    /// All apps together.
    Limit(LimitKind, u64),
    App {
        app: &'a str,
        ask: AppAsk<'a>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum AppAsk<'a> {
    User(&'a Credentials),
    ReadOnlyRoot,
    Volume(&'a VolumeMount),
    Limit(LimitKind, u64),
    Capabilities(&'a CapabilityChange),
    Seccomp(&'a SeccompFilter),
    NoNewPrivileges,
    OomScore(i16),
}

/// Everything that a pod asks of its flavor, in the order of the pod.
pub fn requests(pod: &Pod) -> Vec<Request<'_>> {
    let hostname = pod.hostname.as_ref().map(|asked| Request {
        id: "hostname".to_owned(),
        by: asked.by,
        ask: Ask::Hostname(&asked.value),
    });
    let limits = pod.limits.iter().map(|(kind, limit)| Request {
        id: format!("pod-limit/{}", kind.name()),
        by: limit.by,
        ask: Ask::Limit(*kind, limit.value),
    });
    hostname.into_iter().chain(limits).chain(pod.apps.iter().flat_map(of_app)).collect()
}

fn of_app<'a>(app: &'a App) -> Vec<Request<'a>> {
    let request = |what: &str, by: Origin, ask: AppAsk<'a>| Request {
        id: format!("app/{}/{what}", app.name),
        by,
        ask: Ask::App { app: &app.name, ask },
    };
    let mut list = vec![request("user", app.user.by, AppAsk::User(&app.user.value))];
    list.extend(app.read_only_root.map(|by| request("read-only-root", by, AppAsk::ReadOnlyRoot)));
    for volume in &app.volumes {
        list.push(request(&format!("volume{}", volume.value.target), volume.by, AppAsk::Volume(&volume.value)));
    }
    for (kind, limit) in &app.limits {
        list.push(request(&format!("limit/{}", kind.name()), limit.by, AppAsk::Limit(*kind, limit.value)));
    }
    if let Some(asked) = &app.capabilities {
        list.push(request("capabilities", asked.by, AppAsk::Capabilities(&asked.value)));
    }
    if let Some(asked) = &app.seccomp {
        list.push(request("seccomp", asked.by, AppAsk::Seccomp(&asked.value)));
    }
    list.extend(app.no_new_privileges.map(|by| request("no-new-privileges", by, AppAsk::NoNewPrivileges)));
    if let Some(asked) = &app.oom_score {
        list.push(request("oom-score", asked.by, AppAsk::OomScore(asked.value)));
    }
    list
}

impl Request<'_> {
    /// What is asked, for people.
    pub fn describe(&self) -> String {
        match &self.ask {
            Ask::Hostname(name) => format!("host name {name}"),
            Ask::Limit(kind, value) => format!("{} at most {value} for the pod as a whole", kind.name()),
            Ask::App { app, ask } => format!("{} for app {app}", ask.describe()),
        }
    }

    /// Whether a plan shows it.
    pub fn is_visible_in(&self, plan: &CheckedPlan) -> bool {
        match &self.ask {
            Ask::Hostname(name) => plan.hostname.as_deref() == Some(name),
            Ask::Limit(..) => false,
            Ask::App { app, ask } => {
                plan.apps.iter().find(|planned| planned.name == *app).is_some_and(|planned| ask.is_visible_in(planned))
            }
        }
    }
}

impl AppAsk<'_> {
    fn describe(&self) -> String {
        match self {
            Self::User(who) => format!("user {}:{}", who.uid, who.gid),
            Self::ReadOnlyRoot => "a read-only root".to_owned(),
            Self::Volume(wanted) => {
                let alone = if wanted.reach == Reach::Single { " alone" } else { "" };
                format!("volume {}{alone} on {}", wanted.volume, wanted.target)
            }
            Self::Limit(kind, value) => format!("{} at most {value}", kind.name()),
            Self::Capabilities(CapabilityChange::Retain(set)) => format!("capabilities {set}"),
            Self::Capabilities(CapabilityChange::Remove(set)) => format!("capabilities without {set}"),
            Self::Seccomp(_) => "a filter of system calls".to_owned(),
            Self::NoNewPrivileges => "no new privileges".to_owned(),
            Self::OomScore(score) => format!("an out-of-memory adjustment of {score}"),
        }
    }

    fn is_visible_in(&self, plan: &Jail) -> bool {
        match self {
            Self::User(who) => plan.user == User::Ids((*who).clone()),
            Self::ReadOnlyRoot => plan.root == Root::Image(Access::ReadOnly),
            Self::Volume(wanted) => plan.mounts.iter().any(|mount| shows(mount, wanted)),
            Self::Limit(kind, value) => plan.limits.get(kind).is_some_and(|limit| limit <= value),
            Self::Capabilities(CapabilityChange::Retain(set)) => set.holds(plan.capabilities),
            Self::Capabilities(CapabilityChange::Remove(set)) => plan.capabilities.minus(*set) == plan.capabilities,
            Self::Seccomp(filter) => match (SeccompPolicy::from_filter(filter), &plan.seccomp) {
                (Ok(asked), Some(planned)) => planned.is_within(&asked),
                // A filter that refuses nothing is met by no filter.
                (Ok(asked), None) => asked.refuses_nothing(),
                (Err(_), _) => false,
            },
            Self::NoNewPrivileges => plan.no_new_privileges,
            Self::OomScore(score) => plan.oom_score == Some(*score),
        }
    }
}

fn shows(mount: &Mount, wanted: &VolumeMount) -> bool {
    match mount {
        Mount::Bind { source: Source::Volume(name), target, access, reach } => {
            let is_no_wider = *access <= wanted.access && *reach <= wanted.reach;
            *name == wanted.volume && *target == wanted.target && is_no_wider
        }
        Mount::Bind { .. } | Mount::FileSystem { .. } => false,
    }
}
