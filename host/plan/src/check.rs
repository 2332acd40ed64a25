//! The one check that every plan passes before it is enacted: grants, sense, conflicts, requests.
//!
//! Each word is judged by one arm of one match, without a wildcard, so that a new word cannot be
//! forgotten. All objections are collected: a plan is accepted as a whole or refused as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::answer::{Answer, Answered};
use crate::capability::CapabilitySet;
use crate::checked::{Jail, CheckedPlan, FileSystem, Link, Mount, MountOptions, Reach, Source, Stdio};
use crate::objection::{Objection, Problem, Refusal};
use crate::path::CleanPath;
use crate::permission::{Namespace, Permission, Permissions};
use crate::pod::{Access, App, CapabilityChange, Credentials, LimitKind, Origin, Pod};
use crate::request::requests;
use crate::seccomp::SeccompPolicy;
use crate::word::{JailWord, Place, Plan, Word};

/// Judges a plan for a pod.
///
/// `declared` is what the plugin's component says that it needs, `granted` what policy gives it; a
/// word needs both.
///
/// # Errors
/// Everything that speaks against the plan, in its order.
pub fn check(pod: &Pod, plan: &Plan, declared: &Permissions, granted: &Permissions) -> Result<CheckedPlan, Refusal> {
    let mut check = Check { pod, declared, granted, draft: Draft::default(), objections: Vec::new() };
    for (index, word) in plan.words.iter().enumerate() {
        if let Err(problem) = check.word(word) {
            let app = match word {
                Word::App { app, .. } => Some(app.clone()),
                _ => None,
            };
            check.objections.push(Objection { word: Some((index, word.name())), app, problem });
        }
    }
    check.finish()
}

struct Check<'a> {
    pod: &'a Pod,
    declared: &'a Permissions,
    granted: &'a Permissions,
    draft: Draft,
    objections: Vec<Objection>,
}

/// The plan as far as its words have been accepted.
#[derive(Default)]
struct Draft {
    shared: BTreeSet<Namespace>,
    hostname: Option<String>,
    apps: BTreeMap<String, AppDraft>,
    /// Request and answer.
    answers: Vec<(String, Answer)>,
    notes: Vec<String>,
}

#[derive(Default)]
struct AppDraft {
    root: Option<Access>,
    mounts: Vec<Mount>,
    devices: Vec<CleanPath>,
    links: Vec<Link>,
    read_only: Vec<CleanPath>,
    masked: Vec<CleanPath>,
    user: Option<Credentials>,
    capabilities: Option<CapabilitySet>,
    no_new_privileges: Option<()>,
    seccomp: Option<SeccompPolicy>,
    limits: BTreeMap<LimitKind, u64>,
    oom_score: Option<i16>,
    stdio: Option<Stdio>,
}

