//! A flavor of somebody else's, from `plugins/examples`: built with the SDK alone, packed as its README says,
//! named as an image, and granted what its operator decides.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rkt_tests::aci::{AciBuilder, Compression};
use rkt_tests::{FLAVORS, Output, Rkt, built, images, process, wait_for, wait_until};
use rustix::process::Signal;

/// What the flavor calls itself.
const NAME: &str = "example.com/bubble";

/// The image of the plugin, as its vendor packs it.
fn plugin() -> String {
    built("examples/bubble.aci")
}

/// An operator's rkt with one stranger.
struct Host {
    rkt: Rkt,
    /// The flag that names the stranger.
    stage1: String,
}

impl Host {
    /// That grants it what it asks for, by writing the file that rkt says.
    fn new() -> Self {
        let host = Self { rkt: Rkt::new(), stage1: format!("--stage1={}", plugin()) };
        let image = host.rkt.probe("unused", ["exit", "0"]);
        let refused = host.rkt.run(["plan", &host.stage1, &image]).refuses(&["is granted nothing"]);
        host.grant(refused.stderr.split_once(".toml:\n").unwrap().1);
        host
    }

    fn grant_file(&self) -> PathBuf {
        self.rkt.home().join("user/plugins.d/stranger.toml")
    }

    fn grant(&self, text: &str) {
        fs::create_dir_all(self.grant_file().parent().unwrap()).unwrap();
        fs::write(self.grant_file(), text).unwrap();
    }

    /// What is granted now, and the digest that it is granted to.
    fn granted(&self) -> (Vec<String>, String) {
        let text = fs::read_to_string(self.grant_file()).unwrap();
        let quoted = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let (head, allow) = text.split_once("allow").unwrap();
        (quoted(allow), quoted(head).remove(1))
    }

    fn grant_only(&self, allow: &[String], digest: Option<&str>) {
        let digest = digest.map(|digest| format!("digest = {digest:?}\n")).unwrap_or_default();
        self.grant(&format!("plugin = {NAME:?}\n{digest}allow = {allow:?}\n"));
    }

    fn run(&self, words: &[&str]) -> Output {
        self.rkt.run(["run", &self.stage1].iter().chain(words))
    }

    /// The agents of this host's pods that were started with a word.
    fn agents(&self, word: &str) -> Vec<u32> {
        let is_one = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = words.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"/agent")) && words.next() == Some(word.as_bytes())
        };
        self.rkt.processes().into_iter().filter(is_one).collect()
    }
}

#[test]
fn an_app_runs_as_on_the_other_flavors() {
    let host = Host::new();
    let image =
        host.rkt.probe("same", ["say", "one", "+", "arguments", "a b", "", "*", "+", "directory", "+", "exit", "7"]);
    let with = ["--set-env=X=y", &image, "--working-dir=/dev"];
    let strangers = host.run(&with).ends_with(7).lines_of("same");
    assert_eq!(strangers, ["one", "a b", "", "*", "/dev"]);
    for flavor in FLAVORS {
        assert_eq!(
            host.rkt.run(["run", flavor].iter().chain(&with)).ends_with(7).lines_of("same"),
            strangers,
            "{flavor}"
        );
    }
    let killed = host.rkt.probe("killed", ["abort"]);
    host.run(&[&killed]).ends_with(128 + 6);
    host.rkt.collect();
}

#[test]
fn an_app_is_in_namespaces_of_its_own_and_may_nothing() {
    let host = Host::new();
    let image = host.rkt.image("rights", &images::busybox("rights").exec(["/bin/sh", "-c", INSPECT]));
    let words = ["--hostname=mine", &image, "--user=33", "--group=34", "--memory=64M", "--oom-score-adj=77"];
    let lines = host.run(&words).succeeds().lines_of("rights");
    for line in
        ["uid=33 gid=34", "mine", "77", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]
    {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
    }
    assert!(lines.iter().any(|line| line.contains("no new root")), "{lines:?}");
    let ours = process::namespaces(std::process::id());
    let theirs: Vec<&String> = lines.iter().filter(|line| line.contains(":[")).collect();
    assert_eq!(theirs.len(), 7, "{lines:?}");
    assert!(theirs.iter().all(|namespace| !ours.contains(namespace)), "{ours:?} {theirs:?}");
    host.rkt.collect();
}

