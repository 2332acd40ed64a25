//! Waiting for descriptors.

use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::io::Errno;

use crate::{Error, Result};

pub use rustix::event::{PollFd, PollFlags};

/// Waits until one of the descriptors is ready or the time is over (`poll(2)`); `None` waits without
/// end. Returns how many are ready, 0 when the time was over. A signal handler that ran does not end
/// the wait.
///
/// # Errors
/// Where there are more descriptors than the process may have open.
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<usize> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A time that the kernel's type cannot hold is as good as none.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map_err(Error::on("poll", "descriptors")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_over_when_nothing_happens_and_not_before() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        let begin = Instant::now();
        assert_eq!(poll(&mut fds, Some(Duration::from_millis(20))).unwrap(), 0);
        assert!(begin.elapsed() >= Duration::from_millis(20));
        drop(writer);
        assert_eq!(poll(&mut fds, None).unwrap(), 1);
        assert!(fds[0].revents().contains(PollFlags::HUP));
    }
}
