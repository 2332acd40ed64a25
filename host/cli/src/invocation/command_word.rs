//! Which of the words is the command's name, and which command that is.

use std::ffi::{OsStr, OsString};

use clap::Command as Definition;

use super::Stop;
use crate::later;

/// A command line taken apart at its command.
pub(super) struct Found<'a> {
    pub(super) before: &'a [OsString],
    pub(super) command: &'a OsStr,
    pub(super) after: &'a [OsString],
}

/// The command is the first word that is no flag and no flag's value. A flag that is not rkt's own is
/// the command's, and is taken to have the next word as its value, as it always was.
pub(super) fn find_command<'a>(definition: &Definition, words: &'a [OsString]) -> Option<Found<'a>> {
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
pub(super) fn resolve(definition: &Definition, found: &Found<'_>) -> Result<(Vec<&'static str>, Vec<OsString>), Stop> {
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
pub(super) const NAMES: [&str; 26] = [
    "run",
    "prepare",
    "run-prepared",
    "plan",
    "replay",
    "list",
    "status",
    "stop",
    "rm",
    "gc",
    "enter",
    "export",
    "cat-manifest",
    "fetch",
    "app",
    "add",
    "image",
    "extract",
    "render",
    "verify",
    "config",
    "completion",
    "manual",
    "version",
    "doctor",
    HELP,
];

/// Tells about other commands; clap makes it.
const HELP: &str = "help";
