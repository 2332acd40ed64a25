//! A plugin in the form in which it is kept: compiled code, or native code as it came, after a header
//! that says what it is.
//!
//! ```text
//! bytes 0..8      "rktplug" and the version of this format
//! bytes 8..12     the length of the header, little endian
//! then            the header, JSON, and zeros up to the next page
//! then            the code, to the end: it begins a page, so that it can be mapped as it lies
//! ```
//!
//! Only the compiler program writes this, and it is believed because of where it lies: in rkt itself,
//! or in a directory that only its owner can write. Nobody's image, file or network provides one.

use std::fmt::Write as _;

use rkt_plan::Trust;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::engine;

const MAGIC: &[u8; 8] = b"rktplug\x01";

/// A page, on nearly all hosts. Where pages are larger, code is copied to be mapped.
const PAGE: usize = 4096;

const BEFORE_HEADER: usize = MAGIC.len() + size_of::<u32>();

/// What compiled code was made from, and for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The digest of the component, or of the native library, `sha256:HEX`.
    pub component: String,
    /// Whether it is native code, which is kept as it came.
    pub trust: Trust,
    /// The version of the contract that it was made for.
    pub contract: String,
    /// The permissions that it declares, as written in it.
    pub permissions: Vec<String>,
    /// The engine that the code is for, as [`engine::id`] says.
    pub engine: String,
    /// The code's digest, `sha256:HEX`.
    pub code: String,
}

/// An artifact, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact<'a> {
    /// What it is.
    pub header: Header,
    /// Code for the engine, or a native library.
    pub code: &'a [u8],
}

impl<'a> Artifact<'a> {
    /// Reads an artifact made for this engine. The code is not looked at.
    ///
    /// # Errors
    /// The bytes are no artifact, or one made for another engine.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(ArtifactError::Format)?;
        let (length, rest) = rest.split_first_chunk().ok_or(ArtifactError::Format)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| ArtifactError::Format)?;
        let header = rest.get(..length).ok_or(ArtifactError::Format)?;
        let code = bytes.get((BEFORE_HEADER + length).next_multiple_of(PAGE)..).ok_or(ArtifactError::Format)?;
        let header: Header = serde_json::from_slice(header).map_err(ArtifactError::Header)?;
        if header.engine != engine::id() {
            return Err(ArtifactError::Engine { made_for: header.engine, this: engine::id() });
        }
        Ok(Self { header, code })
    }

    /// Reads an artifact, and makes sure that the code is the code that was compiled.
    ///
    /// # Errors
    /// As for [`Artifact::read`], or the code was changed or cut off.
    pub fn read_verified(bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        let artifact = Self::read(bytes)?;
        if digest(artifact.code) != artifact.header.code {
            return Err(ArtifactError::Code);
        }
        Ok(artifact)
    }

    /// The bytes to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).expect("a header is plain data");
        let length =
            u32::try_from(header.len()).expect("a component is smaller than 4 GiB, and so is what it declares");
        let mut bytes = [MAGIC, &length.to_le_bytes()[..], &header].concat();
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        bytes.extend_from_slice(self.code);
        bytes
    }
}

/// The digest of some bytes, `sha256:HEX`.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a string takes all text");
    }
    text
}

/// Why bytes are no artifact for this rkt.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// They do not begin as one.
    #[error("this is no compiled plugin")]
    Format,
    /// The header cannot be read.
    #[error("the header of the compiled plugin is malformed")]
    Header(#[source] serde_json::Error),
    /// Another rkt made it.
    #[error("the plugin was compiled for {made_for}, this rkt has {this}")]
    Engine {
        /// The engine that the code is for.
        made_for: String,
        /// The engine here.
        this: String,
    },
    /// The code is not what the header says.
    #[error("the compiled plugin is damaged: its code does not have the digest that was recorded")]
    Code,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Artifact<'static> {
        Artifact {
            header: Header {
                component: digest(b"component"),
                trust: Trust::Wasm,
                contract: "0.1.0".to_owned(),
                permissions: vec!["root".to_owned()],
                engine: engine::id(),
                code: digest(b"code"),
            },
            code: b"code",
        }
    }

    #[test]
    fn an_artifact_reads_back_as_written() {
        assert_eq!(Artifact::read_verified(&artifact().to_bytes()).unwrap(), artifact());
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let bytes = artifact().to_bytes();
        for length in 0..bytes.len() {
            assert!(Artifact::read_verified(&bytes[..length]).is_err(), "cut to {length}");
        }
        for index in (0..12).chain(bytes.len() - 4..bytes.len()) {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1;
            assert!(Artifact::read_verified(&flipped).is_err(), "flipped {index}");
        }
    }

    #[test]
    fn code_for_another_engine_is_refused() {
        let mut other = artifact();
        "wasmtime-1.0.0".clone_into(&mut other.header.engine);
        assert!(matches!(Artifact::read(&other.to_bytes()), Err(ArtifactError::Engine { .. })));
    }
}
