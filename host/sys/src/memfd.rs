//! Sealed memory files: bytes handed to another process that nobody can change any more.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use crate::{Error, Result};

/// A file without a name on any file system, with this content, positioned at its start. It can
/// neither be written, grown, shrunk nor unsealed, and holds no program.
///
/// `name` is for people who look into `/proc/PID/fd`.
///
/// # Errors
/// Where memory or descriptors ran out.
pub fn sealed(name: &str, content: &[u8]) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let created = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3 the flag is unknown.
        Err(Errno::INVAL) => memfd_create(name, flags),
        other => other,
    };
    let mut file = File::from(created.map_err(Error::on("memfd_create", name))?);
    file.write_all(content).map_err(Error::on("write", name))?;
    file.rewind().map_err(Error::on("lseek", name))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals).map_err(Error::on("fcntl F_ADD_SEALS", name))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_sealed_file_is_read_from_its_start_and_refuses_every_change() {
        let mut file = File::from(sealed("test", b"plan").unwrap());
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "plan");
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(100).is_err());
    }
}
