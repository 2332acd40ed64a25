//! Words about programs, and whether all that was said of one makes sense.

use super::jail::{JailDraft, Subject};
use super::{Check, below_root, is_file_name, path, set_once};
use crate::checked::{Jail, Mount, Source};
use crate::objection::{Objection, Problem};
use crate::path::CleanPath;
use crate::permission::Permission;
use crate::program::{
    Argument, Channel, Confinement, Handle, Helper, Inside, MainProgram, PATIENCE, Piece, Program, ProgramFile,
    Template,
};
use crate::shape::{Hole, Shape};
use crate::word::{self, Place, ProgramWord, Role};

/// A program as far as its words have been accepted.
#[derive(Default)]
pub(super) struct ProgramDraft {
    file: Option<ProgramFile>,
    /// Each with the number of its word, since only the whole tells whether it is allowed.
    arguments: Vec<(usize, Argument)>,
    environment: Vec<(usize, String, String)>,
    environment_of: Option<String>,
    pub(super) jail: JailDraft,
    unconfined: Option<()>,
    own_directories: Vec<CleanPath>,
    speaks_within: Option<(u32, Option<String>)>,
    ready_when: Option<CleanPath>,
}

/// All programs of a plan.
pub(super) struct Programs {
    pub(super) main: Option<MainProgram>,
    pub(super) helpers: Vec<Helper>,
    pub(super) enter: Option<Template>,
    pub(super) stop: Option<Template>,
}

impl Programs {
    /// Whether what is inside is nothing that the host knows.
    pub(super) fn is_opaque(&self) -> bool {
        self.main.as_ref().is_some_and(|main| main.inside == Inside::Opaque)
    }
}

