//! What tests run inside a pod: a static program that tells what it finds, and tries what it must not.
//!
//! `probe COMMAND [ARGUMENT…] [+ COMMAND [ARGUMENT…]]…`: the commands one after the other. It needs the
//! standard library only: `build.rs` compiles this one file, statically.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "to tell is what it is for")]
#![allow(clippy::exit, reason = "`exit` is one of its commands")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;
use std::{env, thread};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    for command in words.split(|word| word == "+") {
        let (name, arguments) = command.split_first().expect("a command before and after each +");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if let Err(error) = perform(name, &arguments) {
            eprintln!("probe: {name}: {error}");
            process::exit(99);
        }
    }
}

fn perform(command: &str, arguments: &[&str]) -> io::Result<()> {
    match (command, arguments) {
        ("say", [text]) => println!("{text}"),
        ("say-bytes", [count]) => say_bytes(number(count)?)?,
        ("complain", [text]) => eprintln!("{text}"),
        ("arguments", rest) => rest.iter().for_each(|argument| println!("{argument}")),
        ("exit", [code]) => process::exit(number(code)?),
        ("abort", []) => process::abort(),
        ("wait", []) => loop {
            thread::park();
        },
        ("wait-for", [path]) => wait_for(Path::new(path)),
        ("hear", []) => hear()?,
        ("show", paths) => paths.iter().try_for_each(|path| show(path))?,
        ("list", [path]) => list(path)?,
        ("write", [path, text]) => fs::write(path, text)?,
        ("try-write", paths) => attempt(paths, try_write),
        ("try-read", paths) => attempt(paths, try_read),
        ("try-create", paths) => attempt(paths, |path| File::create_new(path).map(|_| "created".to_owned())),
        ("try-connect", paths) => attempt(paths, |path| UnixStream::connect(path).map(|_| "connected".to_owned())),
        ("descriptors", []) => descriptors()?,
        ("rights", []) => rights()?,
        ("namespaces", []) => namespaces()?,
        ("mounts", []) => mounts()?,
        ("environment", []) => environment(),
        ("directory", []) => println!("{}", env::current_dir()?.display()),
        ("reach", paths) => reach(paths)?,
        ("eat", [bytes]) => eat(number(bytes)?),
        ("threads", [count]) => threads(number(count)?),
        ("burn", []) => burn(),
        ("spawn", [program, rest @ ..]) => {
            Command::new(program).args(rest).spawn()?;
        }
        ("run", [program, rest @ ..]) => {
            let status = Command::new(program).args(rest).status()?;
            println!("{program}: {status}");
        }
        ("become", [program, rest @ ..]) => return Err(Command::new(program).args(rest).exec()),
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no such command, or not with {arguments:?}"),
            ));
        }
    }
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} is no number for this")))
}

/// So many bytes, as numbered lines, so that a lost one is seen.
fn say_bytes(count: usize) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in 0..count / 16 {
        writeln!(out, "line {line:010}")?;
    }
    out.flush()
}

/// Waits until somebody makes a file: the way in which a test tells a pod to go on.
fn wait_for(path: &Path) {
    while !path.exists() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// What comes in, until it ends.
fn hear() -> io::Result<()> {
    let mut heard = String::new();
    io::stdin().read_to_string(&mut heard)?;
    println!("heard {heard:?}");
    Ok(())
}

fn show(path: &str) -> io::Result<()> {
    io::copy(&mut File::open(path)?, &mut io::stdout().lock()).map(drop)
}

fn list(path: &str) -> io::Result<()> {
    let mut names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        println!("{}", name.display());
    }
    Ok(())
}

/// Tries each path and says what came of it.
fn attempt(paths: &[&str], what: impl Fn(&str) -> io::Result<String>) {
    for path in paths {
        match what(path) {
            Ok(done) => println!("{path}: {done}"),
            Err(error) => println!("{path}: {}", error.kind()),
        }
    }
}

/// Opens for writing and writes back what is there, if it lets us; adds a byte to what is empty.
fn try_write(path: &str) -> io::Result<String> {
    let mut content = fs::read(path).unwrap_or_default();
    if content.is_empty() {
        content.push(b'\n');
    }
    OpenOptions::new().write(true).open(path)?.write_all(&content)?;
    Ok("written".to_owned())
}

