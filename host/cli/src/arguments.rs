//! What can be written on a command line: one definition a flag, from which parsing and help come.
//!
//! Commands that take several images have a grammar of their own ([`crate::images`]), which asks these
//! definitions which flags there are and whether they take a value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use rkt_appc::app::WorkingDirectory;
use rkt_appc::isolator::{CpuShares, OomScoreAdj, PidsLimit};
use rkt_appc::{AcName, Isolator, Mount, Owner, Quantity, UnixId, Variable, Volume};

use crate::insecure::Insecure;
use crate::values;

pub(crate) mod image;

/// Runs images as pods, isolated as a plugin plans.
#[derive(Debug, Parser)]
#[command(
    name = "rkt",
    version,
    disable_version_flag = true,
    disable_help_subcommand = false,
    infer_subcommands = true,
    args_override_self = true,
    color = clap::ColorChoice::Never,
    max_term_width = 100,
    subcommand_help_heading = "COMMANDS",
    subcommand_value_name = "COMMAND",
    help_template = "NAME:\n    {name} - {about}\n\nUSAGE:\n    {usage}\n\n{all-args}{after-help}"
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "GLOBAL OPTIONS")]
pub(crate) struct Globals {
    /// Say more on standard error
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Where images and pods are kept
    #[arg(long, global = true, value_name = "PATH", default_value = "/var/lib/rkt", value_parser = values::directory)]
    pub(crate) dir: PathBuf,
    /// Configuration that comes with the system
    #[arg(long, global = true, value_name = "PATH", default_value = "/usr/lib/rkt")]
    pub(crate) system_config: PathBuf,
    /// Configuration of this host, before the system's
    #[arg(long, global = true, value_name = "PATH", default_value = "/etc/rkt")]
    pub(crate) local_config: PathBuf,
    /// Configuration that goes before all other
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) user_config: Option<PathBuf>,
    /// Checks to leave out, with commas between them: none, image, tls, http, pubkey, ondisk, all-fetch,
    /// capabilities, seccomp
    #[arg(long, global = true, value_name = "LIST", default_value = "none")]
    pub(crate) insecure_options: Insecure,
    /// Accept keys that are found over https without asking; no keys are fetched yet
    #[arg(long, global = true, hide = true)]
    pub(crate) trust_keys_from_https: bool,
}

impl Globals {
    /// The directories of the operator's files, lowest first.
    pub(crate) fn configuration(&self) -> Vec<PathBuf> {
        [&self.system_config, &self.local_config].into_iter().chain(&self.user_config).cloned().collect()
    }
}

/// A line that says `run`, without that word.
#[derive(Debug, Parser)]
#[command(name = "rkt", args_override_self = true)]
pub(crate) struct RunLine {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// Everything that rkt can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run images as a pod
    #[command(override_usage = "rkt run [OPTIONS] IMAGE [--OPTION...] [-- ARGUMENT... [---]]...")]
    Run(Run),
    /// Show how a pod would be isolated, and start nothing
    #[command(override_usage = "rkt plan [OPTIONS] IMAGE [--OPTION...] [-- ARGUMENT... [---]]...")]
    Plan(Plan),
    /// Plan a pod again as it was recorded, and say how the plans compare
    Replay(Replay),
    /// List pods
    List(List),
    /// Show the state of a pod
    Status(Status),
    /// Stop pods
    Stop(Stop),
    /// Remove pods that do not run
    Rm(Rm),
    /// Collect the garbage of pods
    Gc(Gc),
    /// Run a command in an app of a pod, with the app's own rights
    Enter(Enter),
    /// Print the manifest of a pod
    CatManifest(CatManifest),
    /// Take images into the store
    #[command(override_usage = "rkt fetch [OPTIONS] IMAGE...")]
    Fetch(Fetch),
    /// Change the apps of a pod that runs
    #[command(subcommand, subcommand_required = true, arg_required_else_help = false)]
    App(App),
    /// Work with images in the store
    #[command(subcommand, subcommand_required = true, arg_required_else_help = false)]
    Image(Image),
    /// Print the versions of rkt
    Version,
    /// Say what this host can do, and what follows
    Doctor(Doctor),
}

/// `rkt app …`
#[derive(Debug, Subcommand)]
pub(crate) enum App {
    /// Add an app to a pod that runs, and start it
    #[command(override_usage = "rkt app add [OPTIONS] UUID IMAGE [--OPTION...] [-- ARGUMENT...]")]
    Add(Box<AppAdd>),
    /// End an app of a pod that runs, and take it out of the pod
    Rm(AppRm),
}

