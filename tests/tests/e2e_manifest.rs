//! Pods whose manifest the user wrote, and what flags write into one.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::{FLAVORS, Rkt, images};
use serde_json::{Value, json};

/// Takes an image into the store; its ID.
fn fetch(rkt: &Rkt, image: &str) -> String {
    rkt.run(["fetch", "--full", image]).succeeds().stdout.trim().to_owned()
}

/// A manifest of these apps, with these fields besides.
fn manifest(apps: &Value, more: &Value) -> Value {
    let mut manifest = json!({"acVersion": "0.8.11", "acKind": "PodManifest", "apps": apps});
    let fields = more.as_object().unwrap().clone();
    manifest.as_object_mut().unwrap().extend(fields);
    manifest
}

/// The flag for a manifest, written into a file.
fn flag(rkt: &Rkt, manifest: &Value) -> String {
    let path = rkt.home().join("pod.json");
    fs::write(&path, manifest.to_string()).unwrap();
    format!("--pod-manifest={}", path.display())
}

/// The manifest of the one pod, without the annotation that every pod gets, and the value of that.
fn kept(rkt: &Rkt) -> (Value, Value) {
    let uuid = rkt.pods().pop().unwrap();
    let mut kept = rkt.run(["cat-manifest", &uuid]).succeeds().json();
    let annotations = kept["annotations"].as_array_mut().unwrap();
    let mutable = annotations.iter().position(|one| one["name"] == "coreos.com/rkt/stage1/mutable").unwrap();
    let value = annotations.remove(mutable)["value"].clone();
    (kept, value)
}

#[test]
fn a_written_pod_runs_as_it_says_and_is_kept_as_it_was_written() {
    let rkt = Rkt::new();
    let id = fetch(&rkt, &rkt.probe("both", ["say", "never"]));
    let app = |exec: &[&str], mount: &str| {
        json!({
            "exec": exec, "user": "5", "group": "6", "supplementaryGIDs": [7], "workingDirectory": "/proc",
            "environment": [{"name": "LINES", "value": "a\nb"}],
            "mountPoints": [{"name": "notes", "path": mount, "readOnly": true}],
            "userAnnotations": {"of": "app"}, "userLabels": {"tier": "back"},
        })
    };
    let writes = json!({
        "name": "writes", "image": {"name": "example.com/both", "id": id},
        "app": app(&["/probe", "write", "/data/x", "hello", "+", "environment", "+", "rights"], "/notes"),
        "mounts": [{"volume": "shared", "path": "/data"}, {"volume": "notes", "path": "/notes"}],
        "annotations": [{"name": "example.com/note", "value": "kept"}],
    });
    let mut reads = json!({
        "name": "reads", "image": {"id": id}, "readOnlyRootFS": true,
        "app": app(&["/probe", "wait-for", "/in/x", "+", "show", "/in/x", "+", "say", "",
            "+", "try-write", "/in/x", "+", "try-create", "/new"], "/notes"),
        "mounts": [{"volume": "shared", "path": "/in"}, {"volume": "notes", "path": "/notes"}],
    });
    reads["app"]["user"] = json!("0");
    let more = json!({
        "volumes": [
            {"name": "shared", "kind": "empty", "mode": "0777", "uid": 0, "gid": 0},
            {"name": "notes", "kind": "host", "source": rkt.home()},
        ],
        "isolators": [], "annotations": [{"name": "example.com/pod", "value": "kept"}], "ports": [],
        "userAnnotations": {"of": "pod"}, "userLabels": {"rack": "4"},
    });
    let written = manifest(&json!([writes, reads]), &more);
    let output = rkt.run(["run", &flag(&rkt, &written)]).succeeds();
    let lines = output.lines_of("writes");
    for line in ["LINES=a", "b", "AC_APP_NAME=writes", "HOME=/root", "Uid: 5 5 5 5", "Gid: 6 6 6 6", "Groups: 7"] {
        assert!(lines.contains(&line.to_owned()), "{line}: {output}");
    }
    let lines = output.lines_of("reads");
    let expected = ["hello", "/in/x: written", "/new: read-only filesystem or storage medium"];
    assert_eq!(lines, expected, "{output}");

    assert_eq!(kept(&rkt), (written, json!("false")));
    let pod = rkt.the_pod();
    assert_eq!((&pod["user_annotations"], &pod["user_labels"]), (&json!({"of": "pod"}), &json!({"rack": "4"})));
    let app = &pod["apps"][0];
    assert_eq!((&app["user_annotations"], &app["user_labels"]), (&json!({"of": "app"}), &json!({"tier": "back"})));
    let mounts = app["mounts"].as_array().unwrap();
    let told: Vec<_> = mounts.iter().map(|mount| (&mount["container_path"], &mount["read_only"])).collect();
    assert_eq!(told, [(&json!("/data"), &json!(false)), (&json!("/notes"), &json!(true))], "{app}");
    rkt.collect();
}

