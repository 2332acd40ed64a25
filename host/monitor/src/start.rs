//! How the static program is started: its arguments, and becoming it.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rkt_sys::mount::{Attributes, Change, Depth};
use rkt_sys::{mount, process};
use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;

/// Variables of the environment that are the pod's supervisor's affair (sd_listen_fds(3),
/// sd_notify(3)); the static program gets no others.
const KEPT: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"];

/// What the static program is started with.
#[derive(Debug)]
pub struct Start {
    /// The static program's file.
    pub program: PathBuf,
    /// The [`rkt_executor::Launch`] as JSON, in a file positioned at its start; sealed memory, since
    /// it may have secrets in it.
    pub launch: OwnedFd,
    /// The pod's directory; its open file description holds the pod's lock.
    pub pod: OwnedFd,
    /// The socket `control` in the pod's directory, listening.
    pub control: OwnedFd,
    /// Whether the static program says what it does, and how long it took.
    pub debug: bool,
}

/// Why the static program was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its file cannot be used.
    #[error("start {}", .program.display())]
    Program {
        /// The file.
        program: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A descriptor cannot be handed on.
    #[error("hand a descriptor to {}", .program.display())]
    Descriptor {
        /// The file of the program.
        program: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Becomes the static program; returns only to say why not. The process has one thread.
///
/// The program is run from a read-only mount of its own, so that no pod can write to the host's file
/// through `/proc/PID/exe` (CVE-2019-5736).
pub fn exec(start: &Start) -> StartError {
    let failed = |cause: io::Error| StartError::Program { program: start.program.clone(), cause };
    let unhanded = |cause: io::Error| StartError::Descriptor { program: start.program.clone(), cause };
    let program = match open_read_only(&start.program) {
        Ok(program) => program,
        Err(error) => return failed(error.into()),
    };
    for fd in [&start.launch, &start.pod, &start.control] {
        if let Err(cause) = rustix::io::fcntl_setfd(fd, FdFlags::empty()) {
            return unhanded(cause.into());
        }
    }
    let arguments = strings(arguments(start));
    let environment = strings(KEPT.iter().filter_map(|name| {
        let mut entry = OsString::from(format!("{name}="));
        entry.push(std::env::var_os(name)?);
        Some(entry)
    }));
    let (arguments, environment): (Vec<_>, Vec<_>) =
        (arguments.iter().map(CString::as_c_str).collect(), environment.iter().map(CString::as_c_str).collect());
    match process::exec_fd(program.as_fd(), &arguments, &environment) {
        Err(error) => failed(error.into()),
    }
}

fn open_read_only(program: &Path) -> rkt_sys::Result<OwnedFd> {
    let file = rustix::fs::open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| rkt_sys::Error::new("open", program.display(), cause))?;
    let clone = mount::clone_tree(file.as_fd(), Depth::One)?;
    let set = Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV;
    mount::change(clone.as_fd(), Change { set, ..Change::default() }, Depth::One)?;
    Ok(clone)
}

fn arguments(start: &Start) -> impl Iterator<Item = OsString> {
    let fd = |name: &str, fd: BorrowedFd<'_>| Some(OsString::from(format!("--{name}={}", fd.as_raw_fd())));
    [
        Some(OsString::from("rkt-monitor")),
        fd("launch", start.launch.as_fd()),
        fd("pod", start.pod.as_fd()),
        fd("control", start.control.as_fd()),
        start.debug.then(|| OsString::from("--debug")),
    ]
    .into_iter()
    .flatten()
}

/// As C has them. What the kernel handed to this process, and numbers, have no NUL in them.
fn strings(list: impl Iterator<Item = OsString>) -> Vec<CString> {
    list.filter_map(|text| CString::new(text.into_vec()).ok()).collect()
}

/// Where the static program's supervisor hears that the pod is ready (sd_notify(3)); none: it does not.
pub fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET")
}

/// The arguments of the static program, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments {
    /// The number of the descriptor of the launch.
    pub launch: RawFd,
    /// That of the pod's directory.
    pub pod: RawFd,
    /// That of the control socket.
    pub control: RawFd,
    /// Whether to say what is done.
    pub debug: bool,
}

impl Arguments {
    /// Reads the arguments after the program's name; `None` where they are not what [`exec`] makes.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let (mut launch, mut pod, mut control, mut debug) = (None, None, None, false);
        for argument in arguments {
            let argument = OsStr::from_bytes(argument.as_bytes()).to_str()?;
            match argument.split_once('=') {
                Some(("--launch", number)) => launch = Some(descriptor(number)?),
                Some(("--pod", number)) => pod = Some(descriptor(number)?),
                Some(("--control", number)) => control = Some(descriptor(number)?),
                None if argument == "--debug" => debug = true,
                _ => return None,
            }
        }
        Some(Self { launch: launch?, pod: pod?, control: control?, debug })
    }
}

/// The first three are the program's own input and output.
fn descriptor(number: &str) -> Option<RawFd> {
    number.parse().ok().filter(|number| *number > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<Arguments> {
        Arguments::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_arguments_that_are_made_are_understood() {
        let open = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let start = Start { program: "/p".into(), launch: open(), pod: open(), control: open(), debug: true };
        let understood = Arguments::parse(arguments(&start).skip(1)).unwrap();
        let expected = Arguments {
            launch: start.launch.as_raw_fd(),
            pod: start.pod.as_raw_fd(),
            control: start.control.as_raw_fd(),
            debug: true,
        };
        assert_eq!(understood, expected);
    }

    #[test]
    fn other_arguments_are_not() {
        assert!(parse(&["--launch=3", "--pod=4", "--control=5"]).is_some());
        for bad in [
            &["--launch=3", "--pod=4"][..],
            &["--launch=3", "--pod=4", "--control=2"],
            &["--launch=3", "--pod=4", "--control=x"],
            &["--launch=3", "--pod=4", "--control=-1"],
            &["--launch=3", "--pod=4", "--control=5", "--more"],
            &["--help"],
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
