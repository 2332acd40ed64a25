//! Extended headers (POSIX.1-2017, pax, "pax Extended Header"): records that replace what the header
//! after them says, or add extended attributes to it.

use std::ffi::CString;

use super::numbers;

/// What the records of one extended header say.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) attributes: Vec<(CString, Vec<u8>)>,
}

/// How star, GNU tar and Go write extended attributes.
pub(super) const ATTRIBUTE: &str = "SCHILY.xattr.";

impl Records {
    /// # Errors
    /// With the reason, where the records have not the form that they must have, one that counts
    /// stands twice, or they describe a sparse file, which readers take in different ways.
    pub(super) fn parse(data: &[u8], attribute_bytes: usize) -> Result<Self, &'static str> {
        let mut records = Self::default();
        let mut rest = data;
        while !rest.is_empty() {
            let (key, value, after) = next(rest).ok_or("an extended header has a bad record")?;
            records.add(key, value, attribute_bytes)?;
            rest = after;
        }
        Ok(records)
    }

    fn add(&mut self, key: &[u8], value: &[u8], attribute_bytes: usize) -> Result<(), &'static str> {
        let bad = "an extended header has a bad value";
        match key {
            b"path" => set(&mut self.path, value.to_vec()),
            b"linkpath" => set(&mut self.link, value.to_vec()),
            b"size" => set(&mut self.size, numbers::decimal(value).ok_or(bad)?),
            b"uid" => set(&mut self.uid, numbers::decimal(value).ok_or(bad)?),
            b"gid" => set(&mut self.gid, numbers::decimal(value).ok_or(bad)?),
            b"mtime" => set(&mut self.mtime, numbers::time(value).ok_or(bad)?),
            key if key.starts_with(b"GNU.sparse.") || key == b"SCHILY.realsize" => {
                Err("it is a sparse file, which readers of archives do not agree on")
            }
            key => match key.strip_prefix(ATTRIBUTE.as_bytes()) {
                Some(name) => self.add_attribute(name, value, attribute_bytes),
                None => Ok(()),
            },
        }
    }

    fn add_attribute(&mut self, name: &[u8], value: &[u8], attribute_bytes: usize) -> Result<(), &'static str> {
        if !is_kept(name) {
            return Ok(());
        }
        if value.len() > attribute_bytes {
            return Err("an extended attribute is larger than allowed");
        }
        let name = CString::new(name).map_err(|_| "the name of an attribute holds a NUL")?;
        if self.attributes.iter().any(|(other, _)| *other == name) {
            return Err("an extended attribute is given twice");
        }
        self.attributes.push((name, value.to_vec()));
        Ok(())
    }
}

/// Attributes that are content of an image: file capabilities, and what users may set. Others belong
/// to the host's security modules, its file systems, or to overlayfs, which would obey those of an
/// image.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    let is_users = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    name == b"security.capability" || is_users
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err("an extended header says one thing twice"),
    }
}

/// A record.
pub(super) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    // The length counts its own digits, of which it may need one more for that.
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// The first record `LENGTH KEY=VALUE\n`, whose length counts the whole of it, and what follows.
fn next(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(numbers::decimal(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let key = &record[..equals];
    (!key.is_empty()).then(|| (key, &record[equals + 1..], &data[length..]))
}

/// Whether a global header says nothing about entries: only comments, as version control systems
/// leave them.
pub(super) fn is_only_comment(data: &[u8]) -> bool {
    let mut rest = data;
    while !rest.is_empty() {
        match next(rest) {
            Some((b"comment", _, after)) => rest = after,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(data: &[u8]) -> Result<Records, &'static str> {
        Records::parse(data, 16)
    }

    fn records(pairs: &[(&str, &str)]) -> Result<Records, &'static str> {
        let data: Vec<u8> = pairs.iter().flat_map(|(key, value)| record(key, value.as_bytes())).collect();
        parse(&data)
    }

    #[test]
    fn records_are_read_by_their_length_whatever_they_hold() {
        let value = "1\n9 uid=8\n\0=4567";
        let pairs = [("path", "a=b"), ("mtime", "1.25"), ("SCHILY.xattr.user.a", value), ("uid", "7"), ("other", "")];
        let records = records(&pairs).unwrap();
        assert_eq!(records.path.unwrap(), b"a=b");
        assert_eq!(records.mtime, Some((1, 250_000_000)));
        assert_eq!(records.attributes, [(c"user.a".to_owned(), value.as_bytes().to_vec())]);
        assert_eq!(records.uid, Some(7));
    }

    #[test]
    fn i7_records_that_can_be_read_in_two_ways_are_refused() {
        assert_eq!(record("path", b"a=b"), b"12 path=a=b\n");
        assert_eq!(record("k", &[b'x'; 93])[..6], *b"99 k=x");
        assert_eq!(record("k", &[b'x'; 94])[..7], *b"101 k=x");
        for data in [
            &b"11 path=a=b\n"[..],
            b"13 path=a=b\n",
            b"12 path=a=b",
            b"12 path=a=b\n\0",
            b" path=a\n",
            b"-1 path=a\n",
            b"5 =a\n",
            b"7 path\n",
            b"2 \n",
            b"99999999999999999999 path=a\n",
        ] {
            assert!(parse(data).is_err(), "{}", data.escape_ascii());
        }
    }

    #[test]
    fn i7_values_that_readers_do_not_agree_on_are_refused() {
        for pairs in [
            [("uid", "7"), ("uid", "8")],
            [("path", "a"), ("path", "a")],
            [("x", "y"), ("size", "-1")],
            [("x", "y"), ("size", "")],
            [("x", "y"), ("uid", "0x7")],
            [("x", "y"), ("mtime", "now")],
            [("x", "y"), ("GNU.sparse.major", "1")],
            [("x", "y"), ("SCHILY.realsize", "1")],
            [("SCHILY.xattr.user.a", "1"), ("SCHILY.xattr.user.a", "2")],
        ] {
            assert!(records(&pairs).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn i9_only_attributes_that_are_content_are_kept() {
        for name in ["security.capability", "user.a", "user.overlayfs"] {
            assert!(is_kept(name.as_bytes()), "{name}");
        }
        for name in [
            "security.selinux",
            "security.ima",
            "trusted.overlay.opaque",
            "user.overlay.opaque",
            "system.posix_acl_access",
            "security.capability.x",
            "user",
            "",
        ] {
            assert!(!is_kept(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn i8_attributes_are_bounded() {
        assert!(records(&[("SCHILY.xattr.user.a", "0123456789abcdef")]).is_ok());
        assert!(records(&[("SCHILY.xattr.user.a", "0123456789abcdefg")]).is_err());
    }
}