#[test]
fn an_app_that_a_manifest_does_not_say_how_to_run_is_run_as_its_image_says() {
    let rkt = Rkt::new();
    let image = images::probe("plain").exec(["/probe", "environment", "+", "list", "/var/lib/plain"]);
    let image = image.environment("FROM", "image").mount_point("state", "/var/lib/plain", false);
    let image = image.app("userLabels", json!({"of": "image"}));
    let id = fetch(&rkt, &rkt.image("plain", &image));
    let written = manifest(&json!([{"name": "it", "image": {"id": id}}]), &json!({}));
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, &flag(&rkt, &written)]).succeeds();
        assert!(output.lines_of("it").contains(&"FROM=image".to_owned()), "{flavor}: {output}");
        assert!(output.stderr.contains(r#"no volume specified for mount point "state""#), "{flavor}: {output}");
        // The volume is in the manifest too, so that whoever reads it knows what there is.
        let kept = kept(&rkt).0;
        assert_eq!(kept["apps"][0]["app"], Value::Null, "{flavor}: {kept}");
        assert_eq!(kept["apps"][0]["mounts"], json!([{"volume": "it-state", "path": "/var/lib/plain"}]));
        assert_eq!(kept["volumes"][0]["name"], "it-state");
        assert_eq!(rkt.the_pod()["apps"][0]["user_labels"], json!({"of": "image"}));
        rkt.collect();
    }
}

