//! The words of a plan: `places`, `arguments` and `plans` in the contract. One method a word for
//! components; what writes a word down, at the end, is the same for native code.

use rkt_plan::{self as plan, JailWord, ProgramWord, Role, SpokenPiece, Word};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::rkt::plugin::pods::{Access, Credentials, SeccompFilter, SeccompMode};
use super::bindings::rkt::plugin::{arguments, places, plans};
use super::handles::{Jail, Piece, Place, Plan, Program};
use super::{Owner, Session};
use crate::failure::Failure;

impl places::Host for Session {
    fn volume(&mut self, name: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Volume(name))
    }

    fn empty(&mut self, name: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Empty(name))
    }

    fn payload(&mut self, path: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Payload(path))
    }

    fn root_of(&mut self, app: String) -> Result<Resource<Place>> {
        self.place(plan::Place::RootOf(app))
    }

    fn artifact(&mut self, kind: String, of: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Artifact { kind, of })
    }

    fn channel(&mut self) -> Result<Resource<Place>> {
        self.place(plan::Place::Channel)
    }

    fn host(&mut self, path: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Host(path))
    }
}

impl places::HostPlace for Session {
    fn drop(&mut self, _: Resource<Place>) -> Result<()> {
        Ok(())
    }
}

impl arguments::Host for Session {
    fn text(&mut self, text: String) -> Result<Resource<Piece>> {
        self.piece(SpokenPiece::Text(text))
    }

    fn descriptor(&mut self, of: Resource<Place>, access: Access) -> Result<Resource<Piece>> {
        let place = self.named_place(of.rep() as usize)?;
        self.piece(SpokenPiece::Descriptor { place, access: spoken_access(access) })
    }

    fn tree(&mut self) -> Result<Resource<Piece>> {
        self.piece(SpokenPiece::Tree)
    }

    fn command(&mut self, app: String) -> Result<Resource<Piece>> {
        self.piece(SpokenPiece::Command(app))
    }

    fn working_directory(&mut self, app: String) -> Result<Resource<Piece>> {
        self.piece(SpokenPiece::WorkingDirectory(app))
    }

    fn words(&mut self) -> Result<Resource<Piece>> {
        self.piece(SpokenPiece::Words)
    }
}

impl arguments::HostPiece for Session {
    fn drop(&mut self, _: Resource<Piece>) -> Result<()> {
        Ok(())
    }
}

impl plans::Host for Session {}

impl plans::HostPlan for Session {
    fn share(&mut self, _: Resource<Plan>, namespace: String) -> Result<()> {
        self.say(Word::Share { namespace })
    }

    fn hostname(&mut self, _: Resource<Plan>, name: String) -> Result<()> {
        self.say(Word::Hostname { name })
    }

    fn app(&mut self, _: Resource<Plan>, name: String) -> Result<Resource<Jail>> {
        handle(self.name_jail(Owner::App(name))?)
    }

    fn program(&mut self, _: Resource<Plan>, file: Resource<Place>) -> Result<Resource<Program>> {
        self.program(Role::Main, &file)
    }

    fn helper(&mut self, _: Resource<Plan>, name: String, file: Resource<Place>) -> Result<Resource<Program>> {
        self.program(Role::Helper(name), &file)
    }

    fn enter(&mut self, _: Resource<Plan>, file: Resource<Place>) -> Result<Resource<Program>> {
        self.program(Role::Enter, &file)
    }

    fn stop(&mut self, _: Resource<Plan>, file: Resource<Place>) -> Result<Resource<Program>> {
        self.program(Role::Stop, &file)
    }

    fn claim(&mut self, _: Resource<Plan>, request: String, how: String) -> Result<()> {
        self.say(Word::Claim { request, how })
    }

    fn waive(&mut self, _: Resource<Plan>, request: String, reason: String) -> Result<()> {
        self.say(Word::Waive { request, reason })
    }

    fn note(&mut self, _: Resource<Plan>, text: String) -> Result<()> {
        self.say(Word::Note { text })
    }

    fn drop(&mut self, _: Resource<Plan>) -> Result<()> {
        Ok(())
    }
}

impl plans::HostProgram for Session {
    fn argument(&mut self, program: Resource<Program>, pieces: Vec<Resource<Piece>>) -> Result<()> {
        let pieces: Vec<usize> = pieces.iter().map(|piece| piece.rep() as usize).collect();
        Ok(self.write_argument(program.rep() as usize, &pieces)?)
    }

    fn environment(&mut self, program: Resource<Program>, name: String, value: String) -> Result<()> {
        self.say_of_program(&program, ProgramWord::Environment { name, value })
    }

