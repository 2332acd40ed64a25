//! Whole manifests: what is read, what is written, and what errors say.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::error::Error;

use rkt_appc::{ImageManifest, Isolator, Owner, PodManifest, VolumeKind};

/// Every field, in canonical order and without white space.
const IMAGE: &str = concat!(
    r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/reduce-worker","#,
    r#""labels":[{"name":"version","value":"1.0.0"},{"name":"arch","value":"amd64"},"#,
    r#"{"name":"os","value":"linux"}],"#,
    r#""app":{"exec":["/usr/bin/reduce-worker","--quiet"],"#,
    r#""eventHandlers":[{"name":"pre-start","exec":["/usr/bin/data-downloader"]},"#,
    r#"{"name":"post-stop","exec":["/usr/bin/deregister-worker","--verbose"]}],"#,
    r#""user":"100","group":"staff","supplementaryGIDs":[400,500],"#,
    r#""workingDirectory":"/opt/work","#,
    r#""environment":[{"name":"REDUCE_WORKER_DEBUG","value":"true"}],"#,
    r#""mountPoints":[{"name":"work","path":"/var/lib/work","readOnly":true},"#,
    r#"{"name":"db","path":"/var/lib/db"}],"#,
    r#""ports":[{"name":"health","protocol":"tcp","port":4000,"count":1,"socketActivated":true}],"#,
    r#""isolators":[{"name":"resource/cpu","value":{"limit":"20m"}},"#,
    r#"{"name":"os/linux/no-new-privileges","value":true}],"#,
    r#""userAnnotations":{"a":"b"},"userLabels":{"c":"d"}},"#,
    r#""annotations":[{"name":"created","value":"2014-10-27T19:32:27.67021798Z"}],"#,
    r#""dependencies":[{"imageName":"example.com/base","imageID":"sha512-"#,
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    r#"","labels":[{"name":"os","value":"linux"}],"size":22017258}],"#,
    r#""pathWhitelist":["/etc/ca/example.com/crt","/usr/bin/reduce-worker"]}"#,
);

/// Every field of a pod manifest, as `IMAGE`.
const POD: &str = concat!(
    r#"{"acVersion":"1.30.0","acKind":"PodManifest","apps":[{"name":"reduce-worker","#,
    r#""image":{"name":"example.com/reduce-worker","id":"sha512-"#,
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    r#"","labels":[{"name":"version","value":"1.0.0"}]},"#,
    r#""app":{"exec":[],"user":"0","group":"0"},"readOnlyRootFS":true,"#,
    r#""mounts":[{"volume":"db","path":"/db"},{"volume":"own","path":"own","#,
    r#""appVolume":{"name":"own","kind":"empty","mode":"0700","uid":1,"gid":2}}],"#,
    r#""annotations":[{"name":"foo","value":"baz"}]}],"#,
    r#""volumes":[{"name":"db","kind":"host","source":"/opt/db","readOnly":true,"recursive":false}],"#,
    r#""isolators":[{"name":"resource/memory","value":{"limit":"4G"}}],"#,
    r#""annotations":[{"name":"coreos.com/rkt/stage1/mutable","value":"false"}],"#,
    r#""ports":[{"name":"http","hostPort":8080,"hostIP":"127.0.0.1","#,
    r#""podPort":{"name":"http","protocol":"tcp","port":80,"count":1,"socketActivated":false}}],"#,
    r#""userAnnotations":{"a":"b"},"userLabels":{"c":"d"}}"#,
);

#[test]
fn an_image_manifest_with_every_field_is_written_as_it_was_read() {
    let manifest = ImageManifest::from_json(IMAGE.as_bytes()).unwrap();
    assert_eq!(manifest.to_json(), IMAGE);
    assert_eq!(manifest.labels.get("version"), Some("1.0.0"));
    let app = manifest.app.unwrap();
    assert_eq!(app.group, Owner::Name("staff".into()));
    assert_eq!(app.working_directory.path(), "/opt/work");
    let cpu = app.isolators.iter().find_map(|isolator| match isolator {
        Isolator::Cpu(cpu) => cpu.limit,
        _ => None,
    });
    assert_eq!(cpu.unwrap().milli(), 20);
}

#[test]
fn a_pod_manifest_with_every_field_is_written_as_it_was_read() {
    let manifest = PodManifest::from_json(POD.as_bytes()).unwrap();
    assert_eq!(manifest.to_json(), POD);
    let VolumeKind::Host { source, .. } = &manifest.volumes()[0].kind else {
        panic!("the volume is the host's");
    };
    assert_eq!(source, "/opt/db");
}

