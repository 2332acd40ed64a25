//! Volumes: virtiofsd serves all of them to the guest as one file system, from a jail in which it sees nothing
//! else. It acts as the guest's users there, so it is root with the rights that this takes, and no others.
//!
//! No name of a volume is in an argument or a path: they are numbered, in the order in which apps name them,
//! as rkt's init in the guest looks for them.

use rkt_sdk::{Access, Credentials, Plan, Pod, Reach, empty, host, volume};

/// The program.
pub(crate) const SERVER: &str = "/usr/lib/qemu/virtiofsd";

/// What init looks for, and what else is named after it.
pub(crate) const TAG: &str = "volumes";

/// The directory of the socket by which the machine reaches the server, in the jails of both.
pub(crate) const MEETING: &str = "/run/volumes";

/// The socket.
pub(crate) const SOCKET: &str = "/run/volumes/socket";

/// What acting as other users on files takes, and shutting itself in.
const CAPABILITIES: [&str; 10] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_MKNOD",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// A volume as far as the apps of the pod want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served<'a> {
    name: &'a str,
    access: Access,
    reach: Reach,
}

/// The pod's volumes, each with the widest access and reach that an app has, by their numbers.
pub(crate) fn of(pod: &Pod) -> Vec<Served<'_>> {
    let mut volumes: Vec<Served<'_>> = Vec::new();
    for wanted in pod.apps.iter().flat_map(|app| &app.volumes) {
        let Some(known) = volumes.iter_mut().find(|known| known.name == wanted.volume) else {
            volumes.push(Served { name: &wanted.volume, access: wanted.access, reach: wanted.reach });
            continue;
        };
        if wanted.access == Access::ReadWrite {
            known.access = Access::ReadWrite;
        }
        if wanted.reach == Reach::Recursive {
            known.reach = Reach::Recursive;
        }
    }
    volumes
}

/// The helper that serves them.
pub(crate) fn serve(plan: &mut Plan, volumes: &[Served<'_>]) {
    let mut server = plan.helper(TAG, host(SERVER));
    server.arguments(["-f", "--socket-path=/run/volumes/socket", "--rlimit-nofile=0"]);
    server.arguments(["-o", "source=/volumes,sandbox=chroot,xattr,cache=auto"]);
    server.ready_when(SOCKET);
    let mut jail = server.jail();
    jail.user(&Credentials::default()).capabilities(CAPABILITIES).no_new_privileges();
    jail.bind(host("/usr"), "/usr", Access::ReadOnly, Reach::Single);
    jail.link("/lib", "usr/lib").link("/lib64", "usr/lib64");
    // It reaches files by its own descriptors, and notes there that it runs.
    jail.mount("proc", "/proc", &["noexec"]).mount("tmpfs", "/var", &["mode=0700", "size=64k", "noexec"]);
    jail.bind(empty(TAG), MEETING, Access::ReadWrite, Reach::Single);
    for (number, served) in volumes.iter().enumerate() {
        jail.bind(volume(served.name), &format!("/volumes/{number}"), served.access, served.reach);
    }
}
