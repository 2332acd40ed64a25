//! The main job, for someone who sees rkt for the first time: from a clean clone to a running pod.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::build::{self, make_folder};
use crate::shell::{self, Failure, say, step};
use crate::tree::{STATIC_TARGET, Tree};

/// Builds rkt, makes an image, runs it on two flavors and shows what there is to see.
pub(crate) fn run_steps(tree: &Tree) -> Result<(), Failure> {
    let folder = tree.target("demo");
    let image = folder.join("hello.aci");
    step("an image: a static program and a manifest, in a tar archive", || make_image(tree, &folder, &image))?;
    let rkt =
        Rkt { program: tree.built("bin/rkt").display().to_string(), data: folder.join("data").display().to_string() };
    let image = image.display().to_string();
    let uuid_file = folder.join("uuid").display().to_string();

    step("what would happen, before anything does", || rkt.run(&["plan", &image]))?;
    step("a pod, isolated by the flavor `container`", || rkt.run(&["run", &image]))?;
    step("the same image, isolated by the flavor `fly`", || {
        rkt.run(&["run", "--stage1=fly", &format!("--uuid-file-save={uuid_file}"), &image])
    })?;
    step("how the two flavors differ", || rkt.run(&["plan", "--diff=fly", &image]))?;
    step("the pods", || rkt.run(&["list"]))?;
    step("one of them", || {
        let uuid = fs::read_to_string(&uuid_file).map_err(Failure::when(format!("cannot read {uuid_file}")))?;
        rkt.run(&["status", uuid.trim()])
    })?;
    step("and gone", || rkt.run(&["gc", "--grace-period=0s"]))?;
    say(&format!("\nrkt is in {}, and can be installed by `cargo xtask install`.", tree.built("bin").display()));
    Ok(())
}

/// Sets up and builds, then shows.
pub(crate) fn run(tree: &Tree) -> Result<(), Failure> {
    say("This builds rkt and its flavors, makes a hello image and runs it as a pod. Nearly all of the time");
    say("is spent on compiling: about ten minutes on two cores. Everything stays in the target folder.");
    build::run(tree)?;
    run_steps(tree)
}

struct Rkt {
    program: String,
    data: String,
}

impl Rkt {
    fn run(&self, arguments: &[&str]) -> Result<(), Failure> {
        shell::run(
            Command::new(&self.program)
                .args([&format!("--dir={}", self.data), "--insecure-options=image"])
                .args(arguments),
        )
    }
}

fn make_image(tree: &Tree, folder: &Path, image: &Path) -> Result<(), Failure> {
    let root = folder.join("image/rootfs");
    make_folder(&root)?;
    shell::run(
        Command::new("rustc")
            .args(["--edition=2024", "-O", "--target", STATIC_TARGET, "-o"])
            .arg(root.join("hello"))
            .arg(tree.path("tests/images/hello/hello.rs")),
    )?;
    let manifest = folder.join("image/manifest");
    fs::copy(tree.path("tests/images/hello/manifest"), &manifest)
        .map_err(Failure::when(format!("cannot write {}", manifest.display())))?;
    let owner = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--gzip", "--create", "--file"];
    shell::run(
        Command::new("tar")
            .args(owner)
            .arg(image)
            .arg("--directory")
            .arg(folder.join("image"))
            .args(["manifest", "rootfs"]),
    )
}
