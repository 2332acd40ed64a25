//! Running: images, exit codes, users, environments, command lines.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::aci::Compression;
use rkt_tests::{FLAVORS, FLAVORS_AND_NSPAWN, Rkt, images};

#[test]
fn an_image_in_a_file_runs_on_each_flavor() {
    let rkt = Rkt::new();
    let hello = rkt.image("hello", &images::hello());
    for flavor in FLAVORS_AND_NSPAWN {
        let output = rkt.run(["run", flavor, &hello]).succeeds();
        assert_eq!(output.lines_of("hello"), ["Hello, world!"], "{flavor}: {output}");
        assert_eq!(output.stderr, "", "{flavor}");
    }
    rkt.collect();
}

#[test]
fn a_log_says_when_and_who_before_each_line() {
    let rkt = Rkt::new();
    let image = rkt.probe("speaker", ["say", "one", "+", "say", "two"]);
    let output = rkt.run(["run", &image]).succeeds();
    let prefixes: Vec<&str> =
        output.stdout.lines().filter_map(|line| line.split_once("]: ").map(|(prefix, _)| prefix)).collect();
    assert_eq!(prefixes.len(), 2, "{output}");
    for prefix in prefixes {
        let (time, pid) = prefix.trim_start_matches('[').split_once("] speaker[").unwrap();
        let (seconds, fraction) = time.split_once('.').unwrap();
        assert!(seconds.trim_start().parse::<u64>().is_ok() && fraction.len() == 6, "{output}");
        // As the pod sees it: init is the first, the app the second.
        assert_eq!(pid, "2", "{output}");
    }
    rkt.collect();
}

#[test]
fn each_compression_is_read() {
    let rkt = Rkt::new();
    let file = rkt.home().join("hello.aci");
    for compression in [Compression::None, Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd] {
        images::hello().write(&file, compression);
        let output = rkt.run(["run", "--stage1=fly", file.to_str().unwrap()]).succeeds();
        assert_eq!(output.stdout, "Hello, world!\n", "{compression:?}");
    }
    rkt.collect();
}

#[test]
fn a_stored_image_runs_by_hash_by_the_beginning_of_it_and_by_name() {
    let rkt = Rkt::new();
    let file = rkt.image("hello", &images::hello());
    let fetched = rkt.run(["fetch", "--full", &file]).succeeds();
    let hash = fetched.stdout.trim_end();
    assert_eq!((hash.len(), hash.starts_with("sha512-")), (71, true), "{fetched}");
    fs::remove_file(&file).unwrap();
    for reference in [hash, &hash[..39], "example.com/hello"] {
        let output = rkt.run(["run", "--stage1=fly", reference]).succeeds();
        assert_eq!(output.stdout, "Hello, world!\n", "{reference}");
    }
    rkt.collect();
}

#[test]
fn container_is_the_default_and_fly_has_its_old_name() {
    let rkt = Rkt::new();
    let image = rkt.probe("names", ["namespaces"]);
    let hosts = rkt_tests::process::namespaces(std::process::id());
    let shared =
        |output: rkt_tests::Output| output.lines_of("names").into_iter().filter(|line| hosts.contains(line)).count();
    assert_eq!(shared(rkt.run(["run", &image]).succeeds()), 1, "only users are shared");
    assert_eq!(shared(rkt.run(["run", "--stage1=coreos.com/rkt/stage1-fly", &image]).succeeds()), hosts.len() - 1);
    rkt.collect();
}

#[test]
fn an_unsigned_image_is_refused() {
    let rkt = Rkt::strict_about_images();
    let hello = rkt.image("hello", &images::hello());
    rkt.run(["run", &hello]).refuses(&["signature", "--insecure-options=image"]);
    rkt.run(["fetch", &hello]).refuses(&["signature", "--insecure-options=image"]);
    assert_eq!(rkt.run(["image", "list", "--no-legend"]).succeeds().stdout, "");
    rkt.assert_no_pods();
}

