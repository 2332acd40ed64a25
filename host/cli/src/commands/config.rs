//! `rkt config`: what the operator's files of old say, as this rkt understands them.

use std::process::ExitCode;

use rkt_pod::Configuration;

use super::{Context, Outcome, pod_json};
use crate::arguments::{Config, OutputFormat};
use crate::report::print;

pub(super) fn config(context: &Context, config: &Config) -> Outcome {
    let read = Configuration::read(&context.globals.configuration())?;
    let format = if config.pretty_print { OutputFormat::JsonPretty } else { OutputFormat::Json };
    print(&pod_json::text(&read.shown(), format))?;
    Ok(ExitCode::SUCCESS)
}
