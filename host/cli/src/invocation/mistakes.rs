//! What is wrong with a line, in rkt's words.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Stop;
use crate::arguments;
use crate::images::GrammarError;
use crate::later;

/// What clap found wrong, in rkt's words.
pub(super) fn stop(error: &clap::Error, path: &[&'static str]) -> Stop {
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

pub(super) fn message(error: &clap::Error) -> String {
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
