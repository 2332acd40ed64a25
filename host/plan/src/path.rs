//! Paths as text that cannot lead anywhere unexpected by themselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest path that the kernel takes (PATH_MAX in limits.h), without the final NUL.
const LONGEST: usize = 4095;

/// An absolute path without `.`, `..`, empty components or NUL; `/` alone is one.
///
/// It says nothing about links on the way: whoever opens it resolves it in a root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CleanPath(String);

impl CleanPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, none for `/`.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// Whether `other` is this path or lies below it, component by component: `/scratch` does not
    /// hold `/scratch2`.
    pub fn holds(&self, other: &CleanPath) -> bool {
        let mut theirs = other.components();
        self.components().all(|ours| theirs.next() == Some(ours))
    }
}

/// Parents sort before what is below them.
impl Ord for CleanPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for CleanPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for CleanPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PathError::Relative);
        };
        if text.len() > LONGEST {
            return Err(PathError::TooLong);
        }
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        if !rest.is_empty() {
            for part in rest.split('/') {
                match part {
                    "" => return Err(PathError::Empty),
                    "." | ".." => return Err(PathError::Dots),
                    _ => {}
                }
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CleanPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl From<CleanPath> for String {
    fn from(path: CleanPath) -> Self {
        path.0
    }
}

impl fmt::Display for CleanPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why text is not a [`CleanPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path is not absolute")]
    Relative,
    /// It has `.` or `..` in it.
    #[error("the path has `.` or `..` in it")]
    Dots,
    /// It has an empty component, as in `/a//b` or `/a/`.
    #[error("the path has an empty component")]
    Empty,
    /// It has a NUL character.
    #[error("the path has a NUL character in it")]
    Nul,
    /// It is longer than the kernel takes.
    #[error("the path is longer than {LONGEST} bytes")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_absolute_paths_parse() {
        for good in ["/", "/a", "/a/b.c/..d"] {
            assert_eq!(good.parse::<CleanPath>().unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", PathError::Relative),
            ("a", PathError::Relative),
            ("/a/../b", PathError::Dots),
            ("/.", PathError::Dots),
            ("/a//b", PathError::Empty),
            ("/a/", PathError::Empty),
            ("/a\0", PathError::Nul),
        ] {
            assert_eq!(bad.parse::<CleanPath>(), Err(why), "{bad:?}");
        }
        assert_eq!(format!("/{}", "x".repeat(LONGEST)).parse::<CleanPath>(), Err(PathError::TooLong));
    }

    #[test]
    fn holding_goes_by_component() {
        let path = |text: &str| text.parse::<CleanPath>().unwrap();
        assert!(path("/").holds(&path("/etc")));
        assert!(path("/scratch").holds(&path("/scratch")));
        assert!(path("/scratch").holds(&path("/scratch/a")));
        assert!(!path("/scratch").holds(&path("/scratch2")));
        assert!(!path("/scratch/a").holds(&path("/scratch")));
    }

    #[test]
    fn parents_sort_before_children_whatever_the_names() {
        let mut paths: Vec<CleanPath> = ["/dev.d", "/dev/pts", "/dev", "/"].map(|p| p.parse().unwrap()).into();
        paths.sort();
        assert_eq!(paths.iter().map(CleanPath::as_str).collect::<Vec<_>>(), ["/", "/dev", "/dev/pts", "/dev.d"]);
    }
}
