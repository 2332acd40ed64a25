//! `rkt completion` and `rkt manual`: what shells and man(1) know of rkt, from the one definition of its line.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Outcome;
use crate::arguments::{Completion, Manual, definition};
use crate::report::{Failure, plainly, print};

/// The shells that there is a script for.
const SHELLS: [(&str, Shell); 3] = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

/// Prints the script of a shell.
pub(super) fn completion(completion: &Completion) -> Outcome {
    let Some(wanted) = &completion.shell else { return Err(Failure::said("shell type is not specified")) };
    let Some((_, shell)) = SHELLS.iter().find(|(name, _)| name == wanted) else {
        return Err(Failure::said(format!("'{wanted}' shell is not supported")));
    };
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut definition(), "rkt", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for each command into a directory.
pub(super) fn manual(manual: &Manual) -> Outcome {
    let mut definition = definition();
    definition.build();
    write_page(&manual.directory, &definition, "rkt")
        .and_then(|()| write_pages(&manual.directory, &definition, "rkt"))?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(directory: &Path, command: &Command, name: &str) -> Result<(), Failure> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        let name = format!("{name}-{}", inner.get_name());
        write_page(directory, inner, &name)?;
        write_pages(directory, inner, &name)?;
    }
    Ok(())
}

fn write_page(directory: &Path, command: &Command, name: &str) -> Result<(), Failure> {
    let path = directory.join(format!("{name}.1"));
    let page = command.clone().version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    let mut text = Vec::new();
    let written = Man::new(page).render(&mut text).and_then(|()| fs::write(&path, text));
    written.map_err(|error| Failure::said(format!("cannot write {}: {}", path.display(), plainly(&error))))
}
