//! What the check lets through and what it refuses of programs, word by word.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rkt_plan::{
    Access, Artifact, Asked, Channel, CheckedPlan, Confinement, Credentials, Handle, Inside, JailWord, Origin,
    Piece as CheckedPiece, Place, Plan, Pod, ProgramWord, Reach, Refusal, Role, Root, Source, Strictness, User,
    VolumeMount, Word, check, diff, explain,
};
// The spoken piece, as opposed to the checked one.
use rkt_plan::SpokenPiece as Piece;
use support::{permissions, pod_of, root_user};

fn pod() -> Pod {
    let data = VolumeMount {
        volume: "data".into(),
        target: "/data".parse().unwrap(),
        access: Access::ReadOnly,
        reach: Reach::Recursive,
    };
    pod_of(Asked { value: root_user(), by: Origin::Image }, vec![data])
}

const VMM: &str = "/usr/bin/vmm";

fn of(role: &Role, word: ProgramWord) -> Word {
    Word::Program { role: role.clone(), word }
}

fn main(word: ProgramWord) -> Word {
    of(&Role::Main, word)
}

fn host(path: &str) -> Place {
    Place::Host(path.to_owned())
}

fn file(role: &Role) -> Word {
    of(role, ProgramWord::File { file: host(VMM) })
}

fn text(text: &str) -> Word {
    main(ProgramWord::Argument { pieces: vec![Piece::Text(text.to_owned())] })
}

fn jail(role: &Role, word: JailWord) -> Word {
    of(role, ProgramWord::Jail { word })
}

fn channel() -> Word {
    main(ProgramWord::Argument {
        pieces: vec![
            Piece::Text("fd=".to_owned()),
            Piece::Descriptor { place: Place::Channel, access: Access::ReadWrite },
        ],
    })
}

fn waived(requests: &[&str]) -> impl Iterator<Item = Word> {
    let list: Vec<Word> = requests
        .iter()
        .map(|id| Word::Waive { request: (*id).to_owned(), reason: "it is opaque".to_owned() })
        .collect();
    list.into_iter()
}

/// What every request of the pod is called.
const REQUESTS: [&str; 2] = ["app/db/user", "app/db/volume/data"];

const LEAST: [&str; 2] = ["program:host:/usr/bin/vmm", "unfiltered"];

/// A program in its jail with something opaque inside, and more.
fn opaque(more: impl IntoIterator<Item = Word>) -> Plan {
    let least = [file(&Role::Main), jail(&Role::Main, JailWord::OwnUser)];
    Plan { words: least.into_iter().chain(more).chain(waived(&REQUESTS)).collect() }
}

fn judge(plan: &Plan, more: &[&str]) -> Result<CheckedPlan, Refusal> {
    let allowed = permissions(&[&LEAST, more].concat());
    check(&pod(), plan, &allowed, &allowed)
}

/// The text of the only objection.
fn refused(plan: &Plan, more: &[&str]) -> String {
    let refusal = judge(plan, more).unwrap_err();
    assert_eq!(refusal.objections().len(), 1, "{refusal}");
    refusal.to_string()
}

#[test]
fn a_program_alone_is_opaque_jailed_and_has_a_user_of_its_own() {
    let plan = judge(&opaque([text("--quiet")]), &[]).unwrap();
    assert!(plan.is_opaque() && plan.apps.is_empty());
    let main = plan.program.unwrap();
    assert_eq!(main.program.confinement, Confinement::Jailed);
    assert_eq!((main.program.jail.root, &main.program.jail.user), (Root::Bare, &User::Own));
    assert_eq!(main.program.arguments[0].pieces(), [CheckedPiece::Text("--quiet".to_owned())]);
}

