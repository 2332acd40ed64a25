//! `--insecure-options`: the checks that are left out.

use std::collections::BTreeSet;
use std::str::FromStr;

use rkt_image::Verification;

/// The checks that are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Insecure(BTreeSet<Check>);

/// What can be left out. Of checks on what is fetched from networks the names are known; nothing is
/// fetched yet, so that leaving them out changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// Signatures of images.
    Image,
    /// Certificates of servers.
    Tls,
    /// That servers have any.
    Http,
    /// That keys come by a safe way.
    Pubkey,
    /// The limit on capabilities.
    Capabilities,
    /// The filter of system calls.
    Seccomp,
}

const FETCH: [Check; 4] = [Check::Image, Check::Tls, Check::Http, Check::Pubkey];

impl Insecure {
    /// Whether images need a signature.
    pub(crate) fn verification(&self) -> Verification {
        if self.leaves_out(Check::Image) { Verification::Waived } else { Verification::Required }
    }

    /// Whether a check is left out.
    pub(crate) fn leaves_out(&self, check: Check) -> bool {
        self.0.contains(&check)
    }
}

impl FromStr for Insecure {
    type Err = BadOption;

    fn from_str(text: &str) -> Result<Self, BadOption> {
        let (mut checks, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for name in text.split(',') {
            let name = name.to_lowercase();
            match name.as_str() {
                // Images in the store are not read again since rkt 1.26.
                "none" | "ondisk" => {}
                "image" => checks.extend([Check::Image]),
                "tls" => checks.extend([Check::Tls]),
                "http" => checks.extend([Check::Http]),
                "pubkey" => checks.extend([Check::Pubkey]),
                "capabilities" => checks.extend([Check::Capabilities]),
                "seccomp" => checks.extend([Check::Seccomp]),
                "all-fetch" => checks.extend(FETCH),
                // These would leave the protection of paths out, which no plugin can be asked to.
                "paths" | "all-run" | "all" => return Err(BadOption::NotYet(name)),
                _ => return Err(BadOption::Unknown(name)),
            }
            if !seen.insert(name.clone()) {
                return Err(BadOption::Duplicated(name));
            }
        }
        Ok(Self(checks))
    }
}

/// A list that says nothing sensible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadOption {
    /// Nothing of this name can be left out.
    #[error("unknown option {0:?}")]
    Unknown(String),
    /// Said twice.
    #[error("duplicated option {0:?}")]
    Duplicated(String),
    /// Cannot be left out by this rkt.
    #[error("option {0:?} is not supported by this rkt yet")]
    NotYet(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_any_case_and_mistakes_named() {
        let insecure: Insecure = "Image,SECCOMP".parse().unwrap();
        assert!(insecure.leaves_out(Check::Image) && insecure.leaves_out(Check::Seccomp));
        assert!(!insecure.leaves_out(Check::Capabilities));
        assert_eq!("none,ondisk".parse(), Ok(Insecure::default()));
        assert!("all-fetch".parse::<Insecure>().unwrap().leaves_out(Check::Image));
        for (text, message) in [
            ("images", "unknown option \"images\""),
            ("image,image", "duplicated option \"image\""),
            ("all-run", "option \"all-run\" is not supported by this rkt yet"),
            ("", "unknown option \"\""),
        ] {
            assert_eq!(text.parse::<Insecure>().unwrap_err().to_string(), message);
        }
    }
}
