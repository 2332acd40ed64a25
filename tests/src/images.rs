//! Images, made on the spot from what the build machine has.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::{fs, io};

use crate::aci::AciBuilder;

/// The probe, as a static program.
pub const PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe"));
/// The one program of a busybox image; a static one, as Debian's package `busybox-static` has it.
const BUSYBOX: &str = "/bin/busybox";

/// An image that holds the probe as `/probe` and nothing else; what it executes is to be said.
pub fn probe(name: &str) -> AciBuilder {
    AciBuilder::new(&format!("example.com/{name}")).file("probe", 0o755, PROBE)
}

/// An image that prints a line: one static program.
pub fn hello() -> AciBuilder {
    probe("hello").exec(["/probe", "say", "Hello, world!"])
}

/// An image with all of busybox; what it executes is to be said.
///
/// # Panics
/// There is no busybox here.
pub fn busybox(name: &str) -> AciBuilder {
    let program = fs::read(BUSYBOX).expect("the package busybox-static is installed");
    let image = AciBuilder::new(&format!("example.com/{name}")).file("bin/busybox", 0o755, &program);
    let image = image.file("etc/passwd", 0o644, PASSWD).file("etc/group", 0o644, GROUP);
    applets().iter().fold(image, |image, applet| image.symlink(&format!("bin/{applet}"), "busybox"))
}

const PASSWD: &[u8] =
    b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nalice:x:1000:1001:Alice:/:/bin/sh\n";
const GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\nalice:x:1001:\nwheel:x:10:alice\n";

/// The same files in a directory, with what programs that take a directory insist on.
///
/// # Errors
/// Something cannot be written.
pub fn busybox_tree(root: &Path) -> io::Result<()> {
    for directory in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/lib"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    fs::set_permissions(root.join("bin/busybox"), fs::Permissions::from_mode(0o755))?;
    for applet in applets() {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))?;
    }
    fs::write(root.join("etc/passwd"), PASSWD)?;
    fs::write(root.join("etc/group"), GROUP)?;
    // systemd-nspawn does not run a tree without it.
    fs::write(root.join("usr/lib/os-release"), "ID=busybox\n")
}

/// The names under which busybox is one program or another.
fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let output = Command::new(BUSYBOX).arg("--list").output().expect("the package busybox-static is installed");
        let list = String::from_utf8(output.stdout).expect("names are text");
        list.lines().filter(|applet| *applet != "busybox").map(str::to_owned).collect()
    })
}
