//! How much is remembered of pods that were removed, as the operator decided.
//!
//! Each bound is the one of the highest directory whose `records.toml` says one; the lowest is the file
//! that comes with rkt:
//!
//! ```toml
//! number = 1000
//! days = 90
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::policy::{self, PolicyError};

/// The file's name.
const FILE: &str = "records.toml";

/// How many records are kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRecords {
    /// The newest of so many.
    pub number: usize,
    /// From when its pod was removed.
    pub age: Duration,
}

/// What is not said is as in the file below.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    number: Option<usize>,
    days: Option<u32>,
}

impl KeepRecords {
    /// Reads the text that comes with rkt and then the files in these directories, lowest first. What
    /// nobody says is not bounded.
    ///
    /// # Errors
    /// Where a file cannot be read, or is not what it should be.
    pub fn read(default: &str, directories: &[PathBuf]) -> Result<Self, PolicyError> {
        let mut bounds = parse(default, Path::new(FILE))?;
        for directory in directories {
            let path = directory.join(FILE);
            if let Some(text) = policy::read(&path)? {
                let higher = parse(&text, &path)?;
                bounds = Bounds { number: higher.number.or(bounds.number), days: higher.days.or(bounds.days) };
            }
        }
        let age = |days: u32| Duration::from_hours(24 * u64::from(days));
        Ok(Self { number: bounds.number.unwrap_or(usize::MAX), age: bounds.days.map_or(Duration::MAX, age) })
    }
}

fn parse(text: &str, path: &Path) -> Result<Bounds, PolicyError> {
    toml::from_str(text).map_err(|cause| PolicyError::Records { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_bound_is_the_highest_files_that_says_one() {
        let home = tempfile::tempdir().unwrap();
        let read = || KeepRecords::read("number = 7\ndays = 2", &[home.path().to_owned()]);
        let write = |text: &str| fs::write(home.path().join("records.toml"), text).unwrap();
        let days = |days: u64| Duration::from_hours(24 * days);
        assert_eq!(read().unwrap(), KeepRecords { number: 7, age: days(2) });
        write("days = 30");
        assert_eq!(read().unwrap(), KeepRecords { number: 7, age: days(30) });
        write("number = 0");
        assert_eq!(read().unwrap(), KeepRecords { number: 0, age: days(2) });
        for mistake in ["age = 3", "number = -1", "days = 'many'"] {
            write(mistake);
            assert!(read().unwrap_err().to_string().contains("records.toml"), "{mistake}");
        }
    }
}
