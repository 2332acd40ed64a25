//! Names of entries as paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::Limits;

/// The longest name of one file (`NAME_MAX` of every file system that images are unpacked to).
const NAME_MAX: usize = 255;

/// The name without what says nothing (`./`, `//`, a `/` at its end). Two names mean the same entry if
/// and only if this is the same. The archive's own directory is the empty path.
///
/// # Errors
/// With the reason, where the name is absolute, holds `..` or a NUL, or exceeds a limit.
pub(super) fn clean(name: &[u8], limits: &Limits) -> Result<PathBuf, &'static str> {
    if name.is_empty() {
        return Err("it has no name");
    }
    if name.len() > limits.path_bytes {
        return Err("its name is longer than allowed");
    }
    if name.contains(&0) {
        return Err("its name holds a NUL");
    }
    if name[0] == b'/' {
        return Err("its name is absolute; names in an ACI are relative to its top");
    }
    let mut path = PathBuf::with_capacity(name.len());
    let mut depth = 0;
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err("its name holds \"..\""),
            component if component.len() > NAME_MAX => {
                return Err("a part of its name is longer than 255 bytes");
            }
            component => {
                depth += 1;
                path.push(OsStr::from_bytes(component));
            }
        }
    }
    if depth > limits.depth {
        return Err("it lies deeper than allowed");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_become_the_same() {
        let limits = Limits::default();
        for name in ["a/b", "./a/b", "a//b/", "a/./b", ".//a/b/."] {
            assert_eq!(clean(name.as_bytes(), &limits), Ok(PathBuf::from("a/b")), "{name}");
        }
        for name in [".", "./", ".//."] {
            assert_eq!(clean(name.as_bytes(), &limits), Ok(PathBuf::new()), "{name}");
        }
        for name in ["...", "..a", "a..", ".wh.a", "\u{fc}", "-", " "] {
            assert_eq!(clean(name.as_bytes(), &limits), Ok(PathBuf::from(name)), "{name}");
        }
        assert!(clean(b"\xff\xfe", &limits).is_ok());
    }

    #[test]
    fn i1_names_that_lead_out_are_refused() {
        let limits = Limits::default();
        for name in ["", "/", "/etc", "..", "../a", "a/..", "a/../b", "a/b/../../..", "./..", "a\0b"] {
            assert!(clean(name.as_bytes(), &limits).is_err(), "{name:?}");
        }
    }

    #[test]
    fn i8_names_are_bounded() {
        let limits = Limits { depth: 3, path_bytes: 300, ..Limits::default() };
        assert!(clean(b"a/b/c", &limits).is_ok());
        assert!(clean(b"a/b/c/d", &limits).is_err());
        assert!(clean("a".repeat(255).as_bytes(), &limits).is_ok());
        assert!(clean("a".repeat(256).as_bytes(), &limits).is_err());
        assert!(clean("a/".repeat(151).as_bytes(), &limits).is_err());
    }
}
