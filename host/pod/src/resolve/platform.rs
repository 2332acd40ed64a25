//! Which images this host runs.

use rkt_appc::{AcName, ImageManifest, Platform};

use super::{ResolveError, Warning};

/// Both labels have to be there; an image for another architecture may run, by emulation.
pub(super) fn check(app: &AcName, manifest: &ImageManifest) -> Result<Option<Warning>, ResolveError> {
    let platform =
        Platform::of(&manifest.labels).map_err(|cause| ResolveError::Platform { app: app.clone(), cause })?;
    let (image, host) = (platform.arch(), host_architecture());
    let runs = image == host || (image, host) == ("i386", "amd64");
    Ok((!runs).then(|| Warning::OtherArchitecture { app: app.clone(), image, host }))
}

/// What this host's architecture is called in images' labels.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "i386",
        "arm" => "armv7l",
        "powerpc64" => "ppc64le",
        other => other,
    }
}