impl Check<'_> {
    fn word(&mut self, word: &Word) -> Result<(), Problem> {
        match word {
            Word::Share { namespace } => {
                let namespace =
                    Namespace::parse(namespace).ok_or_else(|| Problem::Namespace { name: namespace.clone() })?;
                self.need(Permission::Share(namespace))?;
                if self.draft.shared.insert(namespace) { Ok(()) } else { Err(Problem::Twice) }
            }
            Word::Hostname { name } => {
                self.need(Permission::Hostname)?;
                if !is_hostname(name) {
                    return Err(Problem::Hostname { name: name.clone() });
                }
                set_once(&mut self.draft.hostname, name.clone())
            }
            Word::App { app, word } => {
                let asked = self.pod.app(app).ok_or(Problem::UnknownApp)?;
                self.app_word(asked, word)
            }
            Word::Claim { request, how } => {
                self.need(Permission::Claim)?;
                self.draft.answers.push((request.clone(), Answer::Claimed { how: how.clone() }));
                Ok(())
            }
            Word::Waive { request, reason } => {
                self.draft.answers.push((request.clone(), Answer::Waived { reason: reason.clone() }));
                Ok(())
            }
            Word::Note { text } => {
                self.draft.notes.push(text.clone());
                Ok(())
            }
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm a word, in one place")]
    fn app_word(&mut self, asked: &App, word: &JailWord) -> Result<(), Problem> {
        if !self.draft.apps.contains_key(&asked.name) {
            self.draft.apps.insert(asked.name.clone(), AppDraft::default());
        }
        match word {
            JailWord::Root { access } => {
                self.need(Permission::Root)?;
                set_once(&mut self.draft(asked).root, *access)
            }
            JailWord::Bind { source, target, access, recursive } => {
                let source = self.source(asked, source, *access)?;
                let reach = if *recursive { Reach::Recursive } else { Reach::Single };
                self.mount(asked, Mount::Bind { source, target: path(target)?, access: *access, reach })
            }
            JailWord::Mount { kind, target, options } => {
                let kind = FileSystem::parse(kind).ok_or_else(|| Problem::FileSystem { kind: kind.clone() })?;
                self.need(Permission::Mount(kind))?;
                let options = MountOptions::parse(kind, options)
                    .map_err(|option| Problem::Option { kind: kind.name(), option })?;
                self.mount(asked, Mount::FileSystem { kind, target: path(target)?, options })
            }
            JailWord::Link { path: at, to } => {
                self.need(Permission::Link)?;
                if to.is_empty() || to.contains('\0') || to.len() > 4095 {
                    return Err(Problem::Text { text: to.clone() });
                }
                let link = Link { path: below_root(at)?, to: to.clone() };
                let links = &mut self.draft(asked).links;
                if links.iter().any(|other| other.path == link.path) {
                    return Err(Problem::Taken { path: link.path });
                }
                links.push(link);
                Ok(())
            }
            JailWord::Device { path: at } => {
                let at = below_root(at)?;
                self.need(Permission::Device(at.clone()))?;
                add_once(&mut self.draft(asked).devices, at)
            }
            JailWord::Mask { path: at } => {
                self.need(Permission::Mask)?;
                add_once(&mut self.draft(asked).masked, below_root(at)?)
            }
            JailWord::ReadOnly { path: at } => {
                self.need(Permission::ReadOnly)?;
                add_once(&mut self.draft(asked).read_only, below_root(at)?)
            }
            JailWord::User { credentials } => {
                self.need(Permission::User)?;
                set_once(&mut self.draft(asked).user, credentials.clone())
            }
            JailWord::Capabilities { names } => {
                let set = CapabilitySet::from_names(names.iter().map(String::as_str)).map_err(Problem::Capability)?;
                let beyond = set.minus(the_users_own(asked));
                if !beyond.is_empty() {
                    self.need_capabilities(beyond)?;
                }
                set_once(&mut self.draft(asked).capabilities, set)
            }
            JailWord::NoNewPrivileges => {
                self.need(Permission::NoNewPrivileges)?;
                set_once(&mut self.draft(asked).no_new_privileges, ())
            }
            JailWord::Seccomp { filter } => {
                self.need(Permission::Seccomp)?;
                let policy = SeccompPolicy::from_filter(filter).map_err(Problem::Seccomp)?;
                if policy.refuses_nothing() && !the_user_wants_no_filter(asked) {
                    self.need(Permission::Unfiltered)?;
                }
                set_once(&mut self.draft(asked).seccomp, policy)
            }
            JailWord::Limit { what, value } => {
                self.need(Permission::Limit)?;
                let kind = LimitKind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == what)
                    .ok_or_else(|| Problem::LimitKind { what: what.clone() })?;
                let range = kind.range();
                in_range(kind.name(), (*value).into(), &((*range.start()).into()..=(*range.end()).into()))?;
                match self.draft(asked).limits.insert(kind, *value) {
                    None => Ok(()),
                    Some(_) => Err(Problem::Twice),
                }
            }
            JailWord::OomScore { adjustment } => {
                self.need(Permission::OomScore)?;
                in_range("the adjustment", (*adjustment).into(), &(-1000..=1000))?;
                let adjustment = i16::try_from(*adjustment).expect("the range was just checked");
                set_once(&mut self.draft(asked).oom_score, adjustment)
            }
            JailWord::Stdio { mode } => {
                let mode = Stdio::parse(mode).ok_or_else(|| Problem::Stdio { mode: mode.clone() })?;
                self.need(Permission::Stdio(mode))?;
                set_once(&mut self.draft(asked).stdio, mode)
            }
        }
    }

    /// What a word needs has to be declared by the component and granted by policy.
    fn need(&self, permission: Permission) -> Result<(), Problem> {
        if !self.declared.cover(&permission) {
            return Err(Problem::NotDeclared { permission });
        }
        if !self.granted.cover(&permission) {
            return Err(Problem::NotGranted { permission });
        }
        Ok(())
    }

    /// As [`Self::need`], but names only those that are missing.
    fn need_capabilities(&self, set: CapabilitySet) -> Result<(), Problem> {
        let undeclared = set.minus(self.declared.capabilities());
        if !undeclared.is_empty() {
            return Err(Problem::NotDeclared { permission: Permission::Capabilities(undeclared) });
        }
        let ungranted = set.minus(self.granted.capabilities());
        if !ungranted.is_empty() {
            return Err(Problem::NotGranted { permission: Permission::Capabilities(ungranted) });
        }
        Ok(())
    }

    fn source(&self, asked: &App, place: &Place, access: Access) -> Result<Source, Problem> {
        match place {
            Place::Volume(name) => {
                self.need(Permission::BindVolume)?;
                if asked.volumes.iter().any(|wanted| wanted.value.volume == *name) {
                    Ok(Source::Volume(name.clone()))
                } else {
                    Err(Problem::UnknownVolume { name: name.clone() })
                }
            }
            Place::Empty(name) => {
                self.need(Permission::BindEmpty)?;
                if is_file_name(name) {
                    Ok(Source::Empty(name.clone()))
                } else {
                    Err(Problem::Text { text: name.clone() })
                }
            }
            Place::Host(at) => {
                let at = path(at)?;
                self.need(Permission::BindHost(access, at.clone()))?;
                Ok(Source::Host(at))
            }
        }
    }

    fn mount(&mut self, asked: &App, mount: Mount) -> Result<(), Problem> {
        let target = mount.target();
        if target.as_str() == "/" {
            return Err(Problem::AtRoot);
        }
        let mounts = &mut self.draft(asked).mounts;
        if mounts.iter().any(|other| other.target() == target) {
            return Err(Problem::Taken { path: target.clone() });
        }
        mounts.push(mount);
        Ok(())
    }

    fn draft(&mut self, asked: &App) -> &mut AppDraft {
        self.draft.apps.get_mut(&asked.name).expect("a draft is made before an app's first word")
    }

    fn finish(mut self) -> Result<CheckedPlan, Refusal> {
        if !self.draft.shared.contains(&Namespace::User) {
            self.object(None, Problem::UserNamespace);
        }
        if self.draft.hostname.is_some() && self.draft.shared.contains(&Namespace::Uts) {
            self.object(None, Problem::HostnameOfTheHost);
        }
        let apps = self.pod.apps.iter().filter_map(|asked| self.finish_app(asked)).collect();
        let mut plan = CheckedPlan {
            shared: std::mem::take(&mut self.draft.shared),
            hostname: self.draft.hostname.take(),
            apps,
            answers: Vec::new(),
            notes: std::mem::take(&mut self.draft.notes),
        };
        // Whether requests are visible can be said of a whole plan only.
        if self.objections.is_empty() {
            plan.answers = self.answers(&plan);
        }
        match Refusal::from_objections(self.objections) {
            None => Ok(plan),
            Some(refusal) => Err(refusal),
        }
    }

    fn finish_app(&mut self, asked: &App) -> Option<Jail> {
        let Some(draft) = self.draft.apps.remove(&asked.name) else {
            self.object(Some(asked), Problem::Missing { word: "app" });
            return None;
        };
        let mut mounts = draft.mounts;
        mounts.sort_by(|one, other| one.target().cmp(other.target()));
        for problem in below_kernel_files(&mounts, &draft.devices, &draft.links) {
            self.object(Some(asked), problem);
        }
        if draft.seccomp.is_none()
            && !the_user_wants_no_filter(asked)
            && let Err(problem) = self.need(Permission::Unfiltered)
        {
            self.object(Some(asked), problem);
        }
        let root = self.required(asked, "root", draft.root)?;
        let user = self.required(asked, "user", draft.user)?;
        Some(Jail {
            name: asked.name.clone(),
            root,
            mounts,
            devices: draft.devices,
            links: draft.links,
            read_only: draft.read_only,
            masked: draft.masked,
            user,
            capabilities: draft.capabilities.unwrap_or_default(),
            no_new_privileges: draft.no_new_privileges.is_some(),
            seccomp: draft.seccomp,
            limits: draft.limits,
            oom_score: draft.oom_score,
            stdio: draft.stdio.unwrap_or_default(),
        })
    }

    fn required<T>(&mut self, asked: &App, word: &'static str, said: Option<T>) -> Option<T> {
        if said.is_none() {
            self.object(Some(asked), Problem::Missing { word });
        }
        said
    }

    /// Every request is answered exactly once: seen, claimed or waived.
    fn answers(&mut self, plan: &CheckedPlan) -> Vec<Answered> {
        let mut said = std::mem::take(&mut self.draft.answers);
        let mut answered = Vec::new();
        for request in requests(self.pod) {
            let (ours, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|(id, _)| *id == request.id);
            said = others;
            let visible = request.is_visible_in(plan).then_some(Answer::Visible);
            let mut answers = visible.into_iter().chain(ours.into_iter().map(|(_, answer)| answer));
            let by = said_of(request.by);
            match (answers.next(), answers.next()) {
                (Some(answer), None) => {
                    let asked = request.describe();
                    answered.push(Answered { request: request.id, asked, by: request.by, answer });
                }
                (None, _) => self.object(None, Problem::Unanswered { request: request.id, by }),
                (Some(_), Some(_)) => self.object(None, Problem::AnsweredTwice { request: request.id, by }),
            }
        }
        for (request, _) in said {
            self.object(None, Problem::UnknownRequest { request });
        }
        answered
    }

    fn object(&mut self, app: Option<&App>, problem: Problem) {
        self.objections.push(Objection { word: None, app: app.map(|app| app.name.clone()), problem });
    }
}

