//! Stream sockets with a name in a directory that is held open, however long its path is
//! (`sun_path` has 108 bytes, `unix(7)`).

use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::Mode;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, UCred,
};

use crate::root::is_plain;
use crate::{Error, Result};

/// How many descriptors go with one message here; the kernel takes more.
pub const MOST_DESCRIPTORS: usize = 8;

/// The longest text of a parcel, with a space for each message with descriptors, in bytes.
pub const MOST_OF_A_PARCEL: usize = 1024 * 1024;

/// Listens as `name` in `directory`. Only processes that may write to the socket can connect: those
/// of its owner, and root.
///
/// # Errors
/// Where the name is taken, no plain name or longer than about 80 bytes, or procfs is not mounted.
pub fn listen(directory: BorrowedFd<'_>, name: &OsStr) -> Result<UnixListener> {
    let address = address("bind", directory, name)?;
    let socket = stream()?;
    // Before it has a name, so that the name never has a wider mode (`unix(7)`).
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(Error::on("fchmod", name.display()))?;
    rustix::net::bind(&socket, &address).map_err(Error::on("bind", name.display()))?;
    rustix::net::listen(&socket, 128).map_err(Error::on("listen", name.display()))?;
    Ok(UnixListener::from(socket))
}

/// Connects to `name` in `directory`.
///
/// # Errors
/// Where nobody listens (`ECONNREFUSED`), there is no such name, or procfs is not mounted.
pub fn connect(directory: BorrowedFd<'_>, name: &OsStr) -> Result<UnixStream> {
    let address = address("connect", directory, name)?;
    let socket = stream()?;
    rustix::net::connect(&socket, &address).map_err(Error::on("connect", name.display()))?;
    Ok(UnixStream::from(socket))
}

/// Who connected: pid, uid and gid as they were at that time (`SO_PEERCRED`).
///
/// # Errors
/// Where the kernel refuses.
pub fn peer(stream: &UnixStream) -> Result<UCred> {
    rustix::net::sockopt::socket_peercred(stream.as_fd()).map_err(Error::on("getsockopt SO_PEERCRED", "a connection"))
}

/// Two connected stream sockets without a name.
///
/// # Errors
/// Where descriptors ran out.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(Error::on("socketpair", "AF_UNIX"))
}

/// Sends bytes, at least one, and copies of descriptors, at most [`MOST_DESCRIPTORS`], to the process
/// at the other end (`SCM_RIGHTS`, `unix(7)`).
///
/// # Errors
/// Where the other end is closed or does not read.
pub fn send_descriptors(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Error::refused("sendmsg", "descriptors", format!("more than {MOST_DESCRIPTORS}")));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(Error::on("sendmsg", "descriptors"))
}

/// Receives bytes, and adds descriptors that come with them to `descriptors`. Returns how many bytes
/// came: none when the other end is closed.
///
/// # Errors
/// `EAGAIN` where nothing is there and the socket does not block.
pub fn receive_descriptors(socket: BorrowedFd<'_>, bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(Error::on("recvmsg", "descriptors"))?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(received.bytes)
}

/// Sends copies of any number of descriptors, and text, and says that nothing more comes: the other end takes it by
/// [`receive_parcel`].
///
/// # Errors
/// Where the other end is closed, or, where the socket does not block, has no room.
pub fn send_parcel(socket: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>], text: &[u8]) -> Result<()> {
    for some in descriptors.chunks(MOST_DESCRIPTORS) {
        // They cannot go without a byte. A space before a text says nothing.
        send_descriptors(socket, b" ", some)?;
    }
    let mut sent = 0;
    while sent < text.len() {
        sent += rustix::net::send(socket, &text[sent..], SendFlags::NOSIGNAL).map_err(Error::on("send", "a parcel"))?;
    }
    rustix::net::shutdown(socket, rustix::net::Shutdown::Write).map_err(Error::on("shutdown", "a connection"))
}

