//! Inside a plugin, a component or native code: the host's handles become plain values, and a plan is
//! spoken to the host.

use crate::Facts;
use crate::bindings;
use crate::bindings::rkt::plugin::{arguments, facts, places, plans, pods, problems};
use crate::plan::{JailWord, Place, Plan, Problem, Reach, Word};
use crate::pod::{
    Access, App, CapabilityChange, Credentials, Limit, Pod, Request, SeccompFilter, SeccompMode, VolumeMount,
};
use crate::program::{Piece, Planned, ProgramWord, Role};

/// What [`stage1!`](crate::stage1) makes of a plan function.
pub trait Flavor {
    /// The plan function.
    ///
    /// # Errors
    /// The pod cannot be run.
    fn plan(pod: &Pod, facts: &dyn Facts) -> Result<Plan, Problem>;
}

impl<F: Flavor> bindings::Guest for F {
    fn plan(pod: &pods::Pod, builder: &plans::Plan) -> Result<(), problems::Problem> {
        match <F as Flavor>::plan(&read_pod(pod), &HostFacts) {
            Ok(plan) => {
                speak(&plan, builder);
                Ok(())
            }
            Err(Problem { message, hint }) => Err(problems::Problem { message, hint }),
        }
    }
}

struct HostFacts;

impl Facts for HostFacts {
    fn fact(&self, name: &str) -> Option<String> {
        facts::fact(name)
    }
}

fn read_pod(pod: &pods::Pod) -> Pod {
    Pod {
        uuid: pod.uuid(),
        hostname: pod.hostname(),
        apps: pod.apps().iter().map(read_app).collect(),
        requests: pod.requests().into_iter().map(Request::new).collect(),
        settings: pod.settings(),
    }
}

fn read_app(app: &pods::App) -> App {
    let alone = app.single_volumes();
    App {
        name: app.name(),
        user: read_credentials(app.user()),
        root_access: read_access(app.root_access()),
        volumes: app.volumes().into_iter().map(|mount| read_volume(mount, &alone)).collect(),
        limits: app.limits().into_iter().map(|(what, value)| Limit { what, value }).collect(),
        capabilities: app.capabilities().map(|change| match change {
            pods::CapabilityChange::Retain(names) => CapabilityChange::Retain(names),
            pods::CapabilityChange::Remove(names) => CapabilityChange::Remove(names),
        }),
        seccomp: app.seccomp().map(read_filter),
        no_new_privileges: app.no_new_privileges(),
        oom_score: app.oom_score(),
    }
}

fn read_credentials(pods::Credentials { uid, gid, groups }: pods::Credentials) -> Credentials {
    Credentials { uid, gid, groups }
}

/// One with its target among those that are wanted `alone` comes without what is mounted below it.
fn read_volume(mount: pods::VolumeMount, alone: &[String]) -> VolumeMount {
    let reach = if alone.contains(&mount.target) { Reach::Single } else { Reach::Recursive };
    VolumeMount { volume: mount.volume, target: mount.target, access: read_access(mount.access), reach }
}

fn read_access(access: pods::Access) -> Access {
    match access {
        pods::Access::ReadWrite => Access::ReadWrite,
        pods::Access::ReadOnly => Access::ReadOnly,
    }
}

fn read_filter(filter: pods::SeccompFilter) -> SeccompFilter {
    let mode = match filter.mode {
        pods::SeccompMode::Retain => SeccompMode::Retain,
        pods::SeccompMode::Remove => SeccompMode::Remove,
    };
    SeccompFilter { mode, calls: filter.calls, errno: filter.errno }
}

fn speak(plan: &Plan, builder: &plans::Plan) {
    for word in &plan.words {
        match word {
            Word::Share(namespace) => builder.share(namespace.name()),
            Word::Hostname(name) => builder.hostname(name),
            Word::Claim { request, how } => builder.claim(request, how),
            Word::Waive { request, reason } => builder.waive(request, reason),
            Word::Note(text) => builder.note(text),
        }
    }
    for (app, words) in &plan.apps {
        let builder = builder.app(app);
        for word in words {
            speak_of_jail(word, &builder);
        }
    }
    for program in &plan.programs {
        speak_of_program(program, builder);
    }
}