/// Says how many bytes there are, up to a page; for a directory how many entries.
fn try_read(path: &str) -> io::Result<String> {
    if fs::metadata(path)?.is_dir() {
        return Ok(format!("{} entries", fs::read_dir(path)?.count()));
    }
    let mut page = [0; 4096];
    Ok(format!("{} bytes", File::open(path)?.read(&mut page)?))
}

/// The open descriptors, without the one that reads their directory.
fn descriptors() -> io::Result<()> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let fd = path.file_name().and_then(|name| name.to_str()).map(number).expect("descriptors are numbers")?;
        if let Ok(target) = fs::read_link(&path) {
            found.push((fd, target));
        }
    }
    found.sort();
    let own = PathBuf::from(format!("/proc/{}/fd", process::id()));
    for (fd, target) in found.into_iter().filter(|(_, target)| *target != own) {
        println!("{fd} {}", target.display());
    }
    Ok(())
}

/// The lines of /proc/self/status that say what a process may do.
fn rights() -> io::Result<()> {
    let told = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp"];
    fs::read_to_string("/proc/self/status")?
        .lines()
        .filter(|line| told.iter().any(|name| line.starts_with(name)))
        .for_each(|line| println!("{}", line.split_whitespace().collect::<Vec<_>>().join(" ")));
    Ok(())
}

fn namespaces() -> io::Result<()> {
    let mut names: Vec<PathBuf> =
        fs::read_dir("/proc/self/ns")?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    names.sort();
    for name in names.iter().filter(|name| !name.ends_with("pid_for_children") && !name.ends_with("time_for_children"))
    {
        println!("{}", fs::read_link(name)?.display());
    }
    Ok(())
}

/// What is mounted where and how, without what tells one mount of a kind from another: numbers, sources, and which
/// was made first.
fn mounts() -> io::Result<()> {
    let mut lines = Vec::new();
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let (ours, kind) = line.split_once(" - ").expect("a line of mountinfo has two parts");
        let fields: Vec<&str> = ours.split(' ').collect();
        let propagation = fields[6..].iter().filter_map(|field| field.split(':').next());
        let words = fields[4..6].iter().copied().chain(propagation).chain(kind.split(' ').next());
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    lines.sort();
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

fn environment() {
    let mut all: Vec<_> = env::vars_os().collect();
    all.sort();
    for (name, value) in all {
        println!("{}={}", name.display(), value.display());
    }
}

/// Looks for paths of the host from every directory that leads out of somewhere.
fn reach(paths: &[&str]) -> io::Result<()> {
    let mut doors: Vec<PathBuf> = ["/", "/..", "/../../..", "."].iter().map(PathBuf::from).collect();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        doors.extend([process.join("root"), process.join("cwd"), process.join("cwd/../../../../..")]);
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        doors.extend(descriptors.flat_map(|fd| [fd.path(), fd.path().join("../../../../..")]));
    }
    for door in &doors {
        for path in paths {
            let through = door.join(path.trim_start_matches('/'));
            if through.exists() {
                println!("reached {}", through.display());
            }
        }
    }
    println!("tried {} doors", doors.len());
    Ok(())
}

/// Takes memory and uses it, a mebibyte at a time, saying so.
fn eat(bytes: usize) {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for _ in 0..bytes >> 20 {
        // Other than zero, since a page of zeros need not be there.
        eaten.push(vec![1; 1 << 20]);
    }
    println!("ate {} bytes", eaten.iter().map(Vec::len).sum::<usize>());
}

/// Starts threads that stay, until the kernel gives no more.
fn threads(count: usize) {
    let started = (0..count)
        .map_while(|_| {
            thread::Builder::new()
                .stack_size(1 << 14)
                .spawn(|| {
                    loop {
                        thread::park();
                    }
                })
                .ok()
        })
        .count();
    println!("started {started} threads");
}

/// Uses all of the processor that it gets.
fn burn() -> ! {
    loop {
        std::hint::black_box((0..10_000).fold(0_u64, |sum, n| sum.wrapping_mul(31).wrapping_add(n)));
    }
}
