//! Locks on directories (`flock(2)`): held by an open descriptor and all its copies, released by the
//! kernel with the last.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Error, Result};

/// A lock that is held. It lasts until this value and every copy of its descriptor, also those
/// that other processes inherited, is closed.
#[derive(Debug)]
pub struct Lock {
    directory: OwnedFd,
}

impl Lock {
    /// Waits for the lock that nobody shares.
    ///
    /// # Errors
    /// Where the descriptor cannot be locked: an `O_PATH` one, or a file system without locks.
    pub fn exclusive(directory: OwnedFd) -> Result<Self> {
        Self::wait(directory, FlockOperation::LockExclusive)
    }

    /// The lock that nobody shares, or `None` where another holds a lock now.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn try_exclusive(directory: OwnedFd) -> Result<Option<Self>> {
        Self::attempt(directory, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits for a lock beside other shared ones.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn shared(directory: OwnedFd) -> Result<Self> {
        Self::wait(directory, FlockOperation::LockShared)
    }

    /// A lock beside other shared ones, or `None` where another holds the exclusive one now.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn try_shared(directory: OwnedFd) -> Result<Option<Self>> {
        Self::attempt(directory, FlockOperation::NonBlockingLockShared)
    }

    fn wait(directory: OwnedFd, operation: FlockOperation) -> Result<Self> {
        loop {
            match flock(&directory, operation) {
                Ok(()) => return Ok(Self { directory }),
                Err(Errno::INTR) => {}
                Err(cause) => return Err(Error::new("flock", "a directory", cause)),
            }
        }
    }

    fn attempt(directory: OwnedFd, operation: FlockOperation) -> Result<Option<Self>> {
        match flock(&directory, operation) {
            Ok(()) => Ok(Some(Self { directory })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(cause) => Err(Error::new("flock", "a directory", cause)),
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl From<Lock> for OwnedFd {
    /// The descriptor, which holds the lock on.
    fn from(lock: Lock) -> Self {
        lock.directory
    }
}

/// Whether an exclusive lock is held on a directory that was opened for this question, by whomever: another
/// descriptor of this process counts too. For a moment this shares the lock, so that it waits for nobody
/// and keeps out only those who try for it just then.
///
/// The descriptor's own open file description must hold no lock: it would be given up (`flock(2)`).
///
/// # Errors
/// Where the kernel refuses, which it does for want of memory only.
pub fn is_held(directory: BorrowedFd<'_>) -> Result<bool> {
    let asked = match flock(directory, FlockOperation::NonBlockingLockShared) {
        Ok(()) => flock(directory, FlockOperation::Unlock).map(|()| false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(cause) => Err(cause),
    };
    asked.map_err(Error::on("flock", "a directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &tempfile::TempDir) -> OwnedFd {
        std::fs::File::open(directory.path()).unwrap().into()
    }

    #[test]
    fn an_exclusive_lock_keeps_all_others_out_until_its_last_copy_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::try_exclusive(open(&directory)).unwrap().unwrap();
        assert!(Lock::try_exclusive(open(&directory)).unwrap().is_none());
        assert!(Lock::try_shared(open(&directory)).unwrap().is_none());
        let copy = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(is_held(open(&directory).as_fd()).unwrap());
        drop(copy);
        assert!(!is_held(open(&directory).as_fd()).unwrap());
    }

    #[test]
    fn shared_locks_are_shared() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::shared(open(&directory)).unwrap();
        let second = Lock::try_shared(open(&directory)).unwrap().unwrap();
        assert!(Lock::try_exclusive(open(&directory)).unwrap().is_none());
        assert!(!is_held(open(&directory).as_fd()).unwrap());
        drop((first, second));
        Lock::exclusive(open(&directory)).unwrap();
    }
}
