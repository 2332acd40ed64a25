//! Policy: which plugin may propose what. One file a plugin, TOML, the same for every plugin.
//!
//! ```toml
//! plugin = "acme"
//! digest = "sha256:9f86…"            # optional: only this very component
//! allow = ["root", "user", "mount:proc"]
//! ```

use serde::{Deserialize, Serialize};

use crate::permission::Permissions;

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
    /// What it may propose.
    pub allow: Permissions,
}

impl Grant {
    /// Reads the text of a policy file.
    ///
    /// # Errors
    /// The text is not TOML, has a key that is not known, or a permission that is none.
    pub fn from_toml(text: &str) -> Result<Self, GrantError> {
        toml::from_str(text).map_err(GrantError)
    }

    /// Whether this grant is meant for a component with this digest (`sha256:HEX`).
    pub fn is_for(&self, digest: &str) -> bool {
        self.digest.as_deref().is_none_or(|pinned| pinned == digest)
    }
}

/// A policy file that cannot be read as one.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.to_string().trim_end())]
pub struct GrantError(toml::de::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_and_pinned() {
        let grant = Grant::from_toml("plugin = 'acme'\ndigest = 'sha256:aa'\nallow = ['root', 'share:pid']").unwrap();
        assert!(grant.is_for("sha256:aa") && !grant.is_for("sha256:bb"));
        assert!(grant.allow.cover(&"share:pid".parse().unwrap()));
    }

    #[test]
    fn mistakes_in_a_grant_are_named() {
        for (text, named) in [
            ("plugin = 'a'\nallow = ['everything']", "everything"),
            ("plugin = 'a'\nallow = []\nalow = []", "alow"),
            ("plugin = 'a'", "allow"),
        ] {
            let error = Grant::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
