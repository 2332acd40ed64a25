//! What an ordinary service has, in a flavor that isolates: its image and volumes, the pod's view of the
//! kernel, a few devices, and rights that reach nobody else's.
//!
//! A volume wins: where the user puts one, nothing else is put.

use crate::facts::Cgroups;
use crate::plan::{Jail, Stdio};
use crate::pod::{App, SeccompFilter};

/// Devices that give nothing away and hold no state.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Links that programs expect beside the devices.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// What tells about the host or its other users: memory, keys, timers, hardware, firmware, modules.
const MASKED: [&str; 22] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmem",
    "/proc/latency_stats",
    "/proc/mem",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/fs/selinux",
    "/sys/hypervisor",
    "/sys/module",
    "/sys/power",
];

/// What changes the host when it is written to. `/sys` is read-only as a whole.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What images are made to expect: a root that can install files, change users and serve low ports,
/// and cannot touch the kernel, the network's configuration or other processes.
const CAPABILITIES: [&str; 14] = [
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
];

/// The requests that a plan shows in which every app is a [service](Jail::service), and which gives the pod its
/// host name: for [`Plan::waive_all_but`](crate::Plan::waive_all_but).
pub const SERVICE_REQUESTS: [&str; 9] = [
    "hostname",
    "user",
    "read-only-root",
    "volume",
    "limit",
    "capabilities",
    "seccomp",
    "no-new-privileges",
    "oom-score",
];

impl Jail<'_> {
    /// All that an app has as an ordinary service, and what it asked for. `cgroups` is how the kernel that it
    /// runs on has control groups. Permissions `root`, `user`, `bind:volume`, `link`, `mount:KIND` and
    /// `device:PATH` of what is below `/proc`, `/sys` and `/dev`, `mask`, `read-only`, `no-new-privileges`,
    /// `seccomp`, `limit`, `oom-score`, `stdio:log`, and `capability:NAME` of fourteen.
    pub fn service(&mut self, app: &App, cgroups: Cgroups) -> &mut Self {
        plan_files(self, app, cgroups);
        plan_process(self, app);
        self
    }
}

fn plan_files(files: &mut Jail<'_>, app: &App, cgroups: Cgroups) {
    files.root(app.root_access).volumes(app);
    if !app.has_volume_at("/proc") {
        files.mount("proc", "/proc", &["noexec"]);
        hide(files, "/proc/");
        for path in READ_ONLY {
            files.read_only(path);
        }
    }
    if !app.has_volume_at("/sys") {
        files.mount("sysfs", "/sys", &["ro", "noexec"]);
        hide(files, "/sys/");
        if cgroups == Cgroups::Unified && !app.has_volume_at("/sys/fs/cgroup") {
            files.mount("cgroup2", "/sys/fs/cgroup", &["ro", "noexec"]);
        }
    }
    if !app.has_volume_at("/dev") {
        plan_devices(files, app);
    }
}

fn hide(files: &mut Jail<'_>, below: &str) {
    for path in MASKED.into_iter().filter(|path| path.starts_with(below)) {
        files.mask(path);
    }
}

fn plan_devices(files: &mut Jail<'_>, app: &App) {
    files.mount("tmpfs", "/dev", &["mode=0755", "size=64k", "noexec"]);
    for path in DEVICES.into_iter().filter(|path| !app.has_volume_at(path)) {
        files.device(path);
    }
    for (path, to) in DEVICE_LINKS.into_iter().filter(|(path, _)| !app.has_volume_at(path)) {
        files.link(path, to);
    }
    for (kind, path, options) in [
        // Terminals belong to the group `tty`, which is 5 wherever that matters.
        ("devpts", "/dev/pts", &["ptmxmode=0666", "mode=0620", "gid=5", "noexec"][..]),
        ("tmpfs", "/dev/shm", &["mode=1777", "size=64m", "noexec"]),
        ("mqueue", "/dev/mqueue", &["noexec"]),
    ] {
        if !app.has_volume_at(path) {
            files.mount(kind, path, options);
        }
    }
}

fn plan_process(process: &mut Jail<'_>, app: &App) {
    process.user(&app.user).limits(app).no_new_privileges().stdio(Stdio::Log);
    match &app.capabilities {
        Some(change) => process.capabilities(change.of_default(&CAPABILITIES)),
        None => process.capabilities(CAPABILITIES),
    };
    match &app.seccomp {
        Some(filter) => process.seccomp(filter),
        None => process.seccomp(&SeccompFilter::default_set()),
    };
}