#[test]
fn a_channel_makes_the_inside_rkts_init() {
    let inside = |plan: &Plan, more: &[&str]| judge(plan, more).unwrap().program.unwrap().inside;
    let app = |word| Word::App { app: "db".to_owned(), word };
    let apps = || {
        vec![
            app(JailWord::Root { access: Access::ReadWrite }),
            app(JailWord::User { credentials: root_user() }),
            app(JailWord::Bind {
                source: Place::Volume("data".into()),
                target: "/data".into(),
                access: Access::ReadOnly,
                recursive: true,
            }),
        ]
    };
    let words = |mut more: Vec<Word>| {
        more.insert(0, file(&Role::Main));
        more.extend(apps());
        Plan { words: more }
    };
    let allowed = ["channel", "root", "user", "bind:volume"];
    let by_descriptor = words(vec![jail(&Role::Main, JailWord::OwnUser), channel()]);
    let expected = Inside::Init { channel: Channel::Descriptor, speaks_within: 60, hint: None };
    assert_eq!(inside(&by_descriptor, &allowed), expected);
    assert!(judge(&by_descriptor, &allowed[1..]).unwrap_err().to_string().contains("permission `channel`"));

    let socket = JailWord::Channel { path: "/rkt/channel".into() };
    let more = [&allowed[..], &["unconfined:/usr/bin/vmm"]].concat();
    let by_socket = words(vec![
        main(ProgramWord::Unconfined),
        jail(&Role::Main, socket.clone()),
        main(ProgramWord::SpeaksWithin { seconds: 3, hint: Some("wait".into()) }),
    ]);
    let expected = Inside::Init {
        channel: Channel::Socket("/rkt/channel".parse().unwrap()),
        speaks_within: 3,
        hint: Some("wait".into()),
    };
    assert_eq!(inside(&by_socket, &more), expected);

    for (plan, said) in [
        (words(vec![jail(&Role::Main, JailWord::OwnUser), jail(&Role::Main, socket.clone())]), "is a descriptor"),
        (
            words(vec![main(ProgramWord::Unconfined), jail(&Role::Main, socket), channel()]),
            "a socket or a descriptor, not both",
        ),
    ] {
        let more = [&more[..], &["argument:fd={descriptor}"]].concat();
        let refusal = judge(&plan, &more).unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
    }
    assert!(
        refused(&opaque([main(ProgramWord::SpeaksWithin { seconds: 3, hint: None })]), &[]).contains("time to speak")
    );
}

