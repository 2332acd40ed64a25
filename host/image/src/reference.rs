//! What a user calls an image by, and finding it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rkt_appc::{AcIdentifier, InvalidValue, Label, Labels};

use crate::{Image, ImportError, Policy, Progress, SignatureRequired, Store, StoreError, Verification};

/// What a user calls an image by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reference {
    /// The beginning of its ID.
    Id(String),
    /// A file.
    File(PathBuf),
    /// A name, and labels that it must have.
    Name {
        /// As in its manifest.
        name: AcIdentifier,
        /// `version` and others.
        labels: Labels,
    },
    /// Somewhere that images are not fetched from yet.
    Elsewhere {
        /// Where.
        kind: Elsewhere,
        /// As it was given.
        text: String,
    },
}

/// A place that images are not fetched from yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// `http://`
    Http,
    /// `https://`
    Https,
    /// `docker://`
    Docker,
    /// rkt's own notation of where images come from.
    Cimd,
}

/// Why a reference gives no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// It is not one.
    #[error("{text:?} is no image reference: {reason}")]
    Invalid {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its name, or a label's, is not one.
    #[error("{text:?} is no image reference")]
    InvalidName {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        cause: InvalidValue,
    },
    /// It names a place that images are not fetched from yet.
    #[error("cannot fetch {text:?}: images from {kind} are not supported yet, only files and images in the store")]
    Unsupported {
        /// Which place.
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// The image in the store was imported without a signature.
    #[error(transparent)]
    SignatureRequired(#[from] SignatureRequired),
    /// The file is not taken into the store.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The store has no such image.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reference {
    /// Tells what is meant, in rkt's order: an ID, a URL of a scheme that is known, a path, a name.
    /// Whether a relative path names a file is looked up in the working directory.
    ///
    /// # Errors
    /// Where it can be none of them.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if is_id(text) {
            return Ok(Self::Id(text.to_owned()));
        }
        let elsewhere = |kind| Self::Elsewhere { kind, text: text.to_owned() };
        match scheme(text) {
            Some(("file", path)) => Ok(Self::File(file_url_path(text, path)?)),
            Some(("http", _)) => Ok(elsewhere(Elsewhere::Http)),
            Some(("https", _)) => Ok(elsewhere(Elsewhere::Https)),
            Some(("docker", _)) => Ok(elsewhere(Elsewhere::Docker)),
            Some(("cimd", _)) => Ok(elsewhere(Elsewhere::Cimd)),
            None if is_path(text) => Ok(Self::File(PathBuf::from(text))),
            _ => name(text),
        }
    }
}

impl Elsewhere {
    fn words(self) -> &'static str {
        match self {
            Self::Http => "http URLs",
            Self::Https => "https URLs",
            Self::Docker => "Docker registries",
            Self::Cimd => "cimd references",
        }
    }
}

impl Store {
    /// The image that a reference means. A file is taken into the store; all else must be in it.
    ///
    /// A name is looked up for Linux and the architecture of this host, unless labels say otherwise.
    ///
    /// # Errors
    /// Where there is none, it may not be used unverified, or it cannot be imported.
    pub fn resolve(
        &self,
        reference: &Reference,
        verification: Verification,
        policy: &Policy,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image, ReferenceError> {
        match reference {
            Reference::Id(prefix) => Ok(self.get(prefix)?),
            Reference::File(file) => Ok(self.import(file, verification, policy, progress)?),
            Reference::Name { name, labels } => {
                let image = self.find(name.as_str(), &for_this_host(labels))?;
                verification.of_name(name.as_str(), image.info.verified)?;
                Ok(image)
            }
            Reference::Elsewhere { kind, text } => {
                Err(ReferenceError::Unsupported { kind: kind.words(), text: text.clone() })
            }
        }
    }
}

/// Where a text is the beginning of an ID and nothing else, however short.
fn is_id(text: &str) -> bool {
    let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    text.strip_prefix("sha512-").is_some_and(|digits| digits.chars().all(is_hex))
}

/// The scheme of a URL, in lower case, and what follows the colon (RFC 3986, section 3.1).
fn scheme(text: &str) -> Option<(&'static str, &str)> {
    const KNOWN: [&str; 5] = ["file", "http", "https", "docker", "cimd"];
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_scheme_char) {
        return None;
    }
    let known = KNOWN.into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
    // What only looks like a scheme is the name in "name:version".
    Some((known.unwrap_or_default(), rest))
}

fn file_url_path(text: &str, rest: &str) -> Result<PathBuf, ReferenceError> {
    let invalid = |reason| ReferenceError::Invalid { text: text.to_owned(), reason };
    let path = match rest.strip_prefix("//") {
        Some(after) if !after.starts_with('/') => {
            return Err(invalid("a file URL names no host; write file:///path"));
        }
        Some(path) => path,
        None => rest,
    };
    if path.is_empty() {
        return Err(invalid("it names no file"));
    }
    Ok(PathBuf::from(path))
}

/// Whether a text without a scheme is a path. A missing file whose name looks like one is meant as
/// one, so that the error says so.
fn is_path(text: &str) -> bool {
    let has_suffix = Path::new(text).extension().is_some_and(|extension| extension == "aci");
    text.starts_with('/') || Path::new(text).is_file() || !text.contains(':') && (text.contains("./") || has_suffix)
}

