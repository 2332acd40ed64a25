//! How the fields of manifests are read where serde's defaults do not fit.

use serde::de::Error as _;
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

/// For `skip_serializing_if`: a flag that is off is not written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}
