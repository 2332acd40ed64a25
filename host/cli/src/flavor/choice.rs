//! From what a line calls a flavor to the name by which its plugin is found.

use std::path::{Path, PathBuf};

use rkt_image::Verification;
use rkt_pod::{Configuration, Policy};

use crate::arguments::{Choice, Globals};
use crate::report::Failure;

/// A plugin that is wanted.
pub(super) struct Wanted {
    /// As [`plugin::load`] takes it.
    pub(super) name: String,
    /// Whether its image needs a signature.
    pub(super) verification: Verification,
}

impl Wanted {
    pub(super) fn named(globals: &Globals, name: impl Into<String>) -> Self {
        Self { name: name.into(), verification: globals.insecure_options.verification() }
    }
}

/// What a choice comes to. The names and files of rkt 1's flavors stand for ours however they are named.
pub(super) fn wanted(globals: &Globals, policy: &Policy, choice: &Choice) -> Result<Wanted, Failure> {
    let named = |name: &str| Wanted::named(globals, name);
    match choice {
        Choice::Any(name) => Ok(named(meant(policy, name))),
        Choice::Name(name) => {
            // Of our own there is one version, which no label can choose.
            let without_version = name.split([':', ',']).next().unwrap_or(name);
            Ok(match policy.flavor(without_version) {
                same if same == without_version => named(meant(policy, name)),
                ours => named(ours),
            })
        }
        Choice::Path(path) => {
            let path = path.to_string_lossy();
            Ok(match meant(policy, &path) {
                // It has a slash in it, so that it is not taken for a name.
                same if same == path => named(&Path::new(".").join(&*path).to_string_lossy()),
                ours => named(ours),
            })
        }
        Choice::Hash(id) if id.starts_with("sha512-") => Ok(named(id)),
        Choice::Hash(id) => Err(Failure::said(format!("--stage1-hash takes the ID of an image, and not {id:?}"))),
        Choice::FromDirectory(file) => match meant(policy, file) {
            same if same == file => from_directory(globals, file),
            ours => Ok(named(ours)),
        },
        Choice::Url(url) => match meant(policy, url) {
            same if same == url => Err(Failure::said("--stage1-url is not supported by this rkt yet")),
            ours => Ok(named(ours)),
        },
    }
}

/// A file in the directory of images of flavors. Whoever may write there is root, so it needs no signature.
fn from_directory(globals: &Globals, file: &str) -> Result<Wanted, Failure> {
    if Path::new(file).file_name() != Some(file.as_ref()) {
        return Err(Failure::said(format!("--stage1-from-dir takes the name of a file, and not {file:?}")));
    }
    let directory = Configuration::images_of_flavors(&globals.configuration())?;
    let path = directory.unwrap_or_else(|| PathBuf::from(IMAGES)).join(file);
    Ok(Wanted { name: path.to_string_lossy().into_owned(), verification: Verification::Waived })
}

/// Where images of flavors are, unless somebody says otherwise.
const IMAGES: &str = "/usr/lib/rkt/stage1-images";

/// The flavor that a name stands for. The files of rkt 1's flavors stand for ours wherever they were.
pub(super) fn meant<'a>(policy: &'a Policy, name: &'a str) -> &'a str {
    let file = Path::new(name).file_name().and_then(|file| file.to_str()).unwrap_or(name);
    match policy.flavor(name) {
        same if same == name && policy.flavor(file) != file => policy.flavor(file),
        other => other,
    }
}
