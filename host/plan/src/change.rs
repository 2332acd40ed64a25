//! Change is planning again: what may differ between the plan of a pod that runs and that of the pod as it is
//! to be.

use std::fmt;

use crate::answer::Answered;
use crate::checked::CheckedPlan;
use crate::diff::{Change, Difference, diff};
use crate::facet::REQUESTS;
use crate::word::{Plan, Word};

/// The one thing that becomes of a pod that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppChange {
    /// This app comes.
    Add(String),
    /// This app goes.
    Remove(String),
}

/// Why a pod that runs cannot become another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unchangeable {
    /// Apps are not rkt's own to start and end.
    #[error("what is inside this pod is started by a program of its flavor's, so no app can come or go while it runs")]
    Program,
    /// Something else than whole apps differs.
    #[error("this cannot change in a pod that runs: {0}")]
    Line(Box<Difference>),
    /// A word differs that has no line in explanations.
    #[error("this cannot change in a pod that runs: the word `{0}`")]
    Word(&'static str),
    /// Something that was asked for before is answered otherwise.
    #[error("this cannot change in a pod that runs: what becomes of {0}")]
    Answer(String),
    /// It is not about one app.
    #[error("a pod that runs can get one app more or one less, but {added} would come and {removed} would go")]
    Apps {
        /// How many would come.
        added: usize,
        /// How many would go.
        removed: usize,
    },
    /// Its last app would go.
    #[error("it is the last app of the pod")]
    Last,
}

impl Word {
    /// Whether the plans of a pod that runs may differ in this word. An app can only come or go as a whole, with
    /// the answers to what is asked for it; a remark enacts nothing.
    pub fn is_changeable(&self) -> bool {
        match self {
            Self::App { .. } | Self::Claim { .. } | Self::Waive { .. } | Self::Note { .. } => true,
            Self::Share { .. } | Self::Hostname { .. } | Self::Program { .. } => false,
        }
    }
}

/// Says how a pod that runs by one plan becomes one by another; each plan comes with what the check made of it.
///
/// # Errors
/// The first thing that differs and cannot change.
pub fn change(running: (&Plan, &CheckedPlan), wanted: (&Plan, &CheckedPlan)) -> Result<AppChange, Unchangeable> {
    if !running.1.has_init_in_reach() || !wanted.1.has_init_in_reach() {
        return Err(Unchangeable::Program);
    }
    let names = |plan: &CheckedPlan| plan.apps.iter().map(|app| app.name.clone()).collect::<Vec<_>>();
    let (before, after) = (names(running.1), names(wanted.1));
    let added: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
    let removed: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
    let comes_or_goes = |app: &str| added.iter().chain(&removed).any(|name| *name == app);
    // What is asked for comes and goes with its app: what of it stays is looked at below.
    let stays = |line: &Difference| line.subject != REQUESTS && !line.app().is_some_and(comes_or_goes);
    if let Some(line) = diff(running.1, wanted.1).into_iter().find(stays) {
        return Err(Unchangeable::Line(Box::new(line)));
    }
    same_words(running.0, wanted.0)?;
    same_answers(&running.1.answers, &wanted.1.answers)?;
    match (added.as_slice(), removed.as_slice()) {
        ([name], []) => Ok(AppChange::Add((*name).clone())),
        ([], [_]) if after.is_empty() => Err(Unchangeable::Last),
        ([], [name]) => Ok(AppChange::Remove((*name).clone())),
        _ => Err(Unchangeable::Apps { added: added.len(), removed: removed.len() }),
    }
}

/// The words that may not differ do not, in whatever order they were said.
fn same_words(running: &Plan, wanted: &Plan) -> Result<(), Unchangeable> {
    let lacks = |plan: &Plan, word: &Word| !word.is_changeable() && !plan.words.contains(word);
    let gone = running.words.iter().find(|word| lacks(wanted, word));
    let new = wanted.words.iter().find(|word| lacks(running, word));
    gone.or(new).map_or(Ok(()), |word| Err(Unchangeable::Word(word.name())))
}

fn same_answers(running: &[Answered], wanted: &[Answered]) -> Result<(), Unchangeable> {
    for after in wanted {
        if let Some(before) = running.iter().find(|before| before.request == after.request)
            && before.answer != after.answer
        {
            return Err(Unchangeable::Answer(after.asked.clone()));
        }
    }
    Ok(())
}

