//! A checked plan in words for people.

use crate::checked::CheckedPlan;
use crate::facet::{describe_answer, facets};

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
    let answers =
        plan.answers.iter().map(|answered| format!("  {}: {}", answered.asked, describe_answer(&answered.answer)));
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
