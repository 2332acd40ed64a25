//! What the program says, to the letter: messages, columns, keys and exit codes that scripts read.
//!
//! Nothing here starts a pod; that is in the project's own `tests/`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// The program with a data directory and configuration of its own.
struct Rkt {
    home: TempDir,
}

const UUID: &str = "1a2b3c4d-0000-4000-8000-000000000001";
const OTHER: &str = "9f8e7d6c-0000-4000-8000-000000000002";
const ID: &str = "sha512-aaaaaaaaaaaabbbbaaaaaaaaaaaabbbbaaaaaaaaaaaabbbbaaaaaaaaaaaabbbb";

impl Rkt {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Standard output, standard error and exit code, as a reader sees them one after the other.
    fn says(&self, line: &str) -> String {
        self.configured(&format!("--dir={} {line}", self.path("data").display()))
    }

    /// The same where the data directory is as the configuration says.
    fn configured(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |name: &str, path: &str| format!("--{name}={}", self.path(path).display());
        let output = Command::new(env!("CARGO_BIN_EXE_rkt"))
            .args([option("local-config", "etc"), option("system-config", "lib")])
            .args(words)
            .env("TZ", "UTC")
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let home = self.home.path().display().to_string();
        let stdout = String::from_utf8(output.stdout).unwrap().replace(&home, "HOME");
        let stderr = String::from_utf8(output.stderr).unwrap().replace(&home, "HOME");
        let code = format!("= {}", output.status.code().unwrap());
        let stderr = stderr.lines().map(|line| format!("! {line}"));
        stdout + &stderr.chain([code]).collect::<Vec<_>>().join("\n")
    }

