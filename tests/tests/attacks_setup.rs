//! Attacks on setting up and entering a pod, named by the rows of `ATTACKS.md`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rkt_tests::{FLAVORS, Rkt, binary, companions, images};

/// The programs of rkt that are installed, with all of their bytes.
fn programs() -> Vec<(PathBuf, Vec<u8>)> {
    let others = fs::read_dir(companions()).unwrap().map(|entry| entry.unwrap().path());
    others.chain([binary()]).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn r1_the_runtimes_programs_cannot_be_written_to_from_a_pod() {
    let rkt = Rkt::new();
    let before = programs();
    let script = "for exe in /proc/[0-9]*/exe; do (echo x >> $exe) 2>/dev/null && readlink $exe && echo written; done; echo tried";
    let image = images::busybox("writes").exec(["/bin/sh", "-c", script]);
    let image =
        rkt.image("writes", &image.symlink("entry", "/proc/self/exe").file("script", 0o755, b"#!/proc/self/exe\n"));
    let output = rkt.run(["run", &image]).succeeds();
    assert_eq!(output.lines_of("writes"), ["tried"], "{output}");
    // The runtime's own program as the app's, from where it could be opened once the runtime is gone.
    for entry in ["/entry", "/script", "/proc/self/exe", "/proc/1/exe"] {
        let output = rkt.run(["run", &image, &format!("--exec={entry}")]);
        assert!(!output.status.success(), "{entry}: {output}");
    }
    let pod = rkt.start([&image, "--exec=/bin/sleep", "--", "600"]);
    let entered = rkt.run(["enter", &pod.uuid, "/bin/sh", "-c", script]).succeeds();
    assert_eq!(entered.stdout, "tried\n", "{entered}");
    pod.end();
    // In fly the app is root on the host, and yet the program that runs beside it is read-only.
    let output = rkt.run([
        "run",
        "--stage1=fly",
        &image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "(echo x >> /proc/$PPID/exe) 2>/dev/null || echo refused",
    ]);
    assert_eq!(output.succeeds().lines_of("writes"), ["refused"]);
    assert!(programs() == before, "a program of the host has changed");
    rkt.collect();
}

#[test]
fn r2_a_working_directory_among_descriptors_leads_nowhere() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::write(&canary, "x").unwrap();
    let image = rkt.probe("cwd", ["reach", canary.to_str().unwrap(), "/etc/debian_version"]);
    let attempt = |words: &[&str]| {
        let output = rkt.run(words);
        assert!(!output.stdout.contains("reached"), "{words:?}: {output}");
    };
    for number in 3..64 {
        attempt(&["run", &image, &format!("--working-dir=/proc/self/fd/{number}")]);
    }
    // Through a link of the image's, which names the descriptors of whoever opens it.
    let links = (3..24).fold(images::probe("links"), |image, number| {
        image.symlink(&format!("cwd{number}"), &format!("/proc/self/fd/{number}"))
    });
    let links = rkt.image("links", &links.exec(["/probe", "reach", canary.to_str().unwrap()]));
    for number in 3..24 {
        attempt(&["run", &links, &format!("--working-dir=/cwd{number}")]);
    }
    rkt.collect();
}

#[test]
fn r3_what_masks_a_path_is_not_the_images() {
    let rkt = Rkt::new();
    let image = images::probe("mask")
        .directory("dev", 0o755)
        .file("dev/null", 0o666, b"not null")
        .symlink("dev/zero", "/proc/keys");
    let image = rkt.image("mask", &image.exec(["/probe", "try-read", "/proc/timer_list", "/proc/keys", "/dev/null"]));
    let output = rkt.run(["run", &image]).succeeds();
    assert_eq!(
        output.lines_of("mask"),
        ["/proc/timer_list: 0 bytes", "/proc/keys: 0 bytes", "/dev/null: 0 bytes"],
        "{output}"
    );
    rkt.collect();
}

#[test]
fn r5_the_kernels_files_are_the_kernels_and_not_the_images() {
    let rkt = Rkt::new();
    let image =
        images::probe("proc").file("proc/version", 0o644, b"fake\n").file("proc/self/attr/exec", 0o666, b"fake\n");
    let image = rkt.image("proc", &image.exec(["/probe", "show", "/proc/version", "+", "rights"]));
    for flavor in FLAVORS {
        let output = rkt.run(["run", flavor, &image]).succeeds();
        assert!(output.lines_of("proc")[0].starts_with("Linux version"), "{flavor}: {output}");
    }
    rkt.collect();
}

#[test]
fn r6_an_image_whose_kernel_directories_are_links_is_refused() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::create_dir(&canary).unwrap();
    for directory in ["dev", "proc", "sys"] {
        for to in ["elsewhere", "/elsewhere", canary.to_str().unwrap(), "../../../../../../.."] {
            let image = images::probe("link").symlink(directory, to).directory("elsewhere", 0o755);
            let image = rkt.image("link", &image.exec(["/probe", "say", "ran"]));
            for flavor in FLAVORS {
                let output = rkt.run(["run", flavor, &image]).refuses(&[&format!("/{directory}")]);
                assert!(!output.stdout.contains("ran"), "{output}");
            }
        }
    }
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 0);
    rkt.collect();
}

