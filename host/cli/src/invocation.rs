//! From the words of a command line to what is meant, or to what is wrong with them.

use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command as Definition, FromArgMatches as _};
use rkt_appc::Mount;

use crate::arguments::{self, AppFlags, Command, Line, RunLine};
use crate::images::{self, Flags, GrammarError, Walked};
use crate::later;

/// A command with its flags, and its images where it takes any.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) line: Line,
    pub(crate) images: Vec<ImageArguments>,
    /// Mounts in every app.
    pub(crate) everywhere: Vec<Mount>,
}

/// An image and what is said about it.
#[derive(Debug)]
pub(crate) struct ImageArguments {
    /// What the user calls it by.
    pub(crate) image: String,
    pub(crate) flags: AppFlags,
    pub(crate) arguments: Vec<String>,
}

/// Why there is nothing to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Help was asked for.
    Help(String),
    /// There is no command; the help.
    NoCommand(String),
    /// The command takes another number of words; its usage.
    Usage(String),
    /// The words make no sense: the command, as far as there is one, and why.
    Bad { command: String, message: String },
}

/// Understands the words after the program's name.
pub(crate) fn understand(words: &[OsString]) -> Result<Invocation, Stop> {
    match understand_run(words) {
        Some(invocation) => Ok(invocation),
        None => understand_any(words),
    }
}

/// Understands `rkt run` in which nothing is wrong and no help is asked for, without the definitions of all
/// other commands: making those takes longer than much of what follows.
fn understand_run(words: &[OsString]) -> Option<Invocation> {
    // To take definitions apart would take time, just before this process becomes the monitor.
    let mut definition = ManuallyDrop::new(arguments::run_definition());
    let found = find_command(&definition, words).filter(|found| found.command == "run")?;
    let mut of_images = ManuallyDrop::new(arguments::app_definition());
    let flags = Flags::new(&definition, &definition, Some(&of_images));
    let rest: Vec<OsString> = found.before.iter().chain(found.after).cloned().collect();
    let walked = images::walk(&rest, &flags).ok()?;
    let line = [OsString::from("rkt")].into_iter().chain(walked.pod.iter().cloned());
    let matches = ManuallyDrop::new(definition.try_get_matches_from_mut(line).ok()?);
    let RunLine { globals, run } = RunLine::from_arg_matches(&matches).ok()?;
    let line = Line { globals, command: Command::Run(run) };
    of_walked(line, walked, "run", &mut of_images).ok()
}

fn understand_any(words: &[OsString]) -> Result<Invocation, Stop> {
    // Not built as a whole: clap builds what it needs when it parses, and the rest takes longer than
    // most commands.
    let definition = arguments::definition();
    let Some(found) = find_command(&definition, words) else {
        return Err(without_command(definition, words));
    };
    let (path, rest) = resolve(&definition, &found)?;
    // The command that tells about others has no definition of its own yet.
    let command = path.iter().try_fold(&definition, |at, name| at.find_subcommand(name)).unwrap_or(&definition);
    let name = path.last().copied().unwrap_or("rkt").to_owned();
    let bad = |error: &dyn std::error::Error, context: &str| Stop::Bad {
        command: name.clone(),
        message: format!("{context}{error}"),
    };
    let mut of_images = arguments::app_definition();
    let (rest, walked) = match name.as_str() {
        "run" | "plan" | "fetch" | "add" => {
            let flags = Flags::new(&definition, command, (name != "fetch").then_some(&of_images));
            let context = if name == "fetch" { "unable to parse arguments: " } else { ARGUMENTS };
            let mut walked = images::walk(&rest, &flags).map_err(|error| bad(&error, context))?;
            let pod = if name == "add" { walked.take_pod().map_err(|error| bad(&error, context))? } else { None };
            (walked.pod.iter().cloned().chain(pod).collect(), walked)
        }
        _ => (rest, Walked::default()),
    };
    if name == "fetch" && walked.images.iter().any(|image| image.arguments.is_some()) {
        let message = "unable to parse arguments: app arguments unsupported".to_owned();
        return Err(Stop::Bad { command: name, message });
    }
    let all = [OsString::from("rkt")].into_iter().chain(path.iter().map(OsString::from)).chain(rest);
    let line = definition.try_get_matches_from(all).and_then(|matches| Line::from_arg_matches(&matches));
    let line = line.map_err(|error| stop(&error, &path))?;
    of_walked(line, walked, &name, &mut of_images)
}

