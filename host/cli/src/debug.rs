//! What `--debug` adds: the steps that libraries tell, on standard error.

use tracing_subscriber::filter::LevelFilter;

/// From now on the steps are shown.
pub(crate) fn show_steps() {
    let shown = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .try_init();
    // It is called once, at the start.
    debug_assert!(shown.is_ok());
}
