//! `rkt image …`, but for the list: images of the store, and what they are written into.

use std::process::ExitCode;
use std::time::SystemTime;

use rkt_appc::ImageKey;
use rkt_image::{Image, InUse, Overwrite, Parts, Policy, Reference, Removal, Removed, TreeState};

use super::{Context, Outcome, pod_json};
use crate::arguments::{ImageExport, ImageGc, ImageManifest, ImageRm, ImageTree, ImageVerify, OutputFormat};
use crate::report::{Failure, print};

pub(super) fn rm(context: &Context, rm: &ImageRm) -> Outcome {
    let (mut keys, mut unknown) = (Vec::new(), 0);
    for image in &rm.images {
        match key(context, image) {
            Ok(key) if keys.contains(&key) => {}
            Ok(key) => keys.push(key),
            Err(failure) => {
                context.report.failure(&failure);
                unknown += 1;
            }
        }
    }
    let removed = context.store().remove(&keys, &mut || needed(context))?;
    tell(context, &removed, unknown)
}

pub(super) fn gc(context: &Context, gc: &ImageGc) -> Outcome {
    let before = SystemTime::now().checked_sub(gc.grace_period).unwrap_or(SystemTime::UNIX_EPOCH);
    let (trees, removed) = context.store().collect(before, &mut || needed(context))?;
    for tree in trees {
        context.report.line(&format!("removed treestore \"{tree}\""));
    }
    tell(context, &removed, 0)
}

/// Says what was removed, and how many were not, of which some were never found.
fn tell(context: &Context, removed: &Removed, unknown: usize) -> Outcome {
    let (mut whole, mut stale, mut failed) = (0, 0, unknown);
    for (key, outcome) in removed {
        match outcome {
            Ok(removal) => {
                print(&format!("successfully removed aci for image: \"{key}\"\n"))?;
                whole += 1;
                if let Removal::Stale(error) = removal {
                    context.report.error(error);
                    stale += 1;
                }
            }
            Err(error) => {
                context.report.error(error);
                failed += 1;
            }
        }
    }
    let count = |number: usize, what: &str| {
        if number > 0 {
            context.report.line(&format!("{number} image(s) {what}"));
        }
    };
    count(whole - stale, "successfully removed");
    count(stale, "removed but left some stale files");
    count(failed, "cannot be removed");
    if failed > 0 {
        return Err(Failure::said("error(s) found while removing images"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn export(context: &Context, export: &ImageExport) -> Outcome {
    let image = image(context, &export.image)?;
    context.store().export(&image, &export.output, overwrite(export.overwrite), &Policy::default())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn extract(context: &Context, tree: &ImageTree) -> Outcome {
    let image = image(context, &tree.image)?;
    let overwrite = overwrite(tree.overwrite);
    context.store().extract(&image, &tree.output, parts(tree), overwrite, &Policy::default())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn render(context: &Context, tree: &ImageTree) -> Outcome {
    let image = image(context, &tree.image)?;
    let trust = (context.verification(), &Policy::default());
    context.store().render_into(&image, &tree.output, parts(tree), overwrite(tree.overwrite), trust)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn cat_manifest(context: &Context, cat: &ImageManifest) -> Outcome {
    let image = image(context, &cat.image)?;
    let format = if cat.pretty_print { OutputFormat::JsonPretty } else { OutputFormat::Json };
    print(&pod_json::text(&image.manifest, format))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(context: &Context, verify: &ImageVerify) -> Outcome {
    let mut failed = false;
    for name in &verify.images {
        if let Err(failure) = verify_one(context, name) {
            context.report.failure(&failure);
            failed = true;
        }
    }
    if failed {
        return Err(Failure::said("error(s) found while verifying images"));
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_one(context: &Context, name: &str) -> Result<(), Failure> {
    let image = image(context, name)?;
    let trust = (context.verification(), &Policy::default());
    let verified = context.store().verify::<Failure>(&image, trust, &mut || needed(context))?;
    for tree in verified {
        if let TreeState::Rebuilt { damage } = tree.state {
            let text = format!("tree cache verification failed for image {}: {damage};  rebuilding...", tree.name);
            print(&format!("{}\n", crate::escape::escaped(&text)))?;
        }
    }
    print(&format!(
        "successfully verified checksum for image: \"{}\" (\"{}\")\n",
        crate::escape::escaped(name),
        image.key()
    ))
}

fn overwrite(allowed: bool) -> Overwrite {
    if allowed { Overwrite::Allowed } else { Overwrite::Refused }
}

fn parts(tree: &ImageTree) -> Parts {
    if tree.rootfs_only { Parts::Files } else { Parts::All }
}

/// What pods need of the store.
fn needed(context: &Context) -> Result<InUse, Failure> {
    Ok(context.pods().images()?)
}

/// An image of the store, by its ID or its name; it is not fetched.
fn image(context: &Context, text: &str) -> Result<Image, Failure> {
    let found = match Reference::parse(text)? {
        Reference::Id(prefix) => context.store().get(&prefix),
        Reference::Name { name, labels } => context.store().find(name.as_str(), &labels),
        _ => return Err(not_of_the_store(text)),
    };
    found.map_err(|error| context.not_found(error.into()))
}

/// The same of one that is to be removed, which may be damaged.
fn key(context: &Context, text: &str) -> Result<ImageKey, Failure> {
    match Reference::parse(text)? {
        Reference::Id(prefix) => context.store().key(&prefix).map_err(|error| context.not_found(error.into())),
        _ => Ok(image(context, text)?.key()),
    }
}

fn not_of_the_store(text: &str) -> Failure {
    Failure::said(format!("{text:?} is no image of the store"))
        .hint("name it by the beginning of its ID, or by its name; rkt image list shows both")
}
