//! Policy: which plugin may propose what. One file a plugin, TOML, the same for every plugin.
//!
//! ```toml
//! plugin = "acme"
//! digest = "sha256:9f86…"            # optional: only this very plugin
//! trust = "native"                   # optional: it may be native code; the digest is needed then
//! allow = ["root", "user", "mount:proc"]
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::permission::Permissions;

/// What keeps a plugin's code from reaching beyond its words, besides the cage that all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// It is WebAssembly, and an engine runs it.
    #[default]
    Wasm,
    /// Nothing: the processor runs it as it is.
    Native,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
        })
    }
}

/// What policy gives one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The plugin's name.
    pub plugin: String,
    /// The plugin that is meant: the component, as `sha256:HEX`, or the ID of the image that it comes in,
    /// as `sha512-HEX`. None: whichever file has that name, but no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How far it is trusted: what is native code needs a grant that says so.
    #[serde(default)]
    pub trust: Trust,
    /// What it may propose.
    pub allow: Permissions,
}

impl Grant {
    /// Reads the text of a policy file.
    ///
    /// # Errors
    /// The text is not TOML, has a key that is not known, or a permission that is none. Or it trusts
    /// native code without saying which.
    pub fn from_toml(text: &str) -> Result<Self, GrantError> {
        let grant: Self = toml::from_str(text).map_err(GrantError::Syntax)?;
        if grant.trust == Trust::Native && grant.digest.is_none() {
            return Err(GrantError::AnyNative);
        }
        Ok(grant)
    }

    /// Whether this grant is meant for a plugin with this digest (`sha256:HEX`).
    pub fn is_for(&self, digest: &str) -> bool {
        self.digest.as_deref().is_none_or(|pinned| pinned == digest)
    }
}

/// A policy file that cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// It is not the text of one.
    #[error("{}", .0.to_string().trim_end())]
    Syntax(toml::de::Error),
    /// Native code is not trusted by its name.
    #[error("`trust = \"native\"` needs the `digest` of the one plugin that is trusted")]
    AnyNative,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_and_pinned() {
        let grant = Grant::from_toml("plugin = 'acme'\ndigest = 'sha256:aa'\nallow = ['root', 'share:pid']").unwrap();
        assert!(grant.is_for("sha256:aa") && !grant.is_for("sha256:bb"));
        assert!(grant.allow.cover(&"share:pid".parse().unwrap()));
        assert_eq!(grant.trust, Trust::Wasm);
        let native = "plugin = 'acme'\ndigest = 'sha256:aa'\ntrust = 'native'\nallow = []";
        assert_eq!(Grant::from_toml(native).unwrap().trust, Trust::Native);
    }

    #[test]
    fn mistakes_in_a_grant_are_named() {
        for (text, named) in [
            ("plugin = 'a'\nallow = ['everything']", "everything"),
            ("plugin = 'a'\nallow = []\nalow = []", "alow"),
            ("plugin = 'a'", "allow"),
            ("plugin = 'a'\nallow = []\ntrust = 'root'", "root"),
            ("plugin = 'a'\nallow = []\ntrust = 'native'", "digest"),
        ] {
            let error = Grant::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
