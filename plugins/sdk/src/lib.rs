//! Write a stage1 flavor for rkt as one pure function: a pod and a few facts about the host in, a
//! plan out.
//!
//! ```
//! use rkt_sdk::{Access, Facts, Namespace, Plan, Pod, Problem, Reach, host};
//!
//! rkt_sdk::stage1!(plan, asks: ["share:network", "root", "user", "bind:volume", "bind:host:ro:/etc/ssl"]);
//!
//! /// An isolated pod on the host's network, with the host's certificates.
//! pub fn plan(pod: &Pod, _facts: &dyn Facts) -> Result<Plan, Problem> {
//!     let mut plan = Plan::new();
//!     plan.share(Namespace::Network);
//!     for app in &pod.apps {
//!         plan.app(&app.name)
//!             .root(app.root_access)
//!             .user(&app.user)
//!             .volumes(app)
//!             .bind(host("/etc/ssl"), "/etc/ssl", Access::ReadOnly, Reach::Recursive);
//!     }
//!     plan.waive_all_but(pod, &["user", "read-only-root", "volume"]);
//!     Ok(plan)
//! }
//!
//! # fn main() {
//! // A test needs neither rkt nor root: it compares plans.
//! let pod = Pod::of_apps(&["hello"]);
//! let plan = plan(&pod, &rkt_sdk::NoFacts).unwrap();
//! assert!(plan.to_string().contains("share network\n"));
//! # }
//! ```
//!
//! [`stage1!`] makes the crate a component when it is built as a `cdylib` for
//! `wasm32-unknown-unknown`, and native code when it is built as one for the host with the feature
//! `native`. What each word means, which permission it needs and which requests have to be answered is
//! the contract's to say: see `wit/`.

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
#[doc(hidden)]
#[path = "table.rs"]
pub mod bindings;
mod facts;
#[cfg(any(target_arch = "wasm32", feature = "native"))]
#[doc(hidden)]
pub mod guest;
mod macros;
mod plan;
mod pod;
mod program;
mod service;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod text;

pub use facts::{Cgroups, Device, Facts, NoFacts};
pub use plan::{
    Jail, Namespace, Place, Plan, Problem, Reach, Stdio, channel, empty, host, init, initramfs, kernel, payload,
    root_image, root_of, volume,
};
pub use pod::{
    ALL_CAPABILITIES, Access, App, CapabilityChange, Credentials, Limit, Pod, Request, SeccompFilter, SeccompMode,
    VolumeMount,
};
pub use program::{Argument, Piece, Program};
pub use service::SERVICE_REQUESTS;
