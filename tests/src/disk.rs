//! A disk that remembers every write, and what is on it after a power cut at any of them.
//!
//! A file is served as another one by `qemu-storage-daemon`, which writes down what is written and when the cache is
//! flushed, in the format of the kernel's dm-log-writes (admin-guide/device-mapper/log-writes.rst). A loop device on
//! that has ext4 on it, where the data directory of a test is. All of it is in a mount namespace of the test's thread,
//! so that nothing of it outlives the test: not its mounts, and not the loop devices under them.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rkt_sys::mount::{self, Propagation};
use rkt_sys::namespace::{Namespace, Namespaces, unshare};
use rustix::process::Signal;

use crate::{Output, Rkt, process, wait_until};

/// Of the disk, in bytes.
const SIZE: u64 = 32 << 20;
/// Of the log: its unit, in bytes.
const SECTOR: u64 = 512;
/// The first number of a log.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// A disk on which a data directory is, and whose writes are remembered.
#[derive(Debug)]
pub struct Disk {
    // Unmounted before the daemon goes.
    files: Files,
    daemon: Daemon,
}

/// Where all of it is.
#[derive(Debug)]
struct Files {
    /// A file system in memory: what is written here is on no real disk.
    directory: PathBuf,
    /// The data directory: where the disk is mounted.
    data: PathBuf,
}

impl Disk {
    /// Makes one, and the data directory of `rkt` a file system on it.
    ///
    /// # Panics
    /// A tool or the kernel refuses.
    pub fn under(rkt: &Rkt) -> Self {
        unshare(Namespaces::NONE.with(Namespace::Mount)).expect("root may");
        mount::set_propagation_of_all(Propagation::Private).expect("root may");
        let files = Files { directory: rkt.home().join("disk"), data: rkt.data() };
        fs::create_dir(&files.directory).expect("home is ours");
        run("mount", ["-t", "tmpfs", "tmpfs", &files.path("")]);
        let base = File::create(files.path("base")).expect("it is new");
        base.set_len(SIZE).expect("there is memory");
        let now = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run("mkfs.ext4", ["-q", "-E", now, &files.path("base")]);
        fs::copy(files.path("base"), files.path("disk")).expect("there is memory");
        for name in ["log", "served"] {
            File::create(files.path(name)).expect("it is new");
        }
        let disk = Self { daemon: Daemon::serve(&files), files };
        let served = disk.files.path("served");
        wait_until("the disk to be served", || fs::metadata(&served).is_ok_and(|file| file.size() == SIZE));
        disk.files.mount("served");
        disk
    }

    /// How many writes and flushes there have been until the last flush. What was made durable before is in these.
    pub fn position(&self) -> usize {
        let mut number = [0; 8];
        let log = File::open(self.files.path("log")).expect("it was made");
        log.read_exact_at(&mut number, 16).expect("a log has a first sector");
        usize::try_from(u64::from_le_bytes(number)).expect("a small number")
    }

    /// Ends it: from now on the data directory is what it is after a power cut.
    ///
    /// # Panics
    /// The log is none.
    pub fn into_past(self) -> Past {
        let Self { files, daemon } = self;
        files.unmount();
        daemon.end();
        let log = File::open(files.path("log")).expect("it was made");
        fs::copy(files.path("base"), files.path("past")).expect("there is memory");
        Past { steps: steps(&log), files, log, done: 0, looks: 0 }
    }
}

impl Files {
    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().expect("temporary directories have names of ASCII").to_owned()
    }

    /// Makes the data directory the file system in a file. The loop device goes with the mount.
    fn mount(&self, file: &str) {
        let data = self.data.to_str().expect("temporary directories have names of ASCII");
        run("mount", ["-t", "ext4", "-o", "loop", &self.path(file), data]);
    }

    fn unmount(&self) {
        run("umount", [&self.data]);
    }
}

impl Drop for Files {
    /// So that the directories can be removed. What is not mounted any more is not there to be unmounted.
    fn drop(&mut self) {
        for place in [&self.data, &self.directory] {
            let _ = Command::new("umount").args(["--lazy", "--quiet"]).arg(place).stderr(Stdio::null()).status();
        }
    }
}

/// Serves the disk.
#[derive(Debug)]
struct Daemon(Child);

impl Daemon {
    fn serve(files: &Files) -> Self {
        let mut daemon = Command::new("setpriv");
        daemon.args(["--pdeathsig", "KILL", "qemu-storage-daemon"]);
        for name in ["disk", "log"] {
            let file = files.path(name);
            daemon.args(["--blockdev", &format!("driver=file,filename={file},node-name={name}")]);
        }
        daemon.args(["--blockdev", "driver=blklogwrites,file=disk,log=log,node-name=both,log-super-update-interval=1"]);
        let served = files.path("served");
        daemon.args(["--export", &format!("type=fuse,id=served,node-name=both,mountpoint={served},writable=on")]);
        Self(daemon.stdin(Stdio::null()).spawn().expect("util-linux is installed"))
    }

