//! A tree as an EROFS file system in a file, made by mkfs.erofs(1) in a cage: it has a view of the tree and
//! one file to write to, and of the host nothing else but what programs need to run.
//!
//! The tree may be anybody's, so nothing on the host ever mounts the file.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_sys::capability::{self, Capabilities};
use rkt_sys::lock::Lock;
use rkt_sys::mount::{self, Attributes, Change, Depth, FileSystem, Propagation};
use rkt_sys::namespace::Namespace;
use rkt_sys::pidfd::Exit;
use rkt_sys::process;
use rkt_sys::root::Root;
use rkt_sys::spawn::Spawn;
use rustix::fs::Mode;
use rustix::process::{Resource, Signal};

use crate::failure::{Failure, on_one_line};

/// The program that makes file systems.
const MAKER: &str = "/usr/bin/mkfs.erofs";

/// What it needs to run.
const NEEDED: [&str; 4] = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache"];

/// The largest file that is made, in bytes.
const LARGEST: u64 = 256 << 30;

/// The most time of a processor that it takes, in seconds.
const LONGEST: u64 = 3600;

/// The file of a tree with these layers, topmost first, made if there is none. It is beside the topmost, and
/// goes with that.
pub(super) fn of(layers: &[PathBuf]) -> Result<PathBuf, Failure> {
    let [tree] = layers else {
        return Err(Failure::new("its image has several layers, of which none is made yet"));
    };
    let directory = tree.parent().ok_or_else(|| Failure::new("its tree is in no directory"))?;
    let made = directory.join("root.erofs");
    if made.is_file() {
        return Ok(made);
    }
    let failed = || format!("write {}", made.display());
    let home = File::open(directory).map_err(Failure::of(failed))?;
    // Whoever comes second waits, and finds it made.
    let _lock = Lock::exclusive(home.into()).map_err(Failure::of(failed))?;
    if made.is_file() {
        return Ok(made);
    }
    let fresh = made.with_extension("new");
    let file = File::create(&fresh).map_err(Failure::of(failed))?;
    let result = run(tree, &fresh).and_then(|()| file.sync_all().map_err(Failure::of(failed)));
    let result = result.and_then(|()| fs::rename(&fresh, &made).map_err(Failure::of(failed)));
    if result.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    result.map(|()| made)
}

fn run(tree: &Path, file: &Path) -> Result<(), Failure> {
    if !Path::new(MAKER).is_file() {
        return Err(Failure::new(format!("there is no {MAKER}: install erofs-utils")));
    }
    let kinds = [Namespace::Mount, Namespace::Pid, Namespace::Network, Namespace::Ipc, Namespace::Uts];
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Failure::of(|| "make a pipe"))?;
    let spawn = Spawn { namespaces: kinds.into_iter().collect(), cgroup: None };
    let child = spawn
        .run(|| {
            let Err(failure) = become_maker(tree, file, &write);
            let _ = rustix::io::write(&write, on_one_line(&failure).as_bytes());
            1
        })
        .map_err(Failure::of(|| "start mkfs.erofs"))?;
    drop(write);
    let mut said = String::new();
    let heard = std::io::Read::read_to_string(&mut std::io::Read::take(File::from(read), 4096), &mut said);
    let exit = child.process.wait().map_err(Failure::of(|| "wait for mkfs.erofs"))?;
    match exit {
        Exit::Code(0) => Ok(()),
        _ if heard.is_ok() && !said.is_empty() => {
            Err(Failure::new(format!("mkfs.erofs: {}", said.trim().replace('\n', "; "))))
        }
        other => Err(Failure::new(format!("mkfs.erofs ended with {other:?}"))),
    }
}

fn become_maker(tree: &Path, file: &Path, output: &OwnedFd) -> Result<Infallible, Failure> {
    process::set_parent_death_signal(Some(Signal::KILL)).map_err(Failure::of(|| "cage mkfs.erofs"))?;
    cage(tree, file).map_err(Failure::of(|| "cage mkfs.erofs"))?;
    let failed = |what: &'static str| move || what;
    rustix::stdio::dup2_stdout(output)
        .and_then(|()| rustix::stdio::dup2_stderr(output))
        .map_err(Failure::of(failed("say its output")))?;
    for (resource, most) in [(Resource::Fsize, LARGEST), (Resource::Cpu, LONGEST), (Resource::Core, 0)] {
        process::set_rlimit(resource, Some(most), Some(most)).map_err(Failure::of(failed("limit it")))?;
    }
    // Whatever the modes in the tree say, it reads all and changes nothing.
    let kept = Capabilities::DAC_READ_SEARCH;
    capability::limit_bounding_to(kept)
        .and_then(|()| capability::set(kept, kept, Capabilities::empty()))
        .map_err(Failure::of(failed("drop its rights")))?;
    process::set_no_new_privileges().map_err(Failure::of(failed("drop its rights")))?;
    process::close_on_exec_from(3).map_err(Failure::of(failed("close descriptors")))?;
    let words = [MAKER, "--quiet", "/file", "/tree"].map(|word| CString::new(word).unwrap_or_default());
    let words: Vec<_> = words.iter().map(CString::as_c_str).collect();
    process::exec(words[0], &words, &[]).map_err(Failure::of(failed("run mkfs.erofs")))
}

/// Makes this process's root one with the tree, the file and what programs need.
fn cage(tree: &Path, file: &Path) -> rkt_sys::Result<()> {
    mount::set_propagation_of_all(Propagation::Private)?;
    let tmpfs = FileSystem::new("tmpfs")?.option("mode", "0755")?.option("size", "64k")?;
    let mount = tmpfs.mount(Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV)?;
    let copy = |fd: &OwnedFd| fd.try_clone().map_err(|cause| rkt_sys::Error::new("dup", "a mount", cause));
    let top = Root::from_fd(copy(&mount)?)?;
    let read_only = Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOSUID;
    let binds = NEEDED.iter().map(|path| (Path::new(path), Path::new(path), true));
    for (from, to, is_read_only) in binds.chain([(tree, Path::new("/tree"), true), (file, Path::new("/file"), false)]) {
        if !from.exists() {
            continue;
        }
        let opened = rustix::fs::open(from, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, Mode::empty())
            .map_err(|cause| rkt_sys::Error::new("open", from.display(), cause))?;
        let bound = mount::clone_tree(opened.as_fd(), Depth::One)?;
        let set = if is_read_only { read_only } else { read_only & !Attributes::MOUNT_ATTR_RDONLY };
        mount::change(bound.as_fd(), Change { set, ..Change::default() }, Depth::One)?;
        if from.is_dir() {
            drop(top.create_dir_all(to, Mode::from_raw_mode(0o755))?);
        } else {
            if let Some(parent) = to.parent().filter(|parent| *parent != Path::new("/")) {
                drop(top.create_dir_all(parent, Mode::from_raw_mode(0o755))?);
            }
            drop(top.create_file(to, Mode::from_raw_mode(0o600))?);
        }
        mount::attach(bound.as_fd(), top.open_path(to)?.as_fd())?;
    }
    let host = Root::open(Path::new("/"))?;
    mount::attach(mount.as_fd(), host.as_fd())?;
    drop(host);
    mount::pivot_root(mount.as_fd())?;
    mount::change(mount.as_fd(), Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() }, Depth::One)
}
