//! The guest's devices: the modules that drive them, the serial line to the monitor, disks by their serials.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rkt_executor::Failure;
use rkt_executor::process::failed;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The names of the modules in the initial file system, one a line, in the order in which they are loaded.
pub(super) const MODULES: &str = "/modules/order";

/// The serial line's name.
const PORT: &str = "rkt";

/// How long the kernel has to find a device whose driver is loaded.
const TIME_TO_BE_FOUND: Duration = Duration::from_secs(30);

/// How often it is looked for: nothing tells before there is a connection to anybody.
const INTERVAL: Duration = Duration::from_millis(5);

/// Loads them all.
pub(super) fn load_modules() -> Result<(), Failure> {
    let names = fs::read_to_string(MODULES).map_err(failed("read the list of modules"))?;
    for name in names.lines() {
        let path = Path::new(MODULES).with_file_name(name);
        let file = File::open(path).map_err(failed("open a module"))?;
        match rustix::system::finit_module(&file, c"", 0) {
            // Built in, or for another processor.
            Ok(()) | Err(Errno::EXIST | Errno::NODEV) => {}
            Err(cause) => return Err(failed("load it")(cause).within(format!("module {name}"))),
        }
    }
    Ok(())
}

/// Opens the serial line to the monitor.
pub(super) fn open_port() -> Result<OwnedFd, Failure> {
    let name = find("/sys/class/virtio-ports", "name", PORT)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(Path::new("/dev").join(name), flags, Mode::empty()).map_err(failed("open the serial line"))
}

/// The disk with this serial.
pub(super) fn find_disk(serial: &str) -> Result<PathBuf, Failure> {
    find("/sys/block", "serial", serial).map(|name| Path::new("/dev").join(name))
}

/// The entry of a directory of sysfs in which a file has this text.
fn find(directory: &str, file: &str, text: &str) -> Result<PathBuf, Failure> {
    let deadline = Instant::now() + TIME_TO_BE_FOUND;
    loop {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let found = entries
            .map(|entry| entry.path())
            .find(|path| fs::read_to_string(path.join(file)).is_ok_and(|found| found.trim_end() == text));
        if let Some(name) = found.as_deref().and_then(Path::file_name) {
            return Ok(name.into());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!("the guest has no device whose {file} is {text}")));
        }
        thread::sleep(INTERVAL);
    }
}
