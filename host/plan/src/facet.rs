//! What there is to say about a checked plan, piece by piece. Explanations and differences are made of
//! the same pieces, so that what is compared is what is shown.

use crate::answer::{Answer, Answered};
use crate::checked::{CheckedPlan, FileSystem, Jail, Mount, MountOptions, Reach, Root, Source, User};
use crate::explain::printable;
use crate::measure::{Measure, Protection};
use crate::path::CleanPath;
use crate::permission::Namespace;
use crate::pod::{Access, LimitKind};
use crate::seccomp::SeccompPolicy;

mod programs;

/// One line about a plan: whom it is about, which aspect, and what it says.
pub(crate) struct Facet {
    pub(crate) subject: String,
    pub(crate) aspect: &'static str,
    /// Tells items of one aspect apart; empty where there is only one.
    pub(crate) item: String,
    pub(crate) text: String,
    pub(crate) measure: Measure,
}

/// What a plan does.
pub(crate) fn facets(plan: &CheckedPlan) -> Vec<Facet> {
    let pod =
        |aspect, item: String, text: String, measure| Facet { subject: "pod".to_owned(), aspect, item, text, measure };
    let mut facets = Vec::new();
    // Elsewhere the program says which there are, by its arguments.
    let made_by_rkt = if plan.program.is_none() { &Namespace::ALL[..] } else { &[] };
    for &namespace in made_by_rkt {
        let is_shared = plan.shared.contains(&namespace);
        let whose = match namespace {
            _ if is_shared => "the host's",
            Namespace::Network => "its own, with loopback only",
            _ => "its own",
        };
        let text = format!("{}: {whose}", namespace.name());
        facets.push(pod("namespaces", namespace.name().to_owned(), text, Measure::SharesNamespace(is_shared)));
    }
    if let Some(name) = &plan.hostname {
        facets.push(pod("host name", String::new(), name.clone(), Measure::Plain(name.clone())));
    }
    facets.extend(programs::facets(plan));
    facets.extend(plan.apps.iter().flat_map(|app| {
        let subject = format!("app {}", app.name);
        let mut facets = facets_of_jail(&subject, app, true);
        facets.push(Facet {
            subject,
            aspect: "output",
            item: String::new(),
            text: app.stdio.name().to_owned(),
            measure: Measure::Plain(app.stdio.name().to_owned()),
        });
        facets
    }));
    facets
}

/// Of one that is a tree only, the files.
fn facets_of_jail(subject: &str, app: &Jail, has_process: bool) -> Vec<Facet> {
    let facet = |aspect, item: String, text: String, measure| Facet {
        subject: subject.to_owned(),
        aspect,
        item,
        text,
        measure,
    };
    let mut facets = Vec::new();
    if let Root::Image(how) = app.root {
        facets.push(facet("root", String::new(), format!("the image, {}", access(how)), Measure::Root(how)));
    }
    facets.extend(app.directories.iter().map(|made| {
        let text = format!("{} {:04o}", printable(made.path.as_str()), made.mode);
        facet("directories", made.path.to_string(), text.clone(), Measure::Plain(text))
    }));
    facets.extend(app.files.iter().map(|made| {
        let text = format!("{} {:04o}: {}", printable(made.path.as_str()), made.mode, printable(&made.content));
        facet("files", made.path.to_string(), text.clone(), Measure::Plain(text))
    }));
    facets.extend(app.mounts.iter().map(|mount| {
        let measure = Measure::Mount { mount: mount.clone(), hides: hides(mount, &app.mounts) };
        facet("mounts", mount.target().to_string(), describe(mount), measure)
    }));
    facets.extend(app.devices.iter().map(|path| facet("devices", path.to_string(), path.to_string(), Measure::Device)));
    facets.extend(app.links.iter().map(|link| {
        let text = format!("{} -> {}", printable(link.path.as_str()), printable(&link.to));
        let measure = Measure::Plain(link.to.clone());
        facet("links", link.path.to_string(), text, measure)
    }));
    facets.extend(protections(app).map(|(path, protection)| {
        let how = match protection {
            Protection::Masked => "unreadable",
            Protection::ReadOnly => "read-only",
        };
        let text = format!("{}: {how}", printable(path.as_str()));
        facet("protected", path.to_string(), text, Measure::Protection(protection))
    }));
    if has_process {
        facets.extend(facets_of_process(subject, app));
    }
    facets.extend(app.limits.iter().map(|(kind, value)| {
        facet("limits", kind.name().to_owned(), describe_limit(*kind, *value), Measure::Limit(*kind, *value))
    }));
    if let Some(score) = app.oom_score {
        facets.push(facet("oom score", String::new(), score.to_string(), Measure::OomScore(score)));
    }
    facets
}

