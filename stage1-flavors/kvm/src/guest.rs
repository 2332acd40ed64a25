//! What an app has in the guest: its image, the guest's kernel's own file systems, a few devices, and the
//! rights of an ordinary service.

use rkt_sdk::{App, Jail, SeccompFilter, Stdio};

/// Devices that hold no state.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Links that programs expect beside the devices.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// What images are made to expect of root.
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

pub(crate) fn plan(jail: &mut Jail, app: &App) {
    jail.root(app.root_access);
    jail.mount("proc", "/proc", &["noexec"]);
    jail.mount("sysfs", "/sys", &["ro", "noexec"]);
    jail.mount("cgroup2", "/sys/fs/cgroup", &["ro", "noexec"]);
    jail.mount("tmpfs", "/dev", &["mode=0755", "size=64k", "noexec"]);
    // Terminals belong to the group `tty`, which is 5 wherever that matters.
    jail.mount("devpts", "/dev/pts", &["ptmxmode=0666", "mode=0620", "gid=5", "noexec"]);
    jail.mount("tmpfs", "/dev/shm", &["mode=1777", "size=64m", "noexec"]);
    jail.mount("mqueue", "/dev/mqueue", &["noexec"]);
    DEVICES.into_iter().for_each(|path| {
        jail.device(path);
    });
    DEVICE_LINKS.into_iter().for_each(|(path, to)| {
        jail.link(path, to);
    });
    jail.user(&app.user).limits(app).no_new_privileges().stdio(Stdio::Log);
    match &app.capabilities {
        Some(change) => jail.capabilities(change.of_default(&CAPABILITIES)),
        None => jail.capabilities(CAPABILITIES),
    };
    match &app.seccomp {
        Some(filter) => jail.seccomp(filter),
        None => jail.seccomp(&SeccompFilter::default_set()),
    };
}
