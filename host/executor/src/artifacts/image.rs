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

/// Those that it has of its own.
const NAMESPACES: [Namespace; 5] =
    [Namespace::Mount, Namespace::Pid, Namespace::Network, Namespace::Ipc, Namespace::Uts];

/// The largest file that is made, in bytes.
const LARGEST: u64 = 256 << 30;

/// The most time of a processor that it takes, in seconds.
const LONGEST: u64 = 3600;

/// The file of a tree with these layers, topmost first, made if there is none. It is beside the topmost, and
/// goes with that.
pub(super) fn of(layers: &[PathBuf]) -> Result<PathBuf, Failure> {
    let [tree] = layers else {
        return Err(Failure::new("its image has several layers, and is made of one tree"));
    };
    let directory = tree.parent().ok_or_else(|| Failure::new("its tree is in no directory"))?;
    let made = directory.join("root.erofs");
    if made.is_file() {
        return Ok(made);
    }
    let failed = || format!("write {}", made.display());
    // Whoever comes second waits, and finds it made. The directory itself is locked by who uses the image.
    let opened = File::open(tree).map_err(Failure::of(failed))?;
    let _lock = Lock::exclusive(opened.into()).map_err(Failure::of(failed))?;
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
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Failure::of(|| "make a pipe"))?;
    let child = Spawn { namespaces: NAMESPACES.into_iter().collect(), cgroup: None }
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
    confine(tree, file, output)?;
    let words = [MAKER, "--quiet", "/file", "/tree"].map(|word| CString::new(word).unwrap_or_default());
    let words: Vec<_> = words.iter().map(CString::as_c_str).collect();
    process::exec(words[0], &words, &[]).map_err(Failure::of(|| "run mkfs.erofs"))
}

/// Leaves this process with nothing but what the maker needs.
fn confine(tree: &Path, file: &Path, output: &OwnedFd) -> Result<(), Failure> {
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
    process::close_on_exec_from(3).map_err(Failure::of(failed("close descriptors")))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use rkt_sys::testing::in_child;

    use super::*;

    const SECRET: &str = "what is beside the tree and in no image";

    /// A directory with a tree, and beside it something that is nobody's business.
    fn home() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(home.path().join("secret"), SECRET).unwrap();
        (home, tree)
    }

    fn has(file: &Path, text: &str) -> bool {
        fs::read(file).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn whatever_is_in_a_tree_its_image_has_that_and_nothing_from_beside_it() {
        let (home, tree) = home();
        let secret = home.path().join("secret");
        let names = ["-oX", "--help", "a\nb", "\u{1b}]0;title\u{7}", " ", "\u{202e}", &"x".repeat(254)];
        for (number, name) in names.iter().enumerate() {
            fs::write(tree.join(name), format!("content {number}")).unwrap();
        }
        symlink(&secret, tree.join("absolute")).unwrap();
        symlink("../secret", tree.join("relative")).unwrap();
        symlink("/proc/self/root/etc/passwd", tree.join("magic")).unwrap();
        symlink("loop", tree.join("loop")).unwrap();
        symlink("..", tree.join("up")).unwrap();
        fs::hard_link(tree.join("-oX"), tree.join("again")).unwrap();
        let locked = tree.join("locked");
        fs::write(&locked, "for nobody").unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        let _socket = UnixListener::bind(tree.join("socket")).unwrap();
        // Neither is ever opened: the one would block, and the other never end.
        let node = |name: &str, kind, device| {
            rustix::fs::mknodat(rustix::fs::CWD, tree.join(name), kind, Mode::RUSR, device).unwrap();
        };
        node("pipe", rustix::fs::FileType::Fifo, 0);
        node("zero", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 5));

        let layers = [tree];
        in_child(|| drop(of(&layers).unwrap()));
        let made = home.path().join("root.erofs");
        for text in ["content 0", "content 6", "for nobody", secret.to_str().unwrap()] {
            assert!(has(&made, text), "{text}");
        }
        assert!(!has(&made, SECRET) && !has(&made, "root:x:0:0"));
        let checked = Command::new("/usr/bin/fsck.erofs").arg(&made).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        // It is made once, and nothing else is.
        let when = fs::metadata(&made).unwrap().modified().unwrap();
        assert_eq!(fs::metadata(of(&layers).unwrap()).unwrap().modified().unwrap(), when);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_tree_of_which_no_image_can_be_made_leaves_nothing() {
        let (home, tree) = home();
        // Deeper than a path can say.
        let name = "\u{1b}[2J".repeat(50);
        let mut inner = File::open(&tree).unwrap();
        for _ in 0..40 {
            rustix::fs::mkdirat(&inner, &name, Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
            inner = rustix::fs::openat(&inner, &name, flags, Mode::empty()).unwrap().into();
        }
        in_child(|| {
            let failure = of(&[tree]).unwrap_err().to_string();
            assert!(failure.starts_with("mkfs.erofs: ") && failure.lines().count() == 1, "{failure}");
        });
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }

    #[test]
    fn whoever_takes_the_maker_over_has_the_tree_and_its_file_and_nothing_else() {
        let (home, tree) = home();
        fs::write(tree.join("file"), "x").unwrap();
        let file = home.path().join("made");
        File::create(&file).unwrap();
        let null = OwnedFd::from(File::options().write(true).open("/dev/null").unwrap());
        let taken_over = || {
            if confine(&tree, &file, &null).is_err() {
                return 99;
            }
            let seen: Vec<_> = fs::read_dir("/").into_iter().flatten().flatten().map(|it| it.file_name()).collect();
            let is_known = |name: &std::ffi::OsString| {
                ["usr", "lib", "lib64", "etc", "tree", "file"].iter().any(|known| name == *known)
            };
            let claims = [
                !seen.is_empty() && seen.iter().all(is_known),
                fs::read("/etc/passwd").is_err() && fs::read_dir("/etc").is_ok_and(|etc| etc.count() <= 1),
                fs::read("/tree/../secret").is_err(),
                fs::write("/tree/file", "y").is_err() && fs::write("/tree/new", "y").is_err(),
                fs::remove_file("/tree/file").is_err(),
                fs::write("/usr/bin/new", "y").is_err() && fs::write("/new", "y").is_err(),
                FileSystem::new("proc").and_then(|proc| proc.mount(Attributes::empty())).is_err(),
                mount::set_propagation_of_all(Propagation::Shared).is_err(),
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(1)).is_err(),
                rustix::process::getpid().is_init(),
                std::net::TcpListener::bind("127.0.0.1:0").is_err()
                    || std::net::TcpStream::connect("127.0.0.1:9").is_err(),
                fs::read("/tree/file").is_ok_and(|content| content == b"x"),
                fs::write("/file", "made").is_ok(),
            ];
            claims.iter().position(|holds| !holds).map_or(0, |number| i32::try_from(number).unwrap_or(98) + 1)
        };
        let spawn = Spawn { namespaces: NAMESPACES.into_iter().collect(), cgroup: None };
        in_child(|| assert_eq!(spawn.run(taken_over).unwrap().process.wait().unwrap(), Exit::Code(0)));
        assert_eq!(fs::read_to_string(&file).unwrap(), "made");
    }
}
