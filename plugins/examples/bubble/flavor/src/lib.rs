//! bubble: an app in a sandbox that bubblewrap makes.
//!
//! rkt starts `/usr/bin/bwrap` in a jail, as a user that nothing else is and without any capability;
//! bubblewrap makes namespaces of its own in there, a user namespace first, and runs the app in them.
//! What is inside is opaque to rkt, so this flavor's agent is the first process inside: it starts the
//! app, runs commands for `rkt enter`, and ends the app for `rkt stop`. A second process of it, the
//! helper `watch`, holds a lease: when the lease is gone, the pod ends.

mod answers;
mod sandbox;

use rkt_sdk::{Access, Facts, Piece, Plan, Pod, Problem, Reach, SeccompFilter, empty, payload};

rkt_sdk::stage1!(plan, asks: [
    "program:host:/usr/bin/bwrap", "program:payload",
    "bind:host:ro:/usr", "bind:payload", "bind:root", "bind:volume", "bind:empty",
    "mount:proc", "mount:tmpfs", "link", "file",
    "device:/dev/null", "device:/dev/zero", "device:/dev/full",
    "device:/dev/random", "device:/dev/urandom", "device:/dev/tty",
    "no-new-privileges", "seccomp", "limit", "oom-score", "claim",
]);

/// The agent in this plugin's image.
const AGENT: &str = "/bin/agent";

/// Where the agent listens, in the jail. The directory is the sandbox's too.
const SOCKET: &str = "/bubble/control/socket";

/// Plans a pod of one app.
///
/// # Errors
/// The pod has more than one app, or an option is given: bubble has none. Or there is no bubblewrap.
pub fn plan(pod: &Pod, facts: &dyn Facts) -> Result<Plan, Problem> {
    pod.allow_settings(&[])?;
    let [app] = pod.apps.as_slice() else {
        return Err(Problem::new("bubble runs one app in a pod").hint("run each in a pod of its own"));
    };
    if !facts.has_program(sandbox::BUBBLEWRAP) {
        return Err(Problem::new(format!("there is no {}", sandbox::BUBBLEWRAP)).hint("install bubblewrap"));
    }
    let mut plan = Plan::new();
    sandbox::plan(&mut plan, pod, app);
    plan_watch(&mut plan);
    plan.enter(payload(AGENT)).arguments(["ask", SOCKET, "run"]).argument(Piece::Words);
    plan.stop(payload(AGENT)).arguments(["ask", SOCKET, "stop"]);
    answers::plan(&mut plan, pod, app);
    Ok(plan)
}

/// The helper: it holds a lease as long as there is a file, which the app can remove too.
fn plan_watch(plan: &mut Plan) {
    let mut watch = plan.helper("watch", payload(AGENT));
    watch.arguments(["watch", "/lease/held"]).ready_when("/lease/held");
    let mut jail = watch.jail();
    jail.bind(empty("lease"), "/lease", Access::ReadWrite, Reach::Single);
    jail.own_user().no_new_privileges().seccomp(&SeccompFilter::default_set());
}
