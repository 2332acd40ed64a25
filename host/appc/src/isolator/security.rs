//! Isolators for the host's security modules.

use serde::{Deserialize, Serialize};

use crate::InvalidValue;
use crate::text::checked_text;

/// The four parts of an `SELinux` context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawSelinuxContext", into = "RawSelinuxContext")]
pub struct SelinuxContext([String; 4]);

#[derive(Serialize, Deserialize)]
struct RawSelinuxContext {
    user: String,
    role: String,
    r#type: String,
    level: String,
}

impl SelinuxContext {
    /// As the kernel wants it: `user:role:type:level`.
    pub fn text(&self) -> String {
        self.0.join(":")
    }
}

impl TryFrom<RawSelinuxContext> for SelinuxContext {
    type Error = InvalidValue;

    fn try_from(raw: RawSelinuxContext) -> Result<Self, Self::Error> {
        let parts = [raw.user, raw.role, raw.r#type, raw.level];
        let is_odd = |part: &&String| part.is_empty() || part.contains('\0');
        if let Some(part) = parts.iter().find(is_odd) {
            return Err(InvalidValue::new("part of an SELinux context", part, "it is a text"));
        }
        // A level has colons of its own ("s0:c1,c2").
        if let Some(part) = parts[..3].iter().find(|part| part.contains(':')) {
            let rule = "user, role and type have no colon";
            return Err(InvalidValue::new("part of an SELinux context", part, rule));
        }
        Ok(Self(parts))
    }
}

impl From<SelinuxContext> for RawSelinuxContext {
    fn from(context: SelinuxContext) -> Self {
        let [user, role, r#type, level] = context.0;
        Self { user, role, r#type, level }
    }
}

/// The name of an `AppArmor` profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApparmorProfile {
    /// As the host's security policy calls it.
    pub profile: ProfileName,
}

/// A text that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileName(String);

checked_text!(ProfileName);

impl ProfileName {
    fn check(text: &str) -> Result<(), InvalidValue> {
        if text.is_empty() || text.contains(char::is_control) {
            let rule = "it is a text without control characters";
            return Err(InvalidValue::new("AppArmor profile", text, rule));
        }
        Ok(())
    }
}