/// Capabilities that the user asked to retain are the user's to give. An image's are not.
fn the_users_own(asked: &App) -> CapabilitySet {
    match &asked.capabilities {
        Some(change) if change.by != Origin::Image => match change.value {
            CapabilityChange::Retain(set) => set,
            CapabilityChange::Remove(_) => CapabilitySet::EMPTY,
        },
        _ => CapabilitySet::EMPTY,
    }
}

/// So is the decision to have no filter.
fn the_user_wants_no_filter(asked: &App) -> bool {
    asked.seccomp.as_ref().is_some_and(|asked| {
        asked.by != Origin::Image
            && SeccompPolicy::from_filter(&asked.value).is_ok_and(|policy| policy.refuses_nothing())
    })
}

/// Places, devices and links cannot lie among files that are the kernel's own; the kernel's can.
fn below_kernel_files(mounts: &[Mount], devices: &[CleanPath], links: &[Link]) -> Vec<Problem> {
    let kernels =
        mounts.iter().filter(|mount| matches!(mount, Mount::FileSystem { kind, .. } if kind.is_the_kernels()));
    let binds = mounts.iter().filter(|mount| matches!(mount, Mount::Bind { .. })).map(Mount::target);
    let ours: Vec<&CleanPath> = binds.chain(devices).chain(links.iter().map(|link| &link.path)).collect();
    kernels
        .flat_map(|kernel| ours.iter().map(move |target| (kernel.target(), *target)))
        .filter(|(kernel, target)| kernel != target && kernel.holds(target))
        .map(|(kernel, target)| Problem::BelowKernelFiles { target: target.clone(), below: kernel.clone() })
        .collect()
}

