//! `rkt export`: an app of a pod that has ended as an image, with what the app has changed in it.

use std::io::{self, BufWriter};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rkt_appc::RuntimeApp;
use rkt_image::Verification;
use rkt_pod::{AppImage, Pod};

use super::{Context, Outcome, as_root, enter, run};
use crate::arguments::Export;
use crate::new_file::{Existing, NewFile};
use crate::report::{Failure, Said, plainly};

/// What the name of an image's file ends with.
const EXTENSION: &str = ".aci";

pub(super) fn export(context: &Context, export: &Export) -> Outcome {
    let file = &export.file;
    if !file.as_os_str().to_string_lossy().ends_with(EXTENSION) {
        return Err(Failure::said(format!("extension must be {EXTENSION} (given {})", file.display())));
    }
    as_root()?;
    let pods = context.pods();
    let pod = pods.find(&export.uuid)?;
    let manifest = pod.manifest()?;
    let app = enter::choose(context, "export", &manifest, export.app.as_deref())?;
    let image = run::resolve(context, app.image.id.as_str()).map_err(|failure| {
        failure.hint("an app is exported with the image that it was run from: fetch that again".to_owned())
    })?;
    // The pod was allowed to run with what it depends on.
    let image = AppImage::stored(&image, Verification::Waived)?;
    let root = pod.root_of(&app.name, &image.trees)?;
    let existing = if export.overwrite { Existing::Replaced } else { Existing::Kept };
    let mut new = NewFile::create(file, existing).map_err(|error| not_written(file, &error))?;
    let left_out = write(&mut new, &pod, app, root.as_fd()).map_err(|error| not_written(file, &error))?;
    for path in left_out {
        context.report.line(&format!("warning: {} is no file, and left out", Path::new("/").join(path).display()));
    }
    // What somebody removed meanwhile would be missing.
    pods.check_still_there(&pod)?;
    new.publish().map_err(|error| not_written(file, &error))?;
    Ok(ExitCode::SUCCESS)
}

fn write(new: &mut NewFile, pod: &Pod, app: &RuntimeApp, root: BorrowedFd<'_>) -> io::Result<Vec<PathBuf>> {
    let manifest = pod.image_manifest(&app.name).map_err(io::Error::other)?;
    rkt_image::write_aci(&manifest, root, BufWriter::new(new.file()))
}

fn not_written(file: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Said("target file exists (try --overwrite)".to_owned()),
        _ => Said(format!("cannot write {}: {}", file.display(), plainly(error))),
    }
    .into()
}
