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

fn replaced(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    let write = |c: char| if is_bad(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(write).collect())
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
        assert_eq!(escaped("└─ größer"), "└─ größer");
    }
}