#[test]
fn reading_what_was_written_gives_the_same_manifest() {
    let images = [
        r#"{"acKind":"ImageManifest","acVersion":"0.5.1","name":"a"}"#,
        r#"{"name":"a","acVersion":"0.8.11+git","acKind":"ImageManifest","unknown":[{}],"app":null}"#,
        r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a//b","labels":null,
            "annotations":null,"dependencies":null,"pathWhitelist":null,
            "app":{"exec":null,"user":"redis","group":"/etc/group","workingDirectory":"",
                   "environment":null,"isolators":null,"mountPoints":null,"ports":null,
                   "eventHandlers":null,"userAnnotations":null,"userLabels":null}}"#,
        r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a",
            "app":{"exec":["a b","ü"],"user":"007","group":"0",
                   "isolators":[{"value":{"limit":"1.5Gi"},"name":"resource/memory"},
                                {"name":"resource/memory","value":{"limit":1024}},
                                {"name":"os/linux/seccomp-retain-set",
                                 "value":{"set":["@rkt/default-whitelist"],"errno":""}}]}}"#,
        IMAGE,
    ];
    for json in images {
        let manifest = ImageManifest::from_json(json.as_bytes()).unwrap();
        let written = manifest.to_json();
        assert_eq!(ImageManifest::from_json(written.as_bytes()).unwrap(), manifest, "{written}");
    }
    let pods = [
        r#"{"acKind":"PodManifest","acVersion":"1.30.0","apps":null,"volumes":null,
            "isolators":null,"annotations":null,"ports":null}"#,
        r#"{"acKind":"PodManifest","acVersion":"1.30.0","volumes":[{"name":"v","kind":"empty"}]}"#,
        POD,
    ];
    for json in pods {
        let manifest = PodManifest::from_json(json.as_bytes()).unwrap();
        let written = manifest.to_json();
        assert_eq!(PodManifest::from_json(written.as_bytes()).unwrap(), manifest, "{written}");
    }
}

