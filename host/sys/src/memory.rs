//! What this process keeps in memory of its own program.
#![allow(unsafe_code, reason = "madvise(2)")]

use std::ffi::c_void;
use std::{fs, io};

use crate::{Error, Result};

/// Gives back the memory of this process's machine code: what it runs from now on is read again from
/// the file, which the kernel most likely still has. For a program that did much once and then waits.
///
/// # Errors
/// Where procfs is not mounted or the kernel refuses.
pub fn let_go_of_code() -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps").map_err(Error::on("read", "/proc/self/maps"))?;
    for (start, length) in maps.lines().filter_map(code_of_file) {
        let address = std::ptr::without_provenance_mut::<c_void>(start);
        // SAFETY: the range is a private mapping of a file that is executable and not writable. Nothing
        // was ever written to it, so dropping its pages changes nothing that can be read from it.
        if unsafe { libc::madvise(address, length, libc::MADV_DONTNEED) } < 0 {
            return Err(Error::new("madvise", "the program's code", io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// Start and length of a mapping of `proc_pid_maps(5)` that is code from a file.
fn code_of_file(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (permissions, inode) = (words.next()?, words.nth(2)?);
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    (permissions == "r-xp" && inode != "0").then(|| (start, end - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_from_files_is_meant() {
        let code = "55d0c0012000-55d0c0139000 r-xp 00012000 fe:00 1234 /usr/bin/program";
        assert_eq!(code_of_file(code), Some((0x55d0_c001_2000, 0x12_7000)));
        for other in [
            code.replace("r-xp", "r--p"),
            code.replace("r-xp", "rwxp"),
            code.replace("1234", "0"),
            "7ffd2d9f5000-7ffd2d9f7000 r-xp 00000000 00:00 0 [vdso]".to_owned(),
            String::new(),
        ] {
            assert_eq!(code_of_file(&other), None, "{other}");
        }
    }

    #[test]
    fn a_program_goes_on_without_its_code_in_memory() {
        crate::testing::in_child(|| {
            let resident = || {
                let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
                let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
                line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
            };
            // How much of its code a new process has in memory is chance: all of it is a start.
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            for (start, length) in maps.lines().filter_map(code_of_file) {
                let address = std::ptr::with_exposed_provenance_mut(start);
                // SAFETY: the mapping is code of this program; it is only read into memory.
                assert_eq!(unsafe { libc::madvise(address, length, libc::MADV_POPULATE_READ) }, 0);
            }
            let before = resident();
            let_go_of_code().unwrap();
            assert!(resident() < before);
        });
    }
}
