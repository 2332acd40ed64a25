//! What a pod without networks needs: a network namespace of its own, and the loopback in it up.
#![allow(unsafe_code, reason = "ioctl(2) SIOCSIFFLAGS")]

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::{Error, Result};

pub use isolated::Isolated;

mod isolated;

/// `IFF_UP` in the width that `ifreq` has it.
const IFF_UP: libc::c_short = 1;

/// Brings up the loopback link of the calling thread's network namespace (`netdevice(7)`); the kernel
/// gives it its addresses.
///
/// # Errors
/// Without `CAP_NET_ADMIN` in the namespace.
pub fn bring_up_loopback() -> Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)
        .map_err(Error::on("socket", "AF_INET"))?;
    let mut request = loopback_request();
    call(&socket, libc::SIOCGIFFLAGS, "ioctl SIOCGIFFLAGS", &mut request)?;
    // SAFETY: SIOCGIFFLAGS filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | IFF_UP;
    call(&socket, libc::SIOCSIFFLAGS, "ioctl SIOCSIFFLAGS", &mut request)
}

fn loopback_request() -> libc::ifreq {
    // SAFETY: all zero is a valid `ifreq`: an empty name and a union of plain numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    request
}

fn call(socket: &OwnedFd, request: libc::c_ulong, name: &'static str, argument: &mut libc::ifreq) -> Result<()> {
    // SAFETY: both requests read and write one `ifreq`, which outlives the call.
    // (`libc::ioctl` takes its request as another type in each C library.)
    let result = unsafe { libc::syscall(libc::SYS_ioctl, socket.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    if result == 0 {
        return Ok(());
    }
    Err(Error::new(name, "lo", io::Error::last_os_error()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::namespace::{Namespace, Namespaces, unshare};
    use crate::testing::in_child;

    #[test]
    fn the_loopback_of_a_new_namespace_works_once_it_is_up() {
        in_child(|| {
            unshare(Namespaces::NONE.with(Namespace::Network)).unwrap();
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            assert!(socket.connect("127.0.0.1:9").is_err());
            bring_up_loopback().unwrap();
            socket.connect("127.0.0.1:9").unwrap();
        });
    }
}
