//! What apps are called in a pod. Files are named after them, in the way that old scripts know: see
//! `stage1/rootfs/rkt/status`, where `APP` has the code with which the app ended, and `APP-started` says when it
//! began.

use rkt_appc::AcName;

use super::ResolveError;
use crate::request::AppRequest;

/// What is put behind the name of an app to say when it began.
const STARTED: &str = "-started";

/// The longest name of an app, in bytes: that of a file has no more than 255 (NAME_MAX).
const LONGEST: usize = 255 - STARTED.len();

/// The user's name for an app, or the last part of its image's. The pod has the others.
pub(super) fn of_app<'a>(
    app: &AppRequest,
    others: impl IntoIterator<Item = &'a AcName>,
) -> Result<AcName, ResolveError> {
    let name = match &app.overrides.name {
        Some(name) => name.clone(),
        None => of_image(app.image.manifest.name.as_str())?,
    };
    check(&name, others)?;
    Ok(name)
}

/// Whether files can be named after an app in a pod that has the others.
pub(super) fn check<'a>(name: &AcName, others: impl IntoIterator<Item = &'a AcName>) -> Result<(), ResolveError> {
    if name.as_str().len() > LONGEST {
        return Err(ResolveError::LongName { name: name.clone(), most: LONGEST });
    }
    for other in others {
        if other == name {
            return Err(ResolveError::SameName { name: name.clone() });
        }
        for (ends, starts) in [(name, other), (other, name)] {
            if ends.as_str().strip_suffix(STARTED) == Some(starts.as_str()) {
                return Err(ResolveError::SameFile { ends: ends.clone(), starts: starts.clone() });
            }
        }
    }
    Ok(())
}

fn of_image(image: &str) -> Result<AcName, ResolveError> {
    AcName::sanitize(image.rsplit('/').next().unwrap_or(image)).map_err(ResolveError::Name)
}
