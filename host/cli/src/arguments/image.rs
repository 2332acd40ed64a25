//! Arguments of the commands about images in the store.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::values;

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
