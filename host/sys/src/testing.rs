//! For tests that change namespaces, ids or limits: a process of their own to do it in.
#![allow(unsafe_code, reason = "fork(2), with libc's handlers run")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::panic::AssertUnwindSafe;

/// Runs `body` in a child process and panics with its panic's message.
///
/// The test harness has threads, so this is `fork(3)` of libc, which leaves a usable allocator in the
/// child; the child has one thread and may use `spawn`.
///
/// # Panics
/// Where `body` does.
pub fn in_child(body: impl FnOnce()) {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: libc's fork takes the allocator's locks around the call, and the child runs only
    // `body` and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        drop(reader);
        let code = match std::panic::catch_unwind(AssertUnwindSafe(body)) {
            Ok(()) => 0,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let _ = writer.write_all(text.unwrap_or("a panic").as_bytes());
                1
            }
        };
        // SAFETY: ends this process at once; nothing of the harness's is run twice.
        unsafe { libc::_exit(code) };
    }
    drop(writer);
    let mut message = String::new();
    reader.read_to_string(&mut message).unwrap();
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` outlives the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid, "waitpid failed");
    assert_eq!(status, 0, "in the child: {message}");
}
