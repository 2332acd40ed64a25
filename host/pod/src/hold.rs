//! Taking hold of a pod that somebody else may have.

use std::io;
use std::os::fd::AsFd as _;

use rkt_sys::lock::{self, Lock};

use crate::files;
use crate::pod::Pod;

/// Whose a pod is.
#[derive(Debug)]
pub(crate) enum Held {
    /// The caller's, as long as the lock lives.
    Ours(Lock),
    /// A process's of the pod, or of somebody's who removes or starts it.
    Theirs,
    /// Nobody's: since it was found somebody has moved or removed it.
    Gone,
}

/// Takes the pod's lock, unless somebody has it.
///
/// Readers share the lock for a moment to look at it; they are waited for.
pub(crate) fn hold(pod: &Pod) -> io::Result<Held> {
    loop {
        let open = || files::open_directory(pod.as_fd(), ".");
        if let Some(lock) = Lock::try_exclusive(open()?)? {
            return Ok(if pod.is_there()? { Held::Ours(lock) } else { Held::Gone });
        }
        if lock::is_held(open()?.as_fd())? {
            return Ok(Held::Theirs);
        }
        std::thread::yield_now();
    }
}
