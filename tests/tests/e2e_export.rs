//! Apps of pods that have ended, as images.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use rkt_tests::{FLAVORS, Rkt, images};

#[test]
fn an_exported_app_is_an_image_with_what_the_app_has_changed() {
    let rkt = Rkt::new();
    let script = "echo changed > /etc/motd; rm /etc/group; mkdir /new && echo new > /new/file; ln /new/file /new/same; \
                  ln -s file /new/link; chmod 4711 /new/file; mkfifo /new/pipe";
    let image = images::busybox("app").label("version", "1.2").exec(["/bin/sh", "-c", script]);
    let image = rkt.image("app", &image);
    for flavor in FLAVORS {
        rkt.run(["run", flavor, &image]).succeeds();
        let uuid = rkt.pods()[0].clone();
        let out = rkt.home().join("out.aci");
        let out = out.to_str().unwrap();
        let exported = rkt.run(["export", &uuid, out]).succeeds();
        assert_eq!(exported.stdout, "", "{exported}");
        assert_eq!(fs::read(out).unwrap()[..2], [0x1f, 0x8b]);

        let look = "cat /etc/motd /new/link; ls /etc; stat -c '%a %h %F' /new/file /new/pipe";
        let ran = rkt.run(["run", flavor, out, "--exec=/bin/sh", "--", "-c", look]).succeeds();
        let expected = ["changed", "new", "motd", "passwd", "4711 2 regular file", "644 1 fifo"];
        assert_eq!(ran.lines_of("app"), expected, "{flavor}: {ran}");
        assert_eq!(
            rkt.run(["image", "list", "--fields=name", "--no-legend"]).succeeds().stdout.lines().last(),
            Some("example.com/app:1.2")
        );

        rkt.run(["export", &uuid, out]).refuses(&["export: target file exists (try --overwrite)"]);
        rkt.run(["export", "--overwrite", &uuid, out]).succeeds();
        fs::remove_file(out).unwrap();
        rkt.collect();
    }
}

#[test]
fn what_cannot_be_exported_is_said_and_leaves_no_file() {
    let rkt = Rkt::new();
    let one = rkt.probe("one", ["wait"]);
    let two = rkt.probe("two", ["wait"]);
    let pod = rkt.start([&one, &two]);
    let uuid = pod.uuid.clone();
    rkt.run(["export", "--app=one", &uuid, "out.aci"])
        .refuses(&["pod is not exited. Only exited pods can be exported"]);
    pod.end();
    rkt.run(["export", &uuid, "out.tar"]).refuses(&["extension must be .aci (given out.tar)"]);
    let several = rkt.run(["export", &uuid, "out.aci"]);
    let several = several.refuses(&["pod contains multiple apps:", r#"specify app using "rkt export --app= ...""#]);
    assert!(several.stderr.contains("\tone\n"), "{several}");
    rkt.run(["export", "--app=none", &uuid, "out.aci"]).refuses(&["no app with name \"none\" in the pod"]);
    rkt.run(["export", "--app=one", &uuid, "/does/not/exist/out.aci"]).refuses(&["/does/not/exist/out.aci"]);
    rkt.run(["export", "77", "out.aci"]).refuses(&["no matches found for \"77\""]);
    let prepared = rkt.run(["prepare", &one]).succeeds().stdout;
    rkt.run(["export", prepared.trim_end(), "out.aci"]).refuses(&["pod is not exited"]);
    assert!(!rkt.home().join("out.aci").exists());
    rkt.run(["gc", "--mark-only"]).succeeds();
    rkt.run(["export", "--app=two", &uuid, "out.aci"]).succeeds();
    rkt.collect();
}

#[test]
fn a_deep_tree_that_no_image_can_have_is_refused_and_leaves_no_file() {
    let rkt = Rkt::new();
    let script = "i=0; while [ $i -lt 300 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done";
    let image = rkt.image("deep", &images::busybox("deep").exec(["/bin/sh", "-c", script]));
    rkt.run(["run", "--stage1=fly", &image]).succeeds();
    rkt.run(["export", &rkt.pods()[0], "out.aci"]).refuses(&["out.aci", "is deeper than images may be"]);
    assert!(!rkt.home().join("out.aci").exists());
    rkt.collect();
}
