//! `oom-score`: whom the kernel kills when memory ends.

use std::path::Path;

use rkt_sys::root::Root;
use rustix::fs::{Mode, OFlags};

use crate::failure::Failure;

/// Sets it for the calling process, and so for all that it will start. `proc` is a procfs that no
/// pod has changed.
pub(crate) fn set(proc: &Path, adjustment: i16) -> Result<(), Failure> {
    let failed = || format!("set the out-of-memory score to {adjustment}");
    let proc = Root::open(proc).map_err(Failure::of(failed))?;
    let file = rustix::fs::openat(&proc, c"self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Failure::of(failed))?;
    rustix::io::write(&file, adjustment.to_string().as_bytes()).map_err(Failure::of(failed))?;
    Ok(())
}
