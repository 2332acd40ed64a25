//! Commands about the apps of a pod that runs.

use clap::{ArgAction, Args};
use rkt_appc::{AcName, Mount, Volume};

use super::flags::AppFlags;
use super::output::Format;
use crate::values;

/// `rkt app add`
#[derive(Debug, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct AppAdd {
    /// A volume, and where it is seen; one that the pod has already has to be just the same:
    /// name=NAME,kind=host,source=PATH,target=PATH[,readOnly=BOOL] or name=NAME,kind=empty,target=PATH
    #[arg(long, value_name = "VOLUME", action = ArgAction::Append, value_parser = values::mounted_volume)]
    pub(crate) mnt_volume: Vec<(Volume, Mount)>,
    /// Refuse the app where the flavor does not give all that is asked for
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) output: Format,
    /// Here for the help: they are parsed with the image.
    #[command(flatten)]
    pub(crate) app: AppFlags,
    /// The pod, by the beginning of its UUID
    #[arg(value_name = "UUID")]
    pub(crate) uuid: Option<String>,
}

/// `rkt app rm`
#[derive(Debug, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct AppRm {
    /// The app
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<AcName>,
    #[command(flatten)]
    pub(crate) output: Format,
    /// The pod, by the beginning of its UUID
    #[arg(value_name = "UUID")]
    pub(crate) uuid: Option<String>,
}
