//! A guest's first file system: rkt's init, and the modules that a kernel needs, as a cpio archive of the
//! kind that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst: `newc`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::kernel::Kernel;
use crate::failure::Failure;

/// Its name in the pod's directory.
pub(super) const NAME: &str = "initramfs";

/// A device node's, a directory's and a program's mode, with their kinds (inode(7)).
const CHARACTER_DEVICE: u32 = 0o020_600;
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// Writes it into a directory.
pub(super) fn write(init: &Path, kernel: &Kernel, modules: &[String], to: &Path) -> Result<(), Failure> {
    let failed = || "make the initramfs";
    let read = |path: &Path| fs::read(path).map_err(Failure::of(|| format!("read {}", path.display())));
    let mut archive = Archive::default();
    archive.add("dev", DIRECTORY, (0, 0), &[]);
    // Where messages go before there is anything else.
    archive.add("dev/console", CHARACTER_DEVICE, (5, 1), &[]);
    archive.add("init", PROGRAM, (0, 0), &read(init).map_err(|cause| cause.within(failed()))?);
    archive.add("modules", DIRECTORY, (0, 0), &[]);
    let mut order = String::new();
    for path in in_order(kernel, modules).map_err(|cause| cause.within(failed()))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.add(&format!("modules/{name}"), FILE, (0, 0), &read(&path).map_err(|cause| cause.within(failed()))?);
        order.push_str(&name);
        order.push('\n');
    }
    archive.add("modules/order", FILE, (0, 0), order.as_bytes());
    fs::write(to.join(NAME), archive.finish()).map_err(Failure::of(failed))
}

/// The files of modules and of all that they need, in the order in which they can be loaded: as
/// `modules.dep` has it, a module is loaded after those that come behind it in its line, the last first.
fn in_order(kernel: &Kernel, wanted: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let Some(directory) = &kernel.modules else {
        return Err(Failure::new(format!("there are no modules of the kernel {}", kernel.file.display())));
    };
    let text = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).map_err(Failure::of(|| format!("read {}", path.display())))
    };
    let (dependencies, built_in) = (text("modules.dep")?, text("modules.builtin")?);
    let lines: BTreeMap<String, (&str, &str)> =
        dependencies.lines().filter_map(|line| line.split_once(':')).map(|pair| (module(pair.0), pair)).collect();
    let mut order: Vec<PathBuf> = Vec::new();
    for name in wanted {
        let name = name.replace('-', "_");
        let Some((file, needs)) = lines.get(&name) else {
            if built_in.lines().any(|line| module(line) == name) {
                continue;
            }
            return Err(Failure::new(format!("the kernel {} has no module {name}", kernel.file.display())));
        };
        for file in needs.split_whitespace().rev().chain([*file]) {
            let path = directory.join(file);
            if path.extension().is_none_or(|extension| extension != "ko") {
                return Err(Failure::new(format!(
                    "the module {} is compressed, which is not supported",
                    path.display()
                )));
            }
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    Ok(order)
}

/// The name of the module in a file: `-` is `_` (modules.dep(5)).
fn module(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

/// An archive in the making.
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        // inode, mode, owner, group, links, time, size, the file system's device, the node's, name, sum
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, major, minor, length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(dependencies: &str, built_in: &str) -> (tempfile::TempDir, Kernel) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("modules.dep"), dependencies).unwrap();
        fs::write(directory.path().join("modules.builtin"), built_in).unwrap();
        for line in dependencies.lines() {
            fs::write(directory.path().join(line.split(':').next().unwrap()), line).unwrap();
        }
        let modules = Some(directory.path().to_owned());
        (directory, Kernel { file: "/vmlinuz".into(), modules })
    }

    fn names(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn a_module_comes_after_what_it_needs_and_once() {
        let (_directory, kernel) = kernel(
            "ring.ko:\nvirtio.ko: ring.ko\npci.ko: legacy-x.ko virtio.ko ring.ko\nlegacy-x.ko:\n",
            "fs/fuse.ko\n",
        );
        let order = |wanted: &[&str]| in_order(&kernel, &wanted.iter().map(|&name| name.into()).collect::<Vec<_>>());
        let expected = ["ring.ko", "virtio.ko", "legacy-x.ko", "pci.ko"];
        assert_eq!(names(&order(&["pci", "legacy_x", "virtio", "fuse"]).unwrap()), expected);
        assert!(order(&["nobodys"]).unwrap_err().to_string().contains("no module nobodys"));
    }

    #[test]
    fn the_archive_is_one_that_cpio_reads() {
        let (directory, kernel) = kernel("a.ko:\n", "");
        let init = directory.path().join("program");
        fs::write(&init, "the program").unwrap();
        write(&init, &kernel, &["a".to_owned()], directory.path()).unwrap();
        let bytes = fs::read(directory.path().join(NAME)).unwrap();
        assert!(bytes.len().is_multiple_of(4) && bytes.starts_with(b"070701"));
        let text = String::from_utf8_lossy(&bytes);
        for part in ["init\0", "the program", "modules/a.ko\0", "modules/order\0", "a.ko\n", "TRAILER!!!\0"] {
            assert!(text.contains(part), "{part}");
        }
    }
}
