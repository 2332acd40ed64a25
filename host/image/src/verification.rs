//! Who vouches for an image. The one place that decides whether an image may enter the store.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Whether an image needs a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// It does.
    Required,
    /// It does not: the user said `--insecure-options=image`.
    Waived,
}

/// Who vouched for an image when it was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verified {
    /// Nobody: verification was waived.
    InsecureOption,
}

/// An image that has no signature where it needs one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "signature verification of {image:?} is required, and there is none that can be checked (try --insecure-options=image)"
)]
pub struct SignatureRequired {
    image: String,
}

impl Verification {
    /// Decides on an image in a file. To be asked before the file is opened.
    ///
    /// # Errors
    /// Where a signature is required: those of files cannot be checked yet.
    pub fn of_file(self, file: &Path) -> Result<Verified, SignatureRequired> {
        match self {
            Self::Waived => Ok(Verified::InsecureOption),
            Self::Required => Err(SignatureRequired { image: file.to_string_lossy().into_owned() }),
        }
    }

    /// Decides whether an image of the store may be used under a name that it gives itself. By its ID
    /// any may be: that names the content.
    ///
    /// # Errors
    /// Where a signature is required and the image was imported without.
    pub fn of_name(self, name: &str, verified: Verified) -> Result<(), SignatureRequired> {
        match (self, verified) {
            (Self::Waived, _) => Ok(()),
            (Self::Required, Verified::InsecureOption) => Err(SignatureRequired { image: name.to_owned() }),
        }
    }
}