const INSPECT: &str = "id | cut -d' ' -f1,2; hostname; cat /proc/self/oom_score_adj
    grep -E 'Cap|NoNew' /proc/self/status
    for name in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$name; done
    unshare -U true 2>/dev/null || echo no new root";

#[test]
fn volumes_are_where_they_were_asked_for_and_links_of_the_image_lead_none_astray() {
    let host = Host::new();
    let shared = host.rkt.home().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "from the host\n").unwrap();
    let read = "cat /a/b/file /etc/one; echo x > /etc/one || echo kept; touch /tmp/new && ls /tmp";
    let image = host.rkt.image("volumes", &images::busybox("volumes").exec(["/bin/sh", "-c", read]));
    let source = format!("--volume=v,kind=host,source={}", shared.display());
    let one = format!("--volume=w,kind=host,source={},readOnly=true", shared.join("file").display());
    let words = [source.as_str(), &one, "--volume=e,kind=empty,mode=1777", &image];
    let mounts = ["--mount=volume=v,target=/a/b", "--mount=volume=w,target=/etc/one", "--mount=volume=e,target=/tmp"];
    let lines = host.run(&[&words[..], &mounts[..]].concat()).succeeds().lines_of("volumes");
    assert_eq!(lines, ["from the host", "from the host", "kept", "new"]);
    // A volume that cannot be put where it belongs is an error, and lies nowhere else instead.
    let linked = images::busybox("linked").exec(["/bin/true"]).symlink("a", "/usr");
    let linked = host.rkt.image("linked", &linked);
    let output = host.run(&[&source, &linked, "--mount=volume=v,target=/a/b"]);
    assert_ne!(output.status.code(), Some(0), "{output}");
    host.rkt.collect();
}

#[test]
fn a_root_that_is_read_only_needs_its_own_mount_points() {
    let host = Host::new();
    let image = images::busybox("whole").exec(["/bin/sh", "-c", "touch /new || echo kept"]);
    let whole = host.rkt.image("whole", &image.directory("dev", 0o755).directory("proc", 0o755));
    assert_eq!(host.run(&[&whole, "--readonly-rootfs=true"]).succeeds().lines_of("whole"), ["kept"]);
    let bare = host.rkt.probe("bare", ["exit", "0"]);
    let output = host.run(&[&bare, "--readonly-rootfs=true"]).ends_with(1);
    assert!(output.stderr.contains("Can't mkdir /proc"), "{output}");
    host.rkt.collect();
}

#[test]
fn it_is_listed_entered_and_stopped() {
    let host = Host::new();
    let serve = "trap 'echo asked; exit 3' TERM; echo up; while :; do read -t 1 x; done < /dev/zero";
    let image = host.rkt.image("served", &images::busybox("served").exec(["/bin/sh", "-c", serve]));
    let pod = host.rkt.start([host.stage1.as_str(), &image]);
    pod.says("up");
    let listed = host.rkt.the_pod();
    assert_eq!((listed["state"].as_str(), &listed["apps"][0]["name"]), (Some("running"), &"served".into()), "{listed}");
    let status = host.rkt.run(["status", &pod.uuid]).succeeds().stdout;
    assert!(status.contains("state=running"), "{status}");

    let enter = |words: &[&str]| host.rkt.run(["enter", pod.uuid.as_str()].iter().chain(words));
    let entered =
        enter(&["/bin/sh", "-c", "echo out; echo err >&2; cat /proc/1/cmdline | tr '\\0' ' '; exit 9"]).ends_with(9);
    assert_eq!(
        entered.stdout,
        "out\n/dev/bubble/agent inside /dev/bubble/control/socket -- /bin/sh -c ".to_owned() + serve + " "
    );
    assert_eq!(entered.stderr, "err\n");
    enter(&["/bin/echo", "a b", "", "*"]).succeeds();
    assert!(enter(&["/nowhere"]).ends_with(127).stderr.contains("cannot run /nowhere"));
    enter(&["/bin/sh", "-c", "kill -9 $$"]).ends_with(137);

    host.rkt.run(["stop", &pod.uuid]).succeeds();
    let output = pod.wait().ends_with(3);
    assert!(output.stdout.contains("asked"), "{output}");
    let status = host.rkt.run(["status", &host.rkt.pods()[0]]).succeeds().stdout;
    assert!(status.contains("state=exited") && status.contains("app-served=3"), "{status}");
    host.rkt.collect();
}

