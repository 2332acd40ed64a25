//! The six flags that name a flavor, of which one can stand.

use std::path::PathBuf;

use clap::{ArgAction, ArgMatches, Args};

/// Which flavor a pod gets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "OPTIONS")]
pub(crate) struct FlavorFlags {
    /// The flavor of isolation: a name, a plugin's file NAME.wasm or NAME.so, or its image: a file, a name or an ID
    #[arg(long, value_name = "FLAVOR", action = ArgAction::Append)]
    stage1: Vec<String>,
    /// The flavor by the name of its image, or one of its old names
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    stage1_name: Vec<String>,
    /// The flavor by the file of its plugin or its image
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    stage1_path: Vec<PathBuf>,
    /// The flavor by the ID of its image in the store
    #[arg(long, value_name = "ID", action = ArgAction::Append)]
    stage1_hash: Vec<String>,
    /// The flavor by the name of its image's file, in the directory for those
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    stage1_from_dir: Vec<String>,
    /// The flavor by the address of its image
    #[arg(long, value_name = "URL", action = ArgAction::Append)]
    stage1_url: Vec<String>,
}

/// A flavor, as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// In whatever way.
    Any(String),
    /// The name of an image.
    Name(String),
    /// A file.
    Path(PathBuf),
    /// The ID of an image.
    Hash(String),
    /// A file in the directory of images of flavors.
    FromDirectory(String),
    /// An address.
    Url(String),
}

impl FlavorFlags {
    /// The flavor that is named, by whichever flag.
    pub(crate) fn choice(&self) -> Option<Choice> {
        let any = self.stage1.first().cloned().map(Choice::Any);
        any.or_else(|| self.stage1_name.first().cloned().map(Choice::Name))
            .or_else(|| self.stage1_path.first().cloned().map(Choice::Path))
            .or_else(|| self.stage1_hash.first().cloned().map(Choice::Hash))
            .or_else(|| self.stage1_from_dir.first().cloned().map(Choice::FromDirectory))
            .or_else(|| self.stage1_url.first().cloned().map(Choice::Url))
    }
}

/// What is wrong where more than one flavor is named, in a line of a command that can name one.
pub(crate) fn conflict(matches: &ArgMatches) -> Option<String> {
    const FLAGS: [&str; 6] = ["stage1", "stage1_name", "stage1_path", "stage1_hash", "stage1_from_dir", "stage1_url"];
    let is_known = |flag: &&str| matches.try_contains_id(flag).unwrap_or(false);
    let indices = |flag: &'static str| matches.indices_of(flag).into_iter().flatten().map(move |index| (index, flag));
    let mut said: Vec<_> = FLAGS.into_iter().filter(is_known).flat_map(indices).collect();
    said.sort_unstable();
    let shown = |flag: &str| format!("--{}", flag.replace('_', "-"));
    match said[..] {
        [(_, first), (_, second), ..] if first == second => Some(format!("{} already used", shown(first))),
        [(_, first), (_, second), ..] => {
            Some(format!("flags {} and {} are mutually exclusive", shown(second), shown(first)))
        }
        _ => None,
    }
}
