//! Native plugins: hostile ones (P12), each ended with an error within its limit and with nothing gained;
//! one in plain C; and the header, held together with the WIT and with its Rust side.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/component.rs"]
mod component;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rkt_plan::Trust;
use rkt_planner::{Error, InstallError, Kept, Limits, Planned, Planner, Plugin, Refusal, install};
use support::{Answers, compiler, native_program, pod, program, shipped};
use wit_parser::{FunctionKind, TypeId};

const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");

/// A library of C: what comes before, and what its function `plan` does.
fn library(before: &str, deed: &str, flags: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let source = format!(
        r#"#define _GNU_SOURCE
#include "rkt-plugin.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
RKT_PERMISSIONS("root\nuser\n");
{before}
static int plan(const rkt_host *host, const rkt_pod *pod, rkt_plan *plan, rkt_problem *problem)
{{
    (void)pod; (void)problem; (void)host; (void)plan;
    {deed}
    return RKT_PLANNED;
}}
RKT_STAGE1(plan);
"#
    );
    let (file, library) = (folder.path().join("hostile.c"), folder.path().join("hostile.so"));
    fs::write(&file, source).unwrap();
    let built = Command::new("cc")
        .args(["-std=gnu11", "-shared", "-fPIC", "-I", WIT, "-w", "-o"])
        .args([&library, &file])
        .args(flags)
        .status()
        .unwrap();
    assert!(built.success());
    (folder, library)
}

fn installed(library: &[u8]) -> Result<Plugin, InstallError> {
    let cache = tempfile::tempdir().unwrap();
    install("hostile", library, &Kept::at(cache.path()), &compiler())
}

/// What becomes of a plugin; a good one plans right after it.
fn outcome_with(before: &str, deed: &str, limits: Limits) -> Result<Planned, Error> {
    let (_folder, library) = library(before, deed, &[]);
    let plugin = installed(&fs::read(library).unwrap()).unwrap();
    assert_eq!(plugin.trust(), Trust::Native);
    let (start, longest) = (Instant::now(), limits.time + Duration::from_secs(5));
    let outcome = Planner::start(&native_program(), &plugin, limits).unwrap().plan(&pod(&["a"]), &Answers::default());
    assert!(start.elapsed() < longest, "a limit held up the pod: {outcome:?}");
    let next = Planner::start(&program(), &shipped("fly"), Limits::default()).unwrap();
    next.plan(&pod(&["a"]), &Answers::default()).unwrap();
    outcome
}

fn outcome(before: &str, deed: &str) -> Result<Planned, Error> {
    outcome_with(before, deed, Limits { time: Duration::from_secs(2), ..Limits::default() })
}

/// The notes of a plan: what the plugin found out.
fn notes(before: &str, deed: &str) -> Vec<String> {
    let planned = outcome(before, deed).unwrap();
    let note = |word: &rkt_plan::Word| match word {
        rkt_plan::Word::Note { text } => Some(text.clone()),
        _ => None,
    };
    planned.plan.words.iter().filter_map(note).collect()
}

/// For deeds: says whether something worked.
const SAY: &str =
    r#"#define SAY(worked, what) host->plan_note(plan, (worked) ? RKT_TEXT(what) : RKT_TEXT(what " failed"))"#;

#[test]
fn a_plugin_in_plain_c_plans_for_every_pod() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libc_flavor.so");
    let source = format!("{WIT}/../plugins/examples/c-flavor/flavor.c");
    let flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", WIT, "-o"];
    assert!(Command::new("cc").args(flags).arg(&library).arg(source).status().unwrap().success());
    let cache = tempfile::tempdir().unwrap();
    let plugin =
        install("c-flavor", fs::read(&library).unwrap().as_slice(), &Kept::at(cache.path()), &compiler()).unwrap();
    assert!(plugin.permissions().iter().any(|permission| permission.to_string() == "share:network"));
    let planner = Planner::start(&native_program(), &plugin, Limits::default()).unwrap();
    let pod = pod(&["a", "b"]);
    let plan = planner.plan(&pod, &Answers::default()).unwrap().plan;
    let allowed = plugin.permissions();
    rkt_plan::check(&pod, &plan, allowed, allowed).unwrap();
}

#[test]
fn p12_a_constructor_runs_in_the_cage() {
    let constructor = r#"static char seen[3];
static void __attribute__((constructor)) early(void)
{
    seen[0] = open("/etc/passwd", O_RDONLY) >= 0;
    seen[1] = open("/etc/shadow", O_RDONLY) >= 0;
    seen[2] = open("/proc/self/environ", O_RDONLY) >= 0;
}
"#;
    let say = SAY;
    let deed = r#"SAY(seen[0], "passwd"); SAY(seen[1], "shadow"); SAY(seen[2], "environ");"#;
    let notes = notes(&format!("{say}\n{constructor}"), deed);
    assert_eq!(notes, ["passwd failed", "shadow failed", "environ failed"]);
}

