//! Commands about pods.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::flags::{AppFlags, PodFlags, StartFlags};
use super::output::{Format, Table};
use crate::values::{self, Wait};

/// `rkt run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) pod: PodFlags,
    #[command(flatten)]
    pub(crate) start: StartFlags,
    /// Write the pod's UUID to this file before the pod is prepared
    #[arg(long, value_name = "FILE", help_heading = "OPTIONS")]
    pub(crate) uuid_file_save: Option<PathBuf>,
    /// Here for the help: they are parsed image by image.
    #[command(flatten)]
    pub(crate) app: AppFlags,
}

/// `rkt prepare`
#[derive(Debug, Args)]
pub(crate) struct Prepare {
    #[command(flatten)]
    pub(crate) pod: PodFlags,
    /// Keep everything but the UUID from standard output, where nothing else is written anyway
    #[arg(long, help_heading = "OPTIONS")]
    pub(crate) quiet: bool,
    /// Here for the help: they are parsed image by image.
    #[command(flatten)]
    pub(crate) app: AppFlags,
}

/// `rkt run-prepared`
#[derive(Debug, Args)]
pub(crate) struct RunPrepared {
    #[command(flatten)]
    pub(crate) start: StartFlags,
    #[command(flatten)]
    pub(crate) pod: OnePod,
}

/// `rkt plan`
#[derive(Debug, Args)]
#[command(after_help = "\
    --diff=FLAVOR compares with what another flavor would do, --diff=UUID with what was decided for a pod,\n\
    also one that was removed.\n\
    Of each difference it is said whether this plan is stricter or weaker than the other.")]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) pod: PodFlags,
    #[command(flatten)]
    pub(crate) start: StartFlags,
    /// Compare with a flavor or a pod: what of this plan is not in the other, and the other way round
    #[arg(long, value_name = "FLAVOR|UUID", help_heading = "OPTIONS")]
    pub(crate) diff: Option<String>,
    #[command(flatten)]
    pub(crate) output: Format,
    /// Here for the help: they are parsed image by image.
    #[command(flatten)]
    pub(crate) app: AppFlags,
}

/// `rkt replay`
#[derive(Debug, Args)]
#[command(after_help = "\
    The plugin that planned the pod, or the one that --plugin names, is shown the pod as it is recorded and\n\
    told about the host what was known then; a question that was not asked then is answered with \"unknown\",\n\
    and said. Its plan is checked against what was granted then. Pods that were removed are found as long as\n\
    their records are kept (records.toml).\n\n\
    The exit code is 0 for the same, 1 for stricter, 2 for weaker, 3 for other, 254 for a failure.")]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) pod: OnePod,
    /// Plan with this flavor, or the plugin in this file
    #[arg(long, value_name = "FLAVOR|FILE", help_heading = "OPTIONS")]
    pub(crate) plugin: Option<String>,
    #[command(flatten)]
    pub(crate) output: Format,
}

/// `rkt list`
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) table: Table,
    #[command(flatten)]
    pub(crate) output: Format,
}

/// One pod, by its UUID or a file that has it.
#[derive(Debug, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct OnePod {
    /// Read the UUID from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) uuid_file: Option<PathBuf>,
    /// The pod, by the beginning of its UUID
    #[arg(value_name = "UUID", required_unless_present = "uuid_file")]
    pub(crate) uuid: Option<String>,
}

/// Pods, by their UUIDs or a file that has one.
#[derive(Debug, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct ManyPods {
    /// Read a UUID from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) uuid_file: Option<PathBuf>,
    /// Pods, by the beginnings of their UUIDs
    #[arg(value_name = "UUID", required_unless_present = "uuid_file")]
    pub(crate) uuids: Vec<String>,
}

/// `rkt status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) pod: OnePod,
    /// Wait until the pod has finished; with a duration, no longer than that
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_value = "false",
          hide_default_value = true, default_missing_value = "true", value_parser = values::wait,
          help_heading = "OPTIONS")]
    pub(crate) wait: Wait,
    /// Wait until all apps of the pod are up; with a duration, no longer than that
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_value = "false",
          hide_default_value = true, default_missing_value = "true", value_parser = values::wait,
          help_heading = "OPTIONS")]
    pub(crate) wait_ready: Wait,
    #[command(flatten)]
    pub(crate) output: Format,
}

/// `rkt stop`
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) pods: ManyPods,
    /// Kill apps without asking them to end first, and the pod's own processes where they do not do that
    #[arg(long, help_heading = "OPTIONS")]
    pub(crate) force: bool,
    /// How long apps have to end before they are killed; 10s where it is not given
    #[arg(long, value_name = "DURATION", value_parser = values::duration, help_heading = "OPTIONS",
          conflicts_with = "force")]
    pub(crate) timeout: Option<Duration>,
}

/// `rkt rm`
#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(crate) pods: ManyPods,
}

/// `rkt gc`
#[derive(Debug, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct Gc {
    /// How long exited pods are kept
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = values::duration)]
    pub(crate) grace_period: Duration,
    /// How long prepared pods are kept
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = values::duration)]
    pub(crate) expire_prepared: Duration,
    /// Mark garbage and remove nothing
    #[arg(long)]
    pub(crate) mark_only: bool,
}

/// `rkt enter`
#[derive(Debug, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct Enter {
    /// The app, where the pod has several
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<String>,
    /// The pod, by the beginning of its UUID
    #[arg(value_name = "UUID")]
    pub(crate) uuid: String,
    /// The command and its arguments; /bin/bash where there is none
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// `rkt cat-manifest`
#[derive(Debug, Args)]
pub(crate) struct CatManifest {
    #[command(flatten)]
    pub(crate) pod: OnePod,
    /// On many lines
    #[arg(long, default_value_t = true, help_heading = "OPTIONS")]
    pub(crate) pretty_print: bool,
}

/// `rkt export`
#[derive(Debug, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct Export {
    /// The app, where the pod has several
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<String>,
    /// Take the place of a file that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// The pod, by the beginning of its UUID
    #[arg(value_name = "UUID")]
    pub(crate) uuid: String,
    /// The image to write, NAME.aci
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