#[test]
fn what_a_program_outside_of_its_jail_is_told_has_to_be_granted() {
    let plan = |more: Vec<Word>| {
        let least = [file(&Role::Main), main(ProgramWord::Unconfined)];
        Plan { words: least.into_iter().chain(more).chain(waived(&REQUESTS)).collect() }
    };
    let unconfined = ["unconfined:/usr/bin/vmm"];
    let may = |more: &[&'static str]| [&unconfined[..], more].concat();
    let tree = main(ProgramWord::Argument { pieces: vec![Piece::Text("--directory=".into()), Piece::Tree] });
    let variable = main(ProgramWord::Environment { name: "A".into(), value: "1".into() });
    let words = vec![text("--register=no"), tree, variable];
    let all = ["argument:--register={bool}", "argument:--directory={tree}", "environment:A={number}"];
    let checked = judge(&plan(words.clone()), &may(&all)).unwrap();
    assert_eq!(checked.program.as_ref().unwrap().program.confinement, Confinement::Unconfined);
    let shown = explain(&checked);
    for line in ["on the host, outside of any jail", "--register=no", "--directory=<tree>", "A=1"] {
        assert!(shown.contains(line), "{shown}");
    }
    for (missing, named) in
        [(0, "`argument:--register=no`"), (1, "`argument:--directory={tree}`"), (2, "`environment:A=1`")]
    {
        let mut granted = all.to_vec();
        granted.remove(missing);
        let refusal = refused(&plan(words.clone()), &may(&granted));
        assert!(refusal.contains(named) && refusal.contains("of program: "), "{refusal}");
    }
    assert!(refused(&plan(vec![text("--bind=/etc:/etc")]), &may(&all)).contains("argument:--bind=/etc:/etc"));
    let rights = plan(vec![jail(&Role::Main, JailWord::NoNewPrivileges)]);
    assert!(refused(&rights, &may(&["no-new-privileges"])).contains("says nothing of a program that runs outside"));
    assert!(refused(&opaque([main(ProgramWord::Unconfined)]), &["unconfined:/usr/bin/other"]).contains("`unconfined:"));
}

#[test]
fn a_program_is_named_before_it_is_spoken_of_and_once() {
    let unnamed = of(&Role::Stop, ProgramWord::Unconfined);
    assert!(refused(&opaque([unnamed]), &[]).contains("lacks `program`"));
    assert!(refused(&opaque([file(&Role::Main)]), &[]).contains("said already"));
    let helper = |name: &str| of(&Role::Helper(name.into()), ProgramWord::File { file: host(VMM) });
    for bad in ["", "../x", "a b", ".x"] {
        assert!(refused(&opaque([helper(bad)]), &[]).contains("cannot be used here"), "{bad}");
    }
    for place in [Place::Volume("data".into()), Place::Empty("x".into()), Place::RootOf("db".into()), Place::Channel] {
        let word = of(&Role::Helper("h".into()), ProgramWord::File { file: place });
        assert!(
            refused(&opaque([word]), &["bind:volume", "bind:empty", "bind:root", "channel"]).contains("a program is")
        );
    }
}

#[test]
fn the_inside_of_an_opaque_pod_is_the_programs() {
    let app = Word::App { app: "db".to_owned(), word: JailWord::Root { access: Access::ReadWrite } };
    assert!(refused(&opaque([app]), &["root"]).contains("`app` is not rkt's to do"));
    let share = Word::Share { namespace: "pid".into() };
    assert!(refused(&opaque([share]), &["share:pid"]).contains("`share` is not rkt's to do"));
    let silent = Plan { words: vec![file(&Role::Main), jail(&Role::Main, JailWord::OwnUser)] };
    let refusal = judge(&silent, &[]).unwrap_err();
    assert_eq!(refusal.objections().len(), 2, "each request has to be answered: {refusal}");
}

#[test]
fn templates_are_for_opaque_pods_and_only_enter_has_words() {
    let words = |role: &Role| of(role, ProgramWord::Argument { pieces: vec![Piece::Words] });
    let template = |role: Role| vec![file(&role), words(&role)];
    let plan = judge(&opaque(template(Role::Enter)), &[]).unwrap();
    assert_eq!(plan.enter.unwrap().arguments[0].pieces(), [CheckedPiece::Words]);
    assert!(refused(&opaque(template(Role::Stop)), &[]).contains("only `enter` is told"));
    for word in [ProgramWord::Unconfined, ProgramWord::Jail { word: JailWord::OwnUser }] {
        let words = [file(&Role::Enter), of(&Role::Enter, word)];
        assert!(refused(&opaque(words), &["unconfined:/usr/bin/vmm"]).contains("not for enter and stop"));
    }
    let mixed = main(ProgramWord::Argument { pieces: vec![Piece::Text("x".into()), Piece::Command("db".into())] });
    assert!(refused(&opaque([mixed]), &[]).contains("arguments by themselves"));
}

#[test]
fn places_for_programs_need_their_permissions_and_stay_unwritten() {
    let bind = |source, access| {
        jail(&Role::Main, JailWord::Bind { source, target: "/there".into(), access, recursive: false })
    };
    let artifact = |kind: &str, of: &str| Place::Artifact { kind: kind.into(), of: of.into() };
    for (place, permission) in [
        (Place::Payload("/bin".into()), "bind:payload"),
        (Place::RootOf("db".into()), "bind:root"),
        (artifact("root-image", "db"), "artifact:root-image"),
        (artifact("kernel", ""), "artifact:kernel"),
        (artifact("initramfs", "erofs virtio_blk"), "artifact:initramfs"),
        (artifact("init", ""), "artifact:init"),
        (Place::Volume("data".into()), "bind:volume"),
    ] {
        let plan = opaque([bind(place.clone(), Access::ReadOnly)]);
        judge(&plan, &[permission]).unwrap_or_else(|refusal| panic!("{permission}: {refusal}"));
        assert!(refused(&plan, &[]).contains(&format!("`{permission}`")), "{permission}");
        let writable = judge(&opaque([bind(place.clone(), Access::ReadWrite)]), &[permission]);
        assert_eq!(writable.is_ok(), matches!(place, Place::RootOf(_)), "{place:?}");
    }
    for (kind, of) in [("root-image", "other"), ("kernel", "/boot/x"), ("initramfs", "../x"), ("disk", "1")] {
        let plan = opaque([bind(artifact(kind, of), Access::ReadOnly)]);
        assert!(refused(&plan, &[]).contains("there is no artifact"), "{kind} {of}");
    }
    assert!(refused(&opaque([bind(Place::Channel, Access::ReadOnly)]), &["channel"]).contains("no place to bind"));
}

#[test]
fn a_helper_is_ready_where_it_can_be_watched() {
    let helper = Role::Helper("h".into());
    let run = JailWord::Bind {
        source: Place::Empty("run".into()),
        target: "/run".into(),
        access: Access::ReadWrite,
        recursive: false,
    };
    let plan = |path: &str| {
        let ready = ProgramWord::ReadyWhen { path: path.into() };
        opaque([file(&helper), jail(&helper, JailWord::OwnUser), jail(&helper, run.clone()), of(&helper, ready)])
    };
    let checked = judge(&plan("/run/sock"), &["bind:empty"]).unwrap();
    assert_eq!(checked.helpers[0].ready_when, Some("/run/sock".parse().unwrap()));
    for elsewhere in ["/run/a/sock", "/tmp/sock", "/run2"] {
        assert!(refused(&plan(elsewhere), &["bind:empty"]).contains("right in an empty place"), "{elsewhere}");
    }
}

#[test]
fn descriptors_are_numbered_once_each() {
    let image = Place::Artifact { kind: "root-image".into(), of: "db".into() };
    let open = |place: &Place| {
        main(ProgramWord::Argument {
            pieces: vec![Piece::Descriptor { place: place.clone(), access: Access::ReadOnly }],
        })
    };
    let plan = opaque([open(&image), open(&host("/etc/x")), open(&image)]);
    let checked = judge(&plan, &["artifact:root-image", "bind:host:ro:/etc/x"]).unwrap();
    let program = checked.program.unwrap().program;
    let artifact =
        Handle::Open { source: Source::Artifact(Artifact::RootImage("db".into())), access: Access::ReadOnly };
    assert_eq!(program.descriptors().len(), 2);
    assert_eq!(program.descriptors()[0], &artifact);
}

#[test]
fn files_are_made_in_bare_roots_only_and_harmless() {
    let made = |path: &str, mode| JailWord::File { path: path.into(), mode, content: "x".into() };
    let plan = opaque([jail(&Role::Main, made("/etc/os-release", 0o644))]);
    assert_eq!(judge(&plan, &["file"]).unwrap().program.unwrap().program.jail.files.len(), 1);
    assert!(refused(&plan, &[]).contains("permission `file`"));
    assert!(refused(&opaque([jail(&Role::Main, made("/x", 0o4755))]), &["file"]).contains("out of range"));
    assert!(refused(&opaque([jail(&Role::Main, made("/../x", 0o644))]), &["file"]).contains("path"));
    let in_app = Word::App { app: "db".into(), word: made("/etc/passwd", 0o644) };
    let refusal = judge(&Plan { words: vec![in_app] }, &["file"]).unwrap_err().to_string();
    assert!(refusal.contains("`file` is a word for programs"), "{refusal}");
}

#[test]
fn a_program_in_a_jail_as_a_user_of_its_own_is_stricter_than_others() {
    let user = |uid| JailWord::User { credentials: Credentials { uid, gid: uid, groups: vec![] } };
    let planned = |words: Vec<Word>, more: &[&str]| {
        let words = std::iter::once(file(&Role::Main)).chain(words).chain(waived(&REQUESTS));
        judge(&Plan { words: words.collect() }, more).unwrap()
    };
    let own = planned(vec![jail(&Role::Main, JailWord::OwnUser), text("-q")], &[]);
    let nobody = planned(vec![jail(&Role::Main, user(65534)), text("-q")], &["user"]);
    let outside = planned(vec![main(ProgramWord::Unconfined), text("-q")], &["unconfined:/usr/bin/vmm", "argument:-q"]);
    let spoken = planned(vec![jail(&Role::Main, JailWord::OwnUser), text("-v")], &[]);
    let of = |aspect, first, second| {
        let changes = diff(first, second).into_iter().filter(|change| change.aspect == aspect);
        changes.map(|change| change.strictness).collect::<Vec<_>>()
    };
    for (aspect, first, second, expected, back) in [
        ("user", &nobody, &own, Strictness::Stricter, Strictness::Weaker),
        ("confined", &outside, &own, Strictness::Stricter, Strictness::Weaker),
        ("arguments", &own, &spoken, Strictness::Other, Strictness::Other),
    ] {
        assert_eq!(of(aspect, first, second), [expected], "{aspect}");
        assert_eq!(of(aspect, second, first), [back], "{aspect}");
    }
    assert_eq!(diff(&own, &own), []);
    assert_eq!(Strictness::of_all(&diff(&nobody, &own)), Strictness::Stricter);
}
