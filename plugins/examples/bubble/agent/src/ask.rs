//! Beside the sandbox: asking the agent inside. Whoever runs this waits for its exit code.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::{message, when};

/// Has words run inside with the streams of this process, and returns their exit code. When this
/// process ends first, what runs is killed.
pub(crate) fn run(socket: &Path, words: &[OsString]) -> Result<u8, String> {
    let mut stream = connect(socket)?;
    let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    message::ask_to_run(&mut stream, words, [input.as_fd(), output.as_fd(), errors.as_fd()])?;
    let mut code = [0];
    match stream.read_exact(&mut code) {
        Ok(()) => Ok(code[0]),
        Err(_) => Err("the sandbox ended first".to_owned()),
    }
}

/// Has the app asked to end; whether it does is for the caller to see.
pub(crate) fn stop(socket: &Path) -> Result<u8, String> {
    message::ask_to_stop(&mut connect(socket)?).map(|()| 0)
}

fn connect(socket: &Path) -> Result<UnixStream, String> {
    UnixStream::connect(socket).map_err(when(format!("reach the agent at {}", socket.display())))
}
