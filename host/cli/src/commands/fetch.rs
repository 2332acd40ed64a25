//! `rkt fetch`

use std::process::ExitCode;

use rkt_image::{Policy, Reference};

use super::{Context, Outcome};
use crate::arguments::Fetch;
use crate::invocation::ImageArguments;
use crate::report::{Failure, print};

/// Characters of a key that are shown: `sha512-` and 32 digits.
const SHORT: usize = 39;

pub(super) fn fetch(context: &Context, fetch: &Fetch, images: &[ImageArguments]) -> Outcome {
    if images.is_empty() {
        return Err(Failure::said("must provide at least one image"));
    }
    for image in images {
        let reference = Reference::parse(&image.image)?;
        let image = context.store().resolve(&reference, context.verification(), &Policy::default(), &mut |_| {})?;
        let key = image.key();
        let key = key.as_str();
        print(&format!("{}\n", if fetch.full { key } else { &key[..SHORT] }))?;
    }
    Ok(ExitCode::SUCCESS)
}
