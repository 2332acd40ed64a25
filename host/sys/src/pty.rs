//! Pseudoterminals.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;

use crate::{Error, Result};

/// A new pseudoterminal: both ends.
#[derive(Debug)]
pub struct Pty {
    /// The side of whoever shows the terminal.
    pub controller: OwnedFd,
    /// The side of the programs that run in it.
    pub terminal: OwnedFd,
}

/// Makes a pseudoterminal in the devpts that is mounted at `devpts`. Neither end is looked up by a
/// name that a pod could have replaced.
///
/// # Errors
/// Where `devpts` is another kind of file system or has no terminal left.
pub fn open_in(devpts: BorrowedFd<'_>) -> Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let controller = rustix::fs::openat(devpts, c"ptmx", flags, Mode::empty()).map_err(Error::on("open", "ptmx"))?;
    rustix::pty::unlockpt(&controller).map_err(Error::on("unlockpt", "ptmx"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal =
        rustix::pty::ioctl_tiocgptpeer(&controller, flags).map_err(Error::on("ioctl TIOCGPTPEER", "ptmx"))?;
    Ok(Pty { controller, terminal })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::mount::{Attributes, FileSystem};
    use crate::testing::in_child;

    #[test]
    fn what_is_written_to_one_end_is_read_from_the_other() {
        in_child(|| {
            let devpts = FileSystem::new("devpts")
                .and_then(|devpts| devpts.option("ptmxmode", "0666"))
                .and_then(|devpts| devpts.mount(Attributes::empty()))
                .unwrap();
            let pty = open_in(devpts.as_fd()).unwrap();
            assert!(rustix::termios::isatty(&pty.terminal));
            rustix::io::write(&pty.controller, b"hello\n").unwrap();
            let mut buffer = [0; 16];
            let length = rustix::io::read(&pty.terminal, &mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"hello\n");
        });
    }

    #[test]
    fn a_directory_of_another_kind_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ptmx"), "").unwrap();
        let directory = std::fs::File::open(directory.path()).unwrap();
        assert!(open_in(directory.as_fd()).is_err());
    }
}