/// A line with its images and their flags, which `of_images` defines.
fn of_walked(line: Line, walked: Walked, command: &str, of_images: &mut Definition) -> Result<Invocation, Stop> {
    let everywhere = app_flags(&walked.everywhere, command, of_images)?.mount;
    let images = walked.images.into_iter().map(|image| {
        let flags = app_flags(&image.flags, command, of_images)?;
        Ok(ImageArguments { image: image.image, flags, arguments: image.arguments.unwrap_or_default() })
    });
    Ok(Invocation { line, images: images.collect::<Result<_, Stop>>()?, everywhere })
}

/// What scripts see before mistakes in images and their flags.
const ARGUMENTS: &str = "error parsing app image arguments: ";

fn app_flags(words: &[OsString], command: &str, definition: &mut Definition) -> Result<AppFlags, Stop> {
    let matches = definition.try_get_matches_from_mut(words);
    let parsed = matches.and_then(|matches| AppFlags::from_arg_matches(&matches));
    parsed
        .map_err(|error| Stop::Bad { command: command.to_owned(), message: format!("{ARGUMENTS}{}", message(&error)) })
}

/// A command line taken apart at its command.
struct Found<'a> {
    before: &'a [OsString],
    command: &'a OsStr,
    after: &'a [OsString],
}

/// The command is the first word that is no flag and no flag's value. A flag that is not rkt's own is
/// the command's, and is taken to have the next word as its value, as it always was.
fn find_command<'a>(definition: &Definition, words: &'a [OsString]) -> Option<Found<'a>> {
    let takes_no_value = |name: &str| {
        let global = definition.get_arguments().find(|arg| arg.get_long() == Some(name));
        name == "help" || global.is_some_and(|arg| !arg.get_action().takes_values() || arg.is_require_equals_set())
    };
    let mut index = 0;
    while let Some(word) = words.get(index) {
        match word.to_str().and_then(|word| word.strip_prefix('-')) {
            None if word.is_empty() => index += 1,
            None => {
                return Some(Found { before: &words[..index], command: word, after: &words[index + 1..] });
            }
            Some(flag) => {
                let alone = match flag.strip_prefix('-') {
                    Some(name) => name.contains('=') || takes_no_value(name),
                    None => true,
                };
                index += if alone { 1 } else { 2 };
            }
        }
    }
    None
}

/// The command's name, and its sub-command's, in full; and the words after it, with those before.
fn resolve(definition: &Definition, found: &Found<'_>) -> Result<(Vec<&'static str>, Vec<OsString>), Stop> {
    let flags = found.before.iter().cloned();
    let name = subcommand(definition, found.command, "rkt", later::is_command)?;
    let (parent, comes_later): (_, fn(&str) -> bool) = match name {
        "image" => ("rkt image", |_| false),
        "app" => ("rkt app", later::is_app_command),
        _ => return Ok((vec![name], flags.chain(found.after.iter().cloned()).collect())),
    };
    let group = definition.find_subcommand(name).expect("it was just found");
    match find_command(definition, found.after) {
        Some(inner) => {
            let sub = subcommand(group, inner.command, parent, comes_later)?;
            Ok((vec![name, sub], flags.chain(inner.before.iter().chain(inner.after).cloned()).collect()))
        }
        None => Ok((vec![name], flags.chain(found.after.iter().cloned()).collect())),
    }
}

