//! A program outside of its jail: it runs as root on the host, in a mount namespace of its own, where the tree is
//! that its arguments name, and in a control group of its own, by which all is found that it starts.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rkt_plan::CleanPath;
use rkt_sys::cgroup::{Group, Hierarchies, Layout};
use rkt_sys::mount::{self, Attributes, FileSystem, Propagation};
use rkt_sys::namespace::{self, Namespace, Namespaces};
use rkt_sys::pidfd::PidFd;
use rkt_sys::poll::{PollFd, PollFlags, poll};
use rkt_sys::root::Root;
use rkt_sys::{signal, socket};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, Resource};

use crate::assemble::enact_mounts;
use crate::confine;
use crate::failure::Failure;
use crate::hold::Hold;
use crate::launch::{Command, Launch};
use crate::order::{Jailed, Prepared, PreparedApp};
use crate::places::Parts;
use crate::program::{self, Program};
use crate::scaffold::Base;
use crate::words::{file, limit, link, read_only, root, user};

impl Prepared {
    /// A program outside of its jail, and where the init is met that it starts.
    pub(crate) fn program_outside(jailed: &Jailed<'_>, launch: &Launch, hold: &mut Hold) -> Result<Self, Failure> {
        let (program, number) = (jailed.program, jailed.number);
        let mut prepare = || {
            let (limits, group) = hold.of_program(number, &program.jail)?;
            let outside = Outside::prepare(number, &program.own_directories, launch)?;
            let command = program::command(jailed.role, program, launch, Some(outside.tree()?))?;
            let parts = Parts::with_limits(launch, &program.jail, root::bare()?, Some(limits))?;
            let meeting = jailed.socket.map(|path| Meeting::arrange(&parts.root, path, group)).transpose()?;
            let app = PreparedApp {
                plan: program.jail.clone(),
                user: user::ids(&program.jail.user, number)?,
                command,
                limits: parts.limits,
                own_cgroup_namespace: false,
                root: parts.root,
                binds: parts.binds,
                devices: Vec::new(),
                filter: None,
                files: vec![(jailed.role.clone(), program::open(&program.file, launch)?)],
                handles: program::handles(program, launch, jailed.channel)?,
                base: Base::Host(None),
                outside: Some(outside),
            };
            Ok((app, meeting))
        };
        let (app, meeting) = prepare().map_err(|cause: Failure| cause.within(jailed.role.to_string()))?;
        let (own, group) = (BTreeSet::new(), hold.group_of_init()?);
        Ok(Self { own, network: None, hostname: None, group, scaffold: None, apps: vec![app], meeting })
    }
}

/// What makes a program one that runs outside of its jail.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Where its tree is, for itself alone: a directory of the pod's.
    tree: PathBuf,
    /// Where it has directories of its own.
    own_directories: Vec<CleanPath>,
}

impl Outside {
    /// Makes the place for the tree of the pod's program with this number.
    pub(crate) fn prepare(number: usize, own_directories: &[CleanPath], launch: &Launch) -> Result<Self, Failure> {
        // No plan's empty place has such a name, which begins with a letter or digit.
        let tree = launch.places.empty.join(format!("-tree-{number}"));
        for directory in [&launch.places.empty, &tree] {
            match rustix::fs::mkdir(directory, Mode::from_raw_mode(0o750)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(cause) => return Err(Failure::of(|| format!("make {}", directory.display()))(cause)),
            }
        }
        Ok(Self { tree, own_directories: own_directories.to_vec() })
    }

    /// The path of its tree, as it sees it.
    pub(crate) fn tree(&self) -> Result<&str, Failure> {
        let text = self.tree.to_str();
        text.ok_or_else(|| Failure::new(format!("the path {} is no text, as an argument is", self.tree.display())))
    }