#[test]
fn r7_targets_of_mounts_stay_in_the_image() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::create_dir(&canary).unwrap();
    let volume = rkt.home().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("mark"), "volume\n").unwrap();
    let volume = format!("--volume=v,kind=host,source={}", volume.display());
    let image = images::probe("links").symlink("out", canary.to_str().unwrap()).symlink("up", "../../../../../..");
    let image = rkt.image("links", &image.exec(["/probe", "exit", "0"]));
    let table = || fs::read("/proc/self/mountinfo").unwrap();
    let before = table();
    for flavor in FLAVORS {
        for target in ["/out", "/out/deeper", "/up/etc/deeper", "/../../etc/deeper", "/proc/1/root", "/proc/self/cwd"] {
            let output = rkt.run(["run", flavor, &volume, &image, &format!("--mount=volume=v,target={target}")]);
            assert!(output.status.code().is_some(), "{flavor} {target}: {output}");
            assert_eq!(fs::read_dir(&canary).unwrap().count(), 0, "{flavor} {target}: {output}");
            assert!(!Path::new("/etc/deeper").exists(), "{flavor} {target}: {output}");
        }
        // Nothing can be put over what is the kernel's.
        let over = rkt.run(["run", flavor, &volume, &image, "--mount=volume=v,target=/proc/sys"]);
        assert!(!over.status.success(), "{flavor}: {over}");
    }
    assert!(table() == before);
    rkt.collect();
}

#[test]
fn r7_a_target_that_is_swapped_meanwhile_stays_in_the_pod() {
    let rkt = Rkt::new();
    let canary = rkt.home().join("canary");
    fs::create_dir(&canary).unwrap();
    let outer = rkt.home().join("outer");
    fs::create_dir_all(outer.join("inner")).unwrap();
    let image = rkt.probe("raced", ["try-create", "/outer/inner/made"]);
    let table = || fs::read("/proc/self/mountinfo").unwrap();
    let before = table();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = fs::rename(outer.join("inner"), outer.join("real"));
                let _ = symlink(&canary, outer.join("inner"));
                let _ = fs::remove_file(outer.join("inner"));
                let _ = fs::rename(outer.join("real"), outer.join("inner"));
            }
        });
        let volume = |name: &str, source: &Path| format!("--volume={name},kind=host,source={}", source.display());
        for _ in 0..30 {
            for flavor in FLAVORS {
                let words = [
                    "run",
                    flavor,
                    &volume("outer", &outer),
                    "--volume=inner,kind=empty",
                    &image,
                    "--mount=volume=outer,target=/outer",
                    "--mount=volume=inner,target=/outer/inner",
                ];
                let output = rkt.run(words);
                assert!(output.status.code().is_some(), "{output}");
                assert!(fs::symlink_metadata(canary.join("made")).is_err(), "{output}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(table() == before, "a mount came to the host");
    rkt.collect();
}

#[test]
fn r8_masks_and_read_only_paths_cannot_be_taken_away() {
    let rkt = Rkt::new();
    let script = r#"
        try() { "$@" >/dev/null 2>&1 && echo "did $*"; }
        try mount -o remount,rw /proc/sys
        try mount -o remount,bind,rw /proc/sys
        try umount /proc/kcore
        try umount -l /sys/firmware
        try mount -t proc proc /mnt
        try mount -t sysfs sysfs /mnt
        try mount --bind / /mnt
        try mount -t tmpfs tmpfs /mnt
        try unshare -m true
        try unshare -U true
        try chroot /mnt /bin/true
        try mknod /dev/sda b 8 0
        echo tried"#;
    let image = rkt.image("mounts", &images::busybox("mounts").directory("mnt", 0o755).exec(["/bin/sh", "-c", script]));
    let output = rkt.run(["run", &image]).succeeds();
    // A device node can be made with CAP_MKNOD, and cannot be opened: `/` and `/dev` are mounted so.
    let lines: Vec<String> =
        output.lines_of("mounts").into_iter().filter(|line| line != "did mknod /dev/sda b 8 0").collect();
    assert_eq!(lines, ["tried"], "{output}");
    rkt.collect();
}

#[test]
fn r8_a_device_node_that_an_app_makes_opens_nothing() {
    let rkt = Rkt::new();
    // The host's own null device, by another name: if it opens, so would a disk.
    let script = "for d in / /dev /dev/shm /tmp; do mkdir -p $d; mknod $d/node c 1 3 2>/dev/null && (echo x > $d/node) 2>/dev/null && echo \"opened in $d\"; done; echo tried";
    let image = rkt.image("nodes", &images::busybox("nodes").exec(["/bin/sh", "-c", script]));
    let output = rkt.run(["run", &image]).succeeds();
    assert_eq!(output.lines_of("nodes"), ["tried"], "{output}");
    rkt.collect();
}
