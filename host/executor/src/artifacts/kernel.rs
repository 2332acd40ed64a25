//! The kernel of guests, and where its modules are.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Where a bzImage says where its version is (Documentation/arch/x86/boot.rst: `kernel_version`).
const VERSION_AT: u64 = 0x20e;

/// That is counted from here.
const VERSION_FROM: u64 = 0x200;

/// A version is followed by a space and who built it; this is more than any has.
const LONGEST_VERSION: usize = 128;

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kernel {
    /// Its file.
    pub(super) file: PathBuf,
    /// The directory of its modules; none: it has none.
    pub(super) modules: Option<PathBuf>,
}

/// The kernel that is named, or the host's own. Its modules are beside it, as it was installed, or the host's.
pub(super) fn find(named: Option<&Path>) -> Result<Kernel, Failure> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let file = named.map_or_else(|| Path::new("/boot").join(format!("vmlinuz-{release}")), Path::to_owned);
    let version = may_be_read(&file).and_then(|()| version(&file)).map_err(|cause| {
        let hint = if named.is_some() { "" } else { "; another can be named as `kernel` in stage1.toml" };
        cause.within(format!("use the kernel {}{hint}", file.display()))
    })?;
    let top = file.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let modules = [top.join("lib/modules"), PathBuf::from("/lib/modules")].map(|directory| directory.join(&version));
    Ok(Kernel { file, modules: modules.into_iter().find(|directory| directory.is_dir()) })
}

/// Programs read it from their jails, in which they are nobody.
fn may_be_read(file: &Path) -> Result<(), Failure> {
    let mode = fs::metadata(file).map_err(Failure::of(|| "look at it"))?.permissions().mode();
    if mode & 0o004 == 0 {
        return Err(Failure::new(format!("not everybody may read it: `chmod a+r {}` changes that", file.display())));
    }
    Ok(())
}

/// The version of the kernel in a file.
fn version(path: &Path) -> Result<String, Failure> {
    let mut file = File::open(path).map_err(Failure::of(|| "open it"))?;
    let mut read = |at: u64, most: usize| -> std::io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        file.by_ref().take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let failed = || "read its header";
    let none = || Failure::new("it is no bzImage with a version");
    if read(0x202, 4).map_err(Failure::of(failed))? != b"HdrS" {
        return Err(none());
    }
    let offset = read(VERSION_AT, 2).map_err(Failure::of(failed))?.try_into().map_err(|_| none())?;
    let text = read(VERSION_FROM + u64::from(u16::from_le_bytes(offset)), LONGEST_VERSION);
    let text = text.map_err(Failure::of(failed))?;
    let end = text.iter().position(|byte| matches!(byte, b' ' | 0)).ok_or_else(none)?;
    let version = std::str::from_utf8(&text[..end]).map_err(|_| none())?;
    // It becomes a name in a path.
    let is_plain = !version.is_empty()
        && !version.starts_with('.')
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+~".contains(&byte));
    if is_plain { Ok(version.to_owned()) } else { Err(none()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(version: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        bytes[0x300..0x300 + version.len()].copy_from_slice(version);
        bytes
    }

    #[test]
    fn modules_are_found_beside_the_kernel_by_the_version_in_it() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("boot/vmlinuz");
        let modules = top.path().join("lib/modules/6.1.0-x");
        std::fs::create_dir_all(&modules).unwrap();
        std::fs::create_dir(top.path().join("boot")).unwrap();
        std::fs::write(&file, kernel(b"6.1.0-x (someone@somewhere) #1")).unwrap();
        assert_eq!(find(Some(&file)).unwrap(), Kernel { file: file.clone(), modules: Some(modules) });
        std::fs::write(&file, kernel(b"9.9.9-nobodys (x)")).unwrap();
        assert_eq!(find(Some(&file)).unwrap().modules, None);
    }

    #[test]
    fn what_is_no_kernel_is_refused_and_no_version_is_a_path() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("vmlinuz");
        for bytes in [b"".to_vec(), vec![0x7f; 4096], kernel(b"../../etc x"), kernel(b" x"), kernel(&[b'1'; 256])] {
            std::fs::write(&file, bytes).unwrap();
            assert!(find(Some(&file)).is_err());
        }
        assert!(find(Some(&top.path().join("none"))).is_err());
    }
}
