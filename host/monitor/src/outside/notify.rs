//! Telling the supervisor that started rkt that the pod is ready (sd_notify(3)). The monitor is the process
//! that it started, so it needs to be told no other.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rkt_monitor::start;

use super::say;

/// Tells it, where there is one that listens. That it cannot be told is no reason to end a pod that runs.
pub(super) fn ready() {
    let told = start::notify_socket().map(|socket| send(&socket, b"READY=1"));
    if let Some(Err(error)) = told {
        say(&format!("the supervisor cannot be told that the pod is ready, by NOTIFY_SOCKET: {error}"));
    }
}

fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_both_kinds_are_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("rkt-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(path.as_os_str(), b"READY=1").unwrap();
        send(format!("@{name}").as_ref(), b"READY=1").unwrap();
        for socket in [by_path, by_name] {
            let mut heard = [0; 16];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
        assert!(send(directory.path().join("nobody").as_os_str(), b"READY=1").is_err());
    }
}