/// The sub-command of this name, or the only one that begins so.
fn subcommand(
    definition: &Definition,
    word: &OsStr,
    parent: &str,
    comes_later: fn(&str) -> bool,
) -> Result<&'static str, Stop> {
    let word = word.to_string_lossy();
    let is_known = |name: &&str| *name == HELP || definition.find_subcommand(name).is_some();
    let known: Vec<&'static str> = NAMES.into_iter().filter(is_known).collect();
    if let Some(name) = known.iter().find(|name| **name == word) {
        return Ok(name);
    }
    if comes_later(&word) {
        let message = format!("{word} is not supported by this rkt yet");
        return Err(Stop::Bad { command: "rkt".to_owned(), message });
    }
    let mut beginning = known.iter().filter(|name| name.starts_with(&*word));
    if let (Some(name), None) = (beginning.next(), beginning.next()) {
        return Ok(name);
    }
    let message = format!("unknown command {word:?} for {parent:?}\nRun '{parent} --help' for usage.");
    Err(Stop::Bad { command: "rkt".to_owned(), message })
}

/// The names of all commands and sub-commands.
const NAMES: [&str; 21] = [
    "run",
    "plan",
    "replay",
    "list",
    "status",
    "stop",
    "rm",
    "gc",
    "enter",
    "cat-manifest",
    "fetch",
    "app",
    "add",
    "image",
    "export",
    "extract",
    "render",
    "verify",
    "version",
    "doctor",
    HELP,
];

/// Tells about other commands; clap makes it.
const HELP: &str = "help";

fn without_command(mut definition: Definition, words: &[OsString]) -> Stop {
    let help = definition.render_long_help().to_string();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Stop::Help(help);
    }
    Stop::NoCommand(help)
}

/// What clap found wrong, in rkt's words.
fn stop(error: &clap::Error, path: &[&'static str]) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Help(error.to_string()),
        ErrorKind::MissingRequiredArgument
        | ErrorKind::TooManyValues
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Stop::Usage(usage(path)),
        ErrorKind::UnknownArgument if !invalid_argument(error).starts_with('-') => Stop::Usage(usage(path)),
        _ => Stop::Bad { command: path.last().copied().unwrap_or("rkt").to_owned(), message: message(error) },
    }
}

fn usage(path: &[&str]) -> String {
    let mut definition = arguments::definition();
    definition.build();
    let command = path.iter().try_fold(&mut definition, |at, name| at.find_subcommand_mut(name));
    command.map_or_else(String::new, |command| format!("{}\n", command.render_usage()))
}

fn message(error: &clap::Error) -> String {
    let flag = invalid_argument(error);
    let name = first_word(flag);
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    match error.kind() {
        ErrorKind::UnknownArgument if later::is_flag(name.trim_start_matches('-')) => {
            GrammarError::NotYet(name.trim_start_matches('-').to_owned()).to_string()
        }
        ErrorKind::UnknownArgument => GrammarError::UnknownFlag(name.to_owned()).to_string(),
        ErrorKind::InvalidValue if value.is_empty() => {
            GrammarError::NeedsArgument(name.trim_start_matches('-').to_owned()).to_string()
        }
        ErrorKind::InvalidValue => format!("invalid argument {value:?} for {name:?} flag: {}", possible(error)),
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map_or(String::new(), ToString::to_string);
            format!("invalid argument {value:?} for {name:?} flag: {why}")
        }
        ErrorKind::ArgumentConflict => {
            let other = match error.get(ContextKind::PriorArg) {
                Some(ContextValue::String(other)) => first_word(other),
                Some(ContextValue::Strings(others)) => others.first().map_or("", |other| first_word(other)),
                _ => "",
            };
            format!("flags {name} and {other} are mutually exclusive")
        }
        ErrorKind::NoEquals => format!("{name} must be set with ="),
        _ => error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned(),
    }
}

/// The flag alone, without what its value is called.
fn first_word(flag: &str) -> &str {
    flag.split([' ', '=', '[']).next().unwrap_or_default()
}

