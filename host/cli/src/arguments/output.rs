//! How output is written.

use clap::{Args, ValueEnum};

use crate::values;

/// How output is written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// For programs: json, or json-pretty
    #[arg(long, value_name = "FORMAT", default_value = "", hide_default_value = true, help_heading = "OPTIONS",
          value_parser = values::format)]
    pub(crate) format: OutputFormat,
}

/// See [`Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Text,
    /// On one line.
    Json,
    /// On many.
    JsonPretty,
}

/// Flags of tables.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct Table {
    /// Leave the head of the table out
    #[arg(long)]
    pub(crate) no_legend: bool,
    /// Shorten nothing
    #[arg(long)]
    pub(crate) full: bool,
}
