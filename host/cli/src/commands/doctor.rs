//! `rkt doctor`
use std::process::ExitCode;

use super::{Context, Outcome};
use crate::arguments::Doctor;

pub(super) fn doctor(_context: &Context, _doctor: &Doctor) -> Outcome {
    Ok(ExitCode::SUCCESS)
}
