//! What a plan says of programs.

use super::{Facet, access, describe_source, facets_of_jail};
use crate::checked::CheckedPlan;
use crate::explain::printable;
use crate::measure::Measure;
use crate::program::{
    Argument, Channel, Confinement, Handle, Helper, Inside, MainProgram, Piece, Program, ProgramFile, Template,
};

pub(super) fn facets(plan: &CheckedPlan) -> Vec<Facet> {
    let main = plan.program.iter().flat_map(of_main);
    let helpers = plan.helpers.iter().flat_map(of_helper);
    let enter = plan.enter.iter().flat_map(|template| of_template("enter", template));
    let stop = plan.stop.iter().flat_map(|template| of_template("stop", template));
    helpers.chain(main).chain(enter).chain(stop).collect()
}

/// What neither gives nor takes a power that can be compared.
fn plain(subject: &str, aspect: &'static str, item: String, text: String) -> Facet {
    Facet { subject: subject.to_owned(), aspect, item, text: text.clone(), measure: Measure::Plain(text) }
}

fn one(subject: &str, aspect: &'static str, text: String) -> Facet {
    plain(subject, aspect, String::new(), text)
}

fn of_main(main: &MainProgram) -> Vec<Facet> {
    let inside = match &main.inside {
        Inside::Opaque => "opaque: the program's exit code is the pod's".to_owned(),
        Inside::Init { channel, speaks_within, hint } => {
            let channel = match channel {
                Channel::Socket(path) => format!("on the socket {}", printable(path.as_str())),
                Channel::Descriptor => "through a descriptor of the program".to_owned(),
            };
            let hint = hint.as_deref().map_or(String::new(), |hint| format!(", or else: {}", printable(hint)));
            format!("rkt's init, which speaks {channel}, within {speaks_within} s{hint}")
        }
    };
    let mut facets = of_program("program", &main.program);
    facets.insert(1, one("program", "inside", inside));
    facets
}

fn of_helper(helper: &Helper) -> Vec<Facet> {
    let subject = format!("helper {}", helper.name);
    let mut facets = of_program(&subject, &helper.program);
    if let Some(path) = &helper.ready_when {
        let text = format!("when there is {}", printable(path.as_str()));
        facets.push(one(&subject, "ready", text));
    }
    facets
}

fn of_template(subject: &str, template: &Template) -> Vec<Facet> {
    let mut facets = vec![one(subject, "runs", describe_file(&template.file))];
    facets.extend(of_arguments(subject, &template.arguments));
    facets
}

fn of_arguments<'a>(subject: &'a str, arguments: &'a [Argument]) -> impl Iterator<Item = Facet> + 'a {
    // As numbers of one width, so that they stay in order.
    let number = |index| format!("{index:04}");
    let arguments = arguments.iter().enumerate();
    arguments.map(move |(index, argument)| plain(subject, "arguments", number(index), describe(argument)))
}

fn describe_file(file: &ProgramFile) -> String {
    match file {
        ProgramFile::Host(path) => format!("the host's {}", printable(path.as_str())),
        ProgramFile::Payload(path) => format!("the payload's {}", printable(path.as_str())),
    }
}

fn of_program(subject: &str, program: &Program) -> Vec<Facet> {
    let where_it_runs = match program.confinement {
        Confinement::Jailed => "in a jail of its own",
        Confinement::Unconfined => "on the host, outside of any jail",
    };
    let mut facets = vec![
        one(subject, "runs", describe_file(&program.file)),
        Facet {
            measure: Measure::Confinement(program.confinement),
            ..one(subject, "confined", where_it_runs.to_owned())
        },
    ];
    facets.extend(of_arguments(subject, &program.arguments));
    facets.extend(
        program
            .environment
            .iter()
            .map(|(name, value)| plain(subject, "environment", name.clone(), format!("{name}={}", printable(value)))),
    );
    facets.extend(program.environment_of.iter().map(|app| one(subject, "environment", format!("that of app {app}"))));
    let own = program.own_directories.iter();
    facets.extend(own.map(|path| {
        let text = format!("{}: empty, in memory, seen by it alone", printable(path.as_str()));
        plain(subject, "own paths", path.to_string(), text)
    }));
    facets.extend(facets_of_jail(subject, &program.jail, program.confinement == Confinement::Jailed));
    facets
}

/// An argument as a person would write it; what the host puts in stands in angle brackets.
fn describe(argument: &Argument) -> String {
    let pieces = argument.pieces().iter().map(|piece| match piece {
        Piece::Text(text) => printable(text),
        Piece::Descriptor(Handle::Channel) => "<descriptor of the channel>".to_owned(),
        Piece::Descriptor(Handle::Open { source, access: how }) => {
            format!("<descriptor of {}, {}>", describe_source(source), access(*how))
        }
        Piece::Tree => "<tree>".to_owned(),
        Piece::Command(app) => format!("<command of app {app}>"),
        Piece::WorkingDirectory(app) => format!("<working directory of app {app}>"),
        Piece::Words => "<words>".to_owned(),
    });
    pieces.collect()
}