    /// Builds the tree in this process's mount namespace, of which the host sees nothing.
    pub(crate) fn assemble(&self, program: &PreparedApp) -> Result<(), Failure> {
        program.limits.as_ref().map_or(Ok(()), see_groups_from_the_top)?;
        mount::set_propagation_of_all(Propagation::Slave).map_err(Failure::of(|| "part from the host's mounts"))?;
        self.own_directories.iter().try_for_each(give_directory)?;
        let root = root::attach(program.root.as_fd(), &self.tree)?;
        file::make_all(&root, &program.plan)?;
        enact_mounts(&root, program)?;
        program.plan.links.iter().try_for_each(|made| link::enact(&root, made))?;
        program.plan.read_only.iter().try_for_each(|path| read_only::enact(&root, path))
    }
}

/// Parts from the first namespace of control groups of all, for one that shows the same, where all are of version 2.
/// Whoever mounts them in the first one sets anew how they work on the whole host (cgroups(7), `nsdelegate` and
/// others), and a program that makes containers mounts them. What a namespace shows begins at the group that its maker
/// is in, so this process is at the top meanwhile.
fn see_groups_from_the_top(place: &limit::Place) -> Result<(), Failure> {
    let hierarchies = Hierarchies::detect().map_err(Failure::of(|| "look at the host's control groups"))?;
    let Some(unified) = hierarchies.iter().next().filter(|_| hierarchies.layout() == Layout::V2) else {
        return Ok(());
    };
    // Only the first group of all lacks this file: elsewhere this is another namespace already.
    if unified.mount_point.join("cgroup.type").exists() {
        return Ok(());
    }
    let failed = || "part from the host's control groups";
    std::fs::write(unified.mount_point.join("cgroup.procs"), "0").map_err(Failure::of(failed))?;
    namespace::unshare(Namespaces::NONE.with(Namespace::Cgroup)).map_err(Failure::of(failed))?;
    place.enter_unified()
}

fn give_directory(path: &CleanPath) -> Result<(), Failure> {
    let give = || {
        let host = Root::open(Path::new("/"))?;
        let directory = host.create_dir_all(Path::new(path.as_str()), Mode::from_raw_mode(0o755))?;
        let tmpfs = FileSystem::new("tmpfs")?.option("mode", "0755")?.option("size", "16m")?;
        let own = tmpfs.mount(Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV)?;
        mount::attach(own.as_fd(), directory.as_fd())
    };
    give().map_err(|cause: rkt_sys::Error| Failure::of(|| format!("give it a directory of its own at {path}"))(cause))
}