    /// A pod of two apps in a directory, made and started at known times.
    fn pod(&self, stage: &str, uuid: &str) {
        let pod = self.path(&format!("data/pods/{stage}/{uuid}"));
        let status = pod.join("stage1/rootfs/rkt/status");
        fs::create_dir_all(&status).unwrap();
        let app = |name: &str, rest: &str| {
            format!(
                r#"{{"name":"{name}","image":{{"name":"example.com/{name}","id":"{ID}",
                "labels":[{{"name":"version","value":"1.2"}}]}}{rest}}}"#
            )
        };
        let mounts = r#","mounts":[{"volume":"data","path":"/srv"}]"#;
        let manifest = format!(
            r#"{{"acVersion":"2.0.0","acKind":"PodManifest","apps":[{},{}],
            "volumes":[{{"name":"data","kind":"host","source":"/var/data","readOnly":true}}],
            "isolators":[],"annotations":[],"ports":[]}}"#,
            app("db", mounts),
            app("web", "")
        );
        fs::write(pod.join("pod"), manifest).unwrap();
        self.file(&format!("data/pods/{stage}/{uuid}/pod-created"), "", 1_000_000_000_250);
        self.file(&format!("data/pods/{stage}/{uuid}/pid"), "4242", 1_000_000_001_000);
        self.file(&format!("data/pods/{stage}/{uuid}/stage1/rootfs/rkt/status/db"), "7", 1_000_000_002_000);
    }

    /// A file that was last changed so many milliseconds after 1970.
    fn file(&self, path: &str, content: &str, milliseconds: u64) {
        let path = self.path(path);
        fs::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn versions_are_on_lines_that_programs_look_for() {
    let said = Rkt::new().says("version");
    assert!(said.starts_with(&format!("rkt Version: {}\nappc Version: 0.8.11\n", env!("CARGO_PKG_VERSION"))), "{said}");
    assert!(said.ends_with("= 0"), "{said}");
}

#[test]
fn without_a_command_there_is_help_and_code_2() {
    let said = Rkt::new().says("");
    assert!(said.starts_with("NAME:\n    rkt - "), "{said}");
    assert!(said.ends_with("! rkt: missing command\n= 2"), "{said}");
}

#[test]
fn mistakes_are_told_once_with_the_command_and_code_254() {
    let rkt = Rkt::new();
    for (line, expected) in [
        ("frobnicate", "! rkt: unknown command \"frobnicate\" for \"rkt\"\n! Run 'rkt --help' for usage.\n= 254"),
        ("list --colour", "! list: unknown flag: --colour\n= 254"),
        ("run", "! run: must provide at least one image or specify the pod manifest\n= 254"),
        ("fetch", "! fetch: must provide at least one image\n= 254"),
        (
            "run --port=a:80 x.aci",
            "! run: error parsing app image arguments: --port is not supported by this rkt yet\n= 254",
        ),
        ("trust", "! rkt: trust is not supported by this rkt yet\n= 254"),
        ("completion", "! completion: shell type is not specified\n= 254"),
        ("completion tcsh", "! completion: 'tcsh' shell is not supported\n= 254"),
        ("export 77 out.tar", "! export: extension must be .aci (given out.tar)\n= 254"),
        ("export 77 out.aci", "! export: no matches found for \"77\"\n= 254"),
        ("status --wait=soon 77", "! status: invalid argument \"soon\" for \"--wait\" flag: it is a duration such as"),
        ("plan --stage1-hash=fly x.aci", "! plan: --stage1-hash takes the ID of an image, and not \"fly\"\n= 254"),
        ("plan --stage1-url=https://a/b.aci x.aci", "! plan: --stage1-url is not supported by this rkt yet\n= 254"),
        (
            "plan --stage1-from-dir=../b.aci x.aci",
            "! plan: --stage1-from-dir takes the name of a file, and not \"../b.aci\"\n= 254",
        ),
        ("prepare", "! prepare: must provide at least one image or specify the pod manifest\n= 254"),
        ("prepare --net=host x.aci", "! prepare: error parsing app image arguments: unknown flag: --net\n= 254"),
        ("run-prepared 77", "! run-prepared: no matches found for \"77\"\n= 254"),
        ("status 77", "! status: no matches found for \"77\"\n= 254"),
        ("rm 77", "! rm: no matches found for \"77\"\n! rm: failed to remove one or more pods\n= 254"),
        ("stop 77", "! stop: no matches found for \"77\"\n! stop: failed to stop 1 pod(s)\n= 254"),
        ("enter 77 /bin/sh", "! enter: no matches found for \"77\"\n= 254"),
        ("fetch none.aci", "! fetch: signature verification of \"none.aci\" is required, "),
        (
            "--insecure-options=image fetch none.aci",
            "! fetch: cannot open image file \"none.aci\": No such file or directory\n= 254",
        ),
        (
            "--insecure-options=image --debug fetch none.aci",
            "! fetch: cannot open image file \"none.aci\"\n!   └─No such file or directory\n= 254",
        ),
        ("plan --stage1=nothing none.aci", "! plan: there is no flavor \"nothing\"\n"),
    ] {
        let said = rkt.says(line);
        assert!(said.starts_with(expected), "{line}: {said}");
        assert!(said.ends_with("= 254"), "{line}: {said}");
    }
    let usage = rkt.says("status");
    assert!(usage.contains("rkt status") && usage.ends_with("= 254") && !usage.contains('!'), "{usage}");
}

#[test]
fn a_table_has_a_line_for_each_app_and_tabs_between_columns() {
    let rkt = Rkt::new();
    rkt.pod("run", UUID);
    fs::create_dir_all(rkt.path(&format!("data/pods/prepare/{OTHER}"))).unwrap();
    let full = rkt.says("list --full --no-legend");
    let line = format!(
        "{UUID}\tdb\texample.com/db:1.2\tsha512-aaaaaaaaaaaa\texited\t\t2001-09-09 01:46:40.25 +0000 UTC\t\
         2001-09-09 01:46:41 +0000 UTC\t\n"
    );
    assert!(full.starts_with(&line), "{full}");
    let head = "UUID\t\tAPP\tIMAGE NAME\t\tSTATE\t\tCREATED\t\tSTARTED\t\tNETWORKS\n";
    let short = rkt.says("list");
    assert!(short.starts_with(head), "{short:?}");
    let lines: Vec<&str> = short.lines().collect();
    assert!(lines[1].starts_with("1a2b3c4d\tdb\texample.com/db:1.2\texited\t\t"), "{short:?}");
    assert!(lines[2].starts_with("\t\tweb\texample.com/web:1.2\t\t\t"), "{short:?}");
    assert_eq!(lines[3], "9f8e7d6c\t-\t-\t\t\taborted prepare\t\t\t\t\t");
    assert_eq!(Rkt::new().says("list"), "UUID\tAPP\tIMAGE NAME\tSTATE\tCREATED\tSTARTED\tNETWORKS\n= 0");
}

#[test]
fn programs_read_one_line_with_the_keys_and_units_of_old() {
    let rkt = Rkt::new();
    assert_eq!(rkt.says("list --format=json"), "null\n= 0");
    rkt.pod("run", UUID);
    let app = |name: &str, rest: &str| {
        format!(
            "{{\"name\":\"{name}\",\"state\":\"{rest}\",\"created_at\":1000000000250000000,\
             \"started_at\":1000000001000000000"
        )
    };
    let object = format!(
        "{{\"name\":\"{UUID}\",\"state\":\"exited\",\"app_names\":[\"db\",\"web\"],\"apps\":[{},\
         \"finished_at\":1000000002000000000,\"exit_code\":7,\"image_id\":\"{ID}\",\"mounts\":[{{\"name\":\"data\",\
         \"container_path\":\"/srv\",\"host_path\":\"/var/data\",\"read_only\":true}}]}},{},\"image_id\":\"{ID}\"}}],\
         \"created_at\":1000000000,\"started_at\":1000000001}}",
        app("db", "exited"),
        app("web", "unknown")
    );
    assert_eq!(rkt.says("list --format=json"), format!("[{object}]\n= 0"));
    assert_eq!(rkt.says("status --format=json 1a2b"), format!("{object}\n= 0"));
    assert!(rkt.says("status --format=json-pretty 1a2b").starts_with("{\n\t\"name\": \"1a2b"));
}

#[test]
fn a_status_is_lines_in_a_fixed_order() {
    let rkt = Rkt::new();
    rkt.pod("run", UUID);
    let expected = "state=exited\ncreated=2001-09-09 01:46:40.25 +0000 UTC\nstarted=2001-09-09 01:46:41 +0000 UTC\n\
                    networks=\npid=4242\nexited=true\napp-db=7\n= 0";
    assert_eq!(rkt.says("status 1A2B"), expected);
    fs::write(rkt.path("uuid"), UUID).unwrap();
    assert_eq!(rkt.says("status --uuid-file=uuid"), expected);
    assert_eq!(rkt.says("stop 1a2b"), format!("pod \"{UUID}\" is already stopped\n= 0"));
    assert_eq!(rkt.says("enter 1a2b /bin/true"), format!("! enter: pod \"{UUID}\" isn't currently running\n= 254"));
}

#[test]
fn collection_and_removal_say_what_they_do() {
    let rkt = Rkt::new();
    rkt.pod("run", UUID);
    rkt.pod("prepare", OTHER);
    assert_eq!(
        rkt.says("gc"),
        format!(
            "! gc: moving pod \"{UUID}\" to garbage\n! gc: moving failed prepare \"{OTHER}\" to garbage\n\
             ! gc: pod \"{UUID}\" not removed: still within grace period (30m0s)\n= 0"
        )
    );
    assert_eq!(rkt.says("gc --grace-period=0"), format!("Garbage collecting pod \"{UUID}\"\n= 0"));
    assert_eq!(rkt.says("list --format=json"), "null\n= 0");

    rkt.pod("run", UUID);
    rkt.pod("prepared", OTHER);
    fs::write(rkt.path("uuid"), OTHER).unwrap();
    assert_eq!(
        rkt.says("rm --uuid-file=uuid 1a2b"),
        format!("\"{OTHER}\"\n\"{UUID}\"\n! rm: moving expired prepared pod \"{OTHER}\" to garbage\n= 0")
    );
}

#[test]
fn a_manifest_is_printed_with_tabs_or_on_one_line() {
    let rkt = Rkt::new();
    rkt.pod("run", UUID);
    assert!(
        rkt.says("cat-manifest 1a2b").starts_with("{\n\t\"acVersion\": \"2.0.0\",\n\t\"acKind\": \"PodManifest\",")
    );
    assert!(rkt.says("cat-manifest --pretty-print=false 1a2b").starts_with("{\"acVersion\":\"2.0.0\","));
}

#[test]
fn a_pod_that_cannot_be_read_is_told_between_rulers_and_is_no_failure() {
    let rkt = Rkt::new();
    rkt.pod("run", UUID);
    fs::write(rkt.path(&format!("data/pods/run/{UUID}/pod")), "{").unwrap();
    let said = rkt.says("list --no-legend");
    let ruler = "-".repeat(40);
    let why = format!("! list: pod \"{UUID}\": EOF while parsing an object at line 1 column 1\n");
    assert!(said.contains(&why), "{said}");
    assert!(said.contains(&format!("! list: 1 error(s) encountered when listing pods:\n! list: {ruler}\n")), "{said}");
    assert!(said.contains("! list: misc:\n! list:   rkt's appc version: 0.8.11\n! list: \n= 0"), "{said}");
}

#[test]
fn what_this_host_can_do_is_told_to_people_and_programs() {
    let rkt = Rkt::new();
    let text = rkt.says("doctor");
    assert!(text.starts_with("kernel               yes     ") && text.ends_with("= 0"), "{text}");
    let json = rkt.says("doctor --format=json");
    let findings: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    for name in ["openat2", "clone3", "pidfd", "mount API", "overlayfs", "seccomp", "namespaces"] {
        let found = findings.as_array().unwrap().iter().find(|finding| finding["name"] == name).unwrap();
        assert_eq!(found["available"], "yes", "{found}");
    }
}

#[test]
fn each_shell_gets_a_script_and_each_command_a_page() {
    let rkt = Rkt::new();
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef rkt"), ("fish", "complete -c rkt")] {
        let said = rkt.says(&format!("completion {shell}"));
        assert!(said.contains(sign) && said.contains("run-prepared") && said.ends_with("= 0"), "{shell}: {said}");
    }
    fs::create_dir(rkt.path("man")).unwrap();
    assert_eq!(rkt.says("manual man"), "= 0");
    for page in ["rkt", "rkt-run", "rkt-run-prepared", "rkt-image-list", "rkt-app-add"] {
        let text = fs::read_to_string(rkt.path(&format!("man/{page}.1"))).unwrap();
        assert!(text.contains(".TH") && text.contains(page.replace('-', "\\-").as_str()), "{page}: {text}");
    }
    // What is another name of another command has no page.
    assert!(!rkt.path("man/rkt-image-fetch.1").exists());
    assert!(rkt.says("manual none").starts_with("! manual: cannot write none/rkt.1: No such file"));
}

