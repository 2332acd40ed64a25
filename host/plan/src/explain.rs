//! A checked plan in words for people, and the difference between two.
//!
//! Both are made from the same facets, so that what is compared is what is shown.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::answer::Answer;
use crate::capability::CapabilitySet;
use crate::checked::{CheckedPlan, Jail, Mount, MountOptions, Reach, Root, Source, User};
use crate::permission::Namespace;
use crate::pod::{Access, LimitKind};
use crate::seccomp::SeccompPolicy;

mod programs;

/// One line about a plan: whom it is about, which aspect, and what it says.
struct Facet {
    subject: String,
    aspect: &'static str,
    /// Tells items of one aspect apart; empty where there is only one.
    item: String,
    text: String,
    measure: Measure,
}

/// How to tell the stricter of two facets.
enum Measure {
    /// Being there makes a plan weaker.
    Weakens,
    /// Being there makes a plan stricter.
    Tightens,
    /// Less is stricter, being absent is least strict.
    Bound(u64),
    /// Reading is stricter than writing; being there is weaker than not.
    Reach(Access),
    /// Fewer is stricter.
    Capabilities(CapabilitySet),
    /// Fewer is stricter; none is unfiltered.
    Seccomp(Option<SeccompPolicy>),
    /// Neither.
    Neutral,
}

/// Says what a plan does, a line an aspect.
pub fn explain(plan: &CheckedPlan) -> String {
    let mut lines: Vec<(String, &'static str, Vec<String>)> = Vec::new();
    for facet in facets(plan) {
        match lines.last_mut() {
            Some((subject, aspect, items)) if *subject == facet.subject && *aspect == facet.aspect => {
                items.push(facet.text);
            }
            _ => lines.push((facet.subject, facet.aspect, vec![facet.text])),
        }
    }
    let mut text: Vec<String> = Vec::new();
    let mut last = String::new();
    for (subject, aspect, items) in lines {
        if subject != last {
            text.push(subject.clone());
            last = subject;
        }
        text.push(format!("  {aspect:<14} {}", items.join("\n                 ")));
    }
    text.extend(explain_answers(plan));
    text.join("\n") + "\n"
}

fn explain_answers(plan: &CheckedPlan) -> Vec<String> {
    let answers = plan.answers.iter().map(|answered| {
        let answer = match &answered.answer {
            Answer::Visible => "in the plan".to_owned(),
            Answer::Claimed { how } => format!("claimed: {}", printable(how)),
            Answer::Waived { reason } => format!("not given: {}", printable(reason)),
        };
        format!("  {}: {answer}", answered.asked)
    });
    let notes = plan.notes.iter().map(|note| format!("  {}", printable(note)));
    titled("requests", answers.collect()).chain(titled("notes", notes.collect())).collect()
}

/// A plugin's text on one line, with whatever would steer a terminal written out.
pub fn printable(text: &str) -> String {
    let written = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(written).collect()
}

/// The lines under their title; nothing where there are none.
fn titled(title: &str, lines: Vec<String>) -> impl Iterator<Item = String> {
    (!lines.is_empty()).then(|| title.to_owned()).into_iter().chain(lines)
}

/// What changed between two plans in one facet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `pod`, or the app.
    pub subject: String,
    /// The aspect.
    pub aspect: &'static str,
    /// What the two say.
    pub change: Change,
    /// Which is the stricter.
    pub strictness: Strictness,
}

/// What each of two plans says of one facet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Only the second has it.
    Added(String),
    /// Only the first has it.
    Removed(String),
    /// Both have it, not the same.
    Changed {
        /// What the first says.
        from: String,
        /// What the second says.
        to: String,
    },
}

/// How the second of two plans compares with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strictness {
    /// It lets the pod do less.
    Stricter,
    /// It lets the pod do more.
    Weaker,
    /// Neither can be said.
    Other,
}