    /// Lets it write what it has.
    fn end(mut self) {
        process::signal(self.0.id(), Signal::TERM);
        self.0.wait().expect("it is our child");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A write, a flush, or something that does neither.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Where on the disk, and where in the log.
    at: u64,
    logged: u64,
    length: u64,
    is_flush: bool,
}

fn steps(log: &File) -> Vec<Step> {
    let numbers = |at: u64| {
        let mut bytes = [0; 32];
        log.read_exact_at(&mut bytes, at).expect("the log is whole");
        let number = |index: usize| u64::from_le_bytes(bytes[8 * index..8 * index + 8].try_into().expect("eight"));
        [number(0), number(1), number(2), number(3)]
    };
    let [magic, version, entries, _] = numbers(0);
    assert_eq!((magic, version), (MAGIC, 1), "the log has another format");
    let mut at = SECTOR;
    let step = |_| {
        let [sector, sectors, flags, _] = numbers(at);
        let length = if flags & DISCARD == 0 { sectors * SECTOR } else { 0 };
        let step = Step { at: sector * SECTOR, logged: at + SECTOR, length, is_flush: flags & FLUSH != 0 };
        at = step.logged + length;
        step
    };
    (0..entries).map(step).collect()
}

/// What a power cut leaves of the writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// All before this one, and none from it on.
    Before(usize),
    /// All until the last flush before this one, and it alone of those since.
    Alone(usize),
}

impl Cut {
    /// All before this are on the disk for certain.
    fn number(self) -> usize {
        match self {
            Self::Before(number) | Self::Alone(number) => number,
        }
    }
}

/// The writes that there were. Cuts are looked at in their order.
#[derive(Debug)]
pub struct Past {
    files: Files,
    log: File,
    steps: Vec<Step>,
    /// How many of them are in the file `past`.
    done: usize,
    /// How many cuts were looked at.
    looks: usize,
}

impl Past {
    /// All cuts that there are: between any two writes, and with any single one that the cache might have kept from
    /// its elders.
    pub fn cuts(&self) -> Vec<Cut> {
        let writes = (0..self.steps.len()).filter(|number| self.steps[*number].length > 0);
        let before = (0..=self.steps.len()).map(Cut::Before);
        let mut cuts: Vec<Cut> = before.chain(writes.map(Cut::Alone)).collect();
        cuts.sort_by_key(|cut| self.certain(*cut));
        cuts
    }

    /// Writes, without flushes.
    pub fn writes(&self) -> usize {
        self.steps.iter().filter(|step| step.length > 0).count()
    }

    /// How many writes and flushes are on the disk for certain, whatever the cache did: those until the last flush.
    pub fn certain(&self, cut: Cut) -> usize {
        match cut {
            Cut::Before(number) => number,
            Cut::Alone(_) => self.steps[..cut.number()].iter().rposition(|step| step.is_flush).map_or(0, |at| at + 1),
        }
    }

    /// Looks at the data directory as it is after this cut; `certain` must not be less than before.
    ///
    /// # Panics
    /// What the disk has then cannot be mounted; or what `look` panics with.
    pub fn after(&mut self, cut: Cut, look: impl FnOnce()) {
        let certain = self.certain(cut);
        let past = File::options().write(true).open(self.files.path("past")).expect("it was made");
        for step in &self.steps[self.done..certain] {
            self.write(*step, &past);
        }
        self.done = certain;
        // A file of its own for each: the kernel takes the namespaces of pods down some time after their last process,
        // and until then their file system is mounted and written to.
        self.looks += 1;
        let name = format!("cut-{}", self.looks);
        let path = self.files.path(&name);
        fs::copy(self.files.path("past"), &path).expect("there is memory");
        if let Cut::Alone(number) = cut {
            let file = File::options().write(true).open(&path).expect("it was made");
            self.write(self.steps[number], &file);
        }
        self.files.mount(&name);
        look();
        self.files.unmount();
        fs::remove_file(path).expect("it was made");
    }

    fn write(&self, step: Step, file: &File) {
        let mut content = vec![0; usize::try_from(step.length).expect("a write is small")];
        self.log.read_exact_at(&mut content, step.logged).expect("the log is whole");
        file.write_all_at(&content, step.at).expect("there is memory");
    }
}

fn run<W: AsRef<std::ffi::OsStr>>(program: &str, words: impl IntoIterator<Item = W>) {
    Output::of(Command::new(program).args(words).stdin(Stdio::null())).succeeds();
}

/// What is in a directory, by path: modes, owners, contents.
///
/// # Panics
/// It cannot be read.
pub fn contents(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let about = fs::symlink_metadata(&path).expect("it was listed");
        let mut told = format!("{:o} {}:{} ", about.mode(), about.uid(), about.gid());
        if about.is_dir() {
            open.extend(fs::read_dir(&path).expect("it is a directory").map(|entry| entry.expect("it is read").path()));
        } else if about.is_symlink() {
            told += &fs::read_link(&path).expect("it is a link").display().to_string();
        } else if about.is_file() {
            told += &fs::read(&path).expect("it is a file").escape_ascii().to_string();
        }
        found.push((path.strip_prefix(directory).expect("it is in there").to_owned(), told));
    }
    found.sort();
    found
}
