//! The contract as the component sees it, generated from `wit/`, and what a component has to export:
//! the SDK's unsafe code where it builds one. Authors meet neither.

#![allow(
    unsafe_code,
    reason = "the calling convention of components is raw memory, and a section of a module is named by an unsafe attribute"
)]
#![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated code")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "stage1",
    pub_export_macro: true,
    default_bindings_module: "rkt_sdk::bindings",
});

/// Exports the world's function, and puts the permissions into a custom section of the module.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    ($flavor:ident, $permissions:expr) => {
        $crate::bindings::export!($flavor with_types_in $crate::bindings);

        const PERMISSIONS: &str = $permissions;

        // SAFETY: the section is of our own name and holds plain bytes; the linker copies it as it is.
        #[unsafe(link_section = "rkt:permissions")]
        #[used]
        static SECTION: [u8; PERMISSIONS.len()] = $crate::guest::bytes_of(PERMISSIONS);
    };
}
