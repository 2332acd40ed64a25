//! Users and groups as manifests name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidValue;

/// A numeric user or group ID that can be given to a file or process.
///
/// At most 2^31 - 2: larger ones stand for "none" or "overflow" somewhere between manifest and
/// kernel, and have been mistaken for root there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u32")]
pub struct UnixId(u32);

impl UnixId {
    /// Of the user and the group root.
    pub const ROOT: Self = Self(0);
    /// The largest ID.
    pub const MAX: Self = Self(0x7fff_fffe);

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for UnixId {
    type Error = InvalidValue;

    fn try_from(id: i64) -> Result<Self, Self::Error> {
        match u32::try_from(id) {
            Ok(id) if id <= Self::MAX.0 => Ok(Self(id)),
            _ => Err(InvalidValue::new("user or group ID", id, "it is 0 to 2147483646")),
        }
    }
}

impl From<UnixId> for u32 {
    fn from(id: UnixId) -> Self {
        id.0
    }
}

impl fmt::Display for UnixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom an app runs as: the `user` or the `group` of an app section (specification, "Image Manifest
/// Schema").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// This ID, whatever the image's files say.
    Id(UnixId),
    /// The ID that the image's `/etc/passwd` or `/etc/group` gives this name.
    Name(String),
    /// The user or group that this file of the image belongs to; an absolute path inside its root.
    OfFile(String),
}

impl FromStr for Owner {
    type Err = InvalidValue;

    /// Digits are an ID, an absolute path a file; all else is a name, which holds neither a colon nor
    /// a slash nor white space and does not begin with a sign: `-1` and `+0` are no names.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |rule| InvalidValue::new("user or group", text, rule);
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
            // More digits than fit are as wrong as a number too large.
            let id = text.parse().unwrap_or(i64::MAX);
            return UnixId::try_from(id).map(Self::Id).map_err(|_| invalid("an ID is 0 to 2147483646"));
        }
        if text.contains('\0') {
            return Err(invalid("it holds a NUL"));
        }
        if text.starts_with('/') {
            return Ok(Self::OfFile(text.to_owned()));
        }
        let is_odd = |c: char| c == ':' || c == '/' || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.starts_with(['-', '+']) || text.contains(is_odd) {
            return Err(invalid("it is an ID, a name, or an absolute path in the image"));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl TryFrom<String> for Owner {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(text) | Self::OfFile(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        let id = |number| Owner::Id(UnixId::try_from(number).unwrap());
        let table = [
            ("0", id(0)),
            ("007", id(7)),
            ("2147483646", id(2_147_483_646)),
            ("redis", Owner::Name("redis".into())),
            ("1st", Owner::Name("1st".into())),
            ("/etc/passwd", Owner::OfFile("/etc/passwd".into())),
        ];
        for (text, owner) in table {
            assert_eq!(text.parse::<Owner>().unwrap(), owner, "{text}");
        }
    }

    #[test]
    fn i18_ids_out_of_range_and_names_that_look_like_numbers_are_refused() {
        let bad = [
            "",
            "-1",
            "+0",
            "2147483647",
            "4294967295",
            "4294967296",
            "99999999999999999999",
            "a:b",
            "a/b",
            "a b",
            "a\n",
            "a\0",
            "./x",
        ];
        for text in bad {
            assert!(text.parse::<Owner>().is_err(), "{text:?}");
        }
        for number in ["-1", "2147483647", "4294967295", "9223372036854775808", "0.5"] {
            assert!(serde_json::from_str::<UnixId>(number).is_err(), "{number}");
        }
    }
}
