//! Commands about images.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output::{Format, Table};
use crate::values;

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

/// `rkt image rm`
#[derive(Debug, Args)]
pub(crate) struct ImageRm {
    /// Images, by the beginnings of their IDs or by their names
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
}

/// `rkt image gc`
#[derive(Debug, Args)]
pub(crate) struct ImageGc {
    /// How long images are kept that are not used
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = values::duration,
          help_heading = "OPTIONS")]
    pub(crate) grace_period: Duration,
}

/// `rkt image export`
#[derive(Debug, Args)]
pub(crate) struct ImageExport {
    /// Replace the file, if there is one
    #[arg(long, help_heading = "OPTIONS")]
    pub(crate) overwrite: bool,
    /// The image, by the beginning of its ID or by its name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// The file to write, an archive that is not compressed
    #[arg(value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// `rkt image extract` and `rkt image render`
#[derive(Debug, Args)]
pub(crate) struct ImageTree {
    /// Write only the files, without a directory rootfs and the manifest
    #[arg(long, help_heading = "OPTIONS")]
    pub(crate) rootfs_only: bool,
    /// Replace the directory, if there is one, with all that is in it
    #[arg(long, help_heading = "OPTIONS")]
    pub(crate) overwrite: bool,
    /// The image, by the beginning of its ID or by its name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// The directory to make
    #[arg(value_name = "DIRECTORY")]
    pub(crate) output: PathBuf,
}

/// `rkt image cat-manifest`
#[derive(Debug, Args)]
pub(crate) struct ImageManifest {
    /// On many lines
    #[arg(long, default_value_t = true, help_heading = "OPTIONS")]
    pub(crate) pretty_print: bool,
    /// The image, by the beginning of its ID or by its name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

/// `rkt image verify`
#[derive(Debug, Args)]
pub(crate) struct ImageVerify {
    /// Images, by the beginnings of their IDs or by their names
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
}
