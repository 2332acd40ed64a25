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
    if running.1.program.is_some() || wanted.1.program.is_some() {
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