#[test]
fn no_app_comes_to_it_or_goes_while_it_runs() {
    let host = Host::new();
    let image = host.rkt.probe("only", ["wait"]);
    let pod = host.rkt.start([host.stage1.as_str(), &image]);
    let record = || fs::read(pod.directory().join("record.json")).unwrap();
    let before = record();
    // The plugin is asked, and has the first word.
    let refused = host.rkt.run(["app", "add", &pod.uuid, &image, "--name=other"]);
    refused.refuses(&["add: example.com/bubble: bubble runs one app in a pod"]);
    host.rkt.run(["app", "rm", "--app=only", &pod.uuid]).refuses(&["it is the last app", "hint: rkt stop"]);
    assert!(record() == before && host.rkt.the_pod()["state"] == "running");
    assert_eq!(fs::read_dir(pod.directory().join("appsinfo")).unwrap().count(), 1);
    pod.end();
    host.rkt.collect();
}

#[test]
fn what_was_entered_ends_with_whoever_entered() {
    let host = Host::new();
    let image = host.rkt.image("entered", &images::busybox("entered").exec(["/bin/sleep", "1000"]));
    let pod = host.rkt.start([host.stage1.as_str(), &image]);
    let inside = |words: &str| {
        let is_one = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default() == words.replace(' ', "\0").as_bytes()
        };
        host.rkt.processes().into_iter().find(is_one)
    };
    let mut entered = host.rkt.command(["enter", &pod.uuid, "/bin/sleep", "2000"]).spawn().unwrap();
    wait_for("what is entered", || inside("/bin/sleep 2000 "));
    entered.kill().unwrap();
    entered.wait().unwrap();
    wait_until("it to be gone", || inside("/bin/sleep 2000 ").is_none());
    assert!(inside("/bin/sleep 1000 ").is_some());
    pod.end();
    host.rkt.collect();
}

#[test]
fn the_end_of_its_helper_is_the_pods() {
    let host = Host::new();
    let image = host.rkt.probe("helped", ["wait"]);
    let pod = host.rkt.start([host.stage1.as_str(), &image]);
    let helpers = host.agents("watch");
    assert_eq!(helpers.len(), 1, "{helpers:?}");
    process::signal(helpers[0], Signal::KILL);
    let output = pod.wait().ends_with(9);
    assert!(output.stderr.contains("helper watch has ended with signal 9"), "{output}");
    host.rkt.collect();

    let image = images::busybox("leased").exec(["/bin/sh", "-c", "rm /dev/bubble/lease/held; exec sleep 1000"]);
    let output = host.run(&[&host.rkt.image("leased", &image)]);
    assert!(output.stderr.contains("helper watch has ended with code 0"), "{output}");
    host.rkt.collect();
}

#[test]
fn nothing_outlives_the_monitor() {
    let host = Host::new();
    let image = host.rkt.probe("left", ["wait"]);
    let pod = host.rkt.start([host.stage1.as_str(), &image, "--memory=64M"]);
    wait_until("the agents to run", || host.agents("inside").len() == 1 && host.agents("watch").len() == 1);
    pod.signal(Signal::KILL);
    wait_until("all of the pod to end", || host.rkt.processes().is_empty());
    drop(pod);
    host.rkt.collect();
}

