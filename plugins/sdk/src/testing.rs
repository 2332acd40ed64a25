//! For tests of flavors: pods to plan, and plans as files that a person reviews.

use std::path::Path;
use std::{env, fs};

use crate::Plan;

pub mod pods;

/// Compares a plan with the text in a file.
///
/// Where the environment has `UPDATE_PLANS`, the file is written instead, to be reviewed and
/// committed.
///
/// # Panics
/// They differ; the message shows which lines. Or the file cannot be read or written.
pub fn assert_plan(file: impl AsRef<Path>, plan: &Plan) {
    let file = file.as_ref();
    let is = plan.to_string();
    if env::var_os("UPDATE_PLANS").is_some() {
        fs::write(file, is).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
        return;
    }
    let should = fs::read_to_string(file).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
    assert!(is == should, "the plan is not that of {}:\n{}", file.display(), difference(&should, &is));
}

/// The lines that only one of two texts has.
fn difference(should: &str, is: &str) -> String {
    let only = |of: &str, other: &str, mark: &str| -> String {
        let lines = of.lines().filter(|line| !other.lines().any(|known| known == *line));
        lines.flat_map(|line| [mark, line, "\n"]).collect()
    };
    match only(should, is, "- ") + &only(is, should, "+ ") {
        same if same.is_empty() => "the lines are the same, their order or number is not\n".to_owned(),
        different => different,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_is_missing_and_what_is_new() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), "- a\n+ c\n");
        assert_eq!(difference("a\nb\n", "b\na\n"), "the lines are the same, their order or number is not\n");
    }
}
