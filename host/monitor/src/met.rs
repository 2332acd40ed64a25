//! The first process of a container that a program of the plan's makes on this kernel: it meets the monitor on a
//! socket in the container, is given all that was prepared for it, and goes on as any pod's init.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rkt_executor::handover::Shape;
use rkt_executor::process::failed;
use rkt_executor::{Failure, Launch, Prepared};
use rkt_sys::socket;

use crate::inside;
use crate::inside::Output;

/// Where the socket is, if this process is such a first process: its one argument says so.
pub(crate) fn socket(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<PathBuf> {
    let path = PathBuf::from(arguments.next()?);
    let is_it = arguments.next().is_none() && path.is_absolute() && rustix::process::getpid().is_init();
    is_it.then_some(path)
}

/// Runs the pod to its end; the code of this process.
pub(crate) fn run(at: &Path) -> i32 {
    match take(at) {
        Ok((pod, link, outputs)) => inside::run(pod, link.as_fd(), None, outputs),
        Err(failure) => {
            crate::outside::say(&rkt_executor::failure::on_one_line(&failure));
            1
        }
    }
}

fn take(at: &Path) -> Result<(Prepared, OwnedFd, Vec<Output>), Failure> {
    const WHAT: &str = "take over what was prepared";
    let parent = File::open(at.parent().unwrap_or(Path::new("/"))).map_err(failed("find the monitor"))?;
    let name = at.file_name().unwrap_or(OsStr::new(""));
    let stream: UnixStream = socket::connect(parent.as_fd(), name).map_err(failed("find the monitor"))?;
    let (descriptors, shape) = socket::receive_parcel(stream.as_fd()).map_err(failed(WHAT))?;
    let shape: Shape = serde_json::from_slice(&shape).map_err(failed(WHAT))?;
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(|| Failure::new("the monitor handed nothing over"));
    let (link, launch) = (next()?, next()?);
    let launch = read(&File::from(launch))?;
    let pod = Prepared::of_descriptors(&launch, &shape, &mut descriptors)?;
    let outputs: Option<Vec<Output>> = pod.apps().iter().map(|_| Output::of_descriptors(&mut descriptors)).collect();
    let outputs = outputs.ok_or_else(|| Failure::new("there is an app without output"))?;
    Ok((pod, link, outputs))
}

fn read(launch: &File) -> Result<Launch, Failure> {
    const WHAT: &str = "read what is to be started";
    let length = launch.metadata().map_err(failed(WHAT))?.len();
    let mut json = vec![0; usize::try_from(length).map_err(failed(WHAT))?];
    // The position is the monitor's too.
    launch.read_exact_at(&mut json, 0).map_err(failed(WHAT))?;
    serde_json::from_slice(&json).map_err(failed("understand what is to be started"))
}