/// Becomes the program, with all the rights of the calling process. `status` and `handles` are as for
/// [`confine::confine`].
pub(crate) fn run(
    app: &PreparedApp,
    command: &Command,
    handles: &[OwnedFd],
    status: &mut ManuallyDrop<OwnedFd>,
) -> Result<Infallible, Failure> {
    let file = confine::keep_descriptors(app, command, handles, status)?;
    rustix::process::chdir(c"/").map_err(Failure::of(|| "enter the host's root"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let program = Program::find(command, file).map_err(Failure::of_program)?;
    signal::reset().map_err(Failure::of(|| "reset signals"))?;
    Err(program.run().of_program())
}

/// Where an init is met that a program outside of its jail starts: a socket in the program's tree.
#[derive(Debug)]
pub struct Meeting {
    listener: UnixListener,
    /// All that the program starts is in it.
    group: Group,
}

/// An init that was met.
#[derive(Debug)]
pub struct Met {
    /// Its pid, as the caller sees it.
    pub pid: Pid,
    /// The process.
    pub process: PidFd,
    /// The connection to it.
    pub stream: UnixStream,
}

impl Meeting {
    /// Listens at a path of a tree that nobody else has in hands yet.
    pub(crate) fn arrange(tree: &OwnedFd, path: &CleanPath, group: Group) -> Result<Self, Failure> {
        let failed = || format!("make the socket {path}");
        let root = tree.try_clone().map_err(Failure::of(failed))?;
        let root = Root::from_fd(root).map_err(Failure::of(failed))?;
        let at = Path::new(path.as_str());
        let parent = at.parent().unwrap_or(Path::new("/"));
        if parent != Path::new("/") {
            root.create_dir_all(parent, Mode::from_raw_mode(0o755)).map_err(Failure::of(failed))?;
        }
        let directory = root.open_dir(parent).map_err(Failure::of(failed))?;
        let name = at.file_name().unwrap_or(OsStr::new(""));
        let listener = socket::listen(directory.as_fd(), name).map_err(Failure::of(failed))?;
        listener.set_nonblocking(true).map_err(Failure::of(failed))?;
        Ok(Self { listener, group })
    }

    /// Whoever has connected; none: nobody has. The kernel says who it is: only the first process of a pid namespace
    /// that the program has started, with namespaces of its own and root's rights, is an init.
    ///
    /// # Errors
    /// It is somebody else.
    pub fn accept(&self) -> Result<Option<Met>, Failure> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
            Err(cause) => return Err(Failure::of(|| "hear of the init that the program starts")(cause)),
        };
        let peer = socket::peer(&stream).map_err(Failure::of(|| "look who has connected"))?;
        let process = match PidFd::open(peer.pid) {
            // It has ended already: nobody is there.
            Err(error) if error.errno() == Some(Errno::SRCH) => return Ok(None),
            other => other.map_err(Failure::of(|| "look who has connected"))?,
        };
        match self.judge(peer.pid, peer.uid.is_root()) {
            Err(_) if has_ended(&process)? => return Ok(None),
            judged => judged.map_err(|cause| {
                cause.within("somebody else than the init that the program is to start has connected")
            })?,
        }
        Ok(Some(Met { pid: peer.pid, process, stream }))
    }

    fn judge(&self, pid: Pid, is_root: bool) -> Result<(), Failure> {
        let group = self.group.pids().map_err(Failure::of(|| "list what the program has started"))?;
        if !is_root || !group.contains(&pid) {
            return Err(Failure::new(format!("process {pid} is not the program's")));
        }
        let status = read(pid, "status")?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        if numbers.split_whitespace().last() != Some("1") {
            return Err(Failure::new(format!("process {pid} is not the first of its namespace")));
        }
        for kind in ["pid", "mnt", "net", "ipc", "uts"] {
            let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{kind}"));
            let failed = || format!("look at its {kind} namespace");
            let (own, its) =
                (of("self").map_err(Failure::of(failed))?, of(&pid.to_string()).map_err(Failure::of(failed))?);
            if own == its {
                return Err(Failure::new(format!("the program has left it in the host's {kind} namespace")));
            }
        }
        Ok(())
    }
}

impl Met {
    /// Whether it has ended meanwhile.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn has_ended(&self) -> Result<bool, Failure> {
        has_ended(&self.process)
    }

    /// Gives it this process's limits of resources, which all that it starts inherits: as everywhere they are the
    /// caller's, whatever the program thinks of them.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn give_resource_limits(&self) -> Result<(), Failure> {
        const ALL: [Resource; 16] = [
            Resource::As,
            Resource::Core,
            Resource::Cpu,
            Resource::Data,
            Resource::Fsize,
            Resource::Locks,
            Resource::Memlock,
            Resource::Msgqueue,
            Resource::Nice,
            Resource::Nofile,
            Resource::Nproc,
            Resource::Rss,
            Resource::Rtprio,
            Resource::Rttime,
            Resource::Sigpending,
            Resource::Stack,
        ];
        for resource in ALL {
            let own = rustix::process::getrlimit(resource);
            rustix::process::prlimit(Some(self.pid), resource, own)
                .map_err(Failure::of(|| format!("limit {resource:?} of the pod's init")))?;
        }
        Ok(())
    }
}

fn has_ended(process: &PidFd) -> Result<bool, Failure> {
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(Duration::ZERO));
    ended.map(|ended| ended > 0).map_err(Failure::of(|| "look who has connected"))
}

fn read(pid: Pid, name: &str) -> Result<String, Failure> {
    let path = format!("/proc/{pid}/{name}");
    std::fs::read_to_string(&path).map_err(Failure::of(|| format!("read {path}")))
}

/// Readable when somebody is there.
impl AsFd for Meeting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
