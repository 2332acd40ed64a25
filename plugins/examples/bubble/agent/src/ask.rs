//! Beside the sandbox: asking the agent inside. Whoever runs this waits for its exit code.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::{message, when};

/// How long the agent inside has until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long is waited between two looks.
const PAUSE: Duration = Duration::from_millis(5);

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

/// Connects to the agent, which may be about to listen: a pod is up when bubblewrap is. Where the sandbox has
/// ended rather than not begun, rkt ends this process with it.
fn connect(socket: &Path) -> Result<UnixStream, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(socket) {
            Err(error) if is_not_there_yet(&error) && Instant::now() < deadline => thread::sleep(PAUSE),
            other => return other.map_err(when(format!("reach the agent at {}", socket.display()))),
        }
    }
}

fn is_not_there_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::message::Request;

    #[test]
    fn an_agent_that_does_not_listen_yet_is_waited_for() {
        let directory = std::env::temp_dir().join(format!("bubble-agent-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let socket = directory.join("socket");
        let (asks, asked) = std::sync::mpsc::channel();
        let at = socket.clone();
        let asking = thread::spawn(move || {
            asks.send(()).unwrap();
            stop(&at)
        });
        asked.recv().unwrap();
        let (mut stream, _) = UnixListener::bind(&socket).unwrap().accept().unwrap();
        assert!(matches!(message::read(&mut stream), Ok(Request::Stop)));
        assert_eq!(asking.join().unwrap(), Ok(0));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
