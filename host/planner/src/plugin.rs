//! A plugin, ready to be run: what it is, what it asks for, and its compiled code.

use std::borrow::Cow;

use rkt_plan::{PermissionError, Permissions, Trust};

use crate::artifact::{Artifact, ArtifactError, Header};

/// The largest component that is read, in bytes: a flavor takes a thousandth of it, and languages that
/// bring an interpreter along fit too.
pub const MAX_COMPONENT: u64 = 32 << 20;

/// A plugin whose code was compiled here.
#[derive(Debug, Clone)]
pub struct Plugin {
    name: String,
    header: Header,
    permissions: Permissions,
    code: Cow<'static, [u8]>,
}

impl Plugin {
    /// A plugin that is part of the program: an artifact that was made when rkt was built.
    ///
    /// # Errors
    /// The bytes are no artifact for this engine, or declare a permission that there is none of.
    pub fn embedded(name: &str, artifact: &'static [u8]) -> Result<Self, PluginError> {
        let artifact =
            Artifact::read(artifact).map_err(|cause| PluginError::Artifact { plugin: name.to_owned(), cause })?;
        Self::new(name, artifact.header, Cow::Borrowed(artifact.code))
    }

    /// A plugin from an artifact that lay outside the program, and was verified.
    pub(crate) fn installed(name: &str, artifact: Artifact<'_>) -> Result<Self, PluginError> {
        Self::new(name, artifact.header, Cow::Owned(artifact.code.to_vec()))
    }

    fn new(name: &str, header: Header, code: Cow<'static, [u8]>) -> Result<Self, PluginError> {
        let permissions = header.permissions.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        let permissions = permissions.map_err(|cause| PluginError::Permission { plugin: name.to_owned(), cause })?;
        Ok(Self { name: name.to_owned(), header, permissions, code })
    }

    /// The name that the user knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is WebAssembly or native code, and so which planner program runs it.
    pub fn trust(&self) -> Trust {
        self.header.trust
    }

    /// The digest of its file, `sha256:HEX`.
    pub fn digest(&self) -> &str {
        &self.header.component
    }

    /// The version of the contract that it was made for.
    pub fn contract(&self) -> &str {
        &self.header.contract
    }

    /// What it declares that its plans need.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    pub(crate) fn code(&self) -> &[u8] {
        &self.code
    }

    /// The code, where it is a component's and part of the program.
    pub(crate) fn embedded_code(&self) -> Option<&'static [u8]> {
        match self.code {
            Cow::Borrowed(code) if self.trust() == Trust::Wasm => Some(code),
            _ => None,
        }
    }
}

/// Why an artifact is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The artifact cannot be read.
    #[error("plugin `{plugin}`")]
    Artifact {
        /// The plugin's name.
        plugin: String,
        /// What is wrong.
        #[source]
        cause: ArtifactError,
    },
    /// It declares what is no permission.
    #[error("plugin `{plugin}` declares what it needs")]
    Permission {
        /// The plugin's name.
        plugin: String,
        /// What is wrong.
        #[source]
        cause: PermissionError,
    },
}
