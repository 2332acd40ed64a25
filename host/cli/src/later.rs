//! What rkt users know and this rkt cannot do yet: named, so that it is refused as what it is and never
//! taken for a mistake.

/// Flags that change what a pod or command does.
const FLAGS: [&str; 24] = [
    "dns",
    "dns-domain",
    "dns-opt",
    "dns-search",
    "hosts-entry",
    "interactive",
    "ipc",
    "mds-register",
    "no-store",
    "port",
    "private-users",
    "pull-policy",
    "signature",
    "stderr",
    "stdin",
    "stdout",
    "store-only",
    "prefix",
    "root",
    "skip-fingerprint-review",
    "insecure-allow-http",
    "mode",
    "cpuprofile",
    "memprofile",
];

/// Commands.
const COMMANDS: [&str; 6] = ["api-service", "attach", "completion", "config", "metadata-service", "trust"];

/// Commands about the apps of a pod.
const APP_COMMANDS: [&str; 6] = ["exec", "list", "sandbox", "start", "status", "stop"];

/// Whether a flag is known, and not there yet.
pub(crate) fn is_flag(name: &str) -> bool {
    FLAGS.contains(&name)
}

/// Whether a command is.
pub(crate) fn is_command(name: &str) -> bool {
    COMMANDS.contains(&name)
}

/// Whether a command about apps is.
pub(crate) fn is_app_command(name: &str) -> bool {
    APP_COMMANDS.contains(&name)
}
