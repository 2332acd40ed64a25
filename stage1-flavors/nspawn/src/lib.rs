//! nspawn: apps in a container that systemd-nspawn makes, with rkt's init as its first process.
//!
//! For hosts that know their containers by systemd's means: where systemd-machined can be asked, the pod is one of
//! its machines. systemd-nspawn makes the namespaces; inside, init applies the same plans to apps as elsewhere.

mod container;

use rkt_sdk::{Facts, Plan, Pod, Problem, SERVICE_REQUESTS};

rkt_sdk::stage1!(plan, asks: [
    "program:host:/usr/bin/systemd-nspawn", "unconfined:/usr/bin/systemd-nspawn", "artifact:init", "channel", "file",
    "own-directory:/run/systemd/nspawn",
    "argument:--quiet", "argument:--settings=no", "argument:--console=pipe", "argument:--link-journal=no",
    "argument:--resolv-conf=off", "argument:--timezone=off", "argument:--private-network", "argument:--keep-unit",
    "argument:--kill-signal=SIGTERM",
    "argument:--directory={tree}", "argument:--machine=rkt-{uuid}", "argument:--uuid={uuid}",
    "argument:--register={bool}", "argument:--capability={names}", "argument:/init", "argument:/channel",
    "environment:SYSTEMD_NSPAWN_UNIFIED_HIERARCHY={number}", "environment:SYSTEMD_NSPAWN_USE_CGNS={number}",
    "hostname", "root", "user", "bind:volume", "link",
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
/// systemd-nspawn is missing on the host, or an option is unknown.
pub fn plan(pod: &Pod, facts: &dyn Facts) -> Result<Plan, Problem> {
    pod.allow_settings(&["register"])?;
    if !facts.has_program(container::NSPAWN) {
        let problem = Problem::new(format!("there is no {}", container::NSPAWN));
        return Err(problem.hint("install systemd-container"));
    }
    let cgroups = facts.cgroups();
    let mut plan = Plan::new();
    plan.hostname(&pod.hostname);
    plan.note("the network is the pod's own and has a loopback interface only");
    plan.note("systemd-nspawn filters system calls too, whatever is planned for apps");
    plan.waive_all_but(pod, &SERVICE_REQUESTS);
    container::plan(&mut plan, pod, facts)?;
    for app in &pod.apps {
        plan.app(&app.name).service(app, cgroups);
    }
    Ok(plan)
}
