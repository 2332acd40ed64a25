//! Writes ACIs as the tools of the App Container specification do: well-formed ones. Those that are
//! not are made where they are tested, header by header.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As most are.
    Gzip,
    /// The slowest to read.
    Bzip2,
    /// The smallest.
    Xz,
    /// Not of the specification, but read too.
    Zstd,
}

/// An image to be written. What a manifest must have it has from the start: a name, `os` and `arch` of
/// this host, and an app that runs nothing as root.
#[derive(Debug, Clone)]
pub struct AciBuilder {
    manifest: Map<String, Value>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    path: String,
    mode: u32,
    owner: (u64, u64),
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    HardLink(String),
}

impl AciBuilder {
    /// An image of this name, with an empty root.
    ///
    /// # Panics
    /// Never.
    pub fn new(name: &str) -> Self {
        let manifest = json!({
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": name,
            "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": arch()}],
            "app": {"exec": [], "user": "0", "group": "0"},
        });
        let Value::Object(manifest) = manifest else { unreachable!("it is written as an object") };
        Self { manifest, entries: Vec::new() }
    }

    /// What the app executes.
    #[must_use]
    pub fn exec<'a>(self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        self.app("exec", json!(arguments))
    }

    /// Whom it runs as: IDs, names, or paths.
    #[must_use]
    pub fn user(self, user: &str, group: &str) -> Self {
        self.app("user", json!(user)).app("group", json!(group))
    }

    /// Any field of the app section, in the place of what it was.
    #[must_use]
    pub fn app(mut self, field: &str, value: Value) -> Self {
        self.manifest["app"][field] = value;
        self
    }

    /// Any field of the manifest, in the place of what it was; `null` removes it.
    #[must_use]
    pub fn manifest(mut self, field: &str, value: Value) -> Self {
        match value {
            Value::Null => self.manifest.remove(field),
            value => self.manifest.insert(field.to_owned(), value),
        };
        self
    }

    /// A label, in the place of the one that had the name.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        let labels = list(&mut self.manifest["labels"]);
        labels.retain(|label| label["name"] != name);
        labels.push(json!({"name": name, "value": value}));
        self
    }

    /// An annotation of the image.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        let annotations = self.manifest.entry("annotations").or_insert(json!([]));
        list(annotations).push(json!({"name": name, "value": value}));
        self
    }

    /// An isolator of the app.
    #[must_use]
    pub fn isolator(self, name: &str, value: &Value) -> Self {
        self.push("isolators", json!({"name": name, "value": value}))
    }

    /// A variable of the app's environment.
    #[must_use]
    pub fn environment(self, name: &str, value: &str) -> Self {
        self.push("environment", json!({"name": name, "value": value}))
    }

    /// A place where the app expects a volume.
    #[must_use]
    pub fn mount_point(self, name: &str, path: &str, read_only: bool) -> Self {
        self.push("mountPoints", json!({"name": name, "path": path, "readOnly": read_only}))
    }

    /// A port that the app listens on.
    #[must_use]
    pub fn port(self, name: &str, protocol: &str, port: u16) -> Self {
        self.push("ports", json!({"name": name, "protocol": protocol, "port": port}))
    }

    fn push(mut self, field: &str, value: Value) -> Self {
        let app = &mut self.manifest["app"];
        if app[field].is_null() {
            app[field] = json!([]);
        }
        list(&mut app[field]).push(value);
        self
    }

    /// A directory of root's; those that are not named are as tar makes them, `0755`.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, mode, Kind::Directory)
    }

    /// A file of root's. Paths are relative to the root of the image.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, mode, Kind::File(content.to_vec()))
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, 0o777, Kind::Symlink(target.to_owned()))
    }

    /// Another name of a file that was added before.
    #[must_use]
    pub fn hard_link(self, path: &str, existing: &str) -> Self {
        self.entry(path, 0o644, Kind::HardLink(existing.to_owned()))
    }

    /// Gives what was added last to somebody.
    ///
    /// # Panics
    /// Nothing was added.
    #[must_use]
    pub fn owned_by(mut self, uid: u64, gid: u64) -> Self {
        self.entries.last_mut().expect("something was added").owner = (uid, gid);
        self
    }

    fn entry(mut self, path: &str, mode: u32, kind: Kind) -> Self {
        self.entries.push(Entry { path: path.to_owned(), mode, owner: (0, 0), kind });
        self
    }

    /// Writes the image to a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, path: &Path, compression: Compression) {
        fs::write(path, self.bytes(compression)).expect("the directory can be written to");
    }

    /// The image as the bytes of a file, the same for the same image.
    ///
    /// # Panics
    /// A name is too long for an archive.
    pub fn bytes(&self, compression: Compression) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let manifest = serde_json::to_vec(&self.manifest).expect("a manifest has text keys");
        append(&mut archive, "manifest", 0o644, (0, 0), &Kind::File(manifest));
        append(&mut archive, "rootfs", 0o755, (0, 0), &Kind::Directory);
        for entry in &self.entries {
            append(&mut archive, &format!("rootfs/{}", entry.path), entry.mode, entry.owner, &entry.kind);
        }
        let archive = archive.into_inner().expect("memory can be written to");
        compress(archive, compression).expect("memory can be read and written")
    }
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, owner: (u64, u64), kind: &Kind) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_mtime(1_400_000_000);
    header.set_size(0);
    let appended = match kind {
        Kind::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            archive.append_data(&mut header, format!("{path}/"), Cursor::new([]))
        }
        Kind::File(content) => {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, Cursor::new(content))
        }
        Kind::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            archive.append_link(&mut header, path, target)
        }
        Kind::HardLink(existing) => {
            header.set_entry_type(tar::EntryType::Link);
            archive.append_link(&mut header, path, format!("rootfs/{existing}"))
        }
    };
    appended.expect("the name fits into an archive");
}

fn compress(archive: Vec<u8>, compression: Compression) -> std::io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    match compression {
        Compression::None => return Ok(archive),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(compressed, flate2::Compression::default());
            encoder.write_all(&archive)?;
            return encoder.finish();
        }
        Compression::Bzip2 => {
            bzip2::read::BzEncoder::new(&archive[..], bzip2::Compression::best()).read_to_end(&mut compressed)?
        }
        Compression::Xz => liblzma::read::XzEncoder::new(&archive[..], 1).read_to_end(&mut compressed)?,
        Compression::Zstd => zstd::stream::read::Encoder::new(&archive[..], 3)?.read_to_end(&mut compressed)?,
    };
    Ok(compressed)
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().expect("the field is a list")
}

/// This host's architecture as images name it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}
