//! fly: an app with a root file system of its own, and of everything else the host's.
//!
//! For a program that comes as an image but is meant to work on the host: an agent, a debugger, a
//! service manager. Limits, capabilities and filters are honored where they are asked for, and none is
//! added unasked.

use rkt_sdk::{ALL_CAPABILITIES, Access, App, Facts, Namespace, Plan, Pod, Problem, Reach, Stdio, host};

rkt_sdk::stage1!(plan, asks: [
    "share:pid", "share:network", "share:ipc", "share:uts", "share:cgroup", "share:user",
    "root", "user", "bind:volume", "bind:host:rw:/dev", "bind:host:rw:/proc", "bind:host:rw:/sys", "mount:tmpfs",
    "capability:all", "no-new-privileges", "seccomp", "unfiltered", "limit", "oom-score", "stdio:raw",
]);

/// The requests that a plan of fly shows.
const HANDLED: [&str; 9] = [
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

/// Plans a pod of one app.
///
/// # Errors
/// The pod has more than one app, or an option is given: fly has none.
pub fn plan(pod: &Pod, _facts: &dyn Facts) -> Result<Plan, Problem> {
    pod.allow_settings(&[])?;
    let [app] = pod.apps.as_slice() else {
        return Err(Problem::new("fly runs one app in a pod").hint("--stage1=container"));
    };
    let mut plan = Plan::new();
    for namespace in Namespace::ALL {
        plan.share(namespace);
    }
    for request in pod.requests_for("hostname") {
        plan.waive(request, "fly shares the host's name");
    }
    plan.waive_all_but(pod, &HANDLED);
    plan_files(&mut plan, app);
    plan_process(&mut plan, app);
    Ok(plan)
}

/// The image, the volumes, and the host's own devices, processes and kernel objects.
fn plan_files(plan: &mut Plan, app: &App) {
    let mut files = plan.app(&app.name);
    files.root(app.root_access).volumes(app);
    for path in ["/dev", "/proc", "/sys"] {
        if !app.has_volume_at(path) {
            files.bind(host(path), path, Access::ReadWrite, Reach::Recursive);
        }
    }
    if !app.has_volume_at("/tmp") {
        files.mount("tmpfs", "/tmp", &["mode=1777"]);
    }
}

/// What was asked for, and else the rights of a process of the host.
fn plan_process(plan: &mut Plan, app: &App) {
    let mut process = plan.app(&app.name);
    process.user(&app.user).limits(app).stdio(Stdio::Raw);
    match &app.capabilities {
        Some(change) => process.capabilities(change.of_default(&ALL_CAPABILITIES)),
        None => process.capabilities(ALL_CAPABILITIES),
    };
    if let Some(filter) = &app.seccomp {
        process.seccomp(filter);
    }
    if app.no_new_privileges {
        process.no_new_privileges();
    }
}
