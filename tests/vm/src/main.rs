//! The first program of a test machine, and the one that runs the tests in it. A static program.
//!
//! As `/init` of the initial file system it loads the drivers of the disks, mounts the image as the
//! root and the payload where it was built, and becomes what the kernel's command line names with
//! `init=`. That is this program again, as the machine's first process, or systemd, which starts it as
//! a service. There it runs the tests that the payload names, one program after the other.
//!
//! What it tells the host goes over the second serial line: a frame around what each program of tests
//! writes, and a last line when all have been run. A host that misses one of these knows that something
//! did not run. The first serial line is the console.

#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::MountFlags;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use rustix::system::RebootCommand;

/// Where the initial file system has its modules, named in the order in which they are loaded.
const MODULES: &str = "/modules";
/// The second serial line.
const TELL: &str = "/dev/ttyS1";
/// Where programs are.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a disk may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let is_first = rustix::process::getpid().is_init();
    let outcome = if Path::new(MODULES).is_dir() {
        begin()
    } else if is_first {
        mount_all().and_then(|()| run_tests())
    } else {
        run_tests()
    };
    let ended = outcome.unwrap_or_else(|reason| {
        say(&format!("rkt-vm: {reason}"));
        ExitCode::FAILURE
    });
    if is_first {
        rustix::fs::sync();
        // Where this returns the host's patience ends the machine.
        let _ = rustix::system::reboot(RebootCommand::PowerOff);
    }
    ended
}

/// From the initial file system to the image; does not return where all goes well.
fn begin() -> Outcome<ExitCode> {
    mount("proc", "/proc", "proc", MountFlags::empty())?;
    mount("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID)?;
    let command_line = fs::read_to_string("/proc/cmdline").map_err(|error| format!("/proc/cmdline: {error}"))?;
    let word = |name: &str| {
        let values = command_line.split_whitespace().filter_map(|word| word.split_once('='));
        let value = values.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next_back();
        value.ok_or_else(|| format!("{name}= is missing on the kernel's command line"))
    };
    let next = word("init")?;
    if next == "none" {
        // The host wants to know no more than that a machine starts.
        tell("started")?;
        return Ok(ExitCode::SUCCESS);
    }
    load_modules()?;
    mount_disk("/dev/vda", "/root", MountFlags::empty())?;
    let payload = format!("/root{}", word("rkt.payload")?);
    mount_disk("/dev/vdb", &payload, MountFlags::RDONLY)?;
    for directory in ["/dev", "/proc"] {
        let to = format!("/root{directory}");
        rustix::mount::mount_move(directory, &to).map_err(|error| format!("move {directory} to {to}: {error}"))?;
    }
    enter("/root").map_err(|error| format!("enter the image: {error}"))?;
    Err(format!("{next}: {}", Command::new(&next).env_clear().exec()))
}

fn enter(root: &str) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    rustix::mount::mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")
}

fn load_modules() -> Outcome {
    let entries = fs::read_dir(MODULES).map_err(|error| format!("{MODULES}: {error}"))?;
    let mut modules: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    modules.sort();
    for module in modules {
        let failed = |error: io::Error| format!("{}: {error}", module.display());
        let file = File::open(&module).map_err(failed)?;
        rustix::system::finit_module(file, &CString::default(), 0).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

fn mount_disk(disk: &str, target: &str, flags: MountFlags) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !Path::new(disk).exists() {
        if Instant::now() > deadline {
            return Err(format!("{disk} does not appear"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    mount(disk, target, "ext4", flags)
}

/// What an image without a service manager lacks.
fn mount_all() -> Outcome {
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("sysfs", "/sys", "sysfs", safe)?;
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", safe)?;
    mount("tracefs", "/sys/kernel/tracing", "tracefs", safe)?;
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV)?;
    mount("devpts", "/dev/pts", "devpts", MountFlags::NOSUID | MountFlags::NOEXEC)?;
    mount("tmpfs", "/dev/shm", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV)
}

fn mount(source: &str, target: &str, kind: &str, flags: MountFlags) -> Outcome {
    let mounted =
        fs::create_dir_all(target).and_then(|()| Ok(rustix::mount::mount(source, target, kind, flags, None)?));
    mounted.map_err(|error| format!("mount {source} on {target}: {error}"))
}

/// Runs each program of the payload's list, which is beside this program: a line each, the program and
/// its arguments. This program is `vm/rkt-vm` in what was cargo's target directory.
fn run_tests() -> Outcome<ExitCode> {
    let program = std::env::current_exe().map_err(|error| format!("/proc/self/exe: {error}"))?;
    let (list, target) = (program.with_file_name("list"), program.ancestors().nth(2).ok_or("not in the payload")?);
    let list = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let mut code = ExitCode::SUCCESS;
    for line in list.lines() {
        let mut words = line.split(' ');
        let name = words.next().ok_or("an empty line in the list of tests")?;
        tell(&format!("begin {line}"))?;
        let mut command = Command::new(name);
        command.args(words).stdin(Stdio::null()).stdout(serial()?).stderr(serial()?);
        command.env_clear().env("PATH", PATH).env("CARGO_TARGET_DIR", target);
        let status = command.spawn().and_then(|child| wait_for(&child)).map_err(|error| format!("{name}: {error}"))?;
        // A program that was killed has no code of its own.
        let ended = status.exit_status().unwrap_or(-1);
        tell(&format!("end {ended} {line}"))?;
        if ended != 0 {
            code = ExitCode::FAILURE;
        }
    }
    tell("all run")?;
    Ok(code)
}

/// Waits for the end of a child. The machine's first process is also the parent of all that have lost theirs, and
/// has to wait for these as well: till then they hold their namespaces.
fn wait_for(child: &Child) -> io::Result<WaitStatus> {
    loop {
        match rustix::process::wait(WaitOptions::empty())? {
            Some((process, status)) if process == Pid::from_child(child) => return Ok(status),
            _ => {}
        }
    }
}

fn serial() -> Outcome<File> {
    OpenOptions::new().write(true).open(TELL).map_err(|error| format!("{TELL}: {error}"))
}

/// A line of this program's own to the host.
fn tell(line: &str) -> Outcome {
    serial()?.write_all(format!("\nrkt-vm: {line}\n").as_bytes()).map_err(|error| format!("{TELL}: {error}"))
}

/// A line for people, on the console.
fn say(line: &str) {
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        // There is nowhere to say that this failed.
        let _ = console.write_all(format!("{line}\n").as_bytes());
    }
}
