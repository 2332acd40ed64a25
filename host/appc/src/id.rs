//! Image IDs: what an image is called by its content.

use serde::{Deserialize, Serialize};

use crate::InvalidValue;
use crate::text::checked_text;

const PREFIX: &str = "sha512-";
/// Hexadecimal digits of a whole SHA-512.
const FULL: usize = 128;
/// Hexadecimal digits that a store key keeps of it.
const KEY: usize = 64;

/// The ID of an image: `sha512-` and the SHA-512 of its uncompressed archive in lower-case
/// hexadecimal digits (specification, "Image ID").
///
/// It is whole (128 digits), or what a store key keeps of it (64 digits), as rkt writes into pod
/// manifests. Of one image, both have the same [`ImageId::key`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

/// The name of an image in the store: `sha512-` and the first 64 hexadecimal digits of its ID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageKey(String);

checked_text!(ImageId);
checked_text!(ImageKey);

impl ImageId {
    /// The ID of the archive with this SHA-512.
    pub fn from_sha512(digest: &[u8; 64]) -> Self {
        let digits = digest
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 0xf])
            .map(|nibble| char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
        Self(PREFIX.chars().chain(digits).collect())
    }

    /// The name of the image in the store.
    pub fn key(&self) -> ImageKey {
        ImageKey(self.0[..PREFIX.len() + KEY].to_owned())
    }

    /// Whether all 128 digits are known.
    pub fn is_full(&self) -> bool {
        self.0.len() == PREFIX.len() + FULL
    }

    fn check(text: &str) -> Result<(), InvalidValue> {
        let rule = "it is sha512- and 128 or 64 hexadecimal digits in lower case";
        check("image ID", text, &[FULL, KEY], rule)
    }
}

impl ImageKey {
    fn check(text: &str) -> Result<(), InvalidValue> {
        let rule = "it is sha512- and 64 hexadecimal digits in lower case";
        check("image key", text, &[KEY], rule)
    }
}

fn check(kind: &'static str, text: &str, lengths: &[usize], rule: &'static str) -> Result<(), InvalidValue> {
    let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    match text.strip_prefix(PREFIX) {
        Some(digits) if lengths.contains(&digits.len()) && digits.chars().all(is_hex) => Ok(()),
        _ => Err(InvalidValue::new(kind, text, rule)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_a_digest_and_shortens_to_its_key() {
        let id = ImageId::from_sha512(&std::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert!(id.as_str().starts_with("sha512-000102030405"));
        assert_eq!(id.as_str().len(), 7 + 128);
        assert!(id.is_full());
        let key = id.key();
        assert_eq!(key.as_str().len(), 71);
        assert!(id.as_str().starts_with(key.as_str()));
        assert_eq!(key.as_str().parse::<ImageId>().unwrap().key(), key);
    }

    #[test]
    fn other_lengths_digits_and_algorithms_are_no_ids() {
        let digits = "0123456789abcdef".repeat(8);
        assert!(format!("sha512-{digits}").parse::<ImageId>().is_ok());
        assert!(format!("sha512-{}", &digits[..64]).parse::<ImageId>().is_ok());
        let bad = [
            format!("sha512-{}", &digits[..63]),
            format!("sha512-{}", &digits[..65]),
            format!("sha512-{digits}0"),
            format!("sha512-{}", digits.to_uppercase()),
            format!("sha256-{}", &digits[..64]),
            format!("sha512-{}/", &digits[..63]),
            digits,
            "sha512-".to_owned(),
            String::new(),
        ];
        for text in bad {
            assert!(text.parse::<ImageId>().is_err(), "{text}");
        }
    }
}
