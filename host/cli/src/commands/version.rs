//! `rkt version`

use std::env::consts::{ARCH, OS};
use std::process::ExitCode;

use rkt_appc::AcVersion;
use rkt_planner::CONTRACT;

use super::Outcome;
use crate::report::print;

/// The first two lines are what programs that drive rkt look for.
pub(super) fn version() -> Outcome {
    print(&format!(
        "rkt Version: {}\nappc Version: {}\nPlugin Contract Version: {CONTRACT}\nOS/Arch: {OS}/{ARCH}\n",
        env!("CARGO_PKG_VERSION"),
        AcVersion::CURRENT,
    ))?;
    Ok(ExitCode::SUCCESS)
}
