//! The one check that every plan passes before it is enacted: grants, sense, conflicts, requests.
//!
//! Each word is judged by one arm of one match, without a wildcard, so that a new word cannot be
//! forgotten. All objections are collected: a plan is accepted as a whole or refused as a whole. Words
//! about jails are judged in [`jail`], those about programs in [`program`].

use std::collections::{BTreeMap, BTreeSet};

use self::jail::{JailDraft, Subject};
use self::program::ProgramDraft;
use crate::answer::{Answer, Answered};
use crate::checked::{CheckedPlan, Jail};
use crate::objection::{Objection, Problem, Refusal};
use crate::path::CleanPath;
use crate::permission::{Namespace, Permission, Permissions};
use crate::pod::{Origin, Pod};
use crate::request::requests;
use crate::word::{Plan, Role, Word};

mod jail;
mod program;

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
        if let Err(problem) = check.word(index, word) {
            check.objections.push(Objection { word: Some((index, word.name())), about: about(word), problem });
        }
    }
    check.finish()
}

/// The app or program that a word is about.
fn about(word: &Word) -> Option<String> {
    match word {
        Word::App { app, .. } => Some(format!("app {app:?}")),
        Word::Program { role, .. } => Some(role.to_string()),
        Word::Share { .. } | Word::Hostname { .. } | Word::Claim { .. } | Word::Waive { .. } | Word::Note { .. } => {
            None
        }
    }
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
    apps: BTreeMap<String, JailDraft>,
    programs: BTreeMap<Role, ProgramDraft>,
    /// Request and answer.
    answers: Vec<(String, Answer)>,
    notes: Vec<String>,
}

impl<'a> Check<'a> {
    fn word(&mut self, index: usize, word: &Word) -> Result<(), Problem> {
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
                self.jail_word(Subject::App(asked), word)
            }
            Word::Program { role, word } => self.program_word(index, role, word),
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

    fn finish(mut self) -> Result<CheckedPlan, Refusal> {
        let programs = self.finish_programs();
        self.finish_namespaces(&programs);
        let apps = if programs.is_opaque() { self.no_apps() } else { self.finish_apps() };
        let mut plan = CheckedPlan {
            shared: std::mem::take(&mut self.draft.shared),
            hostname: self.draft.hostname.take(),
            program: programs.main,
            helpers: programs.helpers,
            enter: programs.enter,
            stop: programs.stop,
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

    /// Namespaces are rkt's to make or to share only where rkt starts what is inside.
    fn finish_namespaces(&mut self, programs: &program::Programs) {
        if programs.main.is_none() {
            if !self.draft.shared.contains(&Namespace::User) {
                self.object(None, Problem::UserNamespace);
            }
            if self.draft.hostname.is_some() && self.draft.shared.contains(&Namespace::Uts) {
                self.object(None, Problem::HostnameOfTheHost);
            }
            return;
        }
        if !self.draft.shared.is_empty() {
            self.object(None, Problem::OfTheProgram { word: "share" });
        }
        if self.draft.hostname.is_some() && programs.is_opaque() {
            self.object(None, Problem::OfTheProgram { word: "hostname" });
        }
    }

    fn finish_apps(&mut self) -> Vec<Jail> {
        let pod: &'a Pod = self.pod;
        pod.apps
            .iter()
            .filter_map(|asked| {
                if let Some(draft) = self.draft.apps.remove(&asked.name) {
                    return self.finish_jail(Subject::App(asked), draft);
                }
                self.object(Some(format!("app {:?}", asked.name)), Problem::Missing { word: "app" });
                None
            })
            .collect()
    }

    /// Nobody would do what is planned for an app inside something opaque.
    fn no_apps(&mut self) -> Vec<Jail> {
        for app in std::mem::take(&mut self.draft.apps).into_keys() {
            self.object(Some(format!("app {app:?}")), Problem::OfTheProgram { word: "app" });
        }
        Vec::new()
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

    fn object(&mut self, about: Option<String>, problem: Problem) {
        self.objections.push(Objection { word: None, about, problem });
    }
}

/// A path as the contract has it.
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
