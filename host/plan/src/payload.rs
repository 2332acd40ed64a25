//! What a plan takes from the image that its plugin came in.

use crate::checked::{CheckedPlan, Jail, Mount, Source};
use crate::path::CleanPath;
use crate::program::{Handle, Program, ProgramFile};

impl CheckedPlan {
    /// The first path in the plugin's image that is named; none: the plan does without one.
    pub fn payload(&self) -> Option<&CleanPath> {
        let helpers = self.helpers.iter().map(|helper| &helper.program);
        let programs = self.program.iter().map(|main| &main.program).chain(helpers);
        let templates = self.enter.iter().chain(&self.stop);
        programs
            .flat_map(of_program)
            .chain(templates.filter_map(|template| of_file(&template.file)))
            .chain(self.apps.iter().flat_map(of_jail))
            .next()
    }
}

fn of_program(program: &Program) -> impl Iterator<Item = &CleanPath> {
    let opened = program.descriptors().into_iter().filter_map(|handle| match handle {
        Handle::Open { source, .. } => of_source(source),
        Handle::Channel => None,
    });
    of_file(&program.file).into_iter().chain(of_jail(&program.jail)).chain(opened)
}

fn of_jail(jail: &Jail) -> impl Iterator<Item = &CleanPath> {
    jail.mounts.iter().filter_map(|mount| match mount {
        Mount::Bind { source, .. } => of_source(source),
        Mount::FileSystem { .. } => None,
    })
}

fn of_file(file: &ProgramFile) -> Option<&CleanPath> {
    match file {
        ProgramFile::Payload(path) => Some(path),
        ProgramFile::Host(_) => None,
    }
}

fn of_source(source: &Source) -> Option<&CleanPath> {
    match source {
        Source::Payload(path) => Some(path),
        Source::Volume(_) | Source::Empty(_) | Source::Host(_) | Source::RootOf(_) | Source::Artifact(_) => None,
    }
}
