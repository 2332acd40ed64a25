//! container: apps in namespaces of their own, with the rights that an ordinary service needs.
//!
//! The default flavor. The apps of a pod share processes, network, queues and host name with one
//! another and nothing of it with the host; each has its own view of files, a short list of devices
//! and capabilities, a filter of system calls, and cannot gain privileges by executing programs. Users
//! are the host's users.

use rkt_sdk::{Cgroups, Facts, Namespace, Plan, Pod, Problem, SERVICE_REQUESTS};

rkt_sdk::stage1!(plan, asks: [
    "share:user", "hostname", "root", "user", "bind:volume", "link",
    "mount:proc", "mount:sysfs", "mount:tmpfs", "mount:devpts", "mount:mqueue", "mount:cgroup2",
    "device:/dev/null", "device:/dev/zero", "device:/dev/full",
    "device:/dev/random", "device:/dev/urandom", "device:/dev/tty",
    "mask", "read-only", "no-new-privileges", "seccomp", "unfiltered", "limit", "oom-score", "stdio:log",
    "capability:CAP_AUDIT_WRITE", "capability:CAP_CHOWN", "capability:CAP_DAC_OVERRIDE", "capability:CAP_FOWNER",
    "capability:CAP_FSETID", "capability:CAP_KILL", "capability:CAP_MKNOD", "capability:CAP_NET_BIND_SERVICE",
    "capability:CAP_NET_RAW", "capability:CAP_SETFCAP", "capability:CAP_SETGID", "capability:CAP_SETPCAP",
    "capability:CAP_SETUID", "capability:CAP_SYS_CHROOT",
]);

/// Plans a pod of any number of apps.
///
/// # Errors
/// An option is given: container has none.
pub fn plan(pod: &Pod, facts: &dyn Facts) -> Result<Plan, Problem> {
    pod.allow_settings(&[])?;
    let cgroups = facts.cgroups();
    let mut plan = Plan::new();
    plan.share(Namespace::User).hostname(&pod.hostname);
    plan.note("the network is the pod's own and has a loopback interface only");
    if cgroups != Cgroups::Unified {
        plan.note("the host has no unified control groups, so the apps see none at /sys/fs/cgroup");
    }
    plan.waive_all_but(pod, &SERVICE_REQUESTS);
    for app in &pod.apps {
        plan.app(&app.name).service(app, cgroups);
    }
    Ok(plan)
}
