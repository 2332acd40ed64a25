//! Why a component or a library cannot become a plugin, as the compiler program tells it.

use serde::{Deserialize, Serialize};

/// The contract's package.
pub const PACKAGE: &str = "rkt:plugin";

/// The version of the contract that this rkt offers. Plugins made for this one and for earlier ones
/// of the same track run.
pub const CONTRACT: &str = "0.1.0";

/// What is wrong with a component. Nothing of it was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// More than anyone needs.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// Not WebAssembly, or broken.
    #[error("it is no valid component: {why}")]
    Invalid {
        /// What is wrong.
        why: String,
    },
    /// WebAssembly, but a module of the core language.
    #[error("it is a core module, and a plugin is a component")]
    CoreModule,
    /// Of another version of the contract.
    #[error("it was made for another contract: it imports `{import}`, and this rkt has {PACKAGE} {CONTRACT}")]
    OtherContract {
        /// The import.
        import: String,
    },
    /// Something that no plugin is given.
    #[error("it imports `{import}`, and plugins are given nothing but {PACKAGE}")]
    Import {
        /// The import.
        import: String,
    },
    /// It does not export just what a plugin has to.
    #[error("it exports {}, and a stage1 plugin exports `plan` and nothing else", list(.exports))]
    Exports {
        /// The names.
        exports: Vec<String>,
    },
    /// What it says that it needs cannot be read.
    #[error("its list of permissions is unreadable: {why}")]
    Permissions {
        /// What is wrong.
        why: String,
    },
    /// An object file that can be no plugin here.
    #[error("it is no shared library that can be a plugin: {why}")]
    Library {
        /// What is wrong.
        why: String,
    },
    /// A native plugin of another version of the contract.
    #[error("it was made for {PACKAGE} {made_for}, and this rkt has {PACKAGE} {CONTRACT}")]
    OtherTable {
        /// The version.
        made_for: String,
    },
    /// The compiler gave up.
    #[error("it cannot be compiled: {why}")]
    Uncompilable {
        /// The compiler's words.
        why: String,
    },
    /// The compiler could not give up its rights, so it read nothing.
    #[error("its compiler could not be caged: {why}")]
    Cage {
        /// What failed.
        why: String,
    },
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