/// Receives what [`send_parcel`] sends, waiting for all of it: the descriptors in their order, close-on-exec, and
/// the text, with spaces before it.
///
/// # Errors
/// Where it is more than [`MOST_OF_A_PARCEL`], or the connection breaks.
pub fn receive_parcel(socket: BorrowedFd<'_>) -> Result<(Vec<OwnedFd>, Vec<u8>)> {
    let (mut descriptors, mut text) = (Vec::new(), Vec::new());
    loop {
        let mut bytes = [0; 4096];
        match receive_descriptors(socket, &mut bytes, &mut descriptors)? {
            0 => return Ok((descriptors, text)),
            length => text.extend_from_slice(&bytes[..length]),
        }
        if text.len() > MOST_OF_A_PARCEL {
            return Err(Error::refused("recvmsg", "a parcel", format!("more than {MOST_OF_A_PARCEL} bytes")));
        }
    }
}

fn stream() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(Error::on("socket", "AF_UNIX"))
}

fn address(call: &'static str, directory: BorrowedFd<'_>, name: &OsStr) -> Result<SocketAddrUnix> {
    if !is_plain(name) {
        return Err(Error::refused(call, name.display(), "not a plain name"));
    }
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    SocketAddrUnix::new(path).map_err(Error::on(call, name.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_socket_in_a_directory_with_a_long_path_is_reached_and_knows_its_peer() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("long".repeat(60));
        fs::create_dir(&path).unwrap();
        let directory = File::open(&path).unwrap();
        let name = OsStr::new("control");
        let listener = listen(directory.as_fd(), name).unwrap();
        let mode = fs::metadata(path.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let mut client = connect(directory.as_fd(), name).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(peer(&server).unwrap().pid, rustix::process::getpid());
        client.write_all(b"ping").unwrap();
        drop(client);
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ping");
    }

    #[test]
    fn only_plain_names_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        let directory = File::open(directory.path()).unwrap();
        for name in ["", ".", "..", "a/b", "/a", "a\0b", &"x".repeat(108)] {
            assert!(listen(directory.as_fd(), OsStr::new(name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn descriptors_arrive_with_their_bytes_and_are_close_on_exec() {
        let (ours, theirs) = pair().unwrap();
        let sent = File::open("/dev/null").unwrap();
        send_descriptors(ours.as_fd(), b"x", &[sent.as_fd(), sent.as_fd()]).unwrap();
        drop(ours);
        let (mut bytes, mut received) = ([0; 8], Vec::new());
        assert_eq!(receive_descriptors(theirs.as_fd(), &mut bytes, &mut received).unwrap(), 1);
        assert_eq!(received.len(), 2);
        let flags = rustix::io::fcntl_getfd(&received[1]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(receive_descriptors(theirs.as_fd(), &mut bytes, &mut received).unwrap(), 0);
        let many = [sent.as_fd(); MOST_DESCRIPTORS + 1];
        assert!(send_descriptors(theirs.as_fd(), b"x", &many).is_err());
    }

    #[test]
    fn a_parcel_arrives_whole_and_in_order() {
        let (ours, theirs) = pair().unwrap();
        let files: Vec<File> = (0..MOST_DESCRIPTORS * 2 + 3).map(|_| tempfile::tempfile().unwrap()).collect();
        let inode = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).unwrap().st_ino;
        let sent: Vec<BorrowedFd<'_>> = files.iter().map(File::as_fd).collect();
        send_parcel(ours.as_fd(), &sent, b"[1]").unwrap();
        let (received, text) = receive_parcel(theirs.as_fd()).unwrap();
        let inodes = received.iter().map(|fd| inode(fd.as_fd()));
        assert!(inodes.eq(sent.iter().map(|fd| inode(*fd))));
        assert_eq!(text.trim_ascii(), b"[1]");
        let (ours, theirs) = pair().unwrap();
        drop(ours);
        assert_eq!(receive_parcel(theirs.as_fd()).unwrap().1, b"", "whoever is gone has sent nothing");
    }

    #[test]
    fn a_dead_socket_refuses() {
        let directory = tempfile::tempdir().unwrap();
        let directory = File::open(directory.path()).unwrap();
        let name = OsStr::new("control");
        drop(listen(directory.as_fd(), name).unwrap());
        let error = connect(directory.as_fd(), name).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string(), "connect control");
    }
}
