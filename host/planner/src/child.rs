//! The planner process: caged first, then one plugin, one pod, one reply.
//!
//! It is started with a socket to rkt as descriptor 0 and the plugin's code as descriptor 1.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use rkt_sys::process;
use serde::de::DeserializeOwned;

use crate::cage::Cage;
use crate::contract::table;
use crate::failure::Failure;
use crate::load::{self, Code};
use crate::message::{self, FactAnswer, LONGEST_REQUEST, LastReply, Reply, Request, Start};
use crate::run::Ready;

/// Runs one component for one pod, in a cage: the whole of the planner program, before any thread.
///
/// It speaks with the process that started it ([`Planner`](crate::Planner)) and does nothing that a
/// person would see; the exit code is zero if and only if a reply was sent.
pub fn run_caged() -> ! {
    leave(component().unwrap_or_else(LastReply::Failed))
}

/// As [`run_caged`], for native code.
pub fn run_native_caged() -> ! {
    leave(native().unwrap_or_else(LastReply::Failed))
}

fn component() -> Result<LastReply, Failure> {
    let Start { limits, part } = receive()?;
    let code = Code::map(rustix::stdio::stdout(), part).map_err(|cause| Failure::Load { why: cause.to_string() })?;
    enter(Cage::PLANNER)?;
    let plugin = Ready::new(code, limits, Box::new(ask))?;
    let Request(pod) = receive()?;
    plugin.plan(pod)
}

fn native() -> Result<LastReply, Failure> {
    enter(Cage::NATIVE_PLANNER)?;
    let Start { limits, .. } = receive()?;
    // What the library does on being loaded it does in the cage.
    let stage1 = load::library(rustix::stdio::stdout())?;
    let Request(pod) = receive()?;
    table::plan(stage1, pod, limits, Box::new(ask))
}

fn enter(cage: Cage) -> Result<(), Failure> {
    cage.enter().map_err(|error| Failure::Cage { why: error.in_one_line() })
}

/// Sends the reply; the exit code says whether it was sent.
fn send(reply: LastReply) -> u8 {
    message::write(Descriptor(rustix::stdio::stdin()), &Reply::Last(reply)).is_err().into()
}

/// Sends the reply and ends at once: rkt waits for the end. Whatever native code left behind to be run
/// then is not.
pub(crate) fn leave(reply: LastReply) -> ! {
    process::leave(send(reply))
}

/// The next message from rkt. Where none comes any more, nobody waits for a reply either.
fn receive<T: DeserializeOwned>() -> Result<T, Failure> {
    let socket = Descriptor(rustix::stdio::stdin());
    message::read(socket, LONGEST_REQUEST).map_err(|cause| Failure::contract(cause.to_string()))
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
