//! Shapes of arguments: what policy allows a program outside of its jail to be told.
//!
//! Such a program is as strong as its arguments, so each of them has to have a shape that was granted.
//! A shape is text with holes, such as `--register={bool}`; a hole takes only what its kind says, and
//! never the separators by which programs take arguments apart.

use std::fmt;
use std::str::FromStr;

use crate::path::CleanPath;

/// Text with holes; or an argument, which has holes only where it has no text of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// What can be in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hole {
    /// `yes`, `no`, `true`, `false`, `on`, `off`.
    Bool,
    /// Up to nineteen digits.
    Number,
    /// Letters, digits and `._-`, of which a letter or digit is the first.
    Name,
    /// Names with commas between them.
    Names,
    /// Lower case with dashes (RFC 4122).
    Uuid,
    /// A clean path of letters, digits and `/._-+@`.
    Path,
    /// The path of the tree that the program's jail makes.
    Tree,
    /// The number of a descriptor.
    Descriptor,
    /// An app's command.
    Command,
    /// An app's working directory.
    WorkingDirectory,
    /// The words of whoever enters.
    Words,
}

impl Hole {
    const ALL: [Self; 11] = [
        Self::Bool,
        Self::Number,
        Self::Name,
        Self::Names,
        Self::Uuid,
        Self::Path,
        Self::Tree,
        Self::Descriptor,
        Self::Command,
        Self::WorkingDirectory,
        Self::Words,
    ];

    /// The name that stands between braces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Number => "number",
            Self::Name => "name",
            Self::Names => "names",
            Self::Uuid => "uuid",
            Self::Path => "path",
            Self::Tree => "tree",
            Self::Descriptor => "descriptor",
            Self::Command => "command",
            Self::WorkingDirectory => "working-directory",
            Self::Words => "words",
        }
    }

    /// Whether text is of this kind. No text is what the host puts in itself.
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Bool => ["yes", "no", "true", "false", "on", "off"].contains(&text),
            Self::Number => (1..20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Name => is_name(text),
            Self::Names => text.split(',').all(is_name),
            Self::Uuid => is_uuid(text),
            Self::Path => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte);
                text.bytes().all(plain) && text.parse::<CleanPath>().is_ok()
            }
            Self::Tree | Self::Descriptor | Self::Command | Self::WorkingDirectory | Self::Words => false,
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hex)
}

impl Shape {
    /// An argument that begins with nothing.
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds text as it is.
    pub(crate) fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(Part::Text(last)) = self.0.last_mut() {
            last.push_str(text);
        } else {
            self.0.push(Part::Text(text.to_owned()));
        }
    }

    /// Adds what the host will put in.
    pub(crate) fn push_hole(&mut self, hole: Hole) {
        self.0.push(Part::Hole(hole));
    }

    /// Whether an argument, or a shape no wider than this one, has this shape.
    pub(crate) fn takes(&self, argument: &Self) -> bool {
        matches(&self.0, &argument.0, 0)
    }
}

/// Whether the rest of a shape takes the rest of an argument, of whose first part `used` bytes are taken
/// already.
fn matches(shape: &[Part], argument: &[Part], used: usize) -> bool {
    let text = match argument.first() {
        Some(Part::Text(text)) => &text[used..],
        _ => "",
    };
    let after = |length: usize| match argument.first() {
        Some(Part::Text(all)) if used + length == all.len() => (&argument[1..], 0),
        _ => (argument, used + length),
    };
    let Some((part, rest)) = shape.split_first() else {
        return argument.is_empty();
    };
    match part {
        Part::Text(wanted) => {
            let (argument, used) = after(wanted.len());
            text.starts_with(wanted.as_str()) && matches(rest, argument, used)
        }
        Part::Hole(hole) => {
            if matches!(argument.first(), Some(Part::Hole(other)) if other == hole) {
                return matches(rest, &argument[1..], 0);
            }
            // A hole takes as much as it can first.
            let ends = (1..=text.len()).rev().filter(|end| text.is_char_boundary(*end));
            ends.filter(|end| hole.takes(&text[..*end])).any(|end| {
                let (argument, used) = after(end);
                matches(rest, argument, used)
            })
        }
    }
}

