//! The container: systemd-nspawn, what it is told, and the tree that it runs.
//!
//! No name that an image or a user chose is in an argument: the container is named by the pod's UUID.

use rkt_sdk::{ALL_CAPABILITIES, Access, App, Cgroups, Facts, Piece, Plan, Pod, Problem, Reach, init};

/// The program.
pub(crate) const NSPAWN: &str = "/usr/bin/systemd-nspawn";

/// Where it keeps locks, and directories for machines. Of its own, so that nothing of a pod stays there.
const STATE: &str = "/run/systemd/nspawn";

/// Where init finds the monitor.
const CHANNEL: &str = "/channel";

/// The capabilities that it takes from all that it runs where it is not told otherwise (systemd-nspawn(1),
/// `--capability=`).
const TAKEN: [&str; 15] = [
    "CAP_AUDIT_READ",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_IPC_LOCK",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_PERFMON",
    "CAP_SYS_MODULE",
    "CAP_SYS_PACCT",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
];

pub(crate) fn plan(plan: &mut Plan, pod: &Pod, facts: &dyn Facts) -> Result<(), Problem> {
    let register = if is_registered(plan, pod, facts)? { "yes" } else { "no" };
    let mut program = plan.program(rkt_sdk::host(NSPAWN));
    program.unconfined().own_directory(STATE);
    // Files of the host have no say, and nothing of the host is put into the container.
    program.arguments(["--quiet", "--settings=no", "--console=pipe", "--link-journal=no"]);
    program.arguments(["--resolv-conf=off", "--timezone=off", "--private-network"]);
    // It stays in the group that the pod has for it, and so does all that it starts.
    program.argument("--keep-unit").argument(format!("--register={register}"));
    program.arguments([format!("--machine=rkt-{}", pod.uuid), format!("--uuid={}", pod.uuid)]);
    program.argument([Piece::from("--directory="), Piece::Tree]);
    // Whoever asks all of a unit's processes to end asks it too, which would end the container at once. With this it
    // asks init, which does nothing: how the pod ends is the monitor's affair.
    program.argument("--kill-signal=SIGTERM");
    let more = capabilities(pod);
    if !more.is_empty() {
        program.argument(format!("--capability={}", more.join(",")));
    }
    program.arguments(["/init", CHANNEL]);
    // Without the first it runs on no host that has other hierarchies than it expects; with a view of control groups
    // of its own the pod could not put apps into theirs.
    program.environment("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").environment("SYSTEMD_NSPAWN_USE_CGNS", "0");
    let mut tree = program.jail();
    // It runs nothing where there is no /usr.
    tree.directory("/usr", 0o755).channel(CHANNEL);
    tree.bind(init(), "/init", Access::ReadOnly, Reach::Single);
    Ok(())
}

/// Whether the pod is to be a machine of systemd-machined's, which knows machines by units: there are none in
/// control groups of version 1 that are not systemd's.
fn is_registered(plan: &mut Plan, pod: &Pod, facts: &dyn Facts) -> Result<bool, Problem> {
    let can_be = || facts.has_machined() && facts.cgroups() == Cgroups::Unified;
    match pod.setting("register") {
        None if can_be() => {
            plan.note(format!("systemd-machined knows the pod as rkt-{}", pod.uuid));
            Ok(true)
        }
        None | Some("no") => Ok(false),
        Some(other) => Err(Problem::new(format!("register is {other:?}")).hint("it can be `no`")),
    }
}

/// What init has to have beyond what it has anyway: what apps are to have, and what it takes to spare one of them
/// when memory ends.
fn capabilities(pod: &Pod) -> Vec<&'static str> {
    let retains = |app: &App, name: &str| {
        app.capabilities.as_ref().is_some_and(|change| change.of_default(&[]).iter().any(|kept| kept == name))
    };
    let is_spared = |app: &App| app.oom_score.is_some_and(|score| score < 0);
    let needs =
        |name: &str| pod.apps.iter().any(|app| retains(app, name) || (name == "CAP_SYS_RESOURCE" && is_spared(app)));
    ALL_CAPABILITIES.into_iter().filter(|name| TAKEN.contains(name) && needs(name)).collect()
}
