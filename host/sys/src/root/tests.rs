use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A tree `root` beside a directory `outside` that nothing may reach.
struct Fixture {
    directory: tempfile::TempDir,
    root: Root,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/secret"), "secret").unwrap();
        let root = Root::open(&directory.path().join("root")).unwrap();
        Self { directory, root }
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.directory.path().join("root").join(path)
    }

    fn outside(&self, path: &str) -> PathBuf {
        self.directory.path().join("outside").join(path)
    }
}

fn mode() -> Mode {
    Mode::from(0o755)
}

#[test]
fn dot_dot_and_absolute_paths_stay_inside() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.inside("outside")).unwrap();
    fs::write(fixture.inside("outside/secret"), "ours").unwrap();
    for path in ["../outside/secret", "/../../outside/secret", "outside/../../outside/secret", "/outside/secret"] {
        let content = fixture.root.read_file(Path::new(path), 100).unwrap();
        assert_eq!(content, b"ours", "{path}");
    }
}

#[test]
fn links_are_followed_as_in_a_chroot() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.inside("outside")).unwrap();
    fs::write(fixture.inside("outside/secret"), "ours").unwrap();
    symlink("../../outside", fixture.inside("relative")).unwrap();
    symlink("/outside", fixture.inside("absolute")).unwrap();
    symlink(fixture.outside(""), fixture.inside("host")).unwrap();
    for path in ["relative/secret", "absolute/secret"] {
        let content = fixture.root.read_file(Path::new(path), 100).unwrap();
        assert_eq!(content, b"ours", "{path}");
    }
    let error = fixture.root.open_path(Path::new("host/secret")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::NOENT));
}

#[test]
fn magic_links_are_refused() {
    let root = Root::open(Path::new("/proc")).unwrap();
    for path in ["self/root", "self/cwd/x", "self/exe", "self/fd/0"] {
        let error = root.open_path(Path::new(path)).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::LOOP), "{path}");
    }
}

#[test]
fn a_path_with_a_nul_is_refused() {
    let fixture = Fixture::new();
    let path = Path::new(OsStr::from_bytes(b"a\0b"));
    assert!(fixture.root.open_path(path).is_err());
    assert!(fixture.root.create_dir(path, mode()).is_err());
    assert!(fixture.root.create_dir_all(path, mode()).is_err());
}

#[test]
fn a_name_to_act_on_is_never_dot_dot_empty_or_the_root() {
    let fixture = Fixture::new();
    for path in ["", "/", ".", "..", "a/..", "/.."] {
        assert!(fixture.root.open_parent(Path::new(path)).is_err(), "{path}");
    }
    fs::create_dir(fixture.inside("a")).unwrap();
    for path in ["b", "/b", "a/b", "a/b/", "a/../b", "../b", "./b"] {
        let (_, name) = fixture.root.open_parent(Path::new(path)).unwrap();
        assert_eq!(name, "b", "{path}");
    }
}

