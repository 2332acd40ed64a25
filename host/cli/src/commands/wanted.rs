//! What a line asks a pod to be made of: images with their flags, or a manifest that the user wrote.

use std::collections::BTreeMap;
use std::path::Path;

use rkt_appc::{Mount, PodManifest, RuntimeApp};
use rkt_plan::Origin;
use rkt_pod::{AppImage, ManifestRequest, PodRequest, ResolveError, ResolvedPod, Uuid};

use super::Context;
use crate::arguments::PodFlags;
use crate::invocation::ImageArguments;
use crate::report::{Failure, plainly};
use crate::{file, request};

/// The words of a line that are about the content of a pod.
#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) flags: &'a PodFlags,
    pub(super) images: Vec<ImageArguments>,
    /// Mounts in every app.
    pub(super) everywhere: Vec<Mount>,
}

/// A pod that is asked for, its images found.
#[derive(Debug)]
pub(super) enum Wanted {
    Images(PodRequest),
    Manifest(ManifestRequest),
}

impl Words<'_> {
    /// Refuses words of which it is clear without looking anywhere that they make no pod.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.flags.pod_manifest.is_none() {
            let nothing = || Failure::said("must provide at least one image or specify the pod manifest");
            return if self.images.is_empty() { Err(nothing()) } else { Ok(()) };
        }
        let PodFlags { volume, set_env, set_env_file, inherit_env, .. } = self.flags;
        let has_environment = !set_env.is_empty() || !set_env_file.is_empty() || *inherit_env;
        if self.images.is_empty() && self.everywhere.is_empty() && volume.is_empty() && !has_environment {
            return Ok(());
        }
        Err(Failure::said("conflicting flags set with --pod-manifest (see --help)").hint(
            "a manifest says it all: with it go no images, --volume, --mount, --set-env, --set-env-file or --inherit-env",
        ))
    }

    /// Finds the images, each by `find`. The flavor of the pod has these options; the pod has this host name, where
    /// one is asked for.
    pub(super) fn find(
        self,
        context: &Context,
        settings: BTreeMap<String, String>,
        hostname: Option<&str>,
        find: impl Fn(&Context, &str) -> Result<AppImage, Failure>,
    ) -> Result<Wanted, Failure> {
        let flags = self.flags;
        if let Some(path) = &flags.pod_manifest {
            let image_of = |index: usize, app: &RuntimeApp| {
                let what = || format!("{}: apps[{index}].image.id", path.display());
                find(context, app.image.id.as_str()).map_err(|failure| failure.within(what()))
            };
            let manifest = read(path)?;
            let mut request = ManifestRequest::new(manifest, image_of)?;
            request.isolators = request::unconfined(&context.globals.insecure_options);
            request.hostname = hostname.map(str::to_owned);
            request.storage = request::storage(flags);
            request.settings = settings;
            return Ok(Wanted::Manifest(request));
        }
        let mut apps = Vec::new();
        for words in self.images {
            apps.push((find(context, &words.image)?, words.flags, words.arguments));
        }
        let request = request::pod(flags, &context.globals.insecure_options, settings, self.everywhere, apps)?;
        Ok(Wanted::Images(PodRequest { hostname: hostname.map(str::to_owned), ..request }))
    }
}

fn read(path: &Path) -> Result<PodManifest, Failure> {
    let text = file::read_text(path).map_err(|error| {
        Failure::said(format!("cannot read the pod manifest {:?}: {}", path.display().to_string(), plainly(&error)))
    })?;
    Ok(PodManifest::from_json(text.as_bytes())?)
}

impl Wanted {
    /// The pod, with nothing left open but how it is isolated.
    pub(super) fn resolve(self, uuid: Uuid) -> Result<ResolvedPod, ResolveError> {
        match self {
            Self::Images(request) => rkt_pod::resolve(uuid, request, Origin::CommandLine),
            Self::Manifest(request) => rkt_pod::resolve_manifest(uuid, request),
        }
    }
}