impl Difference {
    /// The app that it is about, if it is about one.
    fn app(&self) -> Option<&str> {
        self.subject.strip_prefix("app ")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.aspect, self.change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(new) => write!(f, "+ {new}"),
            Self::Removed(old) => write!(f, "- {old}"),
            Self::Changed { from, to } => write!(f, "{from} -> {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::word::{JailWord, Place, ProgramWord, Role};
    use crate::{Access, App, Asked, Credentials, LimitKind, Origin, Permissions, Pod, check};

    fn app(name: &str) -> App {
        App {
            name: name.to_owned(),
            user: Asked { value: Credentials { uid: 0, gid: 0, groups: vec![] }, by: Origin::Image },
            read_only_root: None,
            volumes: vec![],
            limits: [(LimitKind::Pids, Asked { value: 5, by: Origin::CommandLine })].into(),
            capabilities: None,
            seccomp: None,
            no_new_privileges: None,
            oom_score: None,
        }
    }

    fn of_app(app: &str, word: JailWord) -> Word {
        Word::App { app: app.to_owned(), word }
    }

    /// A pod of these apps, whose limits are met.
    fn words(apps: &[&str]) -> Vec<Word> {
        let share = |namespace: &str| Word::Share { namespace: namespace.to_owned() };
        let mut words = vec![share("user"), Word::Hostname { name: "pod".to_owned() }];
        for name in apps {
            let credentials = Credentials { uid: 0, gid: 0, groups: vec![] };
            words.push(of_app(name, JailWord::Root { access: Access::ReadWrite }));
            words.push(of_app(name, JailWord::User { credentials }));
            words.push(of_app(name, JailWord::Limit { what: "pids".to_owned(), value: 5 }));
        }
        words
    }

    fn planned(apps: &[&str], words: Vec<Word>) -> (Plan, CheckedPlan) {
        let apps = apps.iter().map(|name| app(name)).collect();
        let pod =
            Pod { uuid: "u".to_owned(), hostname: None, apps, limits: BTreeMap::new(), settings: BTreeMap::new() };
        let all = ["share:user", "share:uts", "hostname", "root", "user", "unfiltered", "limit", "oom-score", "claim"];
        let all: Permissions = all.iter().map(|text| text.parse().unwrap()).collect();
        let plan = Plan { words };
        let checked = check(&pod, &plan, &all, &all).unwrap();
        (plan, checked)
    }

    fn becomes(before: (&[&str], Vec<Word>), after: (&[&str], Vec<Word>)) -> Result<AppChange, String> {
        let ((one, first), (other, second)) = (planned(before.0, before.1), planned(after.0, after.1));
        change((&one, &first), (&other, &second)).map_err(|error| error.to_string())
    }

    fn from(apps: &[&str], to: &[&str]) -> Result<AppChange, String> {
        becomes((apps, words(apps)), (to, words(to)))
    }

    #[test]
    fn one_app_can_come_or_go() {
        assert_eq!(from(&["a"], &["a", "b"]), Ok(AppChange::Add("b".to_owned())));
        assert_eq!(from(&["a", "b"], &["b"]), Ok(AppChange::Remove("a".to_owned())));
        assert_eq!(from(&["a"], &[]), Err("it is the last app of the pod".to_owned()));
        for (before, after) in [(&["a"][..], &["a"][..]), (&["a"], &["b"]), (&["a"], &["a", "b", "c"])] {
            assert!(from(before, after).unwrap_err().contains("one app more or one less"), "{before:?} {after:?}");
        }
    }

    #[test]
    fn nothing_else_can_change_and_the_first_line_that_would_is_named() {
        let with = |more: Word| [words(&["a", "b"]), vec![more]].concat();
        let refused = |after| becomes((&["a"], words(&["a"])), (&["a", "b"], after)).unwrap_err();
        let score = with(of_app("a", JailWord::OomScore { adjustment: 1 }));
        assert_eq!(refused(score), "this cannot change in a pod that runs: app a: oom score: + 1");
        let shared: Vec<Word> = words(&["a", "b"])
            .into_iter()
            .filter(|word| word.name() != "hostname")
            .chain([Word::Share { namespace: "uts".to_owned() }])
            .collect();
        assert_eq!(refused(shared), "this cannot change in a pod that runs: pod: host name: - pod");
        let (waive, a_limit) = (
            Word::Waive { request: "app/a/limit/pids".to_owned(), reason: "no".to_owned() },
            of_app("a", JailWord::Limit { what: "pids".to_owned(), value: 5 }),
        );
        let unlimited = with(waive).into_iter().filter(|word| *word != a_limit).collect();
        assert_eq!(refused(unlimited), "this cannot change in a pod that runs: app a: limits: - pids 5");
    }

    #[test]
    fn what_is_answered_otherwise_is_named_and_what_is_not_enacted_may_differ() {
        let answer = |word: fn(String) -> Word| {
            let limits = |word: &Word| matches!(word, Word::App { app, word: JailWord::Limit { .. } } if app == "a");
            let own: Vec<Word> = words(&["a"]).into_iter().filter(|word| !limits(word)).collect();
            [own, vec![word("app/a/limit/pids".to_owned())]].concat()
        };
        let claims = answer(|request| Word::Claim { request, how: "inside".to_owned() });
        let waives = answer(|request| Word::Waive { request, reason: "cannot".to_owned() });
        let b = words(&["b"]).into_iter().filter(|word| matches!(word, Word::App { .. })).collect::<Vec<_>>();
        let error = becomes((&["a"], claims.clone()), (&["a", "b"], [waives, b.clone()].concat())).unwrap_err();
        assert_eq!(error, "this cannot change in a pod that runs: what becomes of pids at most 5 for app a");
        let note = Word::Note { text: "two apps".to_owned() };
        let more = [vec![note], claims.clone().into_iter().rev().collect(), b].concat();
        assert_eq!(becomes((&["a"], claims), (&["a", "b"], more)), Ok(AppChange::Add("b".to_owned())));
    }

    #[test]
    fn words_about_the_pod_itself_cannot_change() {
        let file = ProgramWord::File { file: Place::Host("/x".to_owned()) };
        let fixed = [
            Word::Share { namespace: "user".to_owned() },
            Word::Hostname { name: "x".to_owned() },
            Word::Program { role: Role::Main, word: file },
        ];
        assert!(!fixed.iter().any(Word::is_changeable));
        let free = [
            of_app("a", JailWord::NoNewPrivileges),
            Word::Claim { request: String::new(), how: String::new() },
            Word::Waive { request: String::new(), reason: String::new() },
            Word::Note { text: String::new() },
        ];
        assert!(free.iter().all(Word::is_changeable));
    }
}
