//! kvm: apps in a virtual machine of their own, which QEMU runs in a jail without any rights.
//!
//! The guest has a kernel of its own, so nothing that an app does reaches the host's. Inside, rkt's init
//! applies the same plans to apps as elsewhere, so that they are apart from each other too.

mod machine;
mod processor;
mod volumes;

use processor::Processor;
use rkt_sdk::{Cgroups, Facts, Plan, Pod, Problem, SERVICE_REQUESTS};

rkt_sdk::stage1!(plan, asks: [
    "program:host:/usr/bin/qemu-system-x86_64", "program:host:/usr/lib/qemu/virtiofsd", "channel", "unfiltered",
    "artifact:kernel", "artifact:initramfs", "artifact:root-image",
    "bind:host:ro:/usr", "bind:empty", "bind:volume", "device:/dev/kvm",
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

/// Plans a pod of any number of apps.
///
/// # Errors
/// A program is missing on the host, or an option is unknown.
pub fn plan(pod: &Pod, facts: &dyn Facts) -> Result<Plan, Problem> {
    pod.allow_settings(&["accel", "console"])?;
    let volumes = volumes::of(pod);
    need(facts, machine::QEMU, "qemu-system-x86")?;
    if !volumes.is_empty() {
        need(facts, volumes::SERVER, "qemu-system-common")?;
    }
    let mut plan = Plan::new();
    plan.hostname(&pod.hostname);
    plan.note("the network is the guest's own and has a loopback interface only");
    plan.note("what is planned for apps is done in the guest; the machine as a whole is limited outside");
    plan.waive_all_but(pod, &SERVICE_REQUESTS);
    if !volumes.is_empty() {
        volumes::serve(&mut plan, &volumes);
    }
    let processor = Processor::choose(pod, facts)?;
    processor.note(&mut plan);
    machine::plan(&mut plan, pod, processor, !volumes.is_empty())?;
    for app in &pod.apps {
        // A guest's control groups are of version 2, whatever the host's are.
        plan.app(&app.name).service(app, Cgroups::Unified);
    }
    Ok(plan)
}

fn need(facts: &dyn Facts, program: &str, package: &str) -> Result<(), Problem> {
    if facts.has_program(program) {
        return Ok(());
    }
    Err(Problem::new(format!("there is no {program}")).hint(format!("install {package}")))
}
