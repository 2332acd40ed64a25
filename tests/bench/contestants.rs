//! Who runs: `rkt` with three flavors, other programs that isolate, and the bare calls of the kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rkt_tests::aci::Compression;
use rkt_tests::elf::{Argument, Program};
use rkt_tests::{PREFIX, binary, images};
use serde_json::json;
use tempfile::TempDir;

use crate::Result;
use crate::report::Place;
use crate::runner::{Surroundings, must};

/// How many directories are made to see how long that takes.
const DIRECTORIES: usize = 51;

/// A command line that runs `/bin/true` in a root file system.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) words: Vec<String>,
    pub(crate) surroundings: Surroundings,
}

/// The root file system, once as a directory and once as an image in rkt's store.
pub(crate) struct Stage {
    directory: TempDir,
    image: String,
    /// Control groups that systemd-nspawn makes on its way and leaves.
    strays: Vec<PathBuf>,
}

impl Stage {
    pub(crate) fn set() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let home = directory.path();
        for name in ["root", "upper", "work", "merged", "bundle", "data", "none"] {
            fs::create_dir(home.join(name))?;
        }
        images::busybox_tree(&home.join("root"))?;
        fs::write(home.join("by-hand"), by_hand(home))?;
        fs::set_permissions(home.join("by-hand"), fs::Permissions::from_mode(0o755))?;
        fs::write(home.join("bundle/config.json"), serde_json::to_string(&oci_configuration(home))?)?;
        let aci = home.join("busybox.aci");
        images::busybox("bench").exec(["/bin/true"]).write(&aci, Compression::None);
        let strays = ["payload", "supervisor"].map(|name| Path::new("/sys/fs/cgroup/unified").join(name));
        let strays = strays.into_iter().filter(|path| !path.exists()).collect();
        let mut stage = Self { image: String::new(), strays, directory };
        stage.image = must(Command::new(binary()).args(stage.options()).arg("fetch").arg("--full").arg(&aci))?;
        Ok(stage)
    }

    /// Takes away what the contestants leave.
    pub(crate) fn clear(self) -> Result<()> {
        must(Command::new(binary()).args(self.options()).args(["gc", "--grace-period=0s"]))?;
        for stray in self.strays.iter().filter(|stray| stray.exists()) {
            fs::remove_dir(stray)?;
        }
        Ok(self.directory.close()?)
    }

    /// What it is to work here.
    pub(crate) fn place(&self) -> Result<Place> {
        let home = self.directory.path();
        let file_system = match rustix::fs::statfs(home)?.f_type {
            0xef53 => "ext4".to_owned(),
            0x5846_5342 => "xfs".to_owned(),
            0x9123_683e => "btrfs".to_owned(),
            0x0102_1994 => "tmpfs".to_owned(),
            other => format!("a file system of kind {other:#x}"),
        };
        let mut times = Vec::new();
        for number in 0..DIRECTORIES {
            let start = Instant::now();
            fs::create_dir(home.join(format!("none/{number}")))?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let directory = times[times.len() / 2].as_secs_f64() * 1e3;
        Ok(Place { file_system, directory })
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// The directory of all that is the stage's.
    pub(crate) fn home(&self) -> &Path {
        self.directory.path()
    }

    /// The global options of rkt: a data directory of its own and the built-in configuration.
    pub(crate) fn options(&self) -> Vec<String> {
        self.options_with(&self.home().join("none"))
    }

    /// The same with an operator's configuration.
    fn options_with(&self, policy: &Path) -> Vec<String> {
        let none = self.path("none");
        let mut options = vec![format!("--dir={}", self.path("data")), "--insecure-options=image".to_owned()];
        options.extend(["system", "local"].map(|kind| format!("--{kind}-config={none}")));
        options.push(format!("--user-config={}", policy.display()));
        options
    }

    /// The data directory of rkt.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// `rkt run` of the image with a flavor and more words.
    pub(crate) fn rkt(&self, flavor: &str, more: &[&str]) -> Vec<String> {
        let mut words = self.rkt_with(&self.home().join("none"), flavor, &[]);
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words
    }

    /// `rkt run` of the image with an operator's configuration, a flavor and options of the pod.
    pub(crate) fn rkt_with(&self, policy: &Path, flavor: &str, options: &[&str]) -> Vec<String> {
        let mut words = vec![binary().display().to_string()];
        words.extend(self.options_with(policy));
        words.extend(["run".to_owned(), format!("--stage1={flavor}")]);
        words.extend(options.iter().map(|word| (*word).to_owned()));
        words.push(self.image.clone());
        words
    }

    pub(crate) fn contestants(&self) -> Vec<Contestant> {
        let contestant = |name, surroundings, line: String| Contestant {
            name,
            words: line.split(' ').map(str::to_owned).collect(),
            surroundings,
        };
        let (host, unified) = (Surroundings::Host, Surroundings::UnifiedControlGroups);
        let root = self.path("root");
        let bundle = self.path("bundle");
        vec![
            Contestant { name: "rkt fly", words: self.rkt("fly", &[]), surroundings: host },
            Contestant { name: "rkt container", words: self.rkt("container", &[]), surroundings: host },
            Contestant { name: "rkt nspawn", words: self.rkt("nspawn", &[]), surroundings: host },
            contestant("by hand", host, self.path("by-hand")),
            contestant(
                "bubblewrap",
                host,
                format!("/usr/bin/bwrap --unshare-all --bind {root} / --dev /dev --proc /proc --tmpfs /tmp /bin/true"),
            ),
            // One id serves again and again, since each run is over before the next.
            contestant("crun", unified, format!("/usr/bin/crun --cgroup-manager=disabled run --bundle={bundle} bench")),
            contestant("runc", unified, format!("/usr/sbin/runc run --bundle={bundle} bench")),
            contestant(
                "systemd-nspawn",
                host,
                // As the flavor has it.
                format!(
                    "/usr/bin/systemd-nspawn --quiet --settings=no --console=pipe --link-journal=no --resolv-conf=off \
                     --timezone=off --private-network --keep-unit --register=no --directory={root} /bin/true"
                ),
            ),
        ]
    }
}

/// What fly does, with nothing around it: a mount namespace, the image as a writable overlay, the
/// host's kernel file systems, `/tmp`, chroot, exec.
fn by_hand(home: &Path) -> Vec<u8> {
    use Argument::{List, Number, Text};
    // From the kernel's unistd_64.h, sched.h and mount.h.
    const UNSHARE: u32 = 272;
    const MOUNT: u32 = 165;
    const CHROOT: u32 = 161;
    const CHDIR: u32 = 80;
    const EXECVE: u32 = 59;
    const NEW_MOUNTS: i64 = 0x2_0000;
    const BIND: i64 = 1 << 12;
    const RECURSIVE: i64 = 1 << 14;
    const SLAVE: i64 = 1 << 19;

    let at = |name: &str| home.join(name).display().to_string();
    let merged = at("merged");
    let overlay = format!("lowerdir={},upperdir={},workdir={}", at("root"), at("upper"), at("work"));
    let mut program = Program::new()
        .call(UNSHARE, &[Number(NEW_MOUNTS)])
        .call(MOUNT, &[Text("none"), Text("/"), Number(0), Number(RECURSIVE | SLAVE), Number(0)])
        .call(MOUNT, &[Text("overlay"), Text(&merged), Text("overlay"), Number(0), Text(&overlay)]);
    for path in ["/dev", "/proc", "/sys"] {
        let target = format!("{merged}{path}");
        program = program.call(MOUNT, &[Text(path), Text(&target), Number(0), Number(BIND | RECURSIVE), Number(0)]);
    }
    let temporary = format!("{merged}/tmp");
    program
        .call(MOUNT, &[Text("tmpfs"), Text(&temporary), Text("tmpfs"), Number(0), Text("mode=1777")])
        .call(CHROOT, &[Text(&merged)])
        .call(CHDIR, &[Text("/")])
        .call(EXECVE, &[Text("/bin/true"), List(&["/bin/true"]), List(&[])])
        .exit(1)
}

/// What crun and runc are given: the namespaces, mounts and masks that `container` plans, without its
/// filter of system calls, which counts for them.
fn oci_configuration(home: &Path) -> serde_json::Value {
    let capabilities = json!([
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ]);
    let mount = |kind: &str, target: &str, options: &[&str]| {
        let options: Vec<&str> = ["nosuid", "noexec", "nodev"].iter().chain(options).copied().collect();
        json!({ "destination": target, "type": kind, "source": kind, "options": options })
    };
    let namespaces: Vec<_> = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind })).into();
    json!({
        "ociVersion": "1.0.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/true"],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "noNewPrivileges": true,
        },
        "root": { "path": home.join("root") },
        "hostname": "bench",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            {
                "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
            mount("tmpfs", "/dev/shm", &["mode=1777", "size=65536k"]),
            mount("mqueue", "/dev/mqueue", &[]),
            mount("sysfs", "/sys", &["ro"]),
        ],
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/firmware", "/sys/module", "/sys/power",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
