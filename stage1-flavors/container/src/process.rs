//! What an app's process may do.

use rkt_sdk::{App, Jail, SeccompFilter, Stdio};

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

pub(crate) fn plan(process: &mut Jail, app: &App) {
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
