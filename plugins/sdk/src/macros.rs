//! What turns a plan function into a component.

/// Makes the crate a stage1 plugin: names its plan function and the permissions that it asks for.
///
/// The function is `fn(&Pod, &dyn Facts) -> Result<Plan, Problem>`. The permissions become the custom
/// section `rkt:permissions` of the component, one a line: the host reads them without running
/// anything, and the plan may use those among them that policy grants. Built for anything but
/// WebAssembly the macro makes nothing, so that the same crate can be tested.
#[macro_export]
macro_rules! stage1 {
    ($plan:path, asks: [$($permission:literal),* $(,)?]) => {
        #[cfg(target_arch = "wasm32")]
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
    };
}