#[test]
fn what_is_wrong_with_a_manifest_is_told_by_its_field_and_nothing_is_made() {
    let rkt = Rkt::new();
    let id = fetch(&rkt, &rkt.probe("app", ["say", "never"]));
    let none = format!("sha512-{}", "0".repeat(64));
    let app = |more: &Value| {
        let mut app = json!({"name": "a", "image": {"id": id}});
        app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app
    };
    let one = |more: &Value| manifest(&json!([app(more)]), &json!({"volumes": [{"name": "v", "kind": "empty"}]}));
    let own = |mode: &str| json!({"name": "o", "kind": "empty", "mode": mode});
    let section = json!({"exec": [], "user": "0", "group": "0"});
    let port = json!({"ports": [{"name": "http", "hostPort": 8080}]});
    for (written, words) in [
        (manifest(&json!([]), &json!({})), &["pod must contain at least one application"][..]),
        (
            manifest(&json!([app(&json!({})), app(&json!({}))]), &json!({})),
            &[r#"apps[1].name: "a" is the name of apps[0] too"#],
        ),
        (
            one(&json!({"mounts": [{"volume": "v", "path": ""}]})),
            &["the pod manifest is invalid at apps[0].mounts[0].path"],
        ),
        (
            one(&json!({"mounts": [{"volume": "w", "path": "/w"}]})),
            &["dangling mount point \"/w\": volume \"w\" not found"],
        ),
        (
            one(&json!({"mounts": [{"volume": "v", "path": "/v"}, {"volume": "v", "path": "/v/../v/"}]})),
            &[r#"apps[0].mounts[1].path: "/v/../v/" is where mounts[0] is"#],
        ),
        (
            one(&json!({"mounts": [
                {"volume": "o", "path": "/a", "appVolume": own("0755")},
                {"volume": "o", "path": "/b", "appVolume": own("0700")},
            ]})),
            &["apps[0].mounts[1].appVolume", "mounts[0]"],
        ),
        (one(&json!({"image": {"id": none}})), &["pod.json: apps[0].image.id", "no image IDs found"]),
        (one(&json!({"app": section})), &["has an empty \"exec\""]),
        (manifest(&json!([app(&json!({}))]), &port), &["ports[0]: port 8080 of the host for \"http\""]),
        (
            manifest(
                &json!([app(&json!({}))]),
                &json!({"isolators": [{"name": "os/unix/sysctl", "value": {"a": "b"}}]}),
            ),
            &["isolator os/unix/sysctl of the pod, asked for by the pod manifest"],
        ),
    ] {
        for command in ["run", "plan"] {
            rkt.run([command, &flag(&rkt, &written)]).refuses(words);
        }
    }
    rkt.run(["run", "--pod-manifest=/does/not/exist"])
        .refuses(&["cannot read the pod manifest \"/does/not/exist\": No such file or directory"]);
    fs::write(rkt.home().join("pod.json"), "{").unwrap();
    let torn = format!("--pod-manifest={}", rkt.home().join("pod.json").display());
    rkt.run(["run", &torn]).refuses(&["the pod manifest is invalid", "EOF"]);
    rkt.assert_no_pods();
}

#[test]
fn a_manifest_goes_with_nothing_that_would_change_it() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["say", "ran"]);
    let id = fetch(&rkt, &image);
    let written = manifest(&json!([{"name": "a", "image": {"id": id}}]), &json!({}));
    let flag = flag(&rkt, &written);
    for other in [
        &["--volume=v,kind=empty"][..],
        &["--mount=volume=v,target=/v"],
        &["--set-env=A=b"],
        &["--set-env-file=/dev/null"],
        &["--inherit-env"],
        &[&image],
    ] {
        for command in ["run", "plan"] {
            let words = [command, flag.as_str()].into_iter().chain(other.iter().copied());
            rkt.run(words).refuses(&["conflicting flags set with --pod-manifest (see --help)"]);
        }
    }
    let output = rkt.run(["run", &flag, "--hostname=mine", "--net=none"]).succeeds();
    assert_eq!(output.lines_of("a"), ["ran"]);
    rkt.run(["run"]).refuses(&["must provide at least one image or specify the pod manifest"]);
    rkt.collect();
}

#[test]
fn checks_that_are_left_out_are_left_out_for_a_written_pod_as_for_one_on_the_line() {
    let rkt = Rkt::new();
    let image = rkt.probe("app", ["rights"]);
    let written = manifest(&json!([{"name": "app", "image": {"id": fetch(&rkt, &image)}}]), &json!({}));
    let flag = flag(&rkt, &written);
    let bounding = |option: &str, pod: &str| {
        let lines = rkt.run([option, "run", pod]).succeeds().lines_of("app");
        lines.into_iter().find(|line| line.starts_with("CapBnd: ")).unwrap()
    };
    let calls = |option: &str, pod: &str| {
        let plan = rkt.run([option, "plan", pod]).succeeds().stdout;
        plan.lines().find(|line| line.contains("system calls")).unwrap().to_owned()
    };
    let usual = ("--insecure-options=image", "CapBnd: 00000000a80425fb");
    assert_eq!(bounding(usual.0, &flag), usual.1);
    let without = "--insecure-options=image,capabilities,seccomp";
    assert_ne!(bounding(without, &flag), usual.1);
    assert_eq!(bounding(without, &flag), bounding(without, &image));
    assert_ne!(calls(without, &flag), calls(usual.0, &flag));
    assert_eq!(calls(without, &flag), calls(without, &image));
    rkt.collect();
}