fn facets_of_process(subject: &str, app: &Jail) -> Vec<Facet> {
    let one = |aspect, text: String, measure| Facet {
        subject: subject.to_owned(),
        aspect,
        item: String::new(),
        text,
        measure,
    };
    let mut facets = vec![one("user", describe_user(&app.user), Measure::User(app.user.clone()))];
    facets.push(one("capabilities", app.capabilities.to_string(), Measure::Capabilities(app.capabilities)));
    facets.push(if app.no_new_privileges {
        one("privileges", "programs gain none".to_owned(), Measure::GainsPrivileges(false))
    } else {
        one("privileges", "set-user-id programs gain theirs".to_owned(), Measure::GainsPrivileges(true))
    });
    let calls = app.seccomp.as_ref().map_or_else(
        || "any".to_owned(),
        |policy| format!("{} of {}", policy.allowed_count(), SeccompPolicy::known_calls().count()),
    );
    facets.push(one("system calls", calls, Measure::Seccomp(app.seccomp.clone())));
    facets
}

fn describe_user(user: &User) -> String {
    match user {
        User::Own => "one of its own, that nothing else is".to_owned(),
        User::Ids(ids) if ids.groups.is_empty() => format!("{}:{}", ids.uid, ids.gid),
        User::Ids(ids) => {
            let groups: Vec<_> = ids.groups.iter().map(u32::to_string).collect();
            format!("{}:{} and {}", ids.uid, ids.gid, groups.join(", "))
        }
    }
}

/// Paths that something is taken from. What is unreadable is not read-only too.
fn protections(app: &Jail) -> impl Iterator<Item = (&CleanPath, Protection)> {
    let read_only = app.read_only.iter().filter(|path| !app.masked.contains(path));
    read_only.map(|path| (path, Protection::ReadOnly)).chain(app.masked.iter().map(|path| (path, Protection::Masked)))
}

/// Whether a mount lies over a part of another that has something in it from the start.
fn hides(mount: &Mount, all: &[Mount]) -> bool {
    all.iter().any(|other| {
        !matches!(other, Mount::FileSystem { kind: FileSystem::Tmpfs, .. })
            && other.target() != mount.target()
            && other.target().holds(mount.target())
    })
}

/// The subject of what became of requests.
pub(crate) const REQUESTS: &str = "requests";

/// What became of what the pod asked for.
pub(crate) fn answers(plan: &CheckedPlan) -> Vec<Facet> {
    let facet = |answered: &Answered| Facet {
        subject: REQUESTS.to_owned(),
        aspect: "",
        item: answered.request.clone(),
        text: format!("{}: {}", answered.asked, describe_answer(&answered.answer)),
        measure: Measure::Answer(answered.answer.clone()),
    };
    plan.answers.iter().map(facet).collect()
}

pub(crate) fn describe_answer(answer: &Answer) -> String {
    match answer {
        Answer::Visible => "in the plan".to_owned(),
        Answer::Claimed { how } => format!("claimed: {}", printable(how)),
        Answer::Waived { reason } => format!("not given: {}", printable(reason)),
    }
}

fn describe(mount: &Mount) -> String {
    match mount {
        Mount::Bind { source, target, access: how, reach } => {
            let source = describe_source(source);
            let below = match reach {
                Reach::Single => "",
                Reach::Recursive => ", with all mounts below",
            };
            format!("{}: {source}, {}{below}", printable(target.as_str()), access(*how))
        }
        Mount::FileSystem { kind, target, options } => {
            format!("{}: {}{}", printable(target.as_str()), kind.name(), describe_options(options))
        }
    }
}

fn describe_source(source: &Source) -> String {
    match source {
        Source::Volume(name) => format!("volume {name}"),
        Source::Empty(name) => format!("empty directory {name}"),
        Source::Host(path) => format!("the host's {}", printable(path.as_str())),
        Source::Payload(path) => format!("the payload's {}", printable(path.as_str())),
        Source::RootOf(app) => format!("the root of app {app}"),
        Source::Artifact(artifact) => artifact.describe(),
    }
}

fn describe_options(options: &MountOptions) -> String {
    let mut list = Vec::new();
    if options.read_only {
        list.push("read-only".to_owned());
    }
    if options.no_exec {
        list.push("noexec".to_owned());
    }
    list.extend(options.parameters.iter().map(|(name, value)| format!("{name}={value}")));
    if list.is_empty() { String::new() } else { format!(", {}", list.join(", ")) }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "writable",
    }
}

fn describe_limit(kind: LimitKind, value: u64) -> String {
    match kind {
        LimitKind::Memory => format!("memory {value} bytes"),
        LimitKind::Cpu => format!("cpu {value} thousandths of a processor"),
        LimitKind::CpuShares => format!("cpu-shares {value}"),
        LimitKind::Pids => format!("pids {value}"),
    }
}
