//! `rkt fetch`

use std::process::ExitCode;

use super::{Context, Outcome, run};
use crate::arguments::Fetch;
use crate::invocation::ImageArguments;
use crate::report::{Failure, print};

/// Characters of a key that are shown: `sha512-` and 32 digits.
const SHORT: usize = 39;

pub(super) fn fetch(context: &Context, fetch: &Fetch, images: &[ImageArguments]) -> Outcome {
    if images.is_empty() {
        return Err(Failure::said("must provide at least one image"));
    }
    let mut fetched = Vec::new();
    for image in images {
        let image = run::resolve(context, &image.image)?;
        let key = image.key();
        let key = key.as_str();
        print(&format!("{}\n", if fetch.full { key } else { &key[..SHORT] }))?;
        fetched.push(image);
    }
    // One may be what another depends on.
    for image in fetched {
        image.render(context.verification())?;
    }
    Ok(ExitCode::SUCCESS)
}
