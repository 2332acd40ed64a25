//! AC Identifiers and AC Names (specification, "Types").

use serde::{Deserialize, Serialize};

use crate::InvalidValue;
use crate::text::checked_text;

const IDENTIFIER: &str = "AC Identifier";
const NAME: &str = "AC Name";

/// A name of an image, label, annotation or isolator, such as `example.com/reduce-worker`.
///
/// Lower-case letters, digits and `-._~/`; letters or digits at both ends. The specification also
/// forbids two separators in a row, its validator never did, and published names have them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcIdentifier(String);

/// A name of an app, volume, mount point or port, such as `var-lib-redis`.
///
/// Lower-case letters, digits and `-`; letters or digits at both ends. As with [`AcIdentifier`], two
/// dashes in a row are accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcName(String);

checked_text!(AcIdentifier);
checked_text!(AcName);

impl AcIdentifier {
    /// The identifier that is left of `text` when it is put in lower case, each other character that
    /// has no place in one becomes `-`, and the edges are trimmed.
    ///
    /// # Errors
    /// Where nothing is left.
    pub fn sanitize(text: &str) -> Result<Self, InvalidValue> {
        sanitized(text, is_identifier_char).map(Self).ok_or_else(|| nothing_left(IDENTIFIER, text))
    }

    fn check(text: &str) -> Result<(), InvalidValue> {
        let rule = "it is made of a-z, 0-9 and any of -._~/, with a-z or 0-9 at both ends";
        check(IDENTIFIER, text, is_identifier_char, rule)
    }
}

impl AcName {
    /// The name that is left of `text` when it is put in lower case, each other character that has
    /// no place in one becomes `-`, and the edges are trimmed.
    ///
    /// # Errors
    /// Where nothing is left.
    pub fn sanitize(text: &str) -> Result<Self, InvalidValue> {
        sanitized(text, is_name_char).map(Self).ok_or_else(|| nothing_left(NAME, text))
    }

    fn check(text: &str) -> Result<(), InvalidValue> {
        let rule = "it is made of a-z, 0-9 and -, with a-z or 0-9 at both ends";
        check(NAME, text, is_name_char, rule)
    }
}

fn check(kind: &'static str, text: &str, allowed: fn(char) -> bool, rule: &'static str) -> Result<(), InvalidValue> {
    let edges_are_sound = text.starts_with(is_edge_char) && text.ends_with(is_edge_char);
    if edges_are_sound && text.chars().all(allowed) {
        return Ok(());
    }
    Err(InvalidValue::new(kind, text, rule))
}

fn sanitized(text: &str, allowed: fn(char) -> bool) -> Option<String> {
    let replaced: String = text.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let trimmed = replaced.trim_matches(|c| !is_edge_char(c));
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn nothing_left(kind: &'static str, text: &str) -> InvalidValue {
    InvalidValue::new(kind, text, "it has no letter or digit to make one of")
}

fn is_edge_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_name_char(c: char) -> bool {
    is_edge_char(c) || c == '-'
}

fn is_identifier_char(c: char) -> bool {
    is_name_char(c) || matches!(c, '.' | '_' | '~' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_judged_by_characters_and_edges() {
        for text in ["a", "0", "example.com/a", "a--b", "a//b", "a~b_c.d", "1.2"] {
            assert!(text.parse::<AcIdentifier>().is_ok(), "{text}");
        }
        for text in ["", "-", "-a", "a-", "a/", "/a", "A", "a b", "a:b", "ä", "a\n", "a\0"] {
            assert!(text.parse::<AcIdentifier>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_are_judged_by_characters_and_edges() {
        for text in ["a", "0", "volume--var-lib", "80-tcp"] {
            assert!(text.parse::<AcName>().is_ok(), "{text}");
        }
        for text in ["", "-a", "a-", "a.b", "a_b", "a/b", "a~b", "A", "../x", "."] {
            assert!(text.parse::<AcName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_name_can_be_made_one() {
        let table = [
            ("Example.com/Foo_Bar", "example.com/foo_bar", "example-com-foo-bar"),
            ("/var/lib/", "var/lib", "var-lib"),
            ("__a b!", "a-b", "a-b"),
            ("éa", "a", "a"),
        ];
        for (text, identifier, name) in table {
            assert_eq!(AcIdentifier::sanitize(text).unwrap().as_str(), identifier);
            assert_eq!(AcName::sanitize(text).unwrap().as_str(), name);
        }
        for text in ["", "-", "//", "ü"] {
            assert!(AcIdentifier::sanitize(text).is_err(), "{text}");
            assert!(AcName::sanitize(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_error_says_what_was_meant_and_what_the_rule_is() {
        let error = "a.b".parse::<AcName>().unwrap_err();
        let expected = "\"a.b\" is no AC Name: it is made of a-z, 0-9 and -, \
                        with a-z or 0-9 at both ends";
        assert_eq!(error.to_string(), expected);
    }
}
