//! Writing an ACI: a manifest and a tree as an archive that is read back as it was, by this reader and by others.
//! The same tree gives the same bytes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rkt_appc::ImageManifest;
use rustix::fs::Stat;
use tar::{Builder, EntryType, Header};

use super::pax;
use crate::tree::{self, Node, NodeKind};

/// Writes an image of this tree, compressed by gzip. Returns what was left out: sockets and device nodes, which no image
/// has.
///
/// # Errors
/// Something in the tree cannot be read, or `out` cannot be written to.
pub fn write_aci(manifest: &ImageManifest, root: BorrowedFd<'_>, out: impl Write) -> io::Result<Vec<PathBuf>> {
    let out = GzEncoder::new(out, Compression::default());
    let mut writer = Writer { archive: Builder::new(out), files: HashMap::new(), left_out: Vec::new() };
    writer.add_manifest(manifest)?;
    tree::walk(root, &mut |node| writer.add(node))?;
    writer.archive.into_inner()?.finish()?.flush()?;
    Ok(writer.left_out)
}

struct Writer<W: Write> {
    archive: Builder<W>,
    /// Where files with several names were written first, by device and inode.
    files: HashMap<(u64, u64), Vec<u8>>,
    left_out: Vec<PathBuf>,
}

/// What a header says, beside its path.
struct Entry<'a> {
    kind: EntryType,
    path: &'a [u8],
    link: &'a [u8],
    size: u64,
    attributes: &'a [(std::ffi::CString, Vec<u8>)],
}

impl<W: Write> Writer<W> {
    fn add_manifest(&mut self, manifest: &ImageManifest) -> io::Result<()> {
        let json = manifest.to_json();
        let mut header = Header::new_ustar();
        header.set_path("manifest")?;
        header.set_mode(0o644);
        header.set_size(json.len() as u64);
        header.set_cksum();
        self.archive.append(&header, json.as_bytes())
    }

    fn add(&mut self, node: Node) -> io::Result<()> {
        let Node { path, stat, attributes, kind } = node;
        let mut path_bytes = b"rootfs".to_vec();
        if path != Path::new("") {
            path_bytes.push(b'/');
            path_bytes.extend_from_slice(path.as_os_str().as_bytes());
        }
        let entry = Entry { kind: EntryType::Regular, path: &path_bytes, link: b"", size: 0, attributes: &attributes };
        match kind {
            NodeKind::Directory => {
                let with_slash = [path_bytes.as_slice(), b"/"].concat();
                self.append(&stat, &Entry { kind: EntryType::Directory, path: &with_slash, ..entry }, io::empty())
            }
            NodeKind::File(file) => {
                let identity = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.files.get(&identity).cloned() {
                    let link = Entry { kind: EntryType::Link, link: &first, attributes: &[], ..entry };
                    return self.append(&stat, &link, io::empty());
                }
                if stat.st_nlink > 1 {
                    self.files.insert(identity, path_bytes.clone());
                }
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.append(&stat, &Entry { size, ..entry }, Exactly { file, left: size })
            }
            NodeKind::Symlink(text) => {
                let link = OsStr::as_bytes(&text);
                self.append(&stat, &Entry { kind: EntryType::Symlink, link, ..entry }, io::empty())
            }
            NodeKind::Fifo => self.append(&stat, &Entry { kind: EntryType::Fifo, ..entry }, io::empty()),
            NodeKind::Other => {
                self.left_out.push(path);
                Ok(())
            }
        }
    }

    /// Appends an entry; what a plain header cannot say is in an extended one before it.
    fn append(&mut self, stat: &Stat, entry: &Entry<'_>, content: impl io::Read) -> io::Result<()> {
        let mut records = Vec::new();
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_size(entry.size);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        for (field, key, text) in [(Field::Name, "path", entry.path), (Field::Link, "linkpath", entry.link)] {
            if !field.set(&mut header, text) {
                records.push(pax::record(key, text));
            }
        }
        let plain = |id: u32| u64::from(if id > LARGEST_ID { 0 } else { id });
        header.set_uid(plain(stat.st_uid));
        header.set_gid(plain(stat.st_gid));
        for (key, id) in [("uid", stat.st_uid), ("gid", stat.st_gid)] {
            if id > LARGEST_ID {
                records.push(pax::record(key, id.to_string().as_bytes()));
            }
        }
        if entry.size > LARGEST_SIZE {
            header.set_size(0);
            records.push(pax::record("size", entry.size.to_string().as_bytes()));
        }
        if stat.st_mtime_nsec != 0 || stat.st_mtime < 0 {
            records.push(pax::record("mtime", time(stat).as_bytes()));
        }
        for (name, value) in entry.attributes {
            records.push(pax::record(&format!("{}{}", pax::ATTRIBUTE, name.to_string_lossy()), value));
        }
        if !records.is_empty() {
            let data = records.concat();
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            extended.set_path("pax")?;
            extended.set_mode(0o644);
            extended.set_size(data.len() as u64);
            extended.set_cksum();
            self.archive.append(&extended, data.as_slice())?;
        }
        header.set_cksum();
        self.archive.append(&header, content)
    }
}

