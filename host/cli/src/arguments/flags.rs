//! Flags that several commands have: of a pod as a whole, of the image before them, and of how it is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use rkt_appc::app::WorkingDirectory;
use rkt_appc::isolator::{CpuShares, OomScoreAdj, PidsLimit};
use rkt_appc::{AcName, Annotation, Isolator, Mount, Owner, Quantity, UnixId, Variable, Volume};

use super::flavor::FlavorFlags;
use crate::values;

/// Flags of a pod as a whole: what it is made of.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct PodFlags {
    /// Run the pod of this manifest, whose images are in the store, and take no images from the line
    #[arg(long, value_name = "FILE")]
    pub(crate) pod_manifest: Option<PathBuf>,
    /// A volume: NAME,kind=host,source=PATH[,readOnly=BOOL] or NAME,kind=empty[,mode=][,uid=][,gid=]
    #[arg(long, value_name = "VOLUME", action = ArgAction::Append, value_parser = values::volume)]
    pub(crate) volume: Vec<Volume>,
    /// Set a variable in every app: NAME=VALUE
    #[arg(long, value_name = "VARIABLE", action = ArgAction::Append, value_parser = values::variable)]
    pub(crate) set_env: Vec<Variable>,
    /// Set the variables in a file in every app
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub(crate) set_env_file: Vec<PathBuf>,
    /// Give every app rkt's own environment, where its image does not say otherwise
    #[arg(long)]
    pub(crate) inherit_env: bool,
    /// Give each app a copy of its image, rather than a layer over it
    #[arg(long)]
    pub(crate) no_overlay: bool,
    #[command(flatten)]
    pub(crate) flavor: FlavorFlags,
    /// An option of the flavor: NAME=VALUE
    #[arg(long, value_name = "OPTION", action = ArgAction::Append, value_parser = values::setting)]
    pub(crate) stage1_option: Vec<(String, String)>,
}

impl PodFlags {
    /// The options of the flavor, the last of each name.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        self.stage1_option.iter().cloned().collect()
    }
}

/// Flags of a pod as a whole: how it is started.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct StartFlags {
    /// The pod's host name; rkt-UUID where it is not given
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// The pod's network: none, for a loopback interface only, or host
    #[arg(long, value_name = "NETWORK", num_args = 0..=1, require_equals = true, default_missing_value = "default",
          value_parser = values::network)]
    pub(crate) net: Option<values::Network>,
    /// Refuse the pod where the flavor does not give all that is asked for
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Flags of the image before them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "OPTIONS OF THE IMAGE BEFORE THEM", args_override_self = true)]
pub(crate) struct AppFlags {
    /// The app's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<AcName>,
    /// The program to run, instead of the image's and its arguments
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exec: Option<String>,
    /// The user: a name, a number, or a path in the image that belongs to it
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<Owner>,
    /// The group, likewise
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<Owner>,
    /// Further groups, as numbers with commas between them
    #[arg(long, value_name = "LIST", value_parser = values::groups)]
    pub(crate) supplementary_gids: Option<values::List<UnixId>>,
    /// Set a variable: NAME=VALUE
    #[arg(long, value_name = "VARIABLE", action = ArgAction::Append, value_parser = values::variable)]
    pub(crate) environment: Vec<Variable>,
    /// Where the program starts
    #[arg(long, value_name = "PATH")]
    pub(crate) working_dir: Option<WorkingDirectory>,
    /// Whether the app's root can only be read; needs a value
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, action = ArgAction::Set)]
    pub(crate) readonly_rootfs: Option<bool>,
    /// At most so much memory: 64M
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) memory: Option<Quantity>,
    /// At most so many processors' time: 500m, 1.5
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) cpu: Option<Quantity>,
    /// The app's weight when processors are scarce: 2 to 262144, usually 1024
    #[arg(long, value_name = "WEIGHT", value_parser = values::number::<CpuShares>)]
    pub(crate) cpu_shares: Option<CpuShares>,
    /// At most so many processes and threads
    #[arg(long, value_name = "NUMBER", value_parser = values::number::<PidsLimit>)]
    pub(crate) pids_limit: Option<PidsLimit>,
    /// Keep these capabilities only, with commas between them
    #[arg(long, alias = "cap-retain", value_name = "LIST", value_parser = values::capabilities)]
    pub(crate) caps_retain: Option<rkt_appc::isolator::CapabilitySet>,
    /// Keep the usual capabilities but these
    #[arg(long, alias = "cap-remove", value_name = "LIST", value_parser = values::capabilities)]
    pub(crate) caps_remove: Option<rkt_appc::isolator::CapabilitySet>,
    /// Filter system calls: mode=retain|remove[,errno=NAME],NAME|@SET...
    #[arg(long, value_name = "FILTER", value_parser = values::seccomp)]
    pub(crate) seccomp: Option<Isolator>,
    /// Whom the kernel kills when memory ends: -1000 to 1000
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true, value_parser = values::number::<OomScoreAdj>)]
    pub(crate) oom_score_adj: Option<OomScoreAdj>,
    /// Where a volume is seen: volume=NAME,target=PATH; before all images, in every app
    #[arg(long, value_name = "MOUNT", action = ArgAction::Append, value_parser = values::mount)]
    pub(crate) mount: Vec<Mount>,
    /// A remark about the app in the pod's manifest: NAME=VALUE
    #[arg(long, value_name = "REMARK", action = ArgAction::Append, value_parser = values::annotation)]
    pub(crate) annotation: Vec<Annotation>,
    /// A remark of the user's, instead of the image's: NAME=VALUE
    #[arg(long, value_name = "REMARK", action = ArgAction::Append, value_parser = values::remark)]
    pub(crate) user_annotation: Vec<(String, String)>,
    /// A label of the user's, instead of the image's: NAME=VALUE
    #[arg(long, value_name = "LABEL", action = ArgAction::Append, value_parser = values::remark)]
    pub(crate) user_label: Vec<(String, String)>,
}
