//! A network namespace with nothing but a loopback, made while other things are done.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::process::Signal;

use crate::namespace::{self, Namespace, Namespaces};
use crate::spawn::{Child, Spawn};
use crate::{Error, Result, process, socket};

use super::bring_up_loopback;

/// A network namespace whose loopback is up. A process of its own makes it: the kernel takes longer for
/// one of these than for all other kinds together.
///
/// It ends with its last process or descriptor.
#[derive(Debug)]
pub struct Isolated {
    maker: Child,
    talk: OwnedFd,
}

impl Isolated {
    /// Begins to make it, and returns.
    ///
    /// # Errors
    /// As for [`Spawn::run`].
    pub fn begin() -> Result<Self> {
        let (ours, theirs) = socket::pair()?;
        let maker = Spawn::default().run(|| i32::from(make(&theirs).is_err()))?;
        Ok(Self { maker, talk: ours })
    }

    /// Waits until it is there, and does something with the calling thread in it.
    ///
    /// # Errors
    /// The namespace could not be made, or the thread cannot enter it or come back.
    pub fn within<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        let made = self.receive()?;
        let own = namespace::open_own(Namespace::Network)?;
        namespace::enter(made.as_fd(), Namespace::Network)?;
        let result = act();
        namespace::enter(own.as_fd(), Namespace::Network)?;
        Ok(result)
    }

    fn receive(&self) -> Result<OwnedFd> {
        let (mut errno, mut made) = ([0; size_of::<i32>()], Vec::new());
        socket::receive_descriptors(self.talk.as_fd(), &mut errno, &mut made)?;
        made.pop().ok_or_else(|| {
            let cause = match i32::from_ne_bytes(errno) {
                0 => Errno::CHILD,
                errno => Errno::from_raw_os_error(errno),
            };
            Error::new("make", "a network namespace", cause)
        })
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        // It has said what it had to say, or it is not wanted any more.
        let _ = self.maker.process.signal(Signal::KILL);
        let _ = self.maker.process.wait();
    }
}

/// What the maker does: it hands on the namespace, or the number of the error.
fn make(talk: &OwnedFd) -> Result<()> {
    process::close_all_but(&[talk.as_fd()])?;
    let made = namespace::unshare(Namespaces::NONE.with(Namespace::Network))
        .and_then(|()| bring_up_loopback())
        .and_then(|()| namespace::open_own(Namespace::Network));
    match made {
        Ok(made) => socket::send_descriptors(talk.as_fd(), &0_i32.to_ne_bytes(), &[made.as_fd()]),
        Err(error) => {
            let errno = error.errno().unwrap_or(Errno::IO).raw_os_error();
            socket::send_descriptors(talk.as_fd(), &errno.to_ne_bytes(), &[])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::capability::{self, Capabilities};
    use crate::pidfd::Exit;
    use crate::testing::in_child;

    fn own() -> u64 {
        namespace::identity(namespace::open_own(Namespace::Network).unwrap().as_fd()).unwrap()
    }

    #[test]
    fn who_is_made_within_is_alone_with_a_loopback_that_is_up_and_the_caller_comes_back() {
        in_child(|| {
            let before = own();
            let isolated = Isolated::begin().unwrap();
            let child = isolated.within(|| {
                Spawn::default().run(|| {
                    let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
                    let is_alone = links.lines().filter(|line| line.contains(':')).all(|line| line.contains("lo:"));
                    let is_up = std::net::UdpSocket::bind("127.0.0.1:0").is_ok();
                    i32::from(!(is_alone && is_up && own() != before))
                })
            });
            let child = child.unwrap().unwrap();
            assert_eq!(own(), before);
            drop(isolated);
            assert_eq!(child.process.wait().unwrap(), Exit::Code(0));
        });
    }

    #[test]
    fn what_the_kernel_refuses_is_what_is_told() {
        in_child(|| {
            let none = Capabilities::empty();
            capability::set(none, none, none).unwrap();
            let error = Isolated::begin().unwrap().within(|| ()).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::PERM));
        });
    }
}
