//! This program's own file, and what of it is in memory as it lies there.
#![allow(unsafe_code, reason = "dl_iterate_phdr(3)")]

use std::os::fd::OwnedFd;

use libc::{c_int, c_void, dl_phdr_info, size_t};
use rustix::fs::{Mode, OFlags};

use crate::{Error, Result};

const OWN: &str = "/proc/self/exe";

/// The file of the running program, open for reading, and where in it `part` lies, which is part of the
/// program, such as bytes that were included in it; `None` where it is not, or does not begin a page.
///
/// The kernel lets nobody write to the file of a program while it runs (`ETXTBSY`).
///
/// # Errors
/// Where procfs is not mounted.
pub fn holding(part: &'static [u8]) -> Result<Option<(OwnedFd, u64)>> {
    let page = rustix::param::page_size() as u64;
    let Some(offset) = offset_of(part).filter(|offset| offset % page == 0) else { return Ok(None) };
    let file =
        rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(Error::on("open", OWN))?;
    Ok(Some((file, offset)))
}

/// Where in the program's file `part` lies; none where the file does not hold all of it, or where it could
/// have been written to since.
fn offset_of(part: &'static [u8]) -> Option<u64> {
    let mut search = Search { from: part.as_ptr().addr() as u64, length: part.len() as u64, offset: None };
    // SAFETY: `look` treats what it is given as dl_iterate_phdr(3) says, and `search` as what it is, which
    // outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.offset
}

struct Search {
    from: u64,
    length: u64,
    offset: Option<u64>,
}

/// Looks at the first object alone, which is the program itself.
unsafe extern "C" fn look(info: *mut dl_phdr_info, _size: size_t, search: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) gives a valid description, and what it was given: a `Search`, which
    // nothing else refers to meanwhile.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
    // SAFETY: there are so many program headers there, for as long as the program runs.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    search.offset = headers.iter().find_map(|header| {
        let is_as_in_the_file = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
        let within = search.from.checked_sub(info.dlpi_addr + header.p_vaddr)?;
        (is_as_in_the_file && within + search.length <= header.p_filesz).then(|| header.p_offset + within)
    });
    1
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, SeekFrom};

    use super::*;

    #[repr(align(4096))]
    struct Page([u8; 16]);

    static PART: Page = Page(*b"a part of a test");

    #[test]
    fn what_is_part_of_the_program_is_found_in_its_file() {
        let (file, offset) = holding(&PART.0).unwrap().unwrap();
        let (mut file, mut read) = (File::from(file), [0; 16]);
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.read_exact(&mut read).unwrap();
        assert_eq!(read, PART.0);
    }

    #[test]
    fn what_is_elsewhere_or_begins_no_page_is_not() {
        assert!(holding(Vec::from(PART.0).leak()).unwrap().is_none());
        assert!(holding(&PART.0[1..]).unwrap().is_none());
    }
}
