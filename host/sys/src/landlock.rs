//! What Landlock of this kernel can do (`landlock(7)`). Rules are made by those who cage themselves.
#![allow(unsafe_code, reason = "landlock_create_ruleset(2)")]

use std::io;

use crate::{Error, Result};

/// Asks for the version instead of a ruleset (linux/landlock.h).
const VERSION: u32 = 1;

/// The version of Landlock's interface.
///
/// # Errors
/// `ENOSYS` where the kernel was built without it, `EOPNOTSUPP` where it is switched off.
pub fn version() -> Result<u32> {
    // SAFETY: with this flag the kernel reads no structure, which a null pointer of no length says.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(version).map_err(|_| Error::new("landlock_create_ruleset", "a version", io::Error::last_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_small_number_or_the_kernel_says_why_not() {
        match version() {
            Ok(version) => assert!((1..1000).contains(&version), "{version}"),
            Err(error) => assert!(error.errno().is_some()),
        }
    }
}
