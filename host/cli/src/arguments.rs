//! What can be written on a command line: one definition a flag, from which parsing, help, completions and manual
//! pages come.
//!
//! Commands that take several images have a grammar of their own ([`crate::images`]), which asks these
//! definitions which flags there are and whether they take a value.

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};
use rkt_pod::{Configuration, ConfigurationError};

use crate::insecure::Insecure;
use crate::values;

mod apps;
mod flags;
mod flavor;
mod images;
mod output;
mod pods;

pub(crate) use self::apps::{AppAdd, AppRm};
pub(crate) use self::flags::{AppFlags, PodFlags, StartFlags};
pub(crate) use self::flavor::{Choice, conflict};
pub(crate) use self::images::{
    Fetch, ImageExport, ImageField, ImageGc, ImageList, ImageManifest, ImageRm, ImageTree, ImageVerify, Order,
};
pub(crate) use self::output::{Format, OutputFormat};
pub(crate) use self::pods::{
    CatManifest, Enter, Export, Gc, List, ManyPods, OnePod, Plan, Prepare, Replay, Rm, Run, RunPrepared, Status, Stop,
};

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
    /// Where images and pods are kept; /var/lib/rkt where neither this nor the configuration says it
    #[arg(long = "dir", global = true, value_name = "PATH", value_parser = values::directory)]
    given_dir: Option<PathBuf>,
    /// The same when it has been looked up.
    #[arg(skip)]
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

    /// Looks the data directory up: as it is given, or as the configuration says.
    ///
    /// # Errors
    /// The configuration is not what it should be.
    pub(crate) fn with_data_directory(self) -> Result<Self, ConfigurationError> {
        let dir = if let Some(given) = &self.given_dir {
            given.clone()
        } else {
            let said = Configuration::data_directory(&self.configuration())?;
            let dir = said.unwrap_or_else(|| PathBuf::from(DATA));
            dir.canonicalize().unwrap_or(dir)
        };
        Ok(Self { dir, ..self })
    }
}

/// Where images and pods are kept, unless somebody says otherwise.
const DATA: &str = "/var/lib/rkt";

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
    #[command(
        override_usage = "rkt run [OPTIONS] IMAGE [--OPTION...] [-- ARGUMENT... [---]]...\n    rkt run [OPTIONS] --pod-manifest=FILE"
    )]
    Run(Run),
    /// Make a pod of images, to be started with `rkt run-prepared`; prints its UUID
    #[command(
        override_usage = "rkt prepare [OPTIONS] IMAGE [--OPTION...] [-- ARGUMENT... [---]]...\n    rkt prepare [OPTIONS] --pod-manifest=FILE"
    )]
    Prepare(Prepare),
    /// Start a pod that was prepared
    RunPrepared(RunPrepared),
    /// Show how a pod would be isolated, and start nothing
    #[command(
        override_usage = "rkt plan [OPTIONS] IMAGE [--OPTION...] [-- ARGUMENT... [---]]...\n    rkt plan [OPTIONS] --pod-manifest=FILE"
    )]
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
    /// Write an app of an exited pod to a file, as an image
    Export(Export),
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
    /// Print the configuration
    Config(Config),
    /// Print what a shell needs to complete lines of rkt
    Completion(Completion),
    /// Write manual pages
    Manual(Manual),
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
    Rm(ImageRm),
    /// Remove images that were not used for a time
    Gc(ImageGc),
    /// Write the archive of an image into a file
    Export(ImageExport),
    /// Write an image into a directory, without what it depends on
    Extract(ImageTree),
    /// Write an image into a directory as its apps see it, with what it depends on
    Render(ImageTree),
    /// Print the manifest of an image
    CatManifest(ImageManifest),
    /// Find damage in the store, and mend what can be made anew
    Verify(ImageVerify),
    /// As `rkt fetch`
    #[command(hide = true)]
    Fetch(Fetch),
}

/// `rkt doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) output: Format,
}

/// `rkt config`
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// On many lines
    #[arg(long, default_value_t = true, help_heading = "OPTIONS")]
    pub(crate) pretty_print: bool,
}

/// `rkt completion`
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell: bash, zsh or fish
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Option<String>,
}

/// `rkt manual`
#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// Where the pages are written to
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
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
