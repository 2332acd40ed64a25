//! Commands about images.

use clap::{Args, ValueEnum};

use super::output::{Format, Table};

/// `rkt fetch`
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// Print the whole key
    #[arg(long, help_heading = "OPTIONS")]
    pub(crate) full: bool,
}

/// `rkt image list`
#[derive(Debug, Args)]
pub(crate) struct ImageList {
    #[command(flatten)]
    pub(crate) table: Table,
    #[command(flatten)]
    pub(crate) output: Format,
    /// Columns: id, name, size, importtime, lastused
    #[arg(
        long,
        value_name = "LIST",
        default_value = "id,name,size,importtime,lastused",
        value_delimiter = ',',
        help_heading = "OPTIONS"
    )]
    pub(crate) fields: Vec<ImageField>,
    /// By which column the lines are sorted
    #[arg(long, value_name = "FIELD", default_value = "importtime", help_heading = "OPTIONS")]
    pub(crate) sort: ImageField,
    /// Ascending or descending
    #[arg(long, value_name = "ORDER", default_value = "asc", help_heading = "OPTIONS")]
    pub(crate) order: Order,
}

/// A column of `rkt image list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum ImageField {
    /// The key.
    Id,
    /// Name and version.
    Name,
    /// Bytes.
    Size,
    /// When it came.
    ImportTime,
    /// When it was used.
    LastUsed,
}

/// The direction of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Order {
    /// Least first.
    Asc,
    /// Most first.
    Desc,
}
