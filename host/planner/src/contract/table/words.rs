//! The questions and the words of native code: `facts`, `places`, `arguments` and `plans` in the
//! contract. One function a word.

use rkt_plan::{self as plan, JailWord, ProgramWord, Role, SpokenPiece, Word};

use super::header::{self, Jail, List, Mode, Piece, Place, Plan, Program, Text};
use super::{Reader, handle, index, one, with};
use crate::contract::Owner;
use crate::contract::words::never_given;
use crate::failure::Failure;

pub(super) extern "C" fn facts_fact(name: Text<'_>) -> Text<'static> {
    with(|session| {
        let name = Reader::of(session).text(name)?;
        Ok(session.fact(name)?.map_or(Text::NONE, super::pods::lend_text))
    })
}

pub(super) extern "C" fn places_volume(name: Text<'_>) -> *mut Place {
    place(name, plan::Place::Volume)
}

pub(super) extern "C" fn places_empty(name: Text<'_>) -> *mut Place {
    place(name, plan::Place::Empty)
}

pub(super) extern "C" fn places_payload(path: Text<'_>) -> *mut Place {
    place(path, plan::Place::Payload)
}

pub(super) extern "C" fn places_root_of(app: Text<'_>) -> *mut Place {
    place(app, plan::Place::RootOf)
}

pub(super) extern "C" fn places_artifact(kind: Text<'_>, of: Text<'_>) -> *mut Place {
    with(|session| {
        let read = Reader::of(session);
        let place = plan::Place::Artifact { kind: read.text(kind)?, of: read.text(of)? };
        session.name_place(place).map(handle)
    })
}

pub(super) extern "C" fn places_channel() -> *mut Place {
    with(|session| session.name_place(plan::Place::Channel).map(handle))
}

pub(super) extern "C" fn places_host(path: Text<'_>) -> *mut Place {
    place(path, plan::Place::Host)
}

pub(super) extern "C" fn arguments_text(text: Text<'_>) -> *mut Piece {
    piece(text, SpokenPiece::Text)
}

pub(super) extern "C" fn arguments_descriptor(of: *const Place, how: header::Access) -> *mut Piece {
    with(|session| {
        let place = session.named_place(index(of)?)?;
        session.name_piece(SpokenPiece::Descriptor { place, access: access(how)? }).map(handle)
    })
}

pub(super) extern "C" fn arguments_tree() -> *mut Piece {
    with(|session| session.name_piece(SpokenPiece::Tree).map(handle))
}

pub(super) extern "C" fn arguments_command(app: Text<'_>) -> *mut Piece {
    piece(app, SpokenPiece::Command)
}

pub(super) extern "C" fn arguments_working_directory(app: Text<'_>) -> *mut Piece {
    piece(app, SpokenPiece::WorkingDirectory)
}

pub(super) extern "C" fn arguments_words() -> *mut Piece {
    with(|session| session.name_piece(SpokenPiece::Words).map(handle))
}

pub(super) extern "C" fn plan_share(plan: *mut Plan, namespace: Text<'_>) {
    say(plan, |read| Ok(Word::Share { namespace: read.text(namespace)? }));
}

pub(super) extern "C" fn plan_hostname(plan: *mut Plan, name: Text<'_>) {
    say(plan, |read| Ok(Word::Hostname { name: read.text(name)? }));
}

pub(super) extern "C" fn plan_app(plan: *mut Plan, name: Text<'_>) -> *mut Jail {
    with(|session| {
        one(plan)?;
        let name = Reader::of(session).text(name)?;
        session.name_jail(Owner::App(name)).map(handle)
    })
}

pub(super) extern "C" fn plan_program(plan: *mut Plan, file: *const Place) -> *mut Program {
    start(plan, file, |_| Ok(Role::Main))
}

pub(super) extern "C" fn plan_helper(plan: *mut Plan, name: Text<'_>, file: *const Place) -> *mut Program {
    start(plan, file, |read| Ok(Role::Helper(read.text(name)?)))
}

pub(super) extern "C" fn plan_enter(plan: *mut Plan, file: *const Place) -> *mut Program {
    start(plan, file, |_| Ok(Role::Enter))
}

pub(super) extern "C" fn plan_stop(plan: *mut Plan, file: *const Place) -> *mut Program {
    start(plan, file, |_| Ok(Role::Stop))
}

pub(super) extern "C" fn plan_claim(plan: *mut Plan, request: Text<'_>, how: Text<'_>) {
    say(plan, |read| Ok(Word::Claim { request: read.text(request)?, how: read.text(how)? }));
}

pub(super) extern "C" fn plan_waive(plan: *mut Plan, request: Text<'_>, reason: Text<'_>) {
    say(plan, |read| Ok(Word::Waive { request: read.text(request)?, reason: read.text(reason)? }));
}

pub(super) extern "C" fn plan_note(plan: *mut Plan, text: Text<'_>) {
    say(plan, |read| Ok(Word::Note { text: read.text(text)? }));
}

pub(super) extern "C" fn program_argument(program: *mut Program, pieces: List<'_, *const Piece>) {
    with(|session| {
        Reader::of(session).fits(pieces.count())?;
        let pieces = pieces.items().iter().map(|piece| index(*piece)).collect::<Result<Vec<_>, _>>()?;
        session.write_argument(index(program)?, &pieces)
    });
}

pub(super) extern "C" fn program_environment(program: *mut Program, name: Text<'_>, value: Text<'_>) {
    say_of_program(program, |read| Ok(ProgramWord::Environment { name: read.text(name)?, value: read.text(value)? }));
}

pub(super) extern "C" fn program_environment_of(program: *mut Program, app: Text<'_>) {
    say_of_program(program, |read| Ok(ProgramWord::EnvironmentOf { app: read.text(app)? }));
}

pub(super) extern "C" fn program_jail(program: *mut Program) -> *mut Jail {
    with(|session| session.name_jail_of_program(index(program)?).map(handle))
}

pub(super) extern "C" fn program_unconfined(program: *mut Program) {
    say_of_program(program, |_| Ok(ProgramWord::Unconfined));
}

pub(super) extern "C" fn program_own_directory(program: *mut Program, path: Text<'_>) {
    say_of_program(program, |read| Ok(ProgramWord::OwnDirectory { path: read.text(path)? }));
}

pub(super) extern "C" fn program_speaks_within(program: *mut Program, seconds: u32, hint: Text<'_>) {
    say_of_program(program, |read| Ok(ProgramWord::SpeaksWithin { seconds, hint: read.option(hint)? }));
}

pub(super) extern "C" fn program_ready_when(program: *mut Program, path: Text<'_>) {
    say_of_program(program, |read| Ok(ProgramWord::ReadyWhen { path: read.text(path)? }));
}

pub(super) extern "C" fn jail_root(jail: *mut Jail, how: header::Access) {
    say_of(jail, |_| Ok(JailWord::Root { access: access(how)? }));
}

pub(super) extern "C" fn jail_bind(
    jail: *mut Jail,
    source: *const Place,
    target: Text<'_>,
    how: header::Access,
    reach: header::Reach,
) {
    let source = with(|session| session.named_place(index(source)?));
    say_of(jail, |read| {
        let (access, recursive) = (access(how)?, is_recursive(reach)?);
        Ok(JailWord::Bind { source, target: read.text(target)?, access, recursive })
    });
}

pub(super) extern "C" fn jail_mount(jail: *mut Jail, kind: Text<'_>, target: Text<'_>, options: List<'_, Text<'_>>) {
    say_of(jail, |read| {
        Ok(JailWord::Mount { kind: read.text(kind)?, target: read.text(target)?, options: read.texts(options)? })
    });
}

pub(super) extern "C" fn jail_link(jail: *mut Jail, path: Text<'_>, to: Text<'_>) {
    say_of(jail, |read| Ok(JailWord::Link { path: read.text(path)?, to: read.text(to)? }));
}

pub(super) extern "C" fn jail_device(jail: *mut Jail, path: Text<'_>) {
    say_of(jail, |read| Ok(JailWord::Device { path: read.text(path)? }));
}

pub(super) extern "C" fn jail_mask(jail: *mut Jail, path: Text<'_>) {
    say_of(jail, |read| Ok(JailWord::Mask { path: read.text(path)? }));
}

pub(super) extern "C" fn jail_read_only(jail: *mut Jail, path: Text<'_>) {
    say_of(jail, |read| Ok(JailWord::ReadOnly { path: read.text(path)? }));
}

pub(super) extern "C" fn jail_file(jail: *mut Jail, path: Text<'_>, mode: u32, content: Text<'_>) {
    say_of(jail, |read| Ok(JailWord::File { path: read.text(path)?, mode, content: read.text(content)? }));
}

pub(super) extern "C" fn jail_directory(jail: *mut Jail, path: Text<'_>, mode: u32) {
    say_of(jail, |read| Ok(JailWord::Directory { path: read.text(path)?, mode }));
}

pub(super) extern "C" fn jail_channel(jail: *mut Jail, path: Text<'_>) {
    say_of(jail, |read| Ok(JailWord::Channel { path: read.text(path)? }));
}

pub(super) extern "C" fn jail_own_user(jail: *mut Jail) {
    say_of(jail, |_| Ok(JailWord::OwnUser));
}

pub(super) extern "C" fn jail_user(jail: *mut Jail, who: Option<&header::Credentials<'_>>) {
    say_of(jail, |read| {
        let who = who.ok_or_else(never_given)?;
        let credentials = plan::Credentials { uid: who.uid, gid: who.gid, groups: read.numbers(who.groups)? };
        Ok(JailWord::User { credentials })
    });
}

pub(super) extern "C" fn jail_capabilities(jail: *mut Jail, names: List<'_, Text<'_>>) {
    say_of(jail, |read| Ok(JailWord::Capabilities { names: read.texts(names)? }));
}

pub(super) extern "C" fn jail_no_new_privileges(jail: *mut Jail) {
    say_of(jail, |_| Ok(JailWord::NoNewPrivileges));
}

pub(super) extern "C" fn jail_seccomp(jail: *mut Jail, filter: Option<&header::SeccompFilter<'_>>) {
    say_of(jail, |read| {
        let filter = filter.ok_or_else(never_given)?;
        let (mode, errno) = (seccomp_mode(filter.mode)?, read.option(filter.errno_name)?);
        Ok(JailWord::Seccomp { filter: plan::SeccompFilter { mode, calls: read.texts(filter.calls)?, errno } })
    });
}

pub(super) extern "C" fn jail_limit(jail: *mut Jail, what: Text<'_>, value: u64) {
    say_of(jail, |read| Ok(JailWord::Limit { what: read.text(what)?, value }));
}

pub(super) extern "C" fn jail_oom_score(jail: *mut Jail, adjustment: i32) {
    say_of(jail, |_| Ok(JailWord::OomScore { adjustment }));
}

pub(super) extern "C" fn jail_stdio(jail: *mut Jail, mode: Text<'_>) {
    say_of(jail, |read| Ok(JailWord::Stdio { mode: read.text(mode)? }));
}

fn say(plan: *const Plan, word: impl FnOnce(&Reader<'_>) -> Result<Word, Failure>) {
    with(|session| {
        one(plan)?;
        let word = word(&Reader::of(session))?;
        session.write(word)
    });
}

fn say_of(jail: *const Jail, word: impl FnOnce(&Reader<'_>) -> Result<JailWord, Failure>) {
    with(|session| {
        let word = word(&Reader::of(session))?;
        session.write_of(index(jail)?, word)
    });
}

fn say_of_program(program: *const Program, word: impl FnOnce(&Reader<'_>) -> Result<ProgramWord, Failure>) {
    with(|session| {
        let word = word(&Reader::of(session))?;
        session.write_of_program(index(program)?, word)
    });
}

fn start(
    plan: *const Plan,
    file: *const Place,
    role: impl FnOnce(&Reader<'_>) -> Result<Role, Failure>,
) -> *mut Program {
    with(|session| {
        one(plan)?;
        let role = role(&Reader::of(session))?;
        session.name_program(role, index(file)?).map(handle)
    })
}

fn piece(text: Text<'_>, kind: fn(String) -> SpokenPiece) -> *mut Piece {
    with(|session| {
        let text = Reader::of(session).text(text)?;
        session.name_piece(kind(text)).map(handle)
    })
}

fn place(text: Text<'_>, kind: fn(String) -> plan::Place) -> *mut Place {
    with(|session| {
        let text = Reader::of(session).text(text)?;
        session.name_place(kind(text)).map(handle)
    })
}

fn access(value: header::Access) -> Result<plan::Access, Failure> {
    match value {
        header::READ_WRITE => Ok(plan::Access::ReadWrite),
        header::READ_ONLY => Ok(plan::Access::ReadOnly),
        other => Err(Failure::contract(format!("{other} is no access"))),
    }
}

fn is_recursive(value: header::Reach) -> Result<bool, Failure> {
    match value {
        header::SINGLE => Ok(false),
        header::RECURSIVE => Ok(true),
        other => Err(Failure::contract(format!("{other} is no reach"))),
    }
}

fn seccomp_mode(value: Mode) -> Result<plan::SeccompMode, Failure> {
    match value {
        header::RETAIN => Ok(plan::SeccompMode::Retain),
        header::REMOVE => Ok(plan::SeccompMode::Remove),
        other => Err(Failure::contract(format!("{other} is no mode"))),
    }
}
