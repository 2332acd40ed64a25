//! What turns a plan function into a plugin.

/// Makes the crate a stage1 plugin: names its plan function and the permissions that it asks for.
///
/// The function is `fn(&Pod, &dyn Facts) -> Result<Plan, Problem>`. The host reads the permissions
/// without running anything, and the plan may use those among them that policy grants.
///
/// Built as a `cdylib` for WebAssembly the crate is a component, with the permissions in its custom
/// section `rkt:permissions`. Built as one for the host, with the feature `native` of this crate, it is
/// a native plugin as `rkt-plugin.h` describes it: `cargo build --lib --features rkt-sdk/native`. Built
/// in any other way the macro makes nothing, so that the same crate can be tested, and linked with
/// others.
#[macro_export]
macro_rules! stage1 {
    ($plan:path, asks: [$($permission:literal),* $(,)?]) => {
        $crate::__in_a_plugin! {
            const _: () = {
                struct Flavor;

                impl $crate::guest::Flavor for Flavor {
                    fn plan(
                        pod: &$crate::Pod,
                        facts: &dyn $crate::Facts,
                    ) -> ::core::result::Result<$crate::Plan, $crate::Problem> {
                        $plan(pod, facts)
                    }
                }

                $crate::__export_plugin!(Flavor, concat!($($permission, "\n"),*));
            };
        }
    };
}

/// What only a plugin has.
#[cfg(any(target_arch = "wasm32", feature = "native"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __in_a_plugin {
    ($item:item) => {
        $item
    };
}

/// Nothing: this is no plugin.
#[cfg(not(any(target_arch = "wasm32", feature = "native")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __in_a_plugin {
    ($item:item) => {};
}
