//! What the scalar types of this crate share: each is a text with a rule, and says which rule a text
//! broke.

use std::fmt::Display;

/// A text or number that breaks the rule of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no {kind}: {rule}")]
pub struct InvalidValue {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

impl InvalidValue {
    /// `value` was meant to be a `kind`, but breaks `rule`.
    pub fn new(kind: &'static str, value: impl Display, rule: &'static str) -> Self {
        Self { kind, value: value.to_string(), rule }
    }
}

/// Gives a newtype over `String` with a `check(&str) -> Result<(), InvalidValue>` its conversions.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::InvalidValue;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use checked_text;
