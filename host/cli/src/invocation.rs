//! From the words of a command line to what is meant, or to what is wrong with them.

use std::ffi::OsString;
use std::mem::ManuallyDrop;

use clap::{Command as Definition, FromArgMatches as _};
use rkt_appc::Mount;

use self::command_word::{find_command, resolve};
use self::mistakes::{message, stop};
use crate::arguments::{self, AppFlags, Command, Line, RunLine, conflict};
use crate::images::{self, Flags, Walked};

mod command_word;
mod mistakes;

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
    if conflict(&matches).is_some() {
        return None;
    }
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
        "run" | "prepare" | "plan" | "fetch" | "add" => {
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
    let matches = definition.try_get_matches_from(all).map_err(|error| stop(&error, &path))?;
    let of_command = path.iter().try_fold(&matches, |at, name| at.subcommand_matches(name));
    if let Some(message) = of_command.and_then(conflict) {
        return Err(Stop::Bad { command: name, message });
    }
    let line = Line::from_arg_matches(&matches).map_err(|error| stop(&error, &path))?;
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

fn without_command(mut definition: Definition, words: &[OsString]) -> Stop {
    let help = definition.render_long_help().to_string();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Stop::Help(help);
    }
    Stop::NoCommand(help)
}

#[cfg(test)]
mod tests;