fn possible(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("it is one of {}", values.join(", ")),
        _ => "it is none of those that there are".to_owned(),
    }
}

fn invalid_argument(error: &clap::Error) -> &str {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument,
        Some(ContextValue::Strings(arguments)) => arguments.first().map_or("", String::as_str),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{App, Command, Image};

    fn understood(line: &str) -> Result<Invocation, Stop> {
        understand(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn bad(line: &str) -> String {
        match understood(line) {
            Err(Stop::Bad { command, message }) => format!("{command}: {message}"),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definitions_are_consistent() {
        arguments::definition().debug_assert();
        arguments::app_definition().debug_assert();
    }

    #[test]
    fn commands_can_be_shortened_and_flags_stand_before_them() {
        let is = |line: &str, wanted: fn(&Command) -> bool| {
            let command = understood(line).unwrap().line.command;
            assert!(wanted(&command), "{line}: {command:?}");
        };
        is("ver", |command| matches!(command, Command::Version));
        is("--debug version", |command| matches!(command, Command::Version));
        is("im li", |command| matches!(command, Command::Image(Image::List(_))));
        is("--dir /x image --debug list", |command| matches!(command, Command::Image(Image::List(_))));
        is("cat-manifest --uuid-file=f", |command| matches!(command, Command::CatManifest(_)));
        is("replay --plugin=fly 1a2b", |command| matches!(command, Command::Replay(_)));
        is("gc --grace-period=0s", |command| matches!(command, Command::Gc(_)));
        let run = understood("--uuid-file-save=F run a.aci").unwrap();
        assert_eq!(run.images[0].image, "a.aci");
        let run = understood("--volume v,kind=empty run a.aci --user 5").unwrap();
        assert!(run.images[0].flags.user.is_some());
    }

    #[test]
    fn every_command_that_is_defined_is_found_by_its_name() {
        let definition = arguments::definition();
        let inner = definition.get_subcommands().flat_map(Definition::get_subcommands);
        for command in definition.get_subcommands().chain(inner) {
            assert!(NAMES.contains(&command.get_name()), "{}", command.get_name());
        }
    }

    #[test]
    fn run_by_its_own_definition_means_what_it_means_among_all_commands() {
        let lines = [
            "run a.aci",
            "--debug --dir=/d run --stage1=fly a.aci --user=1 --memory=1G -- x -y --- b.aci --exec /c",
            "run --mount volume=v,target=/d --volume v,kind=empty --hostname=h --set-env A=1 a.aci --name=n",
            "run --uuid-file-save=/u --insecure-options=image --net=host --strict a.aci b.aci",
        ];
        for line in lines {
            let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
            let alone = understand_run(&words).unwrap_or_else(|| panic!("{line}: not understood alone"));
            let among_all = understand_any(&words).unwrap();
            assert_eq!(format!("{alone:?}"), format!("{among_all:?}"), "{line}");
        }
        for line in ["run", "r a.aci", "run --help", "run a.aci --memory=x", "list"] {
            let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
            let alone = understand_run(&words).map(|invocation| format!("{invocation:?}"));
            assert!(alone.is_none_or(|alone| alone == format!("{:?}", understand_any(&words).unwrap())), "{line}");
        }
    }

    #[test]
    fn the_first_word_of_an_addition_is_the_pod() {
        let added =
            understood("--debug app add --strict 1a2b i.aci --user=5 --mnt-volume name=v,kind=empty,target=/v -- x -y");
        let Invocation { line, images, everywhere } = added.unwrap();
        let Command::App(App::Add(add)) = line.command else { panic!("add") };
        assert_eq!((add.uuid.as_deref(), add.strict, add.mnt_volume.len()), (Some("1a2b"), true, 1));
        assert_eq!((images.len(), images[0].image.as_str(), everywhere.len()), (1, "i.aci", 0));
        assert_eq!(images[0].arguments, ["x", "-y"]);
        assert!(images[0].flags.user.is_some() && line.globals.debug);
        let Command::App(App::Rm(rm)) = understood("app rm --app=db 1a2b").unwrap().line.command else { panic!("rm") };
        assert_eq!((rm.app.unwrap().as_str(), rm.uuid.as_deref()), ("db", Some("1a2b")));
        let Command::App(App::Add(add)) = understood("app add").unwrap().line.command else { panic!("add") };
        assert_eq!(add.uuid, None);
    }

    #[test]
    fn flags_of_a_kind_have_the_last_word_and_lists_grow() {
        let Invocation { line, images, everywhere } =
            understood("run --mount volume=v,target=/d --hostname=a --hostname=b --set-env A=1 --set-env B=2 i --user=1 --user=2 -- x").unwrap();
        let Command::Run(run) = line.command else { panic!("run") };
        assert_eq!(run.pod.hostname.as_deref(), Some("b"));
        assert_eq!(run.pod.set_env.len(), 2);
        assert_eq!(everywhere.len(), 1);
        assert_eq!(images[0].arguments, ["x"]);
        assert_eq!(images[0].flags.user, Some("2".parse().unwrap()));
        assert!(!line.globals.debug);
    }

    #[test]
    fn mistakes_are_told_in_rkts_words() {
        let table = [
            ("frobnicate", "rkt: unknown command \"frobnicate\" for \"rkt\"\nRun 'rkt --help' for usage."),
            ("prepare a.aci", "rkt: prepare is not supported by this rkt yet"),
            ("app start x", "rkt: start is not supported by this rkt yet"),
            ("app frob x", "rkt: unknown command \"frob\" for \"rkt app\"\nRun 'rkt app --help' for usage."),
            ("app add 1a --user=1 i", "add: error parsing app image arguments: --user must follow an image"),
            (
                "app add 1a -- x",
                "add: error parsing app image arguments: an image is required before any app arguments",
            ),
            ("list --colour", "list: unknown flag: --colour"),
            ("status --wait x", "status: --wait is not supported by this rkt yet"),
            ("list --format=xml", "list: invalid argument \"xml\" for \"--format\" flag: Invalid format option: xml"),
            (
                "run --net=lan a.aci",
                "run: invalid argument \"lan\" for \"--net\" flag: networks are not supported by this rkt yet, only none and host",
            ),
            ("run --user=1 a.aci", "run: error parsing app image arguments: --user must follow an image"),
            (
                "run a.aci --memory=x",
                "run: error parsing app image arguments: invalid argument \"x\" for \"--memory\" flag: ",
            ),
            ("fetch a.aci -- x", "fetch: unable to parse arguments: app arguments unsupported"),
            (
                "--insecure-options=all run a.aci",
                "run: invalid argument \"all\" for \"--insecure-options\" flag: option \"all\" is not supported by this rkt yet",
            ),
            ("gc --grace-period", "gc: flag needs an argument: --grace-period"),
            ("run --stage1=a --stage1-path=b x", "run: flags --stage1 and --stage1-path are mutually exclusive"),
        ];
        for (line, expected) in table {
            let message = bad(line);
            assert!(message.starts_with(expected), "{line}: {message}");
        }
    }

    #[test]
    fn help_and_usage_are_no_mistakes() {
        assert!(matches!(understood(""), Err(Stop::NoCommand(_))));
        let Err(Stop::Help(help)) = understood("--help") else { panic!("help") };
        for heading in ["NAME:", "USAGE:", "COMMANDS:", "GLOBAL OPTIONS:"] {
            assert!(help.contains(heading), "{heading}: {help}");
        }
        assert!(matches!(understood("run --help"), Err(Stop::Help(_))));
        assert!(matches!(understood("help run"), Err(Stop::Help(_))));
        assert!(matches!(understood("status"), Err(Stop::Usage(_))));
        assert!(matches!(understood("list extra"), Err(Stop::Usage(_))));
        assert!(matches!(understood("image"), Err(Stop::Usage(_))));
    }
}
