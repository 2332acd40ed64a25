//! Files in a pod's own directory, by the directory's descriptor, so that they are found wherever the
//! pod moves. Apps cannot write here: the trees that they can write to are opened elsewhere, in-root.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// No file that rkt writes here is larger.
const LARGEST: u64 = 16 << 20;

/// The whole of a file; none where there is none.
pub(crate) fn read(directory: impl AsFd, path: &str) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => File::from(other?),
    };
    // Enough for nearly all, so that one call reads the whole.
    let mut content = Vec::with_capacity(8 << 10);
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// A file with a number as text; none where there is none or it is torn.
pub(crate) fn read_number(directory: impl AsFd, path: &str) -> io::Result<Option<i32>> {
    let Some(content) = read(directory, path)? else { return Ok(None) };
    Ok(std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok()))
}

/// Makes a file that is not there yet. It is whole only where the system does not go down: a pod
/// that a power cut ends is garbage anyway.
pub(crate) fn write(directory: impl AsFd, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, path, flags, Mode::from_raw_mode(mode))?;
    File::from(file).write_all(content)
}

/// Makes a directory that is not there yet.
pub(crate) fn make_directory(directory: impl AsFd, path: &str, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(directory, path, Mode::from_raw_mode(mode))?)
}

/// Opens a directory.
pub(crate) fn open_directory(directory: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, path, flags, Mode::empty())?)
}

/// The names in a directory. rkt's own are text; others have no business here and are met again with the rest.
pub(crate) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
    }
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

/// When a file was last written to; none where there is none.
pub(crate) fn modified(directory: impl AsFd, path: &str) -> io::Result<Option<SystemTime>> {
    match rustix::fs::statat(directory, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        other => {
            let stat = other?;
            Ok(Some(time(stat.st_mtime, stat.st_mtime_nsec)))
        }
    }
}

/// When a directory was last renamed or otherwise changed in its own right.
pub(crate) fn changed(directory: impl AsFd) -> io::Result<SystemTime> {
    let stat = rustix::fs::fstat(directory)?;
    Ok(time(stat.st_ctime, stat.st_ctime_nsec))
}

/// Times before 1970 are taken as 1970.
fn time(seconds: i64, nanoseconds: impl TryInto<u32>) -> SystemTime {
    let since = Duration::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}