#[test]
fn an_error_names_the_field() {
    let table = [
        (r#""20m""#, r#""20x""#, "app.isolators[0].value.limit"),
        (r#""resource/cpu""#, r#""resource/cup""#, "app.isolators[0].name"),
        (r#""user":"100""#, r#""user":"4294967295""#, "app.user"),
        (r"[400,500]", r"[400,-1]", "app.supplementaryGIDs[1]"),
        (r#""/opt/work""#, r#""opt/work""#, "app.workingDirectory"),
        (r"REDUCE_WORKER_DEBUG", r"REDUCE WORKER", "app.environment[0]"),
        (r#"{"name":"db","path""#, r#"{"name":"work","path_""#, "app.mountPoints[1]"),
        (r#""port":4000"#, r#""port":70000"#, "app.ports[0].port"),
        (r#""count":1"#, r#""count":65000"#, "app.ports[0]"),
        (r#""pre-start""#, r#""post-stop""#, "app.eventHandlers"),
        (r#""exec":["/usr/bin/r"#, r#""exec":["\u0000r"#, "app.exec"),
        (r#"{"name":"version","#, r#"{"name":"arch","#, "labels"),
        (r"2014-10-27T", r"2014-10-27 ", "annotations"),
        (r#""example.com/base""#, r#""Base""#, "dependencies[0].imageName"),
        (r#""size":22017258"#, r#""size":-1"#, "dependencies[0].size"),
        (r#""/usr/bin/reduce-worker"]}"#, r#""usr"]}"#, "pathWhitelist[1]"),
        (r#""0.8.11""#, r#""8""#, "acVersion"),
        (r#""ImageManifest""#, r#""PodManifest""#, "acKind"),
        (r#""name":"example.com/reduce-worker","#, r#""name":"-","#, "name"),
    ];
    for (good, bad, field) in table {
        let json = IMAGE.replacen(good, bad, 1);
        assert_ne!(json, IMAGE, "{good}");
        let error = ImageManifest::from_json(json.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("the image manifest is invalid at {field}"));
        assert!(error.source().is_some());
    }
}

#[test]
fn an_error_in_a_pod_manifest_names_the_field() {
    let table = [
        (r#""name":"reduce-worker""#, r#""name":"Reduce""#, "apps[0].name"),
        (r#""id":"sha512-"#, r#""id":"md5-"#, "apps[0].image.id"),
        (r#"{"exec":[],"#, r#"{"exec":"/bin/sh","#, "apps[0].app.exec"),
        (r#""user":"0","#, "", "apps[0].app"),
        (r#""readOnlyRootFS":true"#, r#""readOnlyRootFS":"yes""#, "apps[0].readOnlyRootFS"),
        (r#""path":"/db""#, r#""path":"""#, "apps[0].mounts[0].path"),
        (r#"{"volume":"own","#, r#"{"volume":"o/wn","#, "apps[0].mounts[1].volume"),
        (r#""mode":"0700""#, r#""mode":"rwx""#, "apps[0].mounts[1].appVolume"),
        (r#""name":"foo""#, r#""name":"Foo""#, "apps[0].annotations[0].name"),
        (r#""/opt/db""#, r#""opt/db""#, "volumes[0]"),
        (r#""recursive":false"#, r#""recursive":"false""#, "volumes[0].recursive"),
        (r#""limit":"4G""#, r#""limit":"4X""#, "isolators[0].value.limit"),
        (r#""hostPort":8080"#, r#""hostPort":0"#, "ports[0].hostPort"),
        (r#""127.0.0.1""#, r#""localhost""#, "ports[0].hostIP"),
        (r#""port":80"#, r#""port":0"#, "ports[0].podPort"),
        (r#"{"a":"b"}"#, r#"{"a":1}"#, "userAnnotations.a"),
        (r#""1.30.0""#, r#""1""#, "acVersion"),
        (r#""PodManifest""#, r#""ImageManifest""#, "acKind"),
    ];
    for (good, bad, field) in table {
        let json = POD.replacen(good, bad, 1);
        assert_ne!(json, POD, "{good}");
        let error = PodManifest::from_json(json.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("the pod manifest is invalid at {field}"));
        assert!(error.source().is_some());
    }
}

#[test]
fn a_name_that_stands_twice_is_refused_wherever_it_does() {
    let app = |field: &str| {
        format!(
            r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a",
                "app":{{"exec":[],"user":"0","group":"0",{field}}}}}"#
        )
    };
    for (field, at) in [
        (r#""userLabels":{"a":"1","a":"2"}"#, "app.userLabels.a"),
        (r#""userAnnotations":{"a":"1","b":"","a":"1"}"#, "app.userAnnotations.a"),
        (r#""isolators":[{"name":"os/unix/sysctl","value":{"a":"1","a":"2"}}]"#, "app.isolators[0].value.a"),
        (r#""exec":["/a"]"#, "app.exec"),
        (r#""environment":[{"name":"A","value":""},{"name":"A","value":""}]"#, "app.environment"),
    ] {
        let error = ImageManifest::from_json(app(field).as_bytes()).unwrap_err();
        let text = error.to_string();
        let field = text.strip_prefix("the image manifest is invalid at ").unwrap();
        assert!(at.starts_with(field), "{text}: {at}");
    }
}

#[test]
fn a_value_that_stands_before_the_name_of_its_isolator_is_found_as_well() {
    let json = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a","app":{"exec":[],"user":"0","group":"0",
        "isolators":[{"value":{"limit":"1"},"name":"resource/cpu"},{"value":{"limit":"1x"},"name":"resource/cpu"}]}}"#;
    let error = ImageManifest::from_json(json.as_bytes()).unwrap_err();
    assert!(error.to_string().starts_with("the image manifest is invalid at app.isolators[1]"), "{error}");
    assert!(error.source().unwrap().to_string().contains("\"1x\""), "{:?}", error.source());
}

#[test]
fn errors_of_the_document_as_a_whole_say_what_they_are() {
    let reason = |json: &str| {
        let error = ImageManifest::from_json(json.as_bytes()).unwrap_err();
        let cause = error.source().unwrap().to_string();
        (error.to_string(), cause)
    };
    let (error, cause) = reason(r#"{"acKind":"ImageManifest","acVersion":"0.8.11"}"#);
    assert_eq!(error, "the image manifest is invalid");
    assert!(cause.contains("missing field `name`"), "{cause}");
    let (_, cause) = reason(r#"{"acKind":"PodManifest","acVersion":"0.8.11","name":"a"}"#);
    assert!(cause.contains("ImageManifest"), "{cause}");
    let (error, cause) = reason(&IMAGE.replacen("\"linux\"", "\"plan9\"", 1));
    assert_eq!(error, "the image manifest is invalid at labels");
    assert!(cause.contains("bad os \"plan9\""), "{cause}");
    let (_, cause) = reason(&format!("{IMAGE}{{}}"));
    assert!(cause.contains("trailing characters"), "{cause}");
    let (_, cause) = reason(&IMAGE[..IMAGE.len() - 1]);
    assert!(cause.contains("EOF"), "{cause}");
    let (_, cause) = reason("");
    assert!(cause.contains("EOF"), "{cause}");
}

#[test]
fn names_of_apps_and_volumes_stand_once() {
    let app =
        r#"{"name":"a","image":{"id":"sha512-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}"#;
    let volume = r#"{"name":"v","kind":"empty"}"#;
    let pod = |apps: &str, volumes: &str| {
        let json = format!(r#"{{"acKind":"PodManifest","acVersion":"1.30.0","apps":[{apps}],"volumes":[{volumes}]}}"#);
        PodManifest::from_json(json.as_bytes())
    };
    assert!(pod(app, volume).is_ok());
    let why = |result: Result<PodManifest, rkt_appc::ManifestError>| result.unwrap_err().source().unwrap().to_string();
    let twice = why(pod(&format!("{app},{app}"), volume));
    assert_eq!(twice, r#"apps[1].name: "a" is the name of apps[0] too"#);
    let twice = why(pod(app, &format!("{volume},{volume}")));
    assert_eq!(twice, r#"volumes[1].name: "v" is the name of volumes[0] too"#);
}
