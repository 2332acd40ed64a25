//! kvm: apps in a virtual machine of their own, which QEMU runs in a jail without any rights.
//!
//! The guest has a kernel of its own, so nothing that an app does reaches the host's. Inside, rkt's init
//! applies the same plans to apps as elsewhere, so that they are apart from each other too.

mod machine;

use rkt_sdk::{Cgroups, Facts, Plan, Pod, Problem};

rkt_sdk::stage1!(plan, asks: [
    "program:host:/usr/bin/qemu-system-x86_64", "channel", "unfiltered",
    "artifact:kernel", "artifact:initramfs", "artifact:root-image",
    "bind:host:ro:/usr", "device:/dev/kvm",
    "hostname", "root", "user", "link",
    "mount:proc", "mount:sysfs", "mount:tmpfs", "mount:devpts", "mount:mqueue", "mount:cgroup2",
    "device:/dev/null", "device:/dev/zero", "device:/dev/full",
    "device:/dev/random", "device:/dev/urandom", "device:/dev/tty",
    "mask", "read-only", "no-new-privileges", "seccomp", "limit", "oom-score", "stdio:log",
    "capability:CAP_AUDIT_WRITE", "capability:CAP_CHOWN", "capability:CAP_DAC_OVERRIDE", "capability:CAP_FOWNER",
    "capability:CAP_FSETID", "capability:CAP_KILL", "capability:CAP_MKNOD", "capability:CAP_NET_BIND_SERVICE",
    "capability:CAP_NET_RAW", "capability:CAP_SETFCAP", "capability:CAP_SETGID", "capability:CAP_SETPCAP",
    "capability:CAP_SETUID", "capability:CAP_SYS_CHROOT",
]);

/// The requests that a plan of kvm shows.
const HANDLED: [&str; 8] =
    ["hostname", "user", "read-only-root", "limit", "capabilities", "seccomp", "no-new-privileges", "oom-score"];

/// Plans a pod of any number of apps.
///
/// # Errors
/// There is no QEMU, an option is unknown, or an app has a volume: there is no way for one into a guest yet.
pub fn plan(pod: &Pod, facts: &dyn Facts) -> Result<Plan, Problem> {
    pod.allow_settings(&["accel", "console"])?;
    if !facts.has_program(machine::QEMU) {
        return Err(Problem::new(format!("there is no {}", machine::QEMU)).hint("install qemu-system-x86"));
    }
    if let Some(app) = pod.apps.iter().find(|app| !app.volumes.is_empty()) {
        return Err(Problem::new(format!("app {} has a volume, and kvm has no volumes yet", app.name))
            .hint("use another flavor for it, such as container"));
    }
    let mut plan = Plan::new();
    plan.hostname(&pod.hostname);
    plan.note("the network is the guest's own and has a loopback interface only");
    plan.note("what is planned for apps is done in the guest; the machine as a whole is limited outside");
    plan.waive_all_but(pod, &HANDLED);
    machine::plan(&mut plan, pod)?;
    for app in &pod.apps {
        // A guest's control groups are of version 2, whatever the host's are.
        plan.app(&app.name).service(app, Cgroups::Unified);
    }
    Ok(plan)
}