/// The largest user or group that has place in a header: seven octal digits.
const LARGEST_ID: u32 = 0o777_7777;

/// The largest size: eleven.
const LARGEST_SIZE: u64 = 0o777_7777_7777;

/// A field of a header for a path.
#[derive(Clone, Copy)]
enum Field {
    Name,
    Link,
}

impl Field {
    /// Sets it to as much of the text as there is place for; whether that is all of it.
    fn set(self, header: &mut Header, text: &[u8]) -> bool {
        let fields = header.as_old_mut();
        let field = match self {
            Self::Name => &mut fields.name,
            Self::Link => &mut fields.linkname,
        };
        let length = text.len().min(field.len());
        field[..length].copy_from_slice(&text[..length]);
        length == text.len()
    }
}

/// Seconds, with what there is of a fraction.
fn time(stat: &Stat) -> String {
    let nanoseconds = stat.st_mtime_nsec;
    match stat.st_mtime {
        // Before 1970 the fraction counts the other way.
        seconds if seconds < 0 && nanoseconds > 0 => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        seconds => format!("{seconds}.{nanoseconds:09}"),
    }
}

/// A file of so many bytes: one that grew or shrank meanwhile would break the archive.
struct Exactly {
    file: std::fs::File,
    left: u64,
}

impl io::Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("a file shrinks while it is read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::{Policy, Store, Verification};

    fn manifest() -> ImageManifest {
        let json = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/written"}"#;
        ImageManifest::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("tree");
        let long = tree.join("long".repeat(30)).join("x".repeat(200));
        fs::create_dir_all(&long).unwrap();
        fs::write(long.join("file"), "content").unwrap();
        fs::write(tree.join("program"), "binary").unwrap();
        fs::set_permissions(tree.join("program"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::hard_link(tree.join("program"), tree.join("same")).unwrap();
        symlink("/etc/".repeat(40), tree.join("link")).unwrap();
        std::os::unix::fs::lchown(tree.join("program"), Some(3_000_000), Some(7)).unwrap();
        fs::set_permissions(tree.join("program"), fs::Permissions::from_mode(0o4751)).unwrap();
        rustix::fs::setxattr(tree.join("program"), c"user.note", b"a\n=b", rustix::fs::XattrFlags::empty()).unwrap();
        std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();

        let file = home.path().join("written.aci");
        let write = |path: &Path| {
            let root = File::open(&tree).unwrap();
            write_aci(&manifest(), root.as_fd(), File::create(path).unwrap()).unwrap()
        };
        assert_eq!(write(&file), [PathBuf::from("socket")]);
        let again = home.path().join("again.aci");
        write(&again);
        assert!(fs::read(&file).unwrap() == fs::read(&again).unwrap(), "the same tree, other bytes");

        let mut names = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(File::open(&file).unwrap()), &mut names).unwrap();
        let mut archive = tar::Archive::new(names.as_slice());
        let first: Vec<_> =
            archive.entries().unwrap().take(2).map(|entry| entry.unwrap().path_bytes().into_owned()).collect();
        assert_eq!(first, [b"manifest".to_vec(), b"rootfs/".to_vec()]);

        let store = Store::at(&home.path().join("data"));
        let reference = crate::Reference::parse(file.to_str().unwrap()).unwrap();
        let unsigned = Verification::Waived;
        let image = store.resolve(&reference, unsigned, &Policy::default(), &mut |_| {}).unwrap();
        let read = image.rootfs();
        let program = fs::metadata(read.join("program")).unwrap();
        assert_eq!((program.mode() & 0o7777, program.uid(), program.gid()), (0o4751, 3_000_000, 7));
        assert_eq!(program.ino(), fs::metadata(read.join("same")).unwrap().ino());
        let before = fs::metadata(tree.join("program")).unwrap();
        assert_eq!((program.mtime(), program.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
        let mut note = [0; 16];
        let length = rustix::fs::getxattr(read.join("program"), c"user.note", &mut note).unwrap();
        assert_eq!(&note[..length], b"a\n=b");
        let inside = long.strip_prefix(&tree).unwrap();
        assert_eq!(fs::read(read.join(inside).join("file")).unwrap(), b"content");
        assert_eq!(fs::read_link(read.join("link")).unwrap(), Path::new(&"/etc/".repeat(40)));
        assert!(!read.join("socket").exists());
    }

    #[test]
    fn times_before_1970_are_written_as_they_are() {
        let mut stat = rustix::fs::stat("/").unwrap();
        for (seconds, nanoseconds, text) in
            [(5, 250_000_000, "5.250000000"), (-1, 750_000_000, "-0.250000000"), (-2, 0, "-2.000000000")]
        {
            (stat.st_mtime, stat.st_mtime_nsec) = (seconds, nanoseconds);
            assert_eq!(time(&stat), text);
        }
    }
}