#[test]
fn a_limit_of_the_pod_as_a_whole_is_never_passed_over_in_silence() {
    let rkt = Rkt::new();
    let id = fetch(&rkt, &rkt.probe("app", ["say", "ran"]));
    let limit = json!({"isolators": [{"name": "resource/memory", "value": {"limit": "64M"}}]});
    let flag = flag(&rkt, &manifest(&json!([{"name": "a", "image": {"id": id}}]), &limit));
    for flavor in FLAVORS {
        let told = "does not give memory at most 64000000 for the pod as a whole";
        let output = rkt.run(["run", flavor, &flag]).succeeds();
        assert!(output.lines_of("a") == ["ran"] && output.stderr.contains(told), "{flavor}: {output}");
        rkt.run(["run", flavor, "--strict", &flag]).refuses(&["memory at most 64000000 for the pod as a whole"]);
        let plan = rkt.run(["plan", flavor, &flag]).succeeds();
        assert!(plan.stdout.contains("for the pod as a whole: not given"), "{flavor}: {plan}");
    }
    rkt.collect();
}

#[test]
fn a_volume_of_an_apps_own_is_no_other_apps_and_goes_with_the_pod() {
    let rkt = Rkt::new();
    let id = fetch(&rkt, &rkt.probe("app", ["say", "never"]));
    let app = |name: &str, words: &[&str], mount: &Value| {
        let exec: Vec<&str> = ["/probe"].iter().chain(words).copied().collect();
        json!({"name": name, "image": {"id": id}, "app": {"exec": exec, "user": "0", "group": "0"}, "mounts": [mount]})
    };
    let own = json!({"volume": "data", "path": "/own", "appVolume": {"name": "data", "kind": "empty", "mode": "0750"}});
    let pods = json!({"volume": "data", "path": "/pods"});
    let apps = json!([
        app("one", &["write", "/own/mine", "x", "+", "list", "/own"], &own),
        app("two", &["list", "/own"], &own),
        app("three", &["list", "/pods", "+", "say", "end"], &pods),
    ]);
    let host = rkt.home().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("theirs"), "").unwrap();
    let volumes = json!({"volumes": [{"name": "data", "kind": "host", "source": host}]});
    let output = rkt.run(["run", &flag(&rkt, &manifest(&apps, &volumes))]).succeeds();
    assert_eq!(output.lines_of("one"), ["mine"], "{output}");
    assert!(output.lines_of("two").is_empty(), "{output}");
    assert_eq!(output.lines_of("three"), ["theirs", "end"], "{output}");
    let pod = rkt.the_pod();
    let place = pod["apps"][0]["mounts"][0]["host_path"].as_str().unwrap();
    assert!(place.ends_with("sharedVolumes/one.data") && fs::metadata(place).unwrap().is_dir(), "{pod}");
    rkt.collect();
    assert!(!fs::exists(place).unwrap());
}

#[test]
fn remarks_on_a_line_are_in_the_manifest_and_told_to_programs() {
    let rkt = Rkt::new();
    let image = images::probe("said").exec(["/probe", "exit", "0"]).label("version", "7");
    let image = image.app("userAnnotations", json!({"from": "image"})).app("userLabels", json!({"from": "image"}));
    let image = rkt.image("said", &image);
    rkt.run(["run", &image, "--annotation=example.com/a=1", "--annotation=example.com/a=2", "--user-label=x=y=z"])
        .succeeds();
    let (kept, mutable) = kept(&rkt);
    let app = &kept["apps"][0];
    assert_eq!(app["annotations"], json!([{"name": "example.com/a", "value": "2"}]));
    assert_eq!((&app["image"]["name"], &app["image"]["labels"][2]["value"]), (&json!("example.com/said"), &json!("7")));
    assert_eq!((mutable, &kept["acVersion"]), (json!("false"), &json!(env!("CARGO_PKG_VERSION"))));
    let told = &rkt.the_pod()["apps"][0];
    assert_eq!(told["user_annotations"], json!({"from": "image"}));
    assert_eq!(told["user_labels"], json!({"x": "y=z"}));
    for (flag, why) in [
        ("--annotation=Upper=1", "\"Upper\""),
        ("--annotation=created=today", "\"today\""),
        ("--user-annotation=x", "name=value"),
    ] {
        rkt.run(["run", &image, flag]).refuses(&[why]);
    }
    rkt.run(["run", "--annotation=a=b", &image]).refuses(&["--annotation must follow an image"]);
    rkt.collect();
}
