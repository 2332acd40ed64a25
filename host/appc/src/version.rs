//! Versions of the specification that a manifest follows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidValue;

/// A Semantic Version 2.0, not `0.0.0` (specification, "AC Version").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcVersion(semver::Version);

impl AcVersion {
    /// The version of the specification that this crate follows, 0.8.11.
    pub const CURRENT: Self = Self(semver::Version::new(0, 8, 11));
}

impl FromStr for AcVersion {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |rule| InvalidValue::new("AC Version", text, rule);
        let version = semver::Version::parse(text).map_err(|_| invalid("it is a semantic version such as 0.8.11"))?;
        if version == semver::Version::new(0, 0, 0) {
            return Err(invalid("0.0.0 stands for no version"));
        }
        Ok(Self(version))
    }
}

impl TryFrom<String> for AcVersion {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AcVersion> for String {
    fn from(version: AcVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for AcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic_and_not_zero() {
        for text in ["0.8.11", "1.30.0", "1.30.0+git25d3a2", "2.0.0-dev", "0.0.0-a"] {
            assert_eq!(text.parse::<AcVersion>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1.2", "v1.2.3", "0.0.0", "1.2.3.4", "a.b.c", "1.2.-3"] {
            assert!(text.parse::<AcVersion>().is_err(), "{text}");
        }
    }
}
