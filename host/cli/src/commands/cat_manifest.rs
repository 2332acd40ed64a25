//! `rkt cat-manifest`

use std::process::ExitCode;

use super::{Context, Outcome, pod_json};
use crate::arguments::{CatManifest, OutputFormat};
use crate::report::print;

pub(super) fn cat_manifest(context: &Context, cat: &CatManifest) -> Outcome {
    let manifest = context.one_pod(&cat.pod)?.manifest()?;
    let format = if cat.pretty_print { OutputFormat::JsonPretty } else { OutputFormat::Json };
    print(&pod_json::text(&manifest, format))?;
    Ok(ExitCode::SUCCESS)
}
