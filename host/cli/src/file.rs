//! Files that a user names. What is none is said to be none: a pipe or a device is never waited for.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// No text that rkt takes from a file is larger.
const LARGEST_TEXT: u64 = 1 << 20;

/// Opens a regular file for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// The whole of a text file.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(LARGEST_TEXT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_TEXT {
        return Err(io::Error::other(format!("larger than {LARGEST_TEXT} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert_eq!(read_text(path).unwrap_err().to_string(), "not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_text_is_read_up_to_a_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        std::fs::write(&path, "A=b\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "A=b\n");
        std::fs::write(&path, vec![b'x'; 1 + (1 << 20)]).unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("larger"));
    }
}