/// As it is written in a policy file. A brace that is text is doubled.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Hole(hole) => write!(f, "{{{}}}", hole.name())?,
            }
        }
        Ok(())
    }
}

impl FromStr for Shape {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let mut shape = Self::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            shape.push_text(before);
            rest = if let Some(after) = brace.strip_prefix("{{").or(brace.strip_prefix("}}")) {
                shape.push_text(&brace[..1]);
                after
            } else {
                let (name, after) =
                    brace.strip_prefix('{').and_then(|hole| hole.split_once('}')).ok_or(ShapeError::Brace)?;
                let hole = Hole::ALL.into_iter().find(|hole| hole.name() == name);
                shape.push_hole(hole.ok_or_else(|| ShapeError::Hole { name: name.to_owned() })?);
                after
            };
        }
        shape.push_text(rest);
        if text.contains('\0') { Err(ShapeError::Nul) } else { Ok(shape) }
    }
}

/// Why text is no [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A brace without its other.
    #[error("a single brace")]
    Brace,
    /// A kind of hole that there is not.
    #[error("there is no hole {{{name}}}")]
    Hole {
        /// What it was called.
        name: String,
    },
    /// Arguments have no NUL.
    #[error("a NUL")]
    Nul,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        text.parse().unwrap()
    }

    fn argument(text: &str) -> Shape {
        let mut shape = Shape::new();
        shape.push_text(text);
        shape
    }

    #[test]
    fn a_shape_reads_back_as_written() {
        for text in ["", "--quiet", "--register={bool}", "{path}:{path}", "a{{b}}c", "{tree}"] {
            assert_eq!(shape(text).to_string(), text);
        }
        for (text, error) in [
            ("{", ShapeError::Brace),
            ("a}", ShapeError::Brace),
            ("{bool", ShapeError::Brace),
            ("{any}", ShapeError::Hole { name: "any".to_owned() }),
            ("\0", ShapeError::Nul),
        ] {
            assert_eq!(text.parse::<Shape>(), Err(error));
        }
    }

    #[test]
    fn a_hole_takes_its_kind_and_no_separator() {
        for (pattern, text, fits) in [
            ("--quiet", "--quiet", true),
            ("--quiet", "--quietly", false),
            ("--quiet", "-quiet", false),
            ("--register={bool}", "--register=yes", true),
            ("--register={bool}", "--register=maybe", false),
            ("--register={bool}", "--register=", false),
            ("--bind={path}:{path}", "--bind=/a:/b", true),
            ("--bind={path}:{path}", "--bind=/a:/b:/c", false),
            ("--bind={path}", "--bind=/a/../b", false),
            ("--bind={path}", "--bind=/a,x", false),
            ("--bind={path}", "--bind=/a b", false),
            ("--machine={name}", "--machine=-x", false),
            ("--machine={name}-{number}", "--machine=a-b-12", true),
            ("--capability={names}", "--capability=CAP_KILL,CAP_CHOWN", true),
            ("--capability={names}", "--capability=CAP_KILL,", false),
            ("--uuid={uuid}", "--uuid=6f0c2b1e-0000-4000-8000-000000000001", true),
            ("--uuid={uuid}", "--uuid=6F0C2B1E-0000-4000-8000-000000000001", false),
            ("--directory={tree}", "--directory=/etc", false),
            ("{command}", "rm", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(shape(pattern).takes(&argument(text)), fits, "{pattern} for {text}");
        }
    }

    #[test]
    fn what_the_host_puts_in_has_a_hole_of_its_own() {
        let mut tree = argument("--directory=");
        tree.push_hole(Hole::Tree);
        assert!(shape("--directory={tree}").takes(&tree));
        assert!(!shape("--directory={path}").takes(&tree));
        tree.push_text("x");
        assert!(!shape("--directory={tree}").takes(&tree));
    }
}