#[test]
fn its_plan_shows_what_a_reviewer_would_ask() {
    let host = Host::new();
    let image = host.rkt.probe("shown", ["exit", "0"]);
    let shown = host.rkt.run(["plan", &host.stage1, &image, "--caps-retain=CAP_CHOWN"]).succeeds().stdout;
    let (_, id) = host.granted();
    for words in [
        NAME,
        "wasm, sha256:",
        &id,
        "the host's /usr/bin/bwrap",
        "opaque",
        "--unshare-user",
        "<command of app shown>",
        "the root of app shown, writable",
        "/usr: the host's /usr, read-only",
        "one of its own, that nothing else is",
        "capabilities   none",
        "helper watch",
        "the payload's /bin/agent",
        "ready          when there is /lease/held",
        "<words>",
        "claimed: 0:0 in bubblewrap's user namespace",
        "not given: bubblewrap gives the app no capability",
        "128 + N",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    host.rkt.assert_no_pods();
}

#[test]
fn each_grant_is_needed_and_its_lack_is_named() {
    let host = Host::new();
    let image = host.rkt.probe("asking", ["exit", "0"]);
    let volume = format!("--volume=v,kind=host,source={}", host.rkt.home().display());
    let plan = || {
        let words =
            ["plan", &host.stage1, &volume, &image, "--mount=volume=v,target=/v", "--memory=64M", "--oom-score-adj=1"];
        host.rkt.run(words)
    };
    plan().succeeds();
    let (all, id) = host.granted();
    assert!(all.len() > 20, "{all:?}");
    for missing in &all {
        let rest: Vec<String> = all.iter().filter(|permission| *permission != missing).cloned().collect();
        host.grant_only(&rest, Some(&id));
        plan().refuses(&[NAME, missing, "is not granted", "hint: ", "stranger.toml"]);
    }
    host.rkt.assert_no_pods();
}

#[test]
fn what_it_does_not_give_is_said_and_refused_where_that_is_wanted() {
    let host = Host::new();
    let image = host.rkt.probe("waived", ["say", "ran"]);
    for ask in ["--caps-retain=CAP_CHOWN", "--seccomp=mode=remove,mkdir", "--supplementary-gids=5"] {
        let output = host.run(&[&image, ask]).succeeds();
        assert!(output.stderr.contains("warning: example.com/bubble does not give"), "{output}");
        assert_eq!(output.lines_of("waived"), ["ran"], "{output}");
        host.run(&["--strict", &image, ask]).refuses(&[NAME, "--strict"]);
    }
    host.run(&["--strict", &image, "--caps-remove=CAP_CHOWN"]).succeeds();
    host.run(&[&image, &image, "--name=other"]).refuses(&["bubble runs one app in a pod"]);
    host.rkt.collect();
}

#[test]
fn it_is_verified_as_any_image_is() {
    let rkt = Rkt::strict_about_images();
    let stage1 = format!("--stage1={}", plugin());
    rkt.run(["run", &stage1, "example.com/none"]).refuses(&[
        "signature verification",
        "bubble.aci",
        "--insecure-options=image",
    ]);
    assert!(!rkt.data().join("cas").exists());
    rkt.run(["run", &format!("--stage1={NAME}"), "example.com/none"]).refuses(&["there is no flavor", NAME]);
    rkt.run(["--insecure-options=image", "fetch", &plugin()]).succeeds();
    // By a name that it gave itself it may not be used either; by its content it may.
    rkt.run(["run", &format!("--stage1={NAME}"), "example.com/none"]).refuses(&["signature verification", NAME]);
    let listed = rkt.run(["image", "list", "--full", "--no-legend", "--fields=id"]).succeeds().stdout;
    rkt.run(["run", &format!("--stage1={}", listed.trim()), "example.com/none"]).refuses(&["is granted nothing"]);
    rkt.assert_no_pods();
}

#[test]
fn a_grant_is_for_one_image_with_all_that_is_in_it() {
    let host = Host::new();
    let image = host.rkt.probe("granted", ["wait"]);
    let (all, id) = host.granted();
    // Another image with the same component, name and grants: its agent is not the vendor's.
    let evil = AciBuilder::new(NAME).file(
        "plugin.wasm",
        0o644,
        &fs::read(built("examples/wasm32-unknown-unknown/release/bubble.wasm")).unwrap(),
    );
    let evil = evil.file("bin/agent", 0o755, images::PROBE);
    let file = host.rkt.home().join("plugin.aci");
    fs::copy(plugin(), &file).unwrap();
    let stage1 = format!("--stage1={}", file.display());
    let pod = host.rkt.start([stage1.as_str(), &image]);
    evil.write(&file, Compression::None);
    assert_eq!(host.rkt.run(["enter", &pod.uuid, "/probe", "say", "still"]).succeeds().stdout, "still\n");
    host.rkt.run(["run", &stage1, &image]).refuses(&[NAME, "is not the one that was granted", &id]);
    host.grant_only(&all, None);
    host.rkt.run(["run", &host.stage1, &image]).refuses(&[NAME, "names no image", "digest = "]);
    pod.end();
    // Of several with this name the one imported last is meant, and nothing was granted to that; by its ID it is the
    // one.
    host.rkt.run(["fetch", file.to_str().unwrap()]).succeeds();
    host.grant_only(&all, Some(&id));
    host.rkt.run(["run", &format!("--stage1={NAME}"), &image]).refuses(&["is not the one that was granted"]);
    let done = host.rkt.probe("done", ["say", "ran"]);
    host.rkt.run(["run", &format!("--stage1={}", &id[..30]), &done]).succeeds();
    host.rkt.collect();
}

#[test]
fn an_image_that_is_no_plugins_is_refused() {
    let rkt = Rkt::new();
    let image = rkt.probe("victim", ["say", "ran"]);
    let huge = vec![0; (32 << 20) + 1];
    let cases = [
        ("none", AciBuilder::new("example.com/none"), &["example.com/none", "no /plugin.wasm"][..]),
        ("link", AciBuilder::new("example.com/link").symlink("plugin.wasm", "/etc/passwd"), &["no plain file"]),
        ("directory", AciBuilder::new("example.com/directory").directory("plugin.wasm", 0o755), &["no plain file"]),
        (
            "text",
            AciBuilder::new("example.com/text").file("plugin.wasm", 0o644, b"text"),
            &["example.com/text", "is refused"],
        ),
        (
            "huge",
            AciBuilder::new("example.com/huge").file("plugin.wasm", 0o644, &huge),
            &["example.com/huge", "is refused"],
        ),
        ("fly", AciBuilder::new("fly").file("plugin.wasm", 0o644, b"text"), &["name of a flavor that comes with rkt"]),
    ];
    for (name, plugin, words) in cases {
        let stage1 = format!("--stage1={}", rkt.image(name, &plugin));
        let output = rkt.run(["run", &stage1, &image]).refuses(words);
        assert!(!output.stdout.contains("ran"), "{output}");
    }
    rkt.run(["run", "--stage1=./missing.aci", &image]).refuses(&["missing.aci"]);
    rkt.run(["run", "--stage1=https://example.com/x.aci", &image]).refuses(&["not supported yet"]);
    rkt.assert_no_pods();
}

#[test]
fn a_component_in_a_file_has_no_payload() {
    let host = Host::new();
    let image = host.rkt.probe("bare", ["say", "ran"]);
    let (all, _) = host.granted();
    host.rkt.grant("bubble", &all);
    let stage1 = format!("--stage1={}", built("examples/wasm32-unknown-unknown/release/bubble.wasm"));
    for verb in ["plan", "run"] {
        host.rkt.run([verb, &stage1, &image]).refuses(&[
            "/bin/agent of its payload",
            "did not come in an image",
            "hint: ",
        ]);
    }
    host.rkt.assert_no_pods();
}

#[test]
fn the_same_files_give_the_same_image() {
    let rkt = Rkt::new();
    let pack = rkt_tests::workspace().join("plugins/examples/bubble/pack.sh");
    let component = built("examples/wasm32-unknown-unknown/release/bubble.wasm");
    let agent = built("examples/x86_64-unknown-linux-musl/release/bubble-agent");
    let again = rkt.home().join("again.aci");
    let packed = Command::new(pack).args([&component, &agent]).arg(&again).status().unwrap();
    assert!(packed.success());
    assert!(fs::read(again).unwrap() == fs::read(plugin()).unwrap());
}
