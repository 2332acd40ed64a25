//! How the fields of manifests are read where serde's defaults do not fit.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A value, or its default for `null`: Go's encoder, which wrote most manifests, writes an empty list
/// so.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A list of arguments, `null` for an empty one. No argument can hold a NUL (execve(2)).
pub(crate) fn arguments<'de, D>(deserializer: D) -> Result<Vec<String>, D::Error>
where
    D: Deserializer<'de>,
{
    let arguments: Vec<String> = null_as_default(deserializer)?;
    match arguments.iter().find(|argument| argument.contains('\0')) {
        Some(bad) => Err(D::Error::custom(format!("{bad:?} holds a NUL"))),
        None => Ok(arguments),
    }
}

/// Texts by name, `null` for none. Of a name that stands twice one reader takes the first, another the last.
pub(crate) fn texts_by_name<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    Option::<Distinct>::deserialize(deserializer).map(|map| map.map_or_else(BTreeMap::new, |map| map.0))
}

/// Texts by name, none of which stands twice.
struct Distinct(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Texts)
    }
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Distinct;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            if texts.contains_key(&name) {
                return Err(A::Error::custom(format!("{name:?} is given twice")));
            }
            texts.insert(name, text);
        }
        Ok(Distinct(texts))
    }
}

/// For `skip_serializing_if`: a flag that is off is not written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}
