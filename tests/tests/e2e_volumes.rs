//! Which volume an app finds where, what of the host it is, and what is there when nobody gave one.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rkt_tests::{FLAVORS, Output, Rkt, images};

/// A volume of this directory of the host.
fn volume(name: &str, source: &Path, options: &str) -> String {
    format!("--volume={name},kind=host,source={}{options}", source.display())
}

/// A directory with one file, which has the directory's name in it.
fn directory(rkt: &Rkt, name: &str) -> std::path::PathBuf {
    let path = rkt.home().join(name);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("name"), format!("{name}\n")).unwrap();
    path
}

#[test]
fn a_volume_that_is_not_recursive_comes_without_what_is_mounted_below_it() {
    let rkt = Rkt::new();
    let source = directory(&rkt, "source");
    let below = source.join("below");
    fs::create_dir(&below).unwrap();
    let image = rkt.probe("look", ["list", "/data/below", "+", "say", "end"]);
    for flavor in FLAVORS {
        for (options, expected) in
            [("", &["file", "end"][..]), (",recursive=true", &["file", "end"]), (",recursive=false", &["end"])]
        {
            let volume = volume("data", &source, options);
            let mount = format!("mount -t tmpfs tmpfs {0} && touch {0}/file", below.display());
            let script = format!(r#"{mount} && "$@" run {flavor} {volume} {image} --mount=volume=data,target=/data"#);
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation=private", "sh", "-c", &script, "sh"]).args(rkt.words::<&str>([]));
            let output = Output::of(&mut command).succeeds();
            assert_eq!(output.lines_of("look"), expected, "{flavor} {options}: {output}");
        }
        let plan = rkt.run(["plan", flavor, &volume("data", &source, ",recursive=false"), &image, MOUNT]).succeeds();
        assert!(plan.stdout.contains("/data: volume data, writable\n"), "{flavor}: {plan}");
        assert!(plan.stdout.contains("volume data alone on /data for app look: in the plan"), "{plan}");
    }
    rkt.collect();
}

const MOUNT: &str = "--mount=volume=data,target=/data";

#[test]
fn an_apps_own_mount_goes_before_one_in_all_apps_and_the_first_on_a_path_counts() {
    let rkt = Rkt::new();
    let (ours, theirs) = (directory(&rkt, "ours"), directory(&rkt, "theirs"));
    let own = rkt.probe("own", ["show", "/data/name"]);
    let other = rkt.probe("other", ["show", "/data/name"]);
    let volumes = [volume("ours", &ours, ""), volume("theirs", &theirs, "")];
    let output = rkt
        .run([
            "run",
            &volumes[0],
            &volumes[1],
            "--mount=volume=theirs,target=/data/",
            &own,
            "--mount=volume=ours,target=/x/../data",
            "--mount=volume=theirs,target=/data",
            &other,
        ])
        .succeeds();
    assert_eq!((output.lines_of("own"), output.lines_of("other")), (vec!["ours".into()], vec!["theirs".into()]));
    rkt.collect();
}

#[test]
fn a_volume_can_lie_in_another_whichever_is_named_first() {
    let rkt = Rkt::new();
    let (outer, inner) = (directory(&rkt, "outer"), directory(&rkt, "inner"));
    let image = rkt.probe("nested", ["show", "/a/name", "/a/deep/in/name"]);
    let mounts = ["--mount=volume=inner,target=/a/deep/in", "--mount=volume=outer,target=/a"];
    for flavor in FLAVORS {
        for mounts in [[mounts[0], mounts[1]], [mounts[1], mounts[0]]] {
            let volumes = [volume("outer", &outer, ""), volume("inner", &inner, ",readOnly=true")];
            let words = ["run", flavor, &volumes[0], &volumes[1], &image, mounts[0], mounts[1]];
            assert_eq!(rkt.run(words).succeeds().lines_of("nested"), ["outer", "inner"], "{flavor}");
        }
    }
    rkt.collect();
}

#[test]
fn a_volume_is_where_the_links_of_the_image_lead_and_never_outside() {
    let rkt = Rkt::new();
    let source = directory(&rkt, "source");
    let image = images::probe("links").exec(["/probe", "show", "/run/deep/name"]).directory("run", 0o755);
    let image = rkt.image("links", &image.symlink("var", "/../../run").symlink("out", "../../../../.."));
    let linked = rkt.home().join("linked");
    symlink("source", &linked).unwrap();
    for flavor in FLAVORS {
        // The source's own links are the host's.
        let words = ["run", flavor, &volume("data", &linked, ""), &image, "--mount=volume=data,target=/var/deep"];
        assert_eq!(rkt.run(words).succeeds().lines_of("links"), ["source"], "{flavor}");
        let outside = format!("--mount=volume=data,target=/out{}", rkt.home().join("made").display());
        let words = ["run", flavor, &volume("data", &source, ""), &image, "--mount=volume=data,target=/run/deep"];
        rkt.run(words.iter().copied().chain([outside.as_str()])).succeeds();
        assert!(!rkt.home().join("made").exists(), "{flavor}");
    }
    rkt.collect();
}

#[test]
fn a_source_that_is_not_there_is_told_before_anything_is_made() {
    let rkt = Rkt::new();
    let image = rkt.probe("never", ["say", "never"]);
    let gone = rkt.home().join("gone");
    symlink("nowhere", rkt.home().join("dangling")).unwrap();
    for source in [gone, rkt.home().join("dangling")] {
        let told = format!("source {:?} of volume \"data\": No such file or directory", source.display().to_string());
        rkt.run(["run", &volume("data", &source, ""), &image, MOUNT]).refuses(&[&told]);
        rkt.assert_no_pods();
    }
    // What no app mounts is not looked for, but said.
    let output = rkt.run(["run", "--volume=data,kind=host,source=/gone", &image]).succeeds();
    assert!(output.stderr.contains("no app uses volume \"data\""), "{output}");
    rkt.run(["run", "--mount=volume=none,target=/x", &image])
        .refuses(&["dangling mount point \"/x\": volume \"none\" not found"]);
    rkt.collect();
}

#[test]
fn a_socket_of_the_host_can_be_a_volume() {
    let rkt = Rkt::new();
    let path = rkt.home().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let image = rkt.probe("connects", ["try-connect", "/run/deep/socket"]);
    for flavor in FLAVORS {
        for options in ["", ",readOnly=true"] {
            let mount = "--mount=volume=data,target=/run/deep/socket";
            let output = rkt.run(["run", flavor, &volume("data", &path, options), &image, mount]).succeeds();
            assert_eq!(output.lines_of("connects"), ["/run/deep/socket: connected"], "{flavor}: {output}");
            listener.accept().unwrap();
        }
    }
    rkt.collect();
}

#[test]
fn a_device_of_the_host_can_be_a_volume_and_one_in_a_directory_opens_nothing() {
    let rkt = Rkt::new();
    let image = rkt.probe("opens", ["try-read", "/data"]);
    let nodes = directory(&rkt, "nodes");
    let made = Command::new("mknod").args([nodes.join("full").to_str().unwrap(), "c", "1", "7"]).status().unwrap();
    assert!(made.success());
    let inside = rkt.probe("inside", ["try-read", "/data/full"]);
    for flavor in FLAVORS {
        let device = Path::new("/dev/full");
        let output = rkt.run(["run", flavor, &volume("data", device, ""), &image, MOUNT]).succeeds();
        assert_eq!(output.lines_of("opens"), ["/data: 4096 bytes"], "{flavor}: {output}");
        rkt.run(["run", flavor, &volume("data", device, ",readOnly=true"), &image, MOUNT])
            .refuses(&["\"/dev/full\" is a device, which cannot be given for reading only", "leave readOnly out"]);
        let output = rkt.run(["run", flavor, &volume("data", &nodes, ""), &inside, MOUNT]).succeeds();
        assert_eq!(output.lines_of("inside"), ["/data/full: permission denied"], "{flavor}: {output}");
    }
    rkt.collect();
}

/// An image with a mount point over a directory that has something in it; as Docker's are made, or not.
fn with_content(rkt: &Rkt, name: &str, is_from_docker: bool) -> String {
    let script = "cd /data && ls -n | tail -n +2 | tr -s ' ' | cut -d' ' -f1,3,4,5,9-; stat -c '%a %u %g' . ; echo x > new && rm -r sub && ls | wc -l";
    let image = images::busybox(name).exec(["/bin/sh", "-c", script]).mount_point("data", "/data", false);
    let image = image.directory("data", 0o1771).owned_by(7, 8).file("data/file", 0o640, b"abc").owned_by(5, 6);
    let image = image.directory("data/sub", 0o700).symlink("data/link", "/etc/passwd");
    let image = if is_from_docker { image.annotation("appc.io/docker/repository", "library/x") } else { image };
    rkt.image(name, &image)
}

#[test]
fn an_implicit_volume_of_an_image_of_dockers_begins_with_what_the_image_has_there() {
    let rkt = Rkt::new();
    let image = with_content(&rkt, "docker", true);
    for flavor in FLAVORS {
        for _ in 0..2 {
            let output = rkt.run(["run", flavor, &image]).succeeds();
            let expected = [
                "-rw-r----- 5 6 3 file",
                "lrwxrwxrwx 0 0 11 link -> /etc/passwd",
                "drwx------ 0 0 4096 sub",
                "1771 7 8",
                "3",
            ];
            let lines: Vec<String> = output.lines_of("docker").iter().map(|line| line.trim().to_owned()).collect();
            let with_size = |line: &String| {
                if line.starts_with("drwx") { "drwx------ 0 0 4096 sub".to_owned() } else { line.clone() }
            };
            assert_eq!(lines.iter().map(with_size).collect::<Vec<_>>(), expected, "{flavor}: {output}");
        }
        assert_eq!(rkt.pods().len(), 2);
        rkt.collect();
    }
    // What somebody gives is not filled.
    let output = rkt.run(["run", "--volume=data,kind=empty,mode=0700", &image]).ends_with(1);
    assert!(output.lines_of("docker").contains(&"700 0 0".to_owned()), "{output}");
    rkt.collect();
}

#[test]
fn an_implicit_volume_of_any_other_image_is_empty() {
    let rkt = Rkt::new();
    let image = with_content(&rkt, "appc", false);
    let output = rkt.run(["run", &image]).ends_with(1);
    assert_eq!(output.lines_of("appc"), ["755 0 0"], "{output}");
    rkt.collect();
}

#[test]
fn two_apps_of_one_image_have_roots_of_their_own_and_share_what_they_are_given() {
    let rkt = Rkt::new();
    let image = rkt.probe("twice", ["say", "never"]);
    let first = ["--name=first", MOUNT, "--", "write", "/own", "x", "+", "write", "/data/x", "x", "---"];
    let second =
        ["--name=second", MOUNT, "--", "wait-for", "/data/x", "+", "try-read", "/own", "+", "list", "/data", "---"];
    let mut words = vec!["run", "--volume=data,kind=empty", &image, "--exec=/probe"];
    words.extend(first);
    words.extend([image.as_str(), "--exec=/probe"]);
    words.extend(second);
    let output = rkt.run(&words).succeeds();
    assert_eq!(output.lines_of("second"), ["/own: entity not found", "x"], "{output}");
    rkt.run(["run", &image, &image]).refuses(&["error: multiple apps with name twice"]);
    rkt.collect();
}

#[test]
fn two_volumes_of_one_name_are_refused_where_nobody_wrote_one() {
    let rkt = Rkt::new();
    let image = rkt.image("a", &images::probe("a").exec(["/probe", "exit", "0"]).mount_point("b", "/b", false));
    rkt.run(["run", "--volume=a-b,kind=empty", &image])
        .refuses(&["mount point \"b\" of app \"a\" would get an empty volume \"a-b\""]);
    rkt.assert_no_pods();
}

#[test]
fn an_empty_volume_has_the_mode_and_owner_that_were_asked_for() {
    let rkt = Rkt::new();
    let image = rkt.image("stat", &images::busybox("stat").exec(["/bin/stat", "-c", "%a %u %g", "/data"]));
    for flavor in FLAVORS {
        for (options, expected) in [("", "755 0 0"), (",mode=1777,uid=5,gid=6", "1777 5 6"), (",mode=0", "0 0 0")] {
            let volume = format!("--volume=data,kind=empty{options}");
            let output = rkt.run(["run", flavor, &volume, &image, MOUNT]).succeeds();
            assert_eq!(output.lines_of("stat"), [expected], "{flavor}{options}: {output}");
        }
    }
    rkt.collect();
}