#[test]
fn only_regular_files_are_opened_and_none_is_waited_for() {
    let fixture = Fixture::new();
    let root = &fixture.root;
    let fifo = Path::new("fifo");
    let null = Path::new("null");
    root.mknod(fifo, FileType::Fifo, mode(), 0).unwrap();
    root.mknod(null, FileType::CharacterDevice, mode(), rustix::fs::makedev(1, 3)).unwrap();
    root.create_dir(Path::new("directory"), mode()).unwrap();
    root.symlink(fifo, Path::new("link")).unwrap();
    for path in ["fifo", "null", "directory", "link"] {
        let error = root.open_file(Path::new(path)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{path}");
        assert_eq!(error.to_string(), format!("open {path}"));
    }
}

#[test]
fn a_file_is_read_up_to_its_limit_and_not_beyond() {
    let fixture = Fixture::new();
    fs::write(fixture.inside("file"), "12345").unwrap();
    let file = Path::new("file");
    assert_eq!(fixture.root.read_file(file, 5).unwrap(), b"12345");
    assert!(fixture.root.read_file(file, 4).is_err());
    // Files of procfs say that they are empty.
    let proc = Root::open(Path::new("/proc")).unwrap();
    assert!(!proc.read_file(Path::new("self/status"), 1 << 20).unwrap().is_empty());
    assert!(proc.read_file(Path::new("self/status"), 10).is_err());
}

#[test]
fn directories_are_made_inside_whatever_the_links_say() {
    let fixture = Fixture::new();
    let create = |path: &str| fixture.root.create_dir_all(Path::new(path), mode());
    create("a/b/c").unwrap();
    create("/a/b/c").unwrap();
    assert!(fixture.inside("a/b/c").is_dir());

    symlink("/a", fixture.inside("link")).unwrap();
    create("link/d").unwrap();
    assert!(fixture.inside("a/d").is_dir());

    symlink(fixture.outside("new"), fixture.inside("dangling")).unwrap();
    assert!(create("dangling").is_err());
    assert!(create("dangling/e").is_err());
    assert!(create("new/../../x").is_err());
    assert!(!fixture.outside("new").exists());

    fs::write(fixture.inside("file"), "").unwrap();
    assert_eq!(create("file/f").unwrap_err().errno(), Some(Errno::NOTDIR));
}

#[test]
fn a_new_file_never_goes_through_what_is_there() {
    let fixture = Fixture::new();
    symlink(fixture.outside("secret"), fixture.inside("link")).unwrap();
    symlink("nothing", fixture.inside("dangling")).unwrap();
    for path in ["link", "dangling"] {
        let error = fixture.root.create_file(Path::new(path), mode()).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EXIST), "{path}");
    }
    assert_eq!(fs::read(fixture.outside("secret")).unwrap(), b"secret");
}

#[test]
fn links_themselves_can_be_looked_at_linked_renamed_and_removed() {
    let fixture = Fixture::new();
    let root = &fixture.root;
    let (link, other) = (Path::new("link"), Path::new("other"));
    root.symlink(Path::new("/nowhere"), link).unwrap();
    assert_eq!(root.read_link(link).unwrap(), Path::new("/nowhere"));
    let stat = root.stat_nofollow(link).unwrap();
    assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::Symlink);
    assert_eq!(root.stat(link).unwrap_err().errno(), Some(Errno::NOENT));
    root.link(link, other).unwrap();
    assert_eq!(root.stat_nofollow(other).unwrap().st_nlink, 2);
    root.remove_file(link).unwrap();
    root.rename(other, link, RenameFlags::NOREPLACE).unwrap();
    root.remove_tree(link).unwrap();
    assert!(root.stat_nofollow(link).is_err());
}

#[test]
fn descriptors_are_close_on_exec() {
    let fixture = Fixture::new();
    let file = fixture.root.create_file(Path::new("file"), mode()).unwrap();
    let path = fixture.root.open_path(Path::new("file")).unwrap();
    let (parent, _) = fixture.root.open_parent(Path::new("file")).unwrap();
    for fd in [fixture.root.as_fd(), file.as_fd(), path.as_fd(), parent.as_fd()] {
        let flags = rustix::io::fcntl_getfd(fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}

#[test]
fn no_race_of_links_and_directories_leads_outside() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.inside("real")).unwrap();
    fs::write(fixture.inside("real/secret"), "ours").unwrap();
    symlink(fixture.outside(""), fixture.inside("evil")).unwrap();
    fs::create_dir(fixture.inside("deep")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let directory = &fixture.root;
            while !stop.load(Ordering::Relaxed) {
                let (one, two) = (Path::new("real"), Path::new("evil"));
                directory.rename(one, two, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut resolved = 0;
        for _ in 0..20_000 {
            let found = fixture.root.read_file(Path::new("deep/../real/secret"), 100);
            match found {
                Ok(content) => {
                    assert_eq!(content, b"ours");
                    resolved += 1;
                }
                Err(error) => {
                    let expected = [Some(Errno::NOENT), Some(Errno::AGAIN)];
                    assert!(expected.contains(&error.errno()), "{error:?}");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(resolved > 0, "the race never let the right file through");
    });
}
