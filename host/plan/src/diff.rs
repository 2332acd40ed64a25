//! The difference between two checked plans, and which of them is stricter.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checked::CheckedPlan;
use crate::facet::{Facet, answers, facets};
use crate::measure::Measure;

/// How many system calls a difference names.
const NAMED: usize = 8;

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

/// How the second of two plans compares with the first, in one facet or as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strictness {
    /// It lets the pod do as much.
    Same,
    /// It lets the pod do less.
    Stricter,
    /// It lets the pod do more.
    Weaker,
    /// None of these can be said.
    Other,
}

impl Strictness {
    /// As users read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Stricter => "stricter",
            Self::Weaker => "weaker",
            Self::Other => "other",
        }
    }

    /// How plans with these differences compare as a whole: stricter where nothing is weaker or beyond
    /// comparing, weaker likewise.
    pub fn of_all(differences: &[Difference]) -> Self {
        differences.iter().fold(Self::Same, |all, difference| match (all, difference.strictness) {
            (all, Self::Same) => all,
            (Self::Same, one) => one,
            (all, one) if all == one => all,
            _ => Self::Other,
        })
    }

    /// From whether the second's powers are within the first's, and the other way round.
    pub(crate) fn of(new_within_old: bool, old_within_new: bool) -> Self {
        match (new_within_old, old_within_new) {
            (true, true) => Self::Same,
            (true, false) => Self::Stricter,
            (false, true) => Self::Weaker,
            (false, false) => Self::Other,
        }
    }

    fn reversed(self) -> Self {
        match self {
            Self::Stricter => Self::Weaker,
            Self::Weaker => Self::Stricter,
            Self::Same | Self::Other => self,
        }
    }
}

/// Compares two plans, facet by facet; empty where they do the same. Remarks are no part of what is done.
pub fn diff(first: &CheckedPlan, second: &CheckedPlan) -> Vec<Difference> {
    type Key = (String, &'static str, String);
    let keyed = |plan| {
        let all = facets(plan).into_iter().chain(answers(plan));
        all.map(|facet| ((facet.subject.clone(), facet.aspect, facet.item.clone()), facet))
    };
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
        (None, Some(new)) => Some((Change::Added(new.text), new.measure.against_nothing()?)),
        (Some(old), None) => Some((Change::Removed(old.text), old.measure.against_nothing()?.reversed())),
        (Some(old), Some(new)) if old.text == new.text && old.measure == new.measure => None,
        (Some(old), Some(new)) => {
            let strictness = new.measure.against(&old.measure);
            let to = new.text + &calls_that_changed(&old.measure, &new.measure);
            Some((Change::Changed { from: old.text, to }, strictness))
        }
    }
}

/// Which system calls were given or taken, since their number alone says little; nothing of other words.
fn calls_that_changed(old: &Measure, new: &Measure) -> String {
    let (Measure::Seccomp(Some(old)), Measure::Seccomp(Some(new))) = (old, new) else { return String::new() };
    let changed = new.changes_from(old);
    if changed.is_empty() {
        return ", refused in another way".to_owned();
    }
    let more = changed.len().saturating_sub(NAMED);
    let named = changed.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { format!(" ({named})") } else { format!(" ({named} and {more} more)") }
}