    fn environment_of(&mut self, program: Resource<Program>, app: String) -> Result<()> {
        self.say_of_program(&program, ProgramWord::EnvironmentOf { app })
    }

    fn jail(&mut self, program: Resource<Program>) -> Result<Resource<Jail>> {
        handle(self.name_jail_of_program(program.rep() as usize)?)
    }

    fn unconfined(&mut self, program: Resource<Program>) -> Result<()> {
        self.say_of_program(&program, ProgramWord::Unconfined)
    }

    fn own_directory(&mut self, program: Resource<Program>, path: String) -> Result<()> {
        self.say_of_program(&program, ProgramWord::OwnDirectory { path })
    }

    fn speaks_within(&mut self, program: Resource<Program>, seconds: u32, hint: Option<String>) -> Result<()> {
        self.say_of_program(&program, ProgramWord::SpeaksWithin { seconds, hint })
    }

    fn ready_when(&mut self, program: Resource<Program>, path: String) -> Result<()> {
        self.say_of_program(&program, ProgramWord::ReadyWhen { path })
    }

    fn drop(&mut self, _: Resource<Program>) -> Result<()> {
        Ok(())
    }
}

impl plans::HostJail for Session {
    fn root(&mut self, jail: Resource<Jail>, access: Access) -> Result<()> {
        self.say_of(&jail, JailWord::Root { access: spoken_access(access) })
    }

    fn bind(
        &mut self,
        jail: Resource<Jail>,
        source: Resource<Place>,
        target: String,
        access: Access,
        reach: plans::Reach,
    ) -> Result<()> {
        let source = self.named_place(source.rep() as usize)?;
        let recursive = matches!(reach, plans::Reach::Recursive);
        self.say_of(&jail, JailWord::Bind { source, target, access: spoken_access(access), recursive })
    }

    fn mount(&mut self, jail: Resource<Jail>, kind: String, target: String, options: Vec<String>) -> Result<()> {
        self.say_of(&jail, JailWord::Mount { kind, target, options })
    }

    fn link(&mut self, jail: Resource<Jail>, path: String, to: String) -> Result<()> {
        self.say_of(&jail, JailWord::Link { path, to })
    }

    fn device(&mut self, jail: Resource<Jail>, path: String) -> Result<()> {
        self.say_of(&jail, JailWord::Device { path })
    }

    fn mask(&mut self, jail: Resource<Jail>, path: String) -> Result<()> {
        self.say_of(&jail, JailWord::Mask { path })
    }

    fn read_only(&mut self, jail: Resource<Jail>, path: String) -> Result<()> {
        self.say_of(&jail, JailWord::ReadOnly { path })
    }

    fn file(&mut self, jail: Resource<Jail>, path: String, mode: u32, content: String) -> Result<()> {
        self.say_of(&jail, JailWord::File { path, mode, content })
    }

    fn directory(&mut self, jail: Resource<Jail>, path: String, mode: u32) -> Result<()> {
        self.say_of(&jail, JailWord::Directory { path, mode })
    }

    fn channel(&mut self, jail: Resource<Jail>, path: String) -> Result<()> {
        self.say_of(&jail, JailWord::Channel { path })
    }

    fn own_user(&mut self, jail: Resource<Jail>) -> Result<()> {
        self.say_of(&jail, JailWord::OwnUser)
    }

    fn user(&mut self, jail: Resource<Jail>, who: Credentials) -> Result<()> {
        let Credentials { uid, gid, groups } = who;
        self.say_of(&jail, JailWord::User { credentials: plan::Credentials { uid, gid, groups } })
    }

    fn capabilities(&mut self, jail: Resource<Jail>, names: Vec<String>) -> Result<()> {
        self.say_of(&jail, JailWord::Capabilities { names })
    }

    fn no_new_privileges(&mut self, jail: Resource<Jail>) -> Result<()> {
        self.say_of(&jail, JailWord::NoNewPrivileges)
    }

    fn seccomp(&mut self, jail: Resource<Jail>, filter: SeccompFilter) -> Result<()> {
        let mode = match filter.mode {
            SeccompMode::Retain => plan::SeccompMode::Retain,
            SeccompMode::Remove => plan::SeccompMode::Remove,
        };
        let filter = plan::SeccompFilter { mode, calls: filter.calls, errno: filter.errno };
        self.say_of(&jail, JailWord::Seccomp { filter })
    }

    fn limit(&mut self, jail: Resource<Jail>, what: String, value: u64) -> Result<()> {
        self.say_of(&jail, JailWord::Limit { what, value })
    }