fn path(text: &str) -> Result<CleanPath, Problem> {
    text.parse().map_err(|cause| Problem::Path { path: text.to_owned(), cause })
}

fn below_root(text: &str) -> Result<CleanPath, Problem> {
    let path = path(text)?;
    if path.as_str() == "/" { Err(Problem::AtRoot) } else { Ok(path) }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Problem> {
    if slot.is_some() {
        return Err(Problem::Twice);
    }
    *slot = Some(value);
    Ok(())
}

fn add_once(list: &mut Vec<CleanPath>, path: CleanPath) -> Result<(), Problem> {
    if list.contains(&path) {
        return Err(Problem::Taken { path });
    }
    list.push(path);
    Ok(())
}

/// As numbers that hold all that a plugin can say, so that none is mistaken for another.
fn in_range(what: &'static str, value: i128, range: &RangeInclusive<i128>) -> Result<(), Problem> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Problem::Range { what, value, least: *range.start(), most: *range.end() })
}

/// RFC 1123 labels with dots between them, at most 64 characters as the kernel takes (uname(2)).
fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 64 && name.split('.').all(label)
}

/// A name that is one component of a path and nothing else.
fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn said_of(origin: Origin) -> &'static str {
    match origin {
        Origin::CommandLine => "the command line",
        Origin::PodManifest => "the pod manifest",
        Origin::Image => "the image",
    }
}