#[test]
fn the_exit_code_is_the_apps() {
    let rkt = Rkt::new();
    let image = rkt.image("code", &images::probe("code"));
    for flavor in FLAVORS_AND_NSPAWN {
        for code in [0, 7, 255] {
            rkt.run(["run", flavor, &image, "--exec=/probe", "--", "exit", &code.to_string()]).ends_with(code);
        }
        // An app that a signal ends has the signal's number.
        rkt.run(["run", flavor, &image, "--exec=/probe", "--", "abort"]).ends_with(6);
    }
    rkt.collect();
}

#[test]
fn a_program_that_cannot_be_executed_is_named() {
    let rkt = Rkt::new();
    let image = rkt.image(
        "exec",
        &images::probe("exec").file("text", 0o644, b"text").file("script", 0o755, b"#!/no/interpreter\n"),
    );
    for flavor in FLAVORS_AND_NSPAWN {
        for program in ["/missing", "/text", "/script"] {
            let output = rkt.run(["run", flavor, &image, &format!("--exec={program}")]).ends_with(203);
            assert!(output.stderr.contains(program), "{flavor} {program}: {output}");
        }
        let output = rkt.run(["run", flavor, &image, "--exec=nowhere"]).ends_with(203);
        assert!(output.stderr.contains(r#"unable to find "nowhere" in "#), "{output}");
        let output = rkt.run(["run", flavor, &image, "--exec=/script"]).ends_with(203);
        assert!(output.stderr.contains("/no/interpreter"), "{output}");
    }
    rkt.collect();
}

#[test]
fn a_pod_ends_with_the_code_of_the_app_that_fails() {
    let rkt = Rkt::new();
    let fails = rkt.probe("fails", ["say", "failing", "+", "exit", "7"]);
    let stays = rkt.probe("stays", ["wait"]);
    let output = rkt.run(["run", &stays, &fails]).ends_with(7);
    assert_eq!(output.lines_of("fails"), ["failing"], "{output}");
    let pod = rkt.the_pod();
    let uuid = pod["name"].as_str().unwrap();
    let status = rkt.run(["status", uuid]).succeeds();
    for line in ["state=exited", "exited=true", "app-fails=7", "app-stays=0"] {
        assert!(status.stdout.lines().any(|found| found == line), "{line}: {status}");
    }
    rkt.collect();
}

#[test]
fn a_pod_succeeds_when_all_of_its_apps_do() {
    let rkt = Rkt::new();
    let one = rkt.probe("one", ["say", "first"]);
    let two = rkt.probe("two", ["say", "second"]);
    let output = rkt.run(["run", &one, &two]).succeeds();
    assert_eq!(
        (output.lines_of("one"), output.lines_of("two")),
        (vec!["first".into()], vec!["second".into()]),
        "{output}"
    );
    rkt.collect();
}

#[test]
fn two_apps_of_one_name_are_refused_and_can_be_named_apart() {
    let rkt = Rkt::new();
    let image = rkt.probe("same", ["say", "here"]);
    rkt.run(["run", &image, &image]).refuses(&["multiple apps with name same"]);
    let output = rkt.run(["run", &image, "--name=first", &image, "--name=second"]).succeeds();
    assert_eq!(
        (output.lines_of("first"), output.lines_of("second")),
        (vec!["here".into()], vec!["here".into()]),
        "{output}"
    );
    rkt.collect();
}

#[test]
fn fly_refuses_a_second_app_and_says_what_runs_two() {
    let rkt = Rkt::new();
    let one = rkt.probe("one", ["exit", "0"]);
    let two = rkt.probe("two", ["exit", "0"]);
    rkt.run(["run", "--stage1=fly", &one, &two]).refuses(&[
        "fly runs one app in a pod",
        "hint: ",
        "--stage1=container",
    ]);
    rkt.assert_no_pods();
}

#[test]
fn arguments_belong_to_the_image_before_them() {
    let rkt = Rkt::new();
    let one = rkt.probe("one", ["arguments", "fixed"]);
    let two = rkt.probe("two", ["arguments"]);
    let output = rkt.run(["run", &one, "--", "--name=x", "---", &two, "--", "a b", "--"]).succeeds();
    assert_eq!(output.lines_of("one"), ["fixed", "--name=x"], "{output}");
    assert_eq!(output.lines_of("two"), ["a b", "--"], "{output}");
    rkt.run(["run", "--", "x", &one]).refuses(&["an image is required before any app arguments"]);
    rkt.collect();
}

#[test]
fn users_and_groups_are_found_in_the_image() {
    let rkt = Rkt::new();
    let busybox = images::busybox("users").exec(["/bin/id"]).file("owned", 0o644, b"").owned_by(1234, 1235);
    let image = rkt.image("users", &busybox);
    for flavor in FLAVORS_AND_NSPAWN {
        for (flags, expected) in [
            (&[][..], "uid=0(root) gid=0(root)"),
            (&["--user=alice"], "uid=1000(alice) gid=0(root) groups=10(wheel)"),
            (&["--user=alice", "--group=alice"], "uid=1000(alice) gid=1001(alice) groups=10(wheel)"),
            (&["--user=12", "--group=13"], "uid=12 gid=13"),
            (&["--user=/owned", "--group=/owned"], "uid=1234 gid=1235"),
            (&["--supplementary-gids=10,20"], "uid=0(root) gid=0(root) groups=10(wheel),20"),
        ] {
            let output = rkt.run(["run", flavor, &image].iter().chain(flags)).succeeds();
            let id = &output.lines_of("users")[0];
            assert_eq!(id, expected, "{flavor} {flags:?}");
        }
        for (flag, named) in [
            ("--user=bob", "bob"),
            ("--group=staff", "staff"),
            ("--user=/missing", "/missing"),
            ("--user=4294967295", "4294967295"),
        ] {
            rkt.run(["run", flavor, &image, flag]).refuses(&[named]);
        }
    }
    rkt.collect();
}

#[test]
fn what_is_set_closest_to_the_app_wins_in_its_environment() {
    let rkt = Rkt::new();
    let image = images::probe("env").exec(["/probe", "environment"]).environment("MULTI", "two\nlines");
    let image = rkt.image("env", &image.environment("A", "image").environment("B", "image"));
    let file = rkt.home().join("env");
    fs::write(&file, "# comment\n\nB=file\nC=file\nD=file\n").unwrap();
    let file = format!("--set-env-file={}", file.display());
    let mut command = rkt.command([
        "run",
        "--stage1=fly",
        "--inherit-env",
        &file,
        "--set-env=C=set",
        "--set-env=E=set",
        &image,
        "--environment=E=app",
    ]);
    let output = rkt_tests::Output::of(command.env("A", "inherited").env("F", "inherited")).succeeds();
    let lines = output.stdout.lines();
    let wanted = ["A=", "B=", "C=", "D=", "E=", "F=", "AC_APP_NAME="];
    let found: Vec<&str> = lines.filter(|line| wanted.iter().any(|name| line.starts_with(name))).collect();
    assert_eq!(found, ["A=image", "AC_APP_NAME=env", "B=file", "C=set", "D=file", "E=app", "F=inherited"], "{output}");
    assert!(output.stdout.contains("MULTI=two\nlines\n"), "{output}");
    for default in ["HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh"] {
        assert!(output.stdout.lines().any(|line| line == default), "{default}: {output}");
    }
    rkt.collect();
}

#[test]
fn a_file_of_variables_has_one_on_a_line_and_what_is_none_is_told_with_its_line() {
    let rkt = Rkt::new();
    let image = rkt.probe("env", ["environment"]);
    let file = |name: &str, text: &str| {
        fs::write(rkt.home().join(name), text).unwrap();
        format!("--set-env-file={}", rkt.home().join(name).display())
    };
    let good = file("good", "# one\n  ; two\r\n\n   \nA=b=c # d\nEMPTY=\r\nSPACED= x \n");
    let lines = rkt.run(["run", &good, &image]).succeeds().lines_of("env");
    for line in ["A=b=c # d", "EMPTY=", "SPACED= x "] {
        assert!(lines.contains(&line.to_owned()), "{line:?}: {lines:?}");
    }
    let text = "environment variable must be specified as name=value (file";
    for (name, bad, words) in [
        ("none", "A=b\nC\n", &[text, "none\"), line 2"][..]),
        ("name", "1A=b", &["\"1A\" is no environment variable name", "name\"), line 1"]),
        ("twice", "A=b\nA=b\n", &["key \"A\" already set (file", "twice\")"]),
    ] {
        rkt.run(["run", &file(name, bad), &image]).refuses(words);
    }
    // One in two files is no less a mistake.
    let again = file("again", "A=b\n");
    rkt.run(["run", &good, &again, &image]).refuses(&["key \"A\" already set (file", "again\")"]);
    rkt.run(["run", "--set-env=A=b", "--set-env=A=c", &image]).refuses(&["key \"A\" already set"]);
    rkt.run(["run", "--set-env-file=/does/not/exist", &image])
        .refuses(&["cannot read the environment (file \"/does/not/exist\"): No such file or directory"]);
    rkt.collect();
}

#[test]
fn a_value_can_have_lines_and_whoever_enters_has_it_so_too() {
    let rkt = Rkt::new();
    let image = rkt.probe("env", ["environment", "+", "wait"]);
    for flavor in FLAVORS {
        let pod = rkt.start([flavor, "--set-env=SET=a\nb", &image, "--environment=TEXT=one\n\n two = 2\n"]);
        let entered = rkt.run(["enter", &pod.uuid, "/probe", "environment"]).succeeds();
        for text in ["SET=a\nb\n", "TEXT=one\n\n two = 2\n\n", "AC_APP_NAME=env\n"] {
            assert!(entered.stdout.contains(text), "{flavor}: {entered}");
        }
        pod.end();
    }
    rkt.collect();
}

#[test]
fn the_callers_environment_stays_outside_unless_asked_in() {
    let rkt = Rkt::new();
    let image = rkt.probe("env", ["environment"]);
    for flavor in FLAVORS_AND_NSPAWN {
        let output = rkt_tests::Output::of(rkt.command(["run", flavor, &image]).env("CALLERS_SECRET", "x")).succeeds();
        assert!(!output.stdout.contains("CALLERS_SECRET"), "{output}");
    }
    rkt.collect();
}

#[test]
fn a_working_directory_is_the_images_or_the_flags() {
    let rkt = Rkt::new();
    let image = images::probe("cwd")
        .exec(["/probe", "directory"])
        .app("workingDirectory", "/work".into())
        .directory("work", 0o755);
    let image = rkt.image("cwd", &image.directory("other", 0o755).file("other/here", 0o755, images::PROBE));
    for flavor in FLAVORS_AND_NSPAWN {
        assert_eq!(rkt.run(["run", flavor, &image]).succeeds().lines_of("cwd"), ["/work"]);
        assert_eq!(rkt.run(["run", flavor, &image, "--working-dir=/other"]).succeeds().lines_of("cwd"), ["/other"]);
        let relative = rkt.run(["run", flavor, &image, "--working-dir=/other", "--exec=./here", "--", "say", "found"]);
        assert_eq!(relative.succeeds().lines_of("cwd"), ["found"]);
    }
    rkt.collect();
}

#[test]
fn standard_input_is_empty_and_the_last_words_of_a_pod_are_heard() {
    let rkt = Rkt::new();
    let hears = rkt.probe("hears", ["hear"]);
    let talks = rkt.probe("talks", ["say-bytes", "400000", "+", "complain", "end", "+", "exit", "3"]);
    for flavor in FLAVORS_AND_NSPAWN {
        assert_eq!(rkt.run(["run", flavor, &hears]).succeeds().lines_of("hears"), [r#"heard """#]);
        let output = rkt.run(["run", flavor, &talks]).ends_with(3);
        let lines = output.lines_of("talks");
        assert_eq!((lines.len(), lines.last().unwrap().as_str()), (25_000, "line 0000024999"), "{flavor}");
        assert_eq!(output.errors_of("talks"), ["end"], "{flavor}");
    }
    rkt.collect();
}