/// A call that a computation does not need ends the process.
#[test]
fn p12_calls_beyond_a_computation_end_the_process() {
    for (what, deed) in [
        ("a file is made", r#"open("/tmp/rkt-native-hostile", O_CREAT | O_WRONLY, 0600);"#),
        ("a socket", "socket(AF_UNIX, SOCK_STREAM, 0);"),
        ("another process", "fork();"),
        ("a program", r#"execl("/bin/true", "true", (char *)0);"#),
        ("a signal to its parent", "kill(getppid(), SIGKILL);"),
        ("a handler of signals", "signal(SIGTERM, SIG_IGN); signal(SIGALRM, SIG_IGN); alarm(1);"),
        ("a thread", "pthread_t t; pthread_create(&t, 0, (void *(*)(void *))pause, 0);"),
        ("executable memory", "mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);"),
        ("a trace", "syscall(SYS_ptrace, 0, 0, 0, 0);"),
        ("a mount", r#"syscall(SYS_mount, "x", "/", "tmpfs", 0, 0);"#),
        ("new namespaces", "syscall(SYS_unshare, 0x10000000);"),
        ("a look at its user", "geteuid();"),
        ("sleep", "syscall(SYS_nanosleep, &(struct timespec){100, 0}, 0);"),
    ] {
        let ended = outcome("#include <time.h>", deed).unwrap_err();
        assert!(matches!(ended, Error::Ended { .. }), "{what}: {ended:?}");
    }
    assert!(!Path::new("/tmp/rkt-native-hostile").exists());
}

#[test]
fn p12_leaving_in_any_way_but_by_returning_is_an_error() {
    for (what, before, deed) in [
        ("exit", "", "exit(0);"),
        ("exit at once", "", "_exit(0);"),
        ("exit by a destructor", "", "atexit((void (*)(void))abort); exit(0);"),
        ("a crash", "", "*(volatile int *)8 = 1;"),
        ("abort", "", "abort();"),
        ("a jump out", "static jmp_buf nowhere;", "memset(&nowhere, 0x41, sizeof nowhere); longjmp(nowhere, 1);"),
        ("an endless loop", "", "for (;;) __asm__ volatile(\"\");"),
        (
            "deep recursion",
            "static int deep(volatile int n) { volatile char b[4096]; b[0] = n; return deep(n + 1) + b[0]; }",
            "deep(0);",
        ),
        ("a wrong code", "", "return 77;"),
        ("a table that lies", "", "host->jail_root((rkt_jail *)99, RKT_READ_ONLY);"),
        ("an access that is none", "", "host->jail_root(host->plan_app(plan, RKT_TEXT(\"a\")), 9);"),
        ("a text of gigabytes", "", "static char c[8]; host->plan_note(plan, (rkt_text){c, (size_t)1 << 40});"),
        ("words without end", "", "for (;;) host->plan_note(plan, RKT_TEXT(\"x\"));"),
    ] {
        let error = outcome(before, deed).unwrap_err();
        assert!(matches!(error, Error::Ended { .. } | Error::Failed { .. }), "{what}: {error:?}");
    }
}

#[test]
fn p12_memory_has_a_limit() {
    let deed = r#"SAY(mmap(0, 2ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, "memory");"#;
    assert_eq!(notes(SAY, deed), ["memory failed"]);
}

/// A plugin can write to its own descriptors what it likes. What it says so is as much as it could have
/// said by words: a plan that is checked, or nothing.
#[test]
fn p12_stolen_descriptors_give_it_no_more_than_a_plan() {
    for (what, deed) in [
        ("garbage", "static char junk[70000]; memset(junk, 0xff, sizeof junk); write(0, junk, sizeof junk); _exit(0);"),
        ("half a reply", r#"write(0, "\x10\0\0\0{", 5); _exit(0);"#),
        ("nothing", "close(0); close(1); close(2);"),
        ("questions without end", r#"for (;;) write(0, "\x19\0\0\0{\"fact\":{\"name\":\"kernel\"}}", 29);"#),
    ] {
        let error = outcome("", deed).unwrap_err();
        assert!(matches!(error, Error::Ended { .. } | Error::Malformed { .. }), "{what}: {error:?}");
    }
    // A whole reply that it wrote itself is a plan as any other: one that the check judges.
    let words = r#"{"last":{"planned":{"words":[{"share":{"namespace":"pid"}}]}}}"#;
    let deed = format!(
        "static const char reply[] = {words:?}; unsigned n = sizeof reply - 1; write(0, &n, 4); write(0, reply, n); _exit(0);"
    );
    let pod = pod(&["a"]);
    let plan = outcome("", &deed).unwrap().plan;
    let allowed = ["root", "user"].iter().map(|text| text.parse().unwrap()).collect();
    let refusal = rkt_plan::check(&pod, &plan, &allowed, &allowed).unwrap_err().to_string();
    assert!(refusal.contains("does not declare the permission `share:pid`"), "{refusal}");
}

#[test]
fn p12_what_is_no_plugin_is_refused_before_anything_of_it_runs() {
    let refusal = |library: &[u8]| match installed(library).unwrap_err() {
        InstallError::Refused { refusal, .. } => refusal,
        other => panic!("{other:?}"),
    };
    let (_folder, whole) = library("", "", &[]);
    let whole = fs::read(whole).unwrap();
    for length in [4, 64, 500, whole.len() / 2] {
        assert!(matches!(refusal(&whole[..length]), Refusal::Library { .. }), "cut to {length}");
    }
    let mut foreign = whole.clone();
    // e_machine of elf(5): RISC-V.
    foreign[18] = 243;
    assert!(matches!(refusal(&foreign), Refusal::Library { .. }));
    let program = fs::read("/bin/true").unwrap();
    let why = refusal(&program).to_string();
    assert!(!why.is_empty());
    let other = "#undef RKT_CONTRACT\n#define RKT_CONTRACT { 9, 9, 9 }";
    let (_folder, other) = library(other, "", &[]);
    assert!(matches!(refusal(&fs::read(other).unwrap()), Refusal::OtherTable { .. }));
}

#[test]
fn p12_a_library_that_needs_one_that_is_not_there_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let needed = folder.path().join("libnowhere.so");
    fs::write(folder.path().join("n.c"), "int nowhere(void) { return 1; }").unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&needed).arg(folder.path().join("n.c")).status();
    assert!(made.unwrap().success());
    let at = format!("-L{}", folder.path().display());
    let (_folder, library) = library("extern int nowhere(void);", "nowhere();", &[&at, "-lnowhere"]);
    let plugin = installed(&fs::read(library).unwrap()).unwrap();
    let planner = Planner::start(&native_program(), &plugin, Limits::default()).unwrap();
    let error = planner.plan(&pod(&["a"]), &Answers::default()).unwrap_err();
    let Error::Failed { failure, .. } = error else { panic!("{error:?}") };
    assert!(failure.to_string().contains("libnowhere.so"), "{failure}");
}

/// The functions of the WIT by the names that the header gives them.
fn functions_of_the_wit() -> Vec<String> {
    let resolve = component::stage1();
    let type_name = |id: TypeId| resolve.types[id].name.clone().unwrap();
    let mut names = Vec::new();
    for (_, interface) in &resolve.interfaces {
        let of = interface.name.clone().unwrap();
        for (name, function) in &interface.functions {
            let name = name.rsplit('.').next().unwrap();
            let owner = match function.kind {
                FunctionKind::Method(resource) => type_name(resource),
                _ => of.clone(),
            };
            names.push(format!("{owner}_{name}").replace('-', "_"));
        }
    }
    names.sort();
    names
}

/// The fields of the host's table in a text, in its order: what `name` finds in a line.
fn fields(text: &str, begin: &str, name: impl Fn(&str) -> Option<&str>) -> Vec<String> {
    let body = text.split_once(begin).unwrap().1;
    let body = body.split_once("\n}").unwrap().0;
    body.lines().filter_map(|line| name(line.trim())).map(str::to_owned).collect()
}

#[test]
fn the_header_its_rust_side_and_the_wit_have_the_same_functions() {
    let header = fs::read_to_string(format!("{WIT}/rkt-plugin.h")).unwrap();
    let rust = fs::read_to_string(format!("{WIT}/rkt_plugin.rs")).unwrap();
    let in_c = fields(&header, "typedef struct rkt_host {", |line| line.split_once("(*")?.1.split(')').next());
    let in_rust = fields(&rust, "pub struct Host {", |line| {
        line.strip_prefix("pub ")?.split(':').next().filter(|name| *name != "size")
    });
    assert_eq!(in_c, in_rust, "in the same order");
    let mut sorted = in_c;
    sorted.sort();
    assert_eq!(sorted, functions_of_the_wit());
}
