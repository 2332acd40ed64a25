//! What the host makes or finds for a plan that names it, before the pod is started.
//!
//! The image of an app is made once for each tree and kept beside it, so that it goes when the tree goes. An
//! initramfs is made for each pod, in the pod's directory: that takes a few milliseconds, and nothing can be
//! out of date.

use std::path::{Path, PathBuf};

use rkt_plan::{Artifact, CheckedPlan};

use crate::failure::Failure;
use crate::launch::{Made, Places};

mod image;
mod initramfs;
mod kernel;

/// What artifacts are made from.
#[derive(Debug)]
pub struct Workshop<'a> {
    /// rkt's static program.
    pub init: &'a Path,
    /// The kernel that the operator names; none: the host's own.
    pub kernel: Option<&'a Path>,
    /// A directory of the pod's own.
    pub pod: &'a Path,
    /// Where that directory will be when the pod runs.
    pub home: &'a Path,
}

/// Makes or finds all that a plan names.
///
/// # Errors
/// Something is missing on this host or cannot be made.
pub fn make(plan: &CheckedPlan, places: &Places, workshop: &Workshop<'_>) -> Result<Vec<Made>, Failure> {
    let made = plan.artifacts().into_iter().map(|artifact| {
        let path = match &artifact {
            Artifact::Init => workshop.init.to_owned(),
            Artifact::Kernel => kernel::find(workshop.kernel)?.file,
            Artifact::RootImage(app) => of_app(app, places)?,
            Artifact::Initramfs(modules) => {
                initramfs::write(workshop.init, &kernel::find(workshop.kernel)?, modules, workshop.pod)?;
                workshop.home.join(initramfs::NAME)
            }
        };
        Ok(Made { artifact, path })
    });
    made.collect()
}

fn of_app(app: &str, places: &Places) -> Result<PathBuf, Failure> {
    let root = places.roots.get(app).ok_or_else(|| Failure::new(format!("the launch has no root of app {app}")))?;
    image::of(&root.lower).map_err(|cause| cause.within(format!("make the image of app {app} as a file")))
}