    fn oom_score(&mut self, jail: Resource<Jail>, adjustment: i32) -> Result<()> {
        self.say_of(&jail, JailWord::OomScore { adjustment })
    }

    fn stdio(&mut self, jail: Resource<Jail>, mode: String) -> Result<()> {
        self.say_of(&jail, JailWord::Stdio { mode })
    }

    fn drop(&mut self, _: Resource<Jail>) -> Result<()> {
        Ok(())
    }
}

impl Session {
    fn place(&mut self, place: plan::Place) -> Result<Resource<Place>> {
        handle(self.name_place(place)?)
    }

    fn piece(&mut self, piece: SpokenPiece) -> Result<Resource<Piece>> {
        handle(self.name_piece(piece)?)
    }

    fn program(&mut self, role: Role, file: &Resource<Place>) -> Result<Resource<Program>> {
        handle(self.name_program(role, file.rep() as usize)?)
    }

    fn say(&mut self, word: Word) -> Result<()> {
        Ok(self.write(word)?)
    }

    fn say_of_program(&mut self, program: &Resource<Program>, word: ProgramWord) -> Result<()> {
        Ok(self.write_of_program(program.rep() as usize, word)?)
    }

    fn say_of(&mut self, jail: &Resource<Jail>, word: JailWord) -> Result<()> {
        Ok(self.write_of(jail.rep() as usize, word)?)
    }
}

/// What a handle leads to is an index here, whoever holds the handle.
impl Session {
    /// Takes a place in, and says by which index it is known from now on.
    pub(super) fn name_place(&mut self, place: plan::Place) -> Result<usize, Failure> {
        self.room_for_word(self.places.len())?;
        self.count("place", texts_of_place(&place))?;
        self.places.push(place);
        Ok(self.places.len() - 1)
    }

    /// The place of an index.
    pub(super) fn named_place(&self, index: usize) -> Result<plan::Place, Failure> {
        self.places.get(index).cloned().ok_or_else(never_given)
    }

    /// Takes a piece in.
    pub(super) fn name_piece(&mut self, piece: SpokenPiece) -> Result<usize, Failure> {
        self.room_for_word(self.pieces.len())?;
        self.count("piece", texts_of_piece(&piece))?;
        self.pieces.push(piece);
        Ok(self.pieces.len() - 1)
    }

    /// Takes a program in. Naming one is a word; named twice, it is two, and that is the check's to refuse.
    pub(super) fn name_program(&mut self, role: Role, file: usize) -> Result<usize, Failure> {
        let file = self.named_place(file)?;
        self.write(Word::Program { role: role.clone(), word: ProgramWord::File { file } })?;
        self.programs.push(role);
        Ok(self.programs.len() - 1)
    }

    /// The index of a jail: the same one for the same owner.
    pub(super) fn name_jail(&mut self, owner: Owner) -> Result<usize, Failure> {
        if let Some(index) = self.jails.iter().position(|known| *known == owner) {
            return Ok(index);
        }
        self.room_for_word(self.jails.len())?;
        if let Owner::App(name) = &owner {
            self.count("app", [name.as_str()])?;
        }
        self.jails.push(owner);
        Ok(self.jails.len() - 1)
    }

    /// The index of the jail of a program.
    pub(super) fn name_jail_of_program(&mut self, program: usize) -> Result<usize, Failure> {
        let role = self.programs.get(program).cloned().ok_or_else(never_given)?;
        self.name_jail(Owner::Program(role))
    }

    /// Writes down an argument of a program, put together from pieces by their indexes.
    pub(super) fn write_argument(&mut self, program: usize, pieces: &[usize]) -> Result<(), Failure> {
        // Counted before they are copied: one long piece can be named many times.
        let all = pieces.iter().map(|piece| self.pieces.get(*piece).ok_or_else(never_given));
        let all: Vec<&SpokenPiece> = all.collect::<Result<_, Failure>>()?;
        let length: usize = all.iter().flat_map(|piece| texts_of_piece(piece)).map(str::len).sum();
        if length > self.limits.text {
            return Err(Failure::Text { word: "argument".to_owned(), limit: self.limits.text });
        }
        let pieces = all.into_iter().cloned().collect();
        self.write_of_program(program, ProgramWord::Argument { pieces })
    }

    /// Writes down a word about the pod.
    pub(super) fn write(&mut self, word: Word) -> Result<(), Failure> {
        self.room_for_word(self.plan.words.len())?;
        self.count(word.name(), texts(&word))?;
        self.plan.words.push(word);
        Ok(())
    }