/// Compares two plans, facet by facet; empty where they do the same.
pub fn diff(first: &CheckedPlan, second: &CheckedPlan) -> Vec<Difference> {
    type Key = (String, &'static str, String);
    let keyed =
        |plan| facets(plan).into_iter().map(|facet| ((facet.subject.clone(), facet.aspect, facet.item.clone()), facet));
    let mut pairs: BTreeMap<Key, (Option<Facet>, Option<Facet>)> = BTreeMap::new();
    for (key, facet) in keyed(first) {
        pairs.entry(key).or_default().0 = Some(facet);
    }
    for (key, facet) in keyed(second) {
        pairs.entry(key).or_default().1 = Some(facet);
    }
    pairs
        .into_iter()
        .filter_map(|((subject, aspect, _), pair)| {
            let (change, strictness) = compare(pair)?;
            Some(Difference { subject, aspect, change, strictness })
        })
        .collect()
}

fn compare(pair: (Option<Facet>, Option<Facet>)) -> Option<(Change, Strictness)> {
    match pair {
        (None, None) => None,
        (None, Some(new)) => Some((Change::Added(new.text), presence(&new.measure))),
        (Some(old), None) => Some((Change::Removed(old.text), presence(&old.measure).reversed())),
        (Some(old), Some(new)) => {
            let strictness = rank(&old.measure, &new.measure);
            (old.text != new.text || strictness != Strictness::Other)
                .then_some((Change::Changed { from: old.text, to: new.text }, strictness))
        }
    }
}

impl Strictness {
    fn reversed(self) -> Self {
        match self {
            Self::Stricter => Self::Weaker,
            Self::Weaker => Self::Stricter,
            Self::Other => Self::Other,
        }
    }

    /// From whether the second's powers are within the first's, and the other way round.
    fn of(new_within_old: bool, old_within_new: bool) -> Self {
        match (new_within_old, old_within_new) {
            (true, false) => Self::Stricter,
            (false, true) => Self::Weaker,
            (true, true) | (false, false) => Self::Other,
        }
    }
}

/// What being there means, against not being there.
fn presence(measure: &Measure) -> Strictness {
    match measure {
        Measure::Weakens | Measure::Reach(_) => Strictness::Weaker,
        Measure::Tightens | Measure::Bound(_) => Strictness::Stricter,
        Measure::Capabilities(_) | Measure::Seccomp(_) | Measure::Neutral => Strictness::Other,
    }
}

fn rank(old: &Measure, new: &Measure) -> Strictness {
    match (old, new) {
        (Measure::Bound(old), Measure::Bound(new)) => Strictness::of(new <= old, old <= new),
        (Measure::Reach(old), Measure::Reach(new)) => Strictness::of(new <= old, old <= new),
        (Measure::Capabilities(old), Measure::Capabilities(new)) => Strictness::of(old.holds(*new), new.holds(*old)),
        (Measure::Seccomp(old), Measure::Seccomp(new)) => match (old, new) {
            (None, None) => Strictness::Other,
            (None, Some(_)) => Strictness::Stricter,
            (Some(_), None) => Strictness::Weaker,
            (Some(old), Some(new)) => Strictness::of(new.is_within(old), old.is_within(new)),
        },
        (Measure::Weakens, Measure::Tightens) | (Measure::Reach(_), Measure::Neutral) => Strictness::Stricter,
        (Measure::Tightens, Measure::Weakens) | (Measure::Neutral, Measure::Reach(_)) => Strictness::Weaker,
        _ => Strictness::Other,
    }
}

fn facets(plan: &CheckedPlan) -> Vec<Facet> {
    let pod =
        |aspect, item: String, text: String, measure| Facet { subject: "pod".to_owned(), aspect, item, text, measure };
    let mut facets = Vec::new();
    // Elsewhere the program says which there are, by its arguments.
    let made_by_rkt = if plan.program.is_none() { &Namespace::ALL[..] } else { &[] };
    for &namespace in made_by_rkt {
        let (text, measure) = if plan.shared.contains(&namespace) {
            (format!("{}: the host's", namespace.name()), Measure::Weakens)
        } else if namespace == Namespace::Network {
            (format!("{}: its own, with loopback only", namespace.name()), Measure::Tightens)
        } else {
            (format!("{}: its own", namespace.name()), Measure::Tightens)
        };
        facets.push(pod("namespaces", namespace.name().to_owned(), text, measure));
    }
    if let Some(name) = &plan.hostname {
        facets.push(pod("host name", String::new(), name.clone(), Measure::Neutral));
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
            measure: Measure::Neutral,
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
        facets.push(facet("root", String::new(), format!("the image, {}", access(how)), Measure::Reach(how)));
    }
    facets.extend(app.directories.iter().map(|made| {
        let text = format!("{} {:04o}", printable(made.path.as_str()), made.mode);
        facet("directories", made.path.to_string(), text, Measure::Neutral)
    }));
    facets.extend(app.files.iter().map(|made| {
        let text = format!("{} {:04o}: {}", printable(made.path.as_str()), made.mode, printable(&made.content));
        facet("files", made.path.to_string(), text, Measure::Neutral)
    }));
    facets.extend(app.mounts.iter().map(|mount| {
        let (text, measure) = describe(mount);
        facet("mounts", mount.target().to_string(), text, measure)
    }));
    let named = |aspect, paths: &[crate::CleanPath], measure: fn() -> Measure| {
        paths.iter().map(|path| facet(aspect, path.to_string(), path.to_string(), measure())).collect::<Vec<_>>()
    };
    facets.extend(named("devices", &app.devices, || Measure::Weakens));
    facets.extend(app.links.iter().map(|link| {
        let text = format!("{} -> {}", printable(link.path.as_str()), printable(&link.to));
        facet("links", link.path.to_string(), text, Measure::Neutral)
    }));
    facets.extend(named("read-only", &app.read_only, || Measure::Tightens));
    facets.extend(named("masked", &app.masked, || Measure::Tightens));
    if has_process {
        facets.extend(facets_of_process(subject, app));
    }
    facets.extend(app.limits.iter().map(|(kind, value)| {
        facet("limits", kind.name().to_owned(), describe_limit(*kind, *value), Measure::Bound(*value))
    }));
    if let Some(score) = app.oom_score {
        facets.push(facet("oom score", String::new(), score.to_string(), Measure::Neutral));
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
    let mut facets = vec![one("user", describe_user(&app.user), Measure::Neutral)];
    facets.push(one("capabilities", app.capabilities.to_string(), Measure::Capabilities(app.capabilities)));
    facets.push(if app.no_new_privileges {
        one("privileges", "programs gain none".to_owned(), Measure::Tightens)
    } else {
        one("privileges", "set-user-id programs gain theirs".to_owned(), Measure::Weakens)
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

fn describe(mount: &Mount) -> (String, Measure) {
    match mount {
        Mount::Bind { source, target, access: how, reach } => {
            let source = describe_source(source);
            let below = match reach {
                Reach::Single => "",
                Reach::Recursive => ", with all mounts below",
            };
            let text = format!("{}: {source}, {}{below}", printable(target.as_str()), access(*how));
            (text, Measure::Reach(*how))
        }
        Mount::FileSystem { kind, target, options } => {
            let text = format!("{}: {}{}", printable(target.as_str()), kind.name(), describe_options(options));
            (text, Measure::Neutral)
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
