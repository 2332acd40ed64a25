//! The planner process: caged first, then one plugin, one pod, one reply.
//!
//! It is started with a socket to rkt as descriptor 0 and the plugin's code as descriptor 1.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

use crate::cage::Cage;
use crate::contract::Session;
use crate::failure::Failure;
use crate::message::{self, FactAnswer, LONGEST_REQUEST, Reply, Request};
use crate::run::Loaded;

/// The name (`argv[0]`) by which a program is asked to be a planner: its `main` then does nothing but
/// return what [`run_caged`] returns.
pub const PROGRAM_NAME: &str = "rkt-planner";

/// Room for the program itself, the plugin's memory, its code and the plan.
const CAGE: Cage = Cage { address_space: 512 << 20, processor_time: 20, output: 0, code: true };

/// Runs one plugin for one pod, in a cage. For the first line of `main`, before any thread.
///
/// It speaks with the process that started it ([`Planner`](crate::Planner)) and does nothing that a
/// person would see; the exit code is zero if and only if a reply was sent.
pub fn run_caged() -> ExitCode {
    let reply = reply().unwrap_or_else(Reply::Failed);
    match message::write(Descriptor(rustix::stdio::stdin()), &reply) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn reply() -> Result<Reply, Failure> {
    let code = read_code().map_err(|cause| Failure::Load { why: cause.to_string() })?;
    let cage = |error: crate::cage::CageError| Failure::Cage { why: error.in_one_line() };
    CAGE.enter().map_err(cage)?;
    let plugin = Loaded::new(&code)?;
    CAGE.close_code().map_err(cage)?;
    let socket = Descriptor(rustix::stdio::stdin());
    let Request { pod, limits } =
        message::read(socket, LONGEST_REQUEST).map_err(|cause| Failure::Cage { why: cause.to_string() })?;
    let session = Session::new(pod, limits, Box::new(ask));
    Ok(match plugin.plan(session)? {
        Ok(plan) => Reply::Planned(plan),
        Err(problem) => Reply::Problem { message: problem.message, hint: problem.hint },
    })
}

fn read_code() -> io::Result<Vec<u8>> {
    let file = rustix::stdio::stdout();
    let size = usize::try_from(rustix::fs::fstat(file)?.st_size).map_err(io::Error::other)?;
    let mut code = vec![0; size];
    Descriptor(file).read_exact(&mut code)?;
    Ok(code)
}

fn ask(name: &str) -> io::Result<Option<String>> {
    let socket = Descriptor(rustix::stdio::stdin());
    message::write(socket, &Reply::Fact { name: name.to_owned() })?;
    let FactAnswer(answer) = message::read(socket, LONGEST_REQUEST).map_err(io::Error::other)?;
    Ok(answer)
}

/// One of the descriptors that the process was started with.
#[derive(Clone, Copy)]
struct Descriptor(BorrowedFd<'static>);

impl Read for Descriptor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buffer)?)
    }
}

impl Write for Descriptor {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, buffer)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
