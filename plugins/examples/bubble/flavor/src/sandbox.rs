//! The program, its jail, and the arguments from which it makes the sandbox.

use rkt_sdk::{
    Access, App, Piece, Plan, Pod, Program, Reach, SeccompFilter, SeccompMode, empty, host, payload, root_of, volume,
};

use crate::{AGENT, SOCKET};

pub(crate) const BUBBLEWRAP: &str = "/usr/bin/bwrap";

/// Calls by which bubblewrap makes a sandbox, beyond those of an ordinary program. The app may make
/// them too, but has no capability with which they would do anything.
const TO_MAKE_A_SANDBOX: [&str; 6] = ["clone", "mount", "pivot_root", "sethostname", "umount2", "unshare"];

const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Plans the sandbox of the pod's only app.
pub(crate) fn plan(plan: &mut Plan, pod: &Pod, app: &App) {
    let mut program = plan.program(host(BUBBLEWRAP));
    plan_jail(&mut program, app);
    program.environment_of(&app.name);
    program.arguments([
        // By name, since --disable-userns wants it so.
        "--unshare-user",
        "--unshare-all",
        "--disable-userns",
        "--die-with-parent",
        // The agent is the first process inside, and takes up those that lose their parents.
        "--as-pid-1",
        "--uid",
        &app.user.uid.to_string(),
        "--gid",
        &app.user.gid.to_string(),
        "--hostname",
        &pod.hostname,
        bind(app.root_access),
        "/app",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]);
    for (index, wanted) in app.volumes.iter().enumerate() {
        program.arguments([bind(wanted.access), &volume_at(index), &wanted.target]);
    }
    // Last, so that no volume hides them; in /dev, which bubblewrap makes and no image has to have.
    program.arguments(["--ro-bind", "/bubble/agent", "/dev/bubble/agent"]);
    program.arguments(["--bind", "/bubble/control", "/dev/bubble/control"]);
    program.arguments(["--bind", "/bubble/lease", "/dev/bubble/lease"]);
    program.argument("--chdir").argument(Piece::WorkingDirectory(app.name.clone()));
    program.arguments(["--", "/dev/bubble/agent", "inside", "/dev/bubble/control/socket", "--"]);
    program.argument(Piece::Command(app.name.clone()));
}

/// What bubblewrap needs for itself, and what it hands on.
fn plan_jail(program: &mut Program<'_>, app: &App) {
    let mut jail = program.jail();
    jail.bind(host("/usr"), "/usr", Access::ReadOnly, Reach::Recursive);
    for directory in ["bin", "lib", "lib64", "sbin"] {
        jail.link(&format!("/{directory}"), &format!("usr/{directory}"));
    }
    // Whole, since the kernel lets nobody mount another procfs who cannot see all of one.
    jail.mount("proc", "/proc", &[]);
    // Where bubblewrap puts its new root together.
    jail.directory("/tmp", 0o755);
    for device in DEVICES {
        jail.device(device);
    }
    jail.bind(root_of(&app.name), "/app", app.root_access, Reach::Recursive);
    for (index, wanted) in app.volumes.iter().enumerate() {
        jail.bind(volume(&wanted.volume), &volume_at(index), wanted.access, wanted.reach);
    }
    if app.root_access == Access::ReadWrite {
        plan_mount_points(&mut jail, app);
    }
    jail.bind(payload(AGENT), "/bubble/agent", Access::ReadOnly, Reach::Single);
    jail.bind(empty("control"), parent(SOCKET), Access::ReadWrite, Reach::Single);
    jail.bind(empty("lease"), "/bubble/lease", Access::ReadWrite, Reach::Single);
    jail.own_user().no_new_privileges().limits(app);
    let calls = ["@default"].iter().chain(&TO_MAKE_A_SANDBOX).map(|call| (*call).to_owned()).collect();
    jail.seccomp(&SeccompFilter { mode: SeccompMode::Retain, calls, errno: None });
}

/// The image's files are root's, so bubblewrap can make no directory among them. The host can, for what
/// it mounts itself: of what is mounted here only the place is wanted, and bubblewrap mounts over it.
fn plan_mount_points(jail: &mut rkt_sdk::Jail<'_>, app: &App) {
    for path in ["/proc", "/dev"] {
        if !app.has_volume_at(path) {
            jail.mount("tmpfs", &format!("/app{path}"), &[]);
        }
    }
    for wanted in &app.volumes {
        jail.bind(volume(&wanted.volume), &format!("/app{}", wanted.target), wanted.access, wanted.reach);
    }
}

fn bind(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "--bind",
        Access::ReadOnly => "--ro-bind",
    }
}

fn volume_at(index: usize) -> String {
    format!("/volumes/{index}")
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("/", |(parent, _)| parent)
}