    /// Writes down a word about the program of an index.
    pub(super) fn write_of_program(&mut self, program: usize, word: ProgramWord) -> Result<(), Failure> {
        let role = self.programs.get(program).cloned().ok_or_else(never_given)?;
        self.write(Word::Program { role, word })
    }

    /// Writes down a word about the jail of an index.
    pub(super) fn write_of(&mut self, jail: usize, word: JailWord) -> Result<(), Failure> {
        match self.jails.get(jail).cloned().ok_or_else(never_given)? {
            Owner::App(app) => self.write(Word::App { app, word }),
            Owner::Program(role) => self.write(Word::Program { role, word: ProgramWord::Jail { word } }),
        }
    }
}

/// A handle that leads nowhere.
pub(super) fn never_given() -> Failure {
    Failure::contract("it used a handle that it was never given")
}

/// A handle for what lies at an index; there are never more things than words.
fn handle<T: 'static>(index: usize) -> Result<Resource<T>> {
    Ok(Resource::new_own(u32::try_from(index)?))
}

fn spoken_access(access: Access) -> plan::Access {
    match access {
        Access::ReadWrite => plan::Access::ReadWrite,
        Access::ReadOnly => plan::Access::ReadOnly,
    }
}

fn texts_of_place(place: &plan::Place) -> Vec<&str> {
    match place {
        plan::Place::Volume(text)
        | plan::Place::Empty(text)
        | plan::Place::Host(text)
        | plan::Place::Payload(text)
        | plan::Place::RootOf(text) => vec![text],
        plan::Place::Artifact { kind, of } => vec![kind, of],
        plan::Place::Channel => Vec::new(),
    }
}

fn texts_of_piece(piece: &SpokenPiece) -> Vec<&str> {
    match piece {
        SpokenPiece::Text(text) | SpokenPiece::Command(text) | SpokenPiece::WorkingDirectory(text) => vec![text],
        SpokenPiece::Descriptor { place, .. } => texts_of_place(place),
        // A piece takes room even where it has no text.
        SpokenPiece::Tree | SpokenPiece::Words => vec![""],
    }
}

/// Every text of a word, for counting.
fn texts(word: &Word) -> Vec<&str> {
    match word {
        Word::Share { namespace: text } | Word::Hostname { name: text } | Word::Note { text } => vec![text],
        Word::Claim { request, how: text } | Word::Waive { request, reason: text } => vec![request, text],
        Word::App { app, word } => {
            let mut texts = texts_of_jail(word);
            texts.push(app);
            texts
        }
        Word::Program { role, word } => {
            let mut texts = texts_of_program(word);
            if let Role::Helper(name) = role {
                texts.push(name);
            }
            texts
        }
    }
}

fn texts_of_program(word: &ProgramWord) -> Vec<&str> {
    match word {
        ProgramWord::File { file } => texts_of_place(file),
        ProgramWord::Argument { pieces } => pieces.iter().flat_map(texts_of_piece).collect(),
        ProgramWord::Environment { name, value } => vec![name, value],
        ProgramWord::EnvironmentOf { app: text }
        | ProgramWord::OwnDirectory { path: text }
        | ProgramWord::ReadyWhen { path: text } => vec![text],
        ProgramWord::Jail { word } => texts_of_jail(word),
        ProgramWord::SpeaksWithin { hint, .. } => hint.iter().map(String::as_str).collect(),
        ProgramWord::Unconfined => Vec::new(),
    }
}

fn texts_of_jail(word: &JailWord) -> Vec<&str> {
    match word {
        JailWord::Root { .. } | JailWord::NoNewPrivileges | JailWord::OomScore { .. } | JailWord::OwnUser => Vec::new(),
        JailWord::Bind { source, target, .. } => {
            let mut texts = texts_of_place(source);
            texts.push(target);
            texts
        }
        JailWord::File { path, content, .. } => vec![path, content],
        JailWord::Mount { kind, target, options } => {
            [kind, target].into_iter().chain(options).map(String::as_str).collect()
        }
        JailWord::Link { path, to } => vec![path, to],
        JailWord::Device { path: text }
        | JailWord::Directory { path: text, .. }
        | JailWord::Channel { path: text }
        | JailWord::Mask { path: text }
        | JailWord::ReadOnly { path: text }
        | JailWord::Limit { what: text, .. }
        | JailWord::Stdio { mode: text } => vec![text],
        // A number is not larger than an empty text.
        JailWord::User { credentials } => vec![""; credentials.groups.len()],
        JailWord::Capabilities { names } => names.iter().map(String::as_str).collect(),
        JailWord::Seccomp { filter } => filter.calls.iter().chain(&filter.errno).map(String::as_str).collect(),
    }
}
