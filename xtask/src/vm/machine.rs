//! Kernel, initial file system, and QEMU.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::image::{PROGRAM, remove};
use super::results::MARK;
use crate::build::{make_folder, place};
use crate::kernel;
use crate::shell::{Failure, run};
use crate::tree::{STATIC_TARGET, Tree};

/// What is needed to reach the disks, in the order in which it can be loaded. Debian has it as modules;
/// ext4 it has built in.
const MODULES: [&str; 6] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
];

/// In mebibytes: enough for the tests, and little enough for a small host.
const MEMORY: &str = "1024";

/// How long a guest may take to speak if it runs on the host's processor at all.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// A kernel with the initial file system that finds the image.
pub(super) struct Kernel {
    pub(super) version: String,
    /// Its package, unpacked.
    root: PathBuf,
    initial: PathBuf,
}

impl Kernel {
    /// Makes the initial file system of the kernel that tests have.
    pub(super) fn make(tree: &Tree) -> Result<Self, Failure> {
        let root = kernel::unpacked(tree)?;
        make_folder(&tree.target("vm"))?;
        let version = only_name_in(&root.join("lib/modules"))?;
        let mut kernel = Self { version, root, initial: tree.target("vm/initial.cpio") };
        kernel.make_initial(tree)?;
        Ok(kernel)
    }

    /// Puts all modules into an image.
    pub(super) fn add_modules(&self, image: &Path) -> Result<(), Failure> {
        let modules = self.root.join("lib/modules");
        run(Command::new("cp").args(["--archive", "--target-directory"]).arg(image.join("lib")).arg(modules))?;
        run(Command::new("depmod").arg("--basedir").arg(image).arg(&self.version))
    }

    fn make_initial(&mut self, tree: &Tree) -> Result<(), Failure> {
        let build = ["build", "--release", "--locked", "--package", "rkt-vm", "--bins", "--target", STATIC_TARGET];
        run(tree.cargo().args(build))?;
        let program = tree.target(PROGRAM);
        place(&tree.target(&format!("{STATIC_TARGET}/release/rkt-vm")), &program)?;
        let folder = tree.target("vm/initial");
        remove(&folder)?;
        make_folder(&folder.join("modules"))?;
        place(&program, &folder.join("init"))?;
        let modules = self.root.join("lib/modules").join(&self.version).join("kernel");
        for (index, module) in MODULES.iter().enumerate() {
            let from = modules.join(format!("{module}.ko"));
            place(&from, &folder.join(format!("modules/{index}.ko")))?;
        }
        let archive = "find . | cpio --quiet --create --format=newc --file \"$1\"";
        run(Command::new("sh").args(["-ec", archive, "sh"]).arg(&self.initial).current_dir(&folder))
    }

    fn file(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.version))
    }
}

fn only_name_in(folder: &Path) -> Result<String, Failure> {
    let entries = fs::read_dir(folder).map_err(Failure::when(format!("cannot list {}", folder.display())))?;
    let names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    match names.as_slice() {
        [name] => Ok(name.clone()),
        _ => Err(Failure::new(format!("{} should hold one kernel's modules: {names:?}", folder.display()))),
    }
}

/// What runs a guest's instructions.
#[derive(Clone, Copy)]
pub(super) enum Acceleration {
    /// The host's processor.
    Kvm,
    /// QEMU.
    Emulated,
}

impl Acceleration {
    /// Starts a guest to see: that the device can be opened says nothing.
    pub(super) fn probe(tree: &Tree, kernel: &Kernel) -> Self {
        if !Path::new("/dev/kvm").exists() {
            return Self::Emulated;
        }
        let boot = Boot { name: "probe", init: "none", disks: &[], limit: PROBE_LIMIT };
        let mut has_spoken = false;
        let started = format!("{MARK}started");
        let ended = boot.run(tree, kernel, Self::Kvm, &mut |line| has_spoken |= line == started);
        if has_spoken && ended.is_ok() { Self::Kvm } else { Self::Emulated }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "yes: by KVM",
            Self::Emulated => "no: they are emulated",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            // Other models are slower: more of them has to be emulated.
            Self::Emulated => &["-accel", "tcg,thread=multi"],
        }
    }
}

/// One life of a machine.
pub(super) struct Boot<'a> {
    pub(super) name: &'a str,
    /// Its first program; `none`: it only says that it has started.
    pub(super) init: &'a str,
    /// The image, which stays as it is, and the payload.
    pub(super) disks: &'a [&'a Path],
    pub(super) limit: Duration,
}

impl Boot<'_> {
    /// From start to end, handing on each line that the machine tells.
    pub(super) fn run(
        &self,
        tree: &Tree,
        kernel: &Kernel,
        acceleration: Acceleration,
        each: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        let console = tree.target(&format!("vm/{}.console", self.name));
        let mut qemu = self.command(tree, kernel, acceleration, &console);
        let mut child = qemu.spawn().map_err(Failure::when("cannot run qemu-system-x86_64"))?;
        let in_time = hear(&mut child, self.limit, each);
        if !in_time {
            // It may have ended by now.
            let _ = child.kill();
        }
        let status = child.wait().map_err(Failure::when("cannot wait for qemu-system-x86_64"))?;
        let what = match (in_time, status.success()) {
            (true, true) => return Ok(()),
            (true, false) => format!("ended with {status}"),
            (false, _) => format!("did not end within {} s", self.limit.as_secs()),
        };
        Err(Failure::new(format!("the machine `{}` {what}; its console is {}", self.name, console.display())))
    }

    fn command(&self, tree: &Tree, kernel: &Kernel, acceleration: Acceleration, console: &Path) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35", "-smp", "2", "-m", MEMORY]).args(acceleration.options());
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        qemu.arg("-kernel").arg(kernel.file()).arg("-initrd").arg(&kernel.initial);
        let payload = tree.target("");
        let words = format!(
            "console=ttyS0 panic=-1 init={} rkt.payload={} rkt.machine={}",
            self.init,
            payload.display(),
            self.name
        );
        qemu.args(["-append", &words]);
        qemu.args(["-serial", &format!("file:{}", console.display()), "-serial", "stdio"]);
        for disk in self.disks {
            let drive = format!("file={},format=raw,if=virtio,snapshot=on,cache=unsafe", disk.display());
            qemu.args(["-drive", &drive]);
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        qemu
    }
}

/// Hears a machine to its end; whether that came in time.
fn hear(child: &mut Child, limit: Duration, each: &mut dyn FnMut(&str)) -> bool {
    let deadline = Instant::now() + limit;
    let told = child.stdout.take().expect("it is piped");
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(told).split(b'\n').map_while(Result::ok) {
            // Nobody hears any more when time is up.
            let _ = sender.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
        }
    });
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => each(&line),
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}
