//! What is tested and what tests it, on a disk that a machine mounts where its files are on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::image::{PROGRAM, make_disk, remove};
use super::results::Expected;
use super::{Job, Machine};
use crate::build::make_folder;
use crate::shell::{self, Failure, output};
use crate::test::tests;
use crate::tree::Tree;

/// Room for everything; the file is sparse.
const SIZE: &str = "1G";

/// The program that looks for what tests leave behind, and where it notes what was there before them.
const LEFTOVERS: &str = "leftovers";
const BEFORE: &str = "/run/rkt-vm.before";

/// Programs by the name that cargo gives them.
pub(super) type Programs = BTreeMap<String, PathBuf>;

/// Compiles all tests of the workspace, as for the host, and finds where they are.
pub(super) fn compile(tree: &Tree) -> Result<Programs, Failure> {
    let mut cargo = tests(tree);
    cargo.args(["--no-run", "--message-format=json-render-diagnostics"]).stderr(Stdio::inherit());
    let told = output(&mut cargo)?;
    let told = String::from_utf8_lossy(&told);
    let paths = told.lines().filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    Ok(paths.filter_map(|path| Some((target_of(path)?.to_owned(), PathBuf::from(path)))).collect())
}

/// `e2e_limits` of `…/deps/e2e_limits-0123456789abcdef`.
fn target_of(path: &str) -> Option<&str> {
    let name = Path::new(path).file_name()?.to_str()?;
    Some(name.rsplit_once('-').map_or(name, |(target, _)| target))
}

/// A machine's payload.
pub(super) struct Payload {
    pub(super) disk: PathBuf,
    /// What it runs, in this order.
    pub(super) expected: Vec<Expected>,
}

impl Payload {
    /// With all of a machine's programs of tests, or one that is chosen, and its tests with a part of
    /// their names among the filters; and around them a look at what they leave behind.
    pub(super) fn make(
        tree: &Tree,
        machine: &Machine,
        programs: &Programs,
        chosen: Option<(&&str, &[&str])>,
    ) -> Result<Self, Failure> {
        let by_hand = chosen.map(|(target, _)| (*target).replace('-', "_"));
        let filters = chosen.map_or(&[][..], |(_, filters)| filters);
        let jobs = machine.jobs.iter().filter(|job| by_hand.as_ref().is_none_or(|target| target == job.target));
        let find = |target: &str| {
            let missing = || Failure::new(format!("cargo compiled no program called {target}"));
            programs.get(target).map(PathBuf::as_path).ok_or_else(missing)
        };
        let leftovers = find(LEFTOVERS)?;
        let look = |verb: &str| Expected::whole(format!("{} {verb} {BEFORE}", leftovers.display()));
        let (mut expected, mut files) = (vec![look("save")], vec![leftovers]);
        for job in jobs {
            let program = find(job.target)?;
            let arguments = arguments(job, filters);
            let words = [program.to_str().expect("the tree's path is text"), "--test-threads=2"];
            let command: Vec<&str> = words.into_iter().chain(arguments.iter().copied()).collect();
            expected.push(Expected { command: command.join(" "), tests: names(program, &arguments)? });
            files.push(program);
        }
        expected.push(look("compare"));
        let disk = pack(tree, machine.name, &files, &expected)?;
        Ok(Self { disk, expected })
    }
}

/// Makes the disk, of these programs, of what runs them, of rkt, and of the list of what is to be run.
fn pack(tree: &Tree, machine: &str, programs: &[&Path], list: &[Expected]) -> Result<PathBuf, Failure> {
    let target = tree.target("");
    let folder = tree.target(&format!("vm/{machine}.payload"));
    remove(&folder)?;
    make_folder(&folder)?;
    let mut copy = Command::new("cp");
    copy.args(["--link", "--parents", "--recursive", "--target-directory"]).arg(&folder).args([PROGRAM, "rkt"]);
    for program in programs {
        copy.arg(program.strip_prefix(&target).map_err(Failure::when("cargo builds elsewhere"))?);
    }
    shell::run(copy.current_dir(&target))?;
    let lines: Vec<&str> = list.iter().map(|expected| expected.command.as_str()).collect();
    let list = folder.join(PROGRAM).with_file_name("list");
    fs::write(&list, lines.join("\n")).map_err(Failure::when(format!("cannot write {}", list.display())))?;
    let disk = folder.with_extension("disk");
    make_disk(&folder, &disk, SIZE)?;
    Ok(disk)
}

/// How libtest is told which tests to run.
fn arguments<'a>(job: &Job, filters: &[&'a str]) -> Vec<&'a str> {
    let skipped = job.skipped.iter().flat_map(|name| ["--skip", name]);
    skipped.chain(filters.iter().copied()).collect()
}

/// The names of the tests that a program has, which it tells here as it would in the machine.
fn names(program: &Path, arguments: &[&str]) -> Result<BTreeSet<String>, Failure> {
    let told = output(Command::new(program).args(["--list", "--format=terse"]).args(arguments))?;
    let told = String::from_utf8_lossy(&told);
    Ok(told.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}
