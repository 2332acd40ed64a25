//! Text of others, made harmless for terminals.

use std::borrow::Cow;

/// The text with what would steer a terminal, or turn the direction of writing, written out. Ends of
/// lines stay.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c != '\n' && steers(c))
}

/// As [`escaped`], for one cell of a table: ends of lines and tabs are written out too.
pub(crate) fn cell(text: &str) -> Cow<'_, str> {
    replaced(text, steers)
}

/// As [`escaped`], for text in JSON: the same value, in JSON's own words.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    // All of these are below U+10000, where one word is enough.
    let write = |c: char| format!("\\u{:04x}", u32::from(c));
    replaced_by(text, |c| !matches!(c, '\n' | '\t') && steers(c), write)
}

fn replaced(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    replaced_by(text, is_bad, |c| c.escape_default().to_string())
}

fn replaced_by(text: &str, is_bad: impl Fn(char) -> bool, write: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_bad(c) { write(c) } else { c.to_string() }).collect())
}

fn steers(c: char) -> bool {
    // Beside control characters, those that turn the direction of writing (Unicode, UAX #9).
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(escaped("plain\ntext"), "plain\ntext");
        assert_eq!(escaped("a\u{1b}[2Jb\u{9b}c\u{202e}"), "a\\u{1b}[2Jb\\u{9b}c\\u{202e}");
        assert_eq!(cell("a\tb\n"), "a\\tb\\n");
        assert_eq!(json("{\n\t\"a\u{9b}\u{7f}\u{202e}\"}\n"), "{\n\t\"a\\u009b\\u007f\\u202e\"}\n");
        assert_eq!(escaped("└─ größer"), "└─ größer");
    }
}