#[test]
fn the_data_directory_is_where_the_highest_configuration_says() {
    let rkt = Rkt::new();
    let paths = |directory: &str, data: &str| {
        let data = rkt.path(data).display().to_string();
        fs::create_dir_all(rkt.path(&format!("{directory}/paths.d"))).unwrap();
        let text = format!(r#"{{"rktKind":"paths","rktVersion":"v1","data":"{data}"}}"#);
        fs::write(rkt.path(&format!("{directory}/paths.d/a.json")), text).unwrap();
    };
    rkt.pod("run", UUID);
    let state = |options: &str| rkt.configured(&format!("{options} status 1a2b"));
    let none = "! status: no matches found for \"1a2b\"\n= 254";
    paths("lib", "data");
    assert!(state("").starts_with("state=exited"));
    paths("etc", "other");
    assert_eq!(state(""), none);
    paths("user", "data");
    assert!(state("--user-config=user").starts_with("state=exited"));
    assert_eq!(state("--user-config=user --dir=other"), none);
    let shown = rkt.configured("config --pretty-print=false");
    assert_eq!(
        shown,
        "{\"stage0\":[{\"data\":\"HOME/other\",\"rktKind\":\"paths\",\"rktVersion\":\"v1\",\"stage1-images\":\"\"},\
         {\"location\":\"\",\"name\":\"\",\"rktKind\":\"stage1\",\"rktVersion\":\"v1\",\"version\":\"\"}]}\n= 0"
    );
    fs::write(rkt.path("etc/paths.d/b.json"), "{").unwrap();
    let broken = rkt.configured("list");
    assert!(
        broken.starts_with("! list: failed to parse \"HOME/etc/paths.d/b.json\": ") && broken.ends_with("= 254"),
        "{broken}"
    );
}

#[test]
fn nothing_that_an_image_or_a_pod_says_steers_a_terminal() {
    let rkt = Rkt::new();
    rkt.pod("run", UUID);
    let evil = "\\u001b[2J\\u009b2J\\u202e\\u007f";
    let file = rkt.path(&format!("data/pods/run/{UUID}/pod"));
    let manifest = fs::read_to_string(&file).unwrap();
    let manifest = manifest.replace("\"1.2\"", &format!("\"{evil}\""));
    let annotations =
        format!("\"annotations\":[{{\"name\":\"a\",\"value\":\"{evil}\"}}],\"userLabels\":{{\"l\":\"{evil}\"}}");
    fs::write(&file, manifest.replace("\"annotations\":[]", &annotations)).unwrap();
    for line in [
        "list",
        "list --full",
        "list --format=json",
        "list --format=json-pretty",
        "status 1a2b",
        "status --format=json 1a2b",
        "cat-manifest 1a2b",
        "cat-manifest --pretty-print=false 1a2b",
    ] {
        let said = rkt.says(line);
        let bad = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || c == '\u{202e}';
        assert!(said.ends_with("= 0") && !said.contains(bad), "{line}: {said:?}");
    }
    // What programs read is what was written.
    let told = rkt.says("cat-manifest --pretty-print=false 1a2b");
    let json: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(json["annotations"][0]["value"], "\u{1b}[2J\u{9b}2J\u{202e}\u{7f}");
    // Where it cannot be read, the same holds of the reason.
    fs::write(&file, format!("{{\"acKind\":\"{evil}\"}}")).unwrap();
    for line in ["cat-manifest 1a2b", "--debug cat-manifest 1a2b", "list"] {
        let said = rkt.says(line);
        assert!(!said.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{line}: {said:?}");
    }
}

#[test]
fn no_images_are_an_empty_table_and_an_empty_list() {
    let rkt = Rkt::new();
    assert_eq!(rkt.says("image list"), "ID\tNAME\tSIZE\tIMPORT TIME\tLAST USED\n= 0");
    assert_eq!(rkt.says("image list --format=json"), "[]\n= 0");
    assert_eq!(rkt.says("image list --fields=id,name --no-legend"), "= 0");
    let bad = rkt.says("image list --fields=colour");
    assert!(
        bad.starts_with("! list: invalid argument \"colour\" for \"--fields\" flag: it is one of id, name, size"),
        "{bad}"
    );
}
