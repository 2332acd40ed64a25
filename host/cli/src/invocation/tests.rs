use super::command_word::NAMES;
use super::*;
use crate::arguments::{App, Command, Image};

fn understood(line: &str) -> Result<Invocation, Stop> {
    understand(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
}

fn bad(line: &str) -> String {
    match understood(line) {
        Err(Stop::Bad { command, message }) => format!("{command}: {message}"),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definitions_are_consistent() {
    arguments::definition().debug_assert();
    arguments::app_definition().debug_assert();
}

#[test]
fn commands_can_be_shortened_and_flags_stand_before_them() {
    let is = |line: &str, wanted: fn(&Command) -> bool| {
        let command = understood(line).unwrap().line.command;
        assert!(wanted(&command), "{line}: {command:?}");
    };
    is("ver", |command| matches!(command, Command::Version));
    is("--debug version", |command| matches!(command, Command::Version));
    is("im li", |command| matches!(command, Command::Image(Image::List(_))));
    is("--dir /x image --debug list", |command| matches!(command, Command::Image(Image::List(_))));
    is("cat-manifest --uuid-file=f", |command| matches!(command, Command::CatManifest(_)));
    is("replay --plugin=fly 1a2b", |command| matches!(command, Command::Replay(_)));
    is("gc --grace-period=0s", |command| matches!(command, Command::Gc(_)));
    let run = understood("--uuid-file-save=F run a.aci").unwrap();
    assert_eq!(run.images[0].image, "a.aci");
    let run = understood("--volume v,kind=empty run a.aci --user 5").unwrap();
    assert!(run.images[0].flags.user.is_some());
}

#[test]
fn every_command_that_is_defined_is_found_by_its_name() {
    let definition = arguments::definition();
    let inner = definition.get_subcommands().flat_map(Definition::get_subcommands);
    for command in definition.get_subcommands().chain(inner) {
        assert!(NAMES.contains(&command.get_name()), "{}", command.get_name());
    }
}

#[test]
fn run_by_its_own_definition_means_what_it_means_among_all_commands() {
    let lines = [
        "run a.aci",
        "--debug --dir=/d run --stage1=fly a.aci --user=1 --memory=1G -- x -y --- b.aci --exec /c",
        "run --mount volume=v,target=/d --volume v,kind=empty --hostname=h --set-env A=1 a.aci --name=n",
        "run --uuid-file-save=/u --insecure-options=image --net=host --strict a.aci b.aci",
    ];
    for line in lines {
        let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        let alone = understand_run(&words).unwrap_or_else(|| panic!("{line}: not understood alone"));
        let among_all = understand_any(&words).unwrap();
        assert_eq!(format!("{alone:?}"), format!("{among_all:?}"), "{line}");
    }
    for line in ["run", "r a.aci", "run --help", "run a.aci --memory=x", "list"] {
        let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        let alone = understand_run(&words).map(|invocation| format!("{invocation:?}"));
        assert!(alone.is_none_or(|alone| alone == format!("{:?}", understand_any(&words).unwrap())), "{line}");
    }
}

#[test]
fn the_first_word_of_an_addition_is_the_pod() {
    let added =
        understood("--debug app add --strict 1a2b i.aci --user=5 --mnt-volume name=v,kind=empty,target=/v -- x -y");
    let Invocation { line, images, everywhere } = added.unwrap();
    let Command::App(App::Add(add)) = line.command else { panic!("add") };
    assert_eq!((add.uuid.as_deref(), add.strict, add.mnt_volume.len()), (Some("1a2b"), true, 1));
    assert_eq!((images.len(), images[0].image.as_str(), everywhere.len()), (1, "i.aci", 0));
    assert_eq!(images[0].arguments, ["x", "-y"]);
    assert!(images[0].flags.user.is_some() && line.globals.debug);
    let Command::App(App::Rm(rm)) = understood("app rm --app=db 1a2b").unwrap().line.command else { panic!("rm") };
    assert_eq!((rm.app.unwrap().as_str(), rm.uuid.as_deref()), ("db", Some("1a2b")));
    let Command::App(App::Add(add)) = understood("app add").unwrap().line.command else { panic!("add") };
    assert_eq!(add.uuid, None);
}

#[test]
fn flags_of_a_kind_have_the_last_word_and_lists_grow() {
    let Invocation { line, images, everywhere } = understood(
        "run --mount volume=v,target=/d --hostname=a --hostname=b --set-env A=1 --set-env B=2 i --user=1 --user=2 -- x",
    )
    .unwrap();
    let Command::Run(run) = line.command else { panic!("run") };
    assert_eq!(run.start.hostname.as_deref(), Some("b"));
    assert_eq!(run.pod.set_env.len(), 2);
    assert_eq!(everywhere.len(), 1);
    assert_eq!(images[0].arguments, ["x"]);
    assert_eq!(images[0].flags.user, Some("2".parse().unwrap()));
    assert!(!line.globals.debug);
}

#[test]
fn mistakes_are_told_in_rkts_words() {
    let table = [
        ("frobnicate", "rkt: unknown command \"frobnicate\" for \"rkt\"\nRun 'rkt --help' for usage."),
        ("trust", "rkt: trust is not supported by this rkt yet"),
        ("app start x", "rkt: start is not supported by this rkt yet"),
        ("app frob x", "rkt: unknown command \"frob\" for \"rkt app\"\nRun 'rkt app --help' for usage."),
        ("app add 1a --user=1 i", "add: error parsing app image arguments: --user must follow an image"),
        ("app add 1a -- x", "add: error parsing app image arguments: an image is required before any app arguments"),
        ("list --colour", "list: unknown flag: --colour"),
        (
            "status --wait=soon x",
            "status: invalid argument \"soon\" for \"--wait\" flag: it is a duration such as 30m, 1h30m or 0s",
        ),
        ("stop --force --timeout=1s x", "stop: flags --force and --timeout are mutually exclusive"),
        ("list --format=xml", "list: invalid argument \"xml\" for \"--format\" flag: Invalid format option: xml"),
        (
            "run --net=lan a.aci",
            "run: invalid argument \"lan\" for \"--net\" flag: networks are not supported by this rkt yet, only none and host",
        ),
        ("run --user=1 a.aci", "run: error parsing app image arguments: --user must follow an image"),
        (
            "run a.aci --memory=x",
            "run: error parsing app image arguments: invalid argument \"x\" for \"--memory\" flag: ",
        ),
        ("fetch a.aci -- x", "fetch: unable to parse arguments: app arguments unsupported"),
        (
            "--insecure-options=all run a.aci",
            "run: invalid argument \"all\" for \"--insecure-options\" flag: option \"all\" is not supported by this rkt yet",
        ),
        ("gc --grace-period", "gc: flag needs an argument: --grace-period"),
        ("run --stage1=a --stage1-path=b x", "run: flags --stage1-path and --stage1 are mutually exclusive"),
        ("plan --stage1-hash=a x --stage1-url=b", "plan: flags --stage1-url and --stage1-hash are mutually exclusive"),
        ("prepare --stage1-name=a x --stage1-name b", "prepare: --stage1-name already used"),
    ];
    for (line, expected) in table {
        let message = bad(line);
        assert!(message.starts_with(expected), "{line}: {message}");
    }
}

#[test]
fn help_and_usage_are_no_mistakes() {
    assert!(matches!(understood(""), Err(Stop::NoCommand(_))));
    let Err(Stop::Help(help)) = understood("--help") else { panic!("help") };
    for heading in ["NAME:", "USAGE:", "COMMANDS:", "GLOBAL OPTIONS:"] {
        assert!(help.contains(heading), "{heading}: {help}");
    }
    assert!(matches!(understood("run --help"), Err(Stop::Help(_))));
    assert!(matches!(understood("help run"), Err(Stop::Help(_))));
    assert!(matches!(understood("status"), Err(Stop::Usage(_))));
    assert!(matches!(understood("list extra"), Err(Stop::Usage(_))));
    assert!(matches!(understood("image"), Err(Stop::Usage(_))));
}