/// `rkt image …`
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List images
    List(ImageList),
    /// Remove images that no pod and no other image needs
    Rm(image::ImageRm),
    /// Remove images that were not used for a time
    Gc(image::ImageGc),
    /// Write the archive of an image into a file
    Export(image::ImageExport),
    /// Write an image into a directory, without what it depends on
    Extract(image::ImageTree),
    /// Write an image into a directory as its apps see it, with what it depends on
    Render(image::ImageTree),
    /// Print the manifest of an image
    CatManifest(image::ImageManifest),
    /// Find damage in the store, and mend what can be made anew
    Verify(image::ImageVerify),
    /// As `rkt fetch`
    #[command(hide = true)]
    Fetch(Fetch),
}

/// Flags of a pod as a whole.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct PodFlags {
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
    /// The pod's host name; rkt-UUID where it is not given
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// The pod's network: none, for a loopback interface only, or host
    #[arg(long, value_name = "NETWORK", num_args = 0..=1, require_equals = true, default_missing_value = "default",
          value_parser = values::network)]
    pub(crate) net: Option<values::Network>,
    /// The flavor of isolation: a name, a plugin's file NAME.wasm or NAME.so, or its image: a file, a name or an ID
    #[arg(long, value_name = "FLAVOR", group = "flavor")]
    pub(crate) stage1: Option<String>,
    /// The flavor by one of its old names
    #[arg(long, value_name = "NAME", group = "flavor", hide = true)]
    pub(crate) stage1_name: Option<String>,
    /// The flavor by the file of its plugin
    #[arg(long, value_name = "FILE", group = "flavor", hide = true)]
    pub(crate) stage1_path: Option<PathBuf>,
    /// The flavor by the old name of its file
    #[arg(long, value_name = "FILE", group = "flavor", hide = true)]
    pub(crate) stage1_from_dir: Option<String>,
    /// An option of the flavor: NAME=VALUE
    #[arg(long, value_name = "OPTION", action = ArgAction::Append, value_parser = values::setting)]
    pub(crate) stage1_option: Vec<(String, String)>,
    /// Refuse the pod where the flavor does not give all that is asked for
    #[arg(long)]
    pub(crate) strict: bool,
}

impl PodFlags {
    /// The flavor that is named, by whichever flag.
    pub(crate) fn flavor(&self) -> Option<String> {
        // A path has a slash in it, so that it is not taken for a name.
        let path = self.stage1_path.as_ref().map(|path| Path::new(".").join(path).to_string_lossy().into_owned());
        self.stage1.clone().or_else(|| self.stage1_name.clone()).or_else(|| self.stage1_from_dir.clone()).or(path)
    }

    /// The options of the flavor, the last of each name.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        self.stage1_option.iter().cloned().collect()
    }
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
}

/// `rkt run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) pod: PodFlags,
    /// Write the pod's UUID to this file before the pod is prepared
    #[arg(long, value_name = "FILE", help_heading = "OPTIONS")]
    pub(crate) uuid_file_save: Option<PathBuf>,
    /// Here for the help: they are parsed image by image.
    #[command(flatten)]
    pub(crate) app: AppFlags,
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
    #[command(flatten)]
    pub(crate) output: Format,
}

/// `rkt stop`
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) pods: ManyPods,
    /// Kill apps without asking them to end first
    #[arg(long, help_heading = "OPTIONS")]
    pub(crate) force: bool,
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

/// `rkt doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) output: Format,
}

/// The definition of all commands.
pub(crate) fn definition() -> clap::Command {
    switches(Line::command())
}

/// The definition of `run` alone, which is made in a third of the time.
pub(crate) fn run_definition() -> clap::Command {
    switches(RunLine::command())
}

/// The definition of the flags that belong to an image.
pub(crate) fn app_definition() -> clap::Command {
    switches(AppFlags::augment_args(clap::Command::new("rkt").no_binary_name(true).args_override_self(true)))
}

/// Flags that say yes or no can stand alone, or have `=true` or `=false` after them.
fn switches(command: clap::Command) -> clap::Command {
    let switch = |arg: clap::Arg| match arg.get_action() {
        ArgAction::SetTrue => {
            let default = if arg.get_default_values().is_empty() { "false" } else { "true" };
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value(default)
                .default_missing_value("true")
                .hide_default_value(default == "false")
                .value_name("BOOL")
                .value_parser(values::boolean)
        }
        _ => arg,
    };
    command.mut_args(switch).mut_subcommands(switches)
}
