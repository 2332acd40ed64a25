//! In the sandbox, as its first process: starts the app and what is entered, and waits for all that
//! lose their parents. The sandbox ends with the app.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process_group, wait, waitid};

use crate::message::{self, Request};
use crate::when;

/// The exit code of a command that cannot be run, as shells have it.
const NOT_RUN: u8 = 127;

/// Processes that somebody waits for. Nothing is reaped while this is held, so a process in it is the one
/// that was started, whatever has become of it.
#[derive(Debug, Clone, Default)]
struct Children(Arc<Mutex<HashMap<Pid, Sender<u8>>>>);

/// Runs the app and serves the socket; returns the app's exit code.
pub(crate) fn run(socket: &Path, words: &[OsString]) -> Result<u8, String> {
    // Of a sandbox that this one was made in the place of.
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket).map_err(when(format!("listen at {}", socket.display())))?;
    let children = Children::default();
    let (app, ended) = match children.start(&mut command(words)) {
        Ok(started) => started,
        Err(cause) => {
            let _ = writeln!(io::stderr(), "cannot run {}: {cause}", words[0].display());
            return Ok(NOT_RUN);
        }
    };
    let of_clients = children.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let children = of_clients.clone();
            thread::spawn(move || serve(stream, &children, app));
        }
    });
    loop {
        children.reap()?;
        if let Ok(code) = ended.try_recv() {
            return Ok(code);
        }
    }
}

fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Does what one client asks.
fn serve(mut stream: UnixStream, children: &Children, app: Pid) {
    match message::read(&mut stream) {
        Ok(Request::Stop) => children.signal(app, Signal::TERM),
        Ok(Request::Run { words, streams: [input, output, errors] }) => {
            // Kept to say why it cannot be run.
            let said = errors.try_clone();
            let mut command = command(&words);
            command.stdin(input).stdout(Stdio::from(output)).stderr(Stdio::from(errors));
            match children.start(&mut command) {
                Ok((process, ended)) => wait_for(process, &ended, &mut stream, children),
                Err(cause) => {
                    if let Ok(said) = said {
                        let _ = writeln!(fs::File::from(said), "cannot run {}: {cause}", words[0].display());
                    }
                    let _ = stream.write_all(&[NOT_RUN]);
                }
            }
        }
        // Nobody who knows the form asks so.
        Err(_) => {}
    }
}

/// Tells the client the exit code; kills the process where the client is gone before.
fn wait_for(process: Pid, ended: &Receiver<u8>, stream: &mut UnixStream, children: &Children) {
    let Ok(mut watched) = stream.try_clone() else { return };
    let of_client = children.clone();
    thread::spawn(move || {
        // The client says nothing more: this returns when it is gone, or has its answer.
        let _ = watched.read(&mut [0]);
        of_client.signal(process, Signal::KILL);
    });
    if let Ok(code) = ended.recv() {
        let _ = stream.write_all(&[code]);
    }
}

impl Children {
    /// Starts a process in a group of its own; what is returned tells its exit code.
    fn start(&self, command: &mut Command) -> io::Result<(Pid, Receiver<u8>)> {
        let mut children = self.lock();
        let child = command.process_group(0).spawn()?;
        let process = Pid::from_child(&child);
        let (sender, ended) = channel();
        children.insert(process, sender);
        Ok((process, ended))
    }

    /// Signals a process and its group, where the process has not ended.
    fn signal(&self, process: Pid, signal: Signal) {
        let children = self.lock();
        if children.contains_key(&process) {
            let _ = kill_process_group(process, signal);
        }
    }

    /// Waits until a child has ended, and tells whoever waits for it.
    fn reap(&self) -> Result<(), String> {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::All, peek).map_err(when("wait for the app"))?;
        let mut children = self.lock();
        if let Ok(Some((process, status))) = wait(WaitOptions::NOHANG)
            && let Some(waiting) = children.remove(&process)
        {
            let _ = waiting.send(code(status));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pid, Sender<u8>>> {
        // Whatever panicked left the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As shells have it: the code, or 128 and the signal's number.
fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
