//! Starts a pod with the static program: the last steps of `rkt run`, and nothing else.
//!
//! ```text
//! launch STATIC-PROGRAM POD-DIRECTORY [--debug] < LAUNCH.json
//! ```
#![allow(clippy::print_stderr, reason = "it is a program")]

use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;

use rkt_monitor::{Start, client, exec};
use rkt_sys::lock::Lock;
use rkt_sys::{memfd, socket};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [program, pod, rest @ ..] = arguments.as_slice() else {
        return Err("launch STATIC-PROGRAM POD-DIRECTORY [--debug] < LAUNCH.json".into());
    };
    let mut launch = Vec::new();
    std::io::stdin().read_to_end(&mut launch)?;
    let pod = Lock::exclusive(File::open(pod)?.into())?;
    let control = socket::listen(pod.as_fd(), OsStr::new(client::SOCKET))?;
    let start = Start {
        program: program.into(),
        launch: memfd::sealed("launch", &launch)?,
        pod: pod.into(),
        control: control.into(),
        debug: rest.iter().any(|argument| argument == "--debug"),
    };
    Err(exec(&start).into())
}
