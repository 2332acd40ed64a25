//! The names of pods.

use std::fmt;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

/// A pod's name: a UUID of version 4 (RFC 9562), written in lower case with dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid([u8; 16]);

/// Where the dashes are, counted in characters of the written form.
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// Characters of the written form.
const LENGTH: usize = 36;

impl Uuid {
    /// Stands for the name of a pod that is only planned, so that the same question always gets the
    /// same answer (RFC 9562, section 5.9).
    pub const NIL: Self = Self([0; 16]);

    /// A new one.
    ///
    /// # Errors
    /// Where the kernel has no random numbers to give.
    pub fn random() -> rustix::io::Result<Self> {
        let mut bytes = [0; 16];
        // Up to 256 bytes come whole (getrandom(2)).
        while getrandom(&mut bytes, GetRandomFlags::empty())? < bytes.len() {}
        Ok(Self::version_4(bytes))
    }

    /// Random bits with the version and variant of RFC 9562, section 5.4.
    fn version_4(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = NoUuid;

    /// Takes exactly the form that is written.
    fn from_str(text: &str) -> Result<Self, NoUuid> {
        let has_form = text.len() == LENGTH
            && text.bytes().enumerate().all(|(index, byte)| {
                if DASHES.contains(&index) { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') }
            });
        if !has_form {
            return Err(NoUuid { text: text.to_owned() });
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let number = u128::from_str_radix(&digits, 16).expect("all 32 characters are hexadecimal digits");
        Ok(Self(number.to_be_bytes()))
    }
}

impl TryFrom<String> for Uuid {
    type Error = NoUuid;

    fn try_from(text: String) -> Result<Self, NoUuid> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> Self {
        uuid.to_string()
    }
}

/// A text that is not the name of a pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no UUID")]
pub struct NoUuid {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_back_as_written_and_says_its_version() {
        let uuid = Uuid::version_4([0xff; 16]);
        assert_eq!(uuid.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
        let random = Uuid::random().unwrap();
        assert_eq!(random.to_string().parse(), Ok(random));
        assert_ne!(random, Uuid::random().unwrap());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "ffffffff-ffff-4fff-bfff-fffffffffff",
            "FFFFFFFF-ffff-4fff-bfff-ffffffffffff",
            "ffffffffffff-4fff-bfff-ffff-ffffffff",
            "ffffffff-ffff-4fff-bfff-fffffffffffg",
            "ffffffff/ffff-4fff-bfff-ffffffffffff",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }
}