fn speak_of_program(planned: &Planned, builder: &plans::Plan) {
    let file = spoken_place(&planned.file);
    let program = match &planned.role {
        Role::Main => builder.program(&file),
        Role::Helper(name) => builder.helper(name, &file),
        Role::Enter => builder.enter(&file),
        Role::Stop => builder.stop(&file),
    };
    for word in &planned.words {
        match word {
            ProgramWord::Argument(pieces) => {
                let pieces: Vec<arguments::Piece> = pieces.iter().map(spoken_piece).collect();
                program.argument(&pieces.iter().collect::<Vec<_>>());
            }
            ProgramWord::Environment { name, value } => program.environment(name, value),
            ProgramWord::EnvironmentOf(app) => program.environment_of(app),
            ProgramWord::Unconfined => program.unconfined(),
            ProgramWord::OwnDirectory(path) => program.own_directory(path),
            ProgramWord::SpeaksWithin { seconds, hint } => program.speaks_within(*seconds, hint.as_deref()),
            ProgramWord::ReadyWhen(path) => program.ready_when(path),
        }
    }
    let jail = program.jail();
    for word in &planned.jail {
        speak_of_jail(word, &jail);
    }
}

fn spoken_piece(piece: &Piece) -> arguments::Piece {
    match piece {
        Piece::Text(text) => arguments::text(text),
        Piece::Descriptor(place, access) => arguments::descriptor(&spoken_place(place), spoken_access(*access)),
        Piece::Tree => arguments::tree(),
        Piece::Command(app) => arguments::command(app),
        Piece::WorkingDirectory(app) => arguments::working_directory(app),
        Piece::Words => arguments::words(),
    }
}

fn speak_of_jail(word: &JailWord, builder: &plans::Jail) {
    match word {
        JailWord::Root(access) => builder.root(spoken_access(*access)),
        JailWord::Bind { source, target, access, reach } => {
            builder.bind(&spoken_place(source), target, spoken_access(*access), spoken_reach(*reach));
        }
        JailWord::Mount { kind, target, options } => builder.mount(kind, target, options),
        JailWord::Link { path, to } => builder.link(path, to),
        JailWord::Device(path) => builder.device(path),
        JailWord::Mask(path) => builder.mask(path),
        JailWord::ReadOnly(path) => builder.read_only(path),
        JailWord::File { path, mode, content } => builder.file(path, *mode, content),
        JailWord::Directory { path, mode } => builder.directory(path, *mode),
        JailWord::Channel(path) => builder.channel(path),
        JailWord::OwnUser => builder.own_user(),
        JailWord::User(Credentials { uid, gid, groups }) => {
            builder.user(&pods::Credentials { uid: *uid, gid: *gid, groups: groups.clone() });
        }
        JailWord::Capabilities(names) => builder.capabilities(names),
        JailWord::NoNewPrivileges => builder.no_new_privileges(),
        JailWord::Seccomp(filter) => builder.seccomp(&spoken_filter(filter)),
        JailWord::Limit(limit) => builder.limit(&limit.what, limit.value),
        JailWord::OomScore(adjustment) => builder.oom_score(*adjustment),
        JailWord::Stdio(mode) => builder.stdio(mode.name()),
    }
}

fn spoken_place(place: &Place) -> places::Place {
    match place {
        Place::Volume(name) => places::volume(name),
        Place::Empty(name) => places::empty(name),
        Place::Host(path) => places::host(path),
        Place::Payload(path) => places::payload(path),
        Place::RootOf(app) => places::root_of(app),
        Place::Artifact { kind, of } => places::artifact(kind, of),
        Place::Channel => places::channel(),
    }
}

fn spoken_access(access: Access) -> pods::Access {
    match access {
        Access::ReadWrite => pods::Access::ReadWrite,
        Access::ReadOnly => pods::Access::ReadOnly,
    }
}

fn spoken_reach(reach: Reach) -> plans::Reach {
    match reach {
        Reach::Single => plans::Reach::Single,
        Reach::Recursive => plans::Reach::Recursive,
    }
}

fn spoken_filter(filter: &SeccompFilter) -> pods::SeccompFilter {
    let mode = match filter.mode {
        SeccompMode::Retain => pods::SeccompMode::Retain,
        SeccompMode::Remove => pods::SeccompMode::Remove,
    };
    pods::SeccompFilter { mode, calls: filter.calls.clone(), errno: filter.errno.clone() }
}

/// The bytes of a text of that very length.
#[doc(hidden)]
pub const fn bytes_of<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => panic!("a text has its own length"),
    }
}