impl Check<'_> {
    pub(super) fn program_word(&mut self, index: usize, role: &Role, word: &ProgramWord) -> Result<(), Problem> {
        if let ProgramWord::File { file } = word {
            return self.new_program(role, file);
        }
        if !self.draft.programs.contains_key(role) {
            return Err(Problem::Missing { word: "program" });
        }
        if is_template(role) && !matches!(word, ProgramWord::Argument { .. }) {
            return Err(Problem::OfATemplate { word: word.name(role) });
        }
        match word {
            ProgramWord::File { .. } => Err(Problem::Twice),
            ProgramWord::Argument { pieces } => {
                let argument = self.argument(role, pieces)?;
                self.program(role).arguments.push((index, argument));
                Ok(())
            }
            ProgramWord::Environment { name, value } => {
                if !is_variable(name) || value.contains('\0') {
                    return Err(Problem::Text { text: format!("{name}={value}") });
                }
                let environment = &mut self.program(role).environment;
                if environment.iter().any(|(_, other, _)| other == name) {
                    return Err(Problem::Twice);
                }
                environment.push((index, name.clone(), value.clone()));
                Ok(())
            }
            ProgramWord::EnvironmentOf { app } => {
                self.pod.app(app).ok_or(Problem::UnknownApp)?;
                set_once(&mut self.program(role).environment_of, app.clone())
            }
            ProgramWord::Jail { word } => self.jail_word(Subject::Program(role), word),
            ProgramWord::Unconfined => {
                let Some(ProgramFile::Host(file)) = self.program(role).file.clone() else {
                    return Err(Problem::UnconfinedPayload);
                };
                self.need(Permission::Unconfined(file))?;
                set_once(&mut self.program(role).unconfined, ())
            }
            ProgramWord::OwnDirectory { path } => {
                let at = below_root(path)?;
                self.need(Permission::OwnDirectory(at.clone()))?;
                let all = &mut self.program(role).own_directories;
                // One in another would hide it, or be hidden by it.
                if all.iter().any(|other| other.holds(&at) || at.holds(other)) {
                    return Err(Problem::Taken { path: at });
                }
                all.push(at);
                Ok(())
            }
            ProgramWord::SpeaksWithin { seconds, hint } => {
                super::jail::in_range("seconds", (*seconds).into(), &(1..=3600))?;
                set_once(&mut self.program(role).speaks_within, (*seconds, hint.clone()))
            }
            ProgramWord::ReadyWhen { path: at } => {
                if !matches!(role, Role::Helper(_)) {
                    return Err(Problem::OnlyHelpers { word: "ready-when" });
                }
                let at = below_root(at)?;
                set_once(&mut self.program(role).ready_when, at)
            }
        }
    }

    fn new_program(&mut self, role: &Role, file: &Place) -> Result<(), Problem> {
        if let Role::Helper(name) = role
            && !is_file_name(name)
        {
            return Err(Problem::Text { text: name.clone() });
        }
        let file = match file {
            Place::Host(at) => {
                let at = path(at)?;
                self.need(Permission::ProgramHost(at.clone()))?;
                ProgramFile::Host(at)
            }
            Place::Payload(at) => {
                self.need(Permission::ProgramPayload)?;
                ProgramFile::Payload(path(at)?)
            }
            Place::Volume(_) | Place::Empty(_) | Place::RootOf(_) | Place::Artifact { .. } | Place::Channel => {
                return Err(Problem::NoProgram);
            }
        };
        if self.draft.programs.contains_key(role) {
            return Err(Problem::Twice);
        }
        self.draft.programs.insert(role.clone(), ProgramDraft { file: Some(file), ..ProgramDraft::default() });
        Ok(())
    }

    fn program(&mut self, role: &Role) -> &mut ProgramDraft {
        self.draft.programs.get_mut(role).expect("only a program that was named has more words")
    }

    fn argument(&self, role: &Role, pieces: &[word::Piece]) -> Result<Argument, Problem> {
        let stands_alone = |piece: &word::Piece| matches!(piece, word::Piece::Command(_) | word::Piece::Words);
        if pieces.len() > 1 && pieces.iter().any(stands_alone) {
            return Err(Problem::NotAlone);
        }
        pieces.iter().map(|piece| self.piece(role, piece)).collect::<Result<_, _>>().map(Argument::new)
    }

    fn piece(&self, role: &Role, piece: &word::Piece) -> Result<Piece, Problem> {
        if is_template(role) && !matches!(piece, word::Piece::Text(_) | word::Piece::Words) {
            return Err(Problem::OfATemplate { word: "argument" });
        }
        let known = |app: &String| self.pod.app(app).map(|_| app.clone()).ok_or(Problem::UnknownApp);
        Ok(match piece {
            word::Piece::Text(text) if text.contains('\0') => return Err(Problem::Text { text: text.clone() }),
            word::Piece::Text(text) => Piece::Text(text.clone()),
            word::Piece::Descriptor { place: Place::Channel, .. } => {
                self.need(Permission::Channel)?;
                Piece::Descriptor(Handle::Channel)
            }
            word::Piece::Descriptor { place, access } => {
                let source = self.source(Subject::Program(role), place, *access)?;
                Piece::Descriptor(Handle::Open { source, access: *access })
            }
            word::Piece::Tree => Piece::Tree,
            word::Piece::Command(app) => Piece::Command(known(app)?),
            word::Piece::WorkingDirectory(app) => Piece::WorkingDirectory(known(app)?),
            word::Piece::Words if *role == Role::Enter => Piece::Words,
            word::Piece::Words => return Err(Problem::OnlyEnter),
        })
    }

    pub(super) fn finish_programs(&mut self) -> Programs {
        let mut programs = Programs { main: None, helpers: Vec::new(), enter: None, stop: None };
        for (role, draft) in std::mem::take(&mut self.draft.programs) {
            match role {
                Role::Main => {
                    let inside = self.inside(&role, &draft);
                    let program = self.finish_program(&role, draft);
                    programs.main = program.map(|program| MainProgram { program, inside });
                }
                Role::Helper(ref name) => {
                    let (name, ready_when) = (name.clone(), draft.ready_when.clone());
                    // A helper starts nothing that could speak.
                    self.inside(&role, &draft);
                    let program = self.finish_program(&role, draft);
                    if let (Some(program), Some(path)) = (&program, &ready_when)
                        && !is_in_empty_place(path, &program.jail)
                    {
                        self.object(Some(role.to_string()), Problem::ReadyElsewhere { path: path.clone() });
                    }
                    programs.helpers.extend(program.map(|program| Helper { name, program, ready_when }));
                }
                Role::Enter => programs.enter = self.finish_template(&role, draft),
                Role::Stop => programs.stop = self.finish_template(&role, draft),
            }
        }
        self.judge_templates(&programs);
        programs
    }

    /// A template runs in the jail of an opaque pod's program, so there has to be one.
    fn judge_templates(&mut self, programs: &Programs) {
        let has_jail = programs.main.as_ref().is_some_and(|main| main.program.confinement == Confinement::Jailed);
        for (role, template) in [(Role::Enter, &programs.enter), (Role::Stop, &programs.stop)] {
            if template.is_some() && !(programs.is_opaque() && has_jail) {
                self.object(Some(role.to_string()), Problem::TemplateWithoutNeed);
            }
        }
    }

    fn finish_template(&mut self, role: &Role, draft: ProgramDraft) -> Option<Template> {
        self.judge_arguments(role, &draft, Confinement::Jailed);
        let arguments = draft.arguments.into_iter().map(|(_, argument)| argument).collect();
        Some(Template { file: draft.file?, arguments })
    }

    fn finish_program(&mut self, role: &Role, draft: ProgramDraft) -> Option<Program> {
        let confinement = if draft.unconfined.is_some() { Confinement::Unconfined } else { Confinement::Jailed };
        self.judge_arguments(role, &draft, confinement);
        if confinement == Confinement::Jailed && !draft.own_directories.is_empty() {
            self.object(Some(role.to_string()), Problem::OnlyOutside { word: "own-directory" });
        }
        let subject = Subject::Program(role);
        let jail = match confinement {
            Confinement::Jailed => self.finish_jail(subject, draft.jail)?,
            Confinement::Unconfined => self.finish_tree(subject, draft.jail),
        };
        Some(Program {
            file: draft.file?,
            arguments: draft.arguments.into_iter().map(|(_, argument)| argument).collect(),
            environment: draft.environment.into_iter().map(|(_, name, value)| (name, value)).collect(),
            environment_of: draft.environment_of,
            jail,
            confinement,
            own_directories: draft.own_directories,
        })
    }

    /// What a program outside of its jail is told has to be granted, word by word.
    fn judge_arguments(&mut self, role: &Role, draft: &ProgramDraft, confinement: Confinement) {
        for (index, argument) in &draft.arguments {
            let problem = match confinement {
                Confinement::Jailed if argument.pieces().contains(&Piece::Tree) => Some(Problem::TreeOfAJail),
                Confinement::Jailed => None,
                Confinement::Unconfined => self.need(Permission::Argument(shape_of(argument))).err(),
            };
            self.object_to(*index, "argument", role, problem);
        }
        if confinement == Confinement::Jailed {
            return;
        }
        for (index, name, value) in &draft.environment {
            let mut shape = Shape::new();
            shape.push_text(&format!("{name}={value}"));
            let problem = self.need(Permission::Environment(shape)).err();
            self.object_to(*index, "environment", role, problem);
        }
        if draft.environment_of.is_some() {
            self.object(Some(role.to_string()), Problem::OutsideOfTheJail { word: "environment-of" });
        }
    }

    fn object_to(&mut self, index: usize, word: &'static str, role: &Role, problem: Option<Problem>) {
        let about = Some(role.to_string());
        self.objections.extend(problem.map(|problem| Objection { word: Some((index, word)), about, problem }));
    }

    /// What a program starts, as its mention of a channel says.
    fn inside(&mut self, role: &Role, draft: &ProgramDraft) -> Inside {
        let pieces = draft.arguments.iter().flat_map(|(_, argument)| argument.pieces());
        let by_descriptor = pieces.into_iter().any(|piece| *piece == Piece::Descriptor(Handle::Channel));
        let channel = match (&draft.jail.channel, by_descriptor) {
            (None, false) => None,
            (Some(path), false) => Some(Channel::Socket(path.clone())),
            (None, true) => Some(Channel::Descriptor),
            (Some(_), true) => {
                self.object(Some(role.to_string()), Problem::TwoChannels);
                None
            }
        };
        let about = || Some(role.to_string());
        match channel {
            None => {
                if draft.speaks_within.is_some() {
                    self.object(about(), Problem::NobodySpeaks);
                }
                Inside::Opaque
            }
            Some(channel) => {
                if *role != Role::Main {
                    self.object(about(), Problem::NobodySpeaks);
                }
                if matches!(channel, Channel::Socket(_)) && draft.unconfined.is_none() {
                    self.object(about(), Problem::SocketInAJail);
                }
                if channel == Channel::Descriptor {
                    self.judge_reach();
                }
                let (speaks_within, hint) = draft.speaks_within.clone().unwrap_or((PATIENCE, None));
                Inside::Init { channel, speaks_within, hint }
            }
        }
    }

    /// Nothing of the host but volumes comes to an init behind a descriptor.
    fn judge_reach(&mut self) {
        let out_of_reach: Vec<(String, CleanPath)> = self
            .draft
            .apps
            .iter()
            .flat_map(|(app, draft)| draft.mounts().iter().map(move |mount| (app, mount)))
            .filter(|(_, mount)| {
                matches!(mount, Mount::Bind { source, .. } if !matches!(source, Source::Volume(_) | Source::Empty(_)))
            })
            .map(|(app, mount)| (app.clone(), mount.target().clone()))
            .collect();
        for (app, path) in out_of_reach {
            self.object(Some(format!("app {app:?}")), Problem::OutOfReach { path });
        }
    }
}

/// Whether a path lies right in an empty place, where it can be watched from outside.
fn is_in_empty_place(path: &CleanPath, jail: &Jail) -> bool {
    let depth = path.components().count();
    jail.mounts.iter().any(|mount| {
        matches!(mount, Mount::Bind { source: Source::Empty(_), target, .. }
            if target.holds(path) && target.components().count() + 1 == depth)
    })
}

fn is_template(role: &Role) -> bool {
    matches!(role, Role::Enter | Role::Stop)
}

/// An argument as policy sees it: what the host puts in has no text yet.
fn shape_of(argument: &Argument) -> Shape {
    let mut shape = Shape::new();
    for piece in argument.pieces() {
        match piece {
            Piece::Text(text) => shape.push_text(text),
            Piece::Descriptor(_) => shape.push_hole(Hole::Descriptor),
            Piece::Tree => shape.push_hole(Hole::Tree),
            Piece::Command(_) => shape.push_hole(Hole::Command),
            Piece::WorkingDirectory(_) => shape.push_hole(Hole::WorkingDirectory),
            Piece::Words => shape.push_hole(Hole::Words),
        }
    }
    shape
}

/// A name that every shell would take.
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