/// `NAME[:VERSION][,LABEL=VALUE…]`.
fn name(text: &str) -> Result<Reference, ReferenceError> {
    let invalid = |reason| ReferenceError::Invalid { text: text.to_owned(), reason };
    let invalid_name = |cause| ReferenceError::InvalidName { text: text.to_owned(), cause };
    if text.contains("://") {
        return Err(invalid("images do not come by URLs of this scheme"));
    }
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let (name, version) = match name.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    };
    let mut labels = Vec::new();
    let versions = version.map(|version| ("version", version));
    let pairs = parts.map(|part| part.split_once('=').ok_or("a label is LABEL=VALUE"));
    for pair in versions.map(Ok).into_iter().chain(pairs) {
        let (label, value) = pair.map_err(invalid)?;
        if value.is_empty() || value.contains(':') {
            return Err(invalid("a version or label has no value, or a colon in it"));
        }
        let name = label.parse().map_err(invalid_name)?;
        labels.push(Label { name, value: value.to_owned() });
    }
    Ok(Reference::Name {
        name: name.parse().map_err(invalid_name)?,
        labels: Labels::try_from(labels).map_err(invalid_name)?,
    })
}

/// The labels, with those of this host where they do not say.
fn for_this_host(labels: &Labels) -> Labels {
    let given = labels.iter().map(|label| (label.name.as_str().to_owned(), label.value.clone()));
    let host = [("os", "linux"), ("arch", host_arch())];
    let host = host.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let all: BTreeMap<String, String> = host.into_iter().chain(given).collect();
    let labels = all.into_iter().map(|(name, value)| {
        let name = name.parse().expect("these names are labels'");
        Label { name, value }
    });
    Labels::try_from(labels.collect::<Vec<_>>()).expect("a map has each name once")
}

/// The architecture of this program as images name it.
pub(crate) fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "i386",
        "arm" => "armv7l",
        "powerpc64" => "ppc64le",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, labels: &[(&str, &str)]) -> Reference {
        let label = |(name, value): &(&str, &str)| Label { name: name.parse().unwrap(), value: (*value).to_owned() };
        let labels: Vec<Label> = labels.iter().map(label).collect();
        Reference::Name { name: name.parse().unwrap(), labels: Labels::try_from(labels).unwrap() }
    }

    fn elsewhere(kind: Elsewhere, text: &str) -> Reference {
        Reference::Elsewhere { kind, text: text.to_owned() }
    }

    #[test]
    fn references_are_told_apart_in_rkts_order() {
        let file = |path: &str| Reference::File(PathBuf::from(path));
        let table = [
            ("sha512-0a", Reference::Id("sha512-0a".into())),
            ("sha512-", Reference::Id("sha512-".into())),
            ("sha512-xyz", name("sha512-xyz", &[])),
            ("/a", file("/a")),
            ("/a:b", file("/a:b")),
            ("./a", file("./a")),
            ("../a", file("../a")),
            ("a/b.aci", file("a/b.aci")),
            ("file:///a/b.aci", file("/a/b.aci")),
            ("file:a.aci", file("a.aci")),
            // There is a file of this name where tests run.
            ("Cargo.toml", file("Cargo.toml")),
            ("src", name("src", &[])),
            ("example.com/a", name("example.com/a", &[])),
            ("example.com/a:1.0", name("example.com/a", &[("version", "1.0")])),
            ("a:v1", name("a", &[("version", "v1")])),
            ("a:1,os=linux,arch=amd64", name("a", &[("version", "1"), ("os", "linux"), ("arch", "amd64")])),
            ("http://example.com/a.aci", elsewhere(Elsewhere::Http, "http://example.com/a.aci")),
            ("HTTPS://example.com/a.aci", elsewhere(Elsewhere::Https, "HTTPS://example.com/a.aci")),
            ("docker://redis", elsewhere(Elsewhere::Docker, "docker://redis")),
            ("docker:redis", elsewhere(Elsewhere::Docker, "docker:redis")),
            ("cimd:aci-archive:v=0:x", elsewhere(Elsewhere::Cimd, "cimd:aci-archive:v=0:x")),
        ];
        for (text, reference) in table {
            assert_eq!(Reference::parse(text).unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn what_can_be_no_image_is_refused() {
        for text in [
            "",
            "Example.com/A",
            "a b",
            "a:",
            "a:1:2",
            "a:1,os",
            "a,os=",
            "a,os=a,os=b",
            "a,name=b",
            "a:1,version=2",
            "file:",
            "file://host/a.aci",
            "ftp://example.com/a.aci",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_means_an_image_for_this_host_unless_it_says_otherwise() {
        let Reference::Name { labels, .. } = name("a", &[("arch", "s390x")]) else { unreachable!() };
        let labels = for_this_host(&labels);
        assert_eq!((labels.get("os"), labels.get("arch")), (Some("linux"), Some("s390x")));
        assert_eq!(for_this_host(&Labels::default()).get("arch"), Some(host_arch()));
    }
}
