use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};

use super::*;
use crate::pidfd::{Exit, reap_any};
use crate::spawn::Spawn;
use crate::testing::in_child;

const SHELL: &CStr = c"/bin/sh";

/// The exit code of a shell that ran `script`, started by `become_shell` in a child.
fn run_shell(become_shell: impl FnOnce(&[&CStr], &[&CStr]) -> Result<Infallible>, script: &CStr) -> Exit {
    let child = Spawn::default()
        .run(|| {
            let error = become_shell(&[c"sh", c"-c", script, c"zero", c"one two"], &[c"ANSWER=42"]).unwrap_err();
            i32::from(error.errno().is_some()) + 100
        })
        .unwrap();
    child.process.wait().unwrap()
}

fn descriptors() -> Vec<u32> {
    let listing = fs::read_dir("/proc/self/fd").unwrap();
    let mut numbers: Vec<u32> =
        listing.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    // The listing itself.
    numbers.retain(|number| fs::metadata(format!("/proc/self/fd/{number}")).is_ok());
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_program_gets_its_arguments_and_environment_and_no_others() {
    in_child(|| {
        let script = c"[ \"$0 $1\" = 'zero one two' ] && [ $# = 1 ] && [ -z \"$HOME$TMPDIR\" ] && exit $ANSWER";
        let by_path = |argv: &[&CStr], envp: &[&CStr]| exec(SHELL, argv, envp);
        assert_eq!(run_shell(by_path, script), Exit::Code(42));
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let shell = rustix::fs::open(SHELL, flags, rustix::fs::Mode::empty()).unwrap();
        let by_descriptor = |argv: &[&CStr], envp: &[&CStr]| exec_fd(shell.as_fd(), argv, envp);
        assert_eq!(run_shell(by_descriptor, script), Exit::Code(42));
    });
}

#[test]
fn a_program_that_is_not_there_is_an_error_that_names_it() {
    let error = exec(c"/no/such/program", &[c"x"], &[]).unwrap_err();
    assert_eq!(error.to_string(), "execve /no/such/program");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_program_finds_no_descriptor_but_the_first_three() {
    in_child(|| {
        let leak = |argv: &[&CStr], envp: &[&CStr]| {
            let (reader, _writer) = io::pipe().unwrap();
            // A descriptor that is not close-on-exec, as a careless library leaves one.
            let careless = rustix::io::fcntl_dupfd_cloexec(&reader, 700).unwrap();
            rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).unwrap();
            close_on_exec_from(3)?;
            exec(SHELL, argv, envp)
        };
        let script =
            c"for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2) ;; *) [ -e $fd ] && exit 1;; esac; done; exit 0";
        assert_eq!(run_shell(leak, script), Exit::Code(0));
    });
}

#[test]
fn only_the_descriptors_to_keep_stay_open() {
    in_child(|| {
        let open: Vec<OwnedFd> = (0..8).map(|_| rustix::io::fcntl_dupfd_cloexec(io::stdin(), 100).unwrap()).collect();
        let child = Spawn::default()
            .run(|| {
                close_all_but(&[open[6].as_fd(), open[2].as_fd(), open[3].as_fd(), open[2].as_fd()]).unwrap();
                let expected = [0, 1, 2].into_iter();
                let expected = expected.chain([2, 3, 6].map(|place: usize| open[place].as_raw_fd().cast_unsigned()));
                assert_eq!(descriptors(), expected.collect::<Vec<_>>());
                0
            })
            .unwrap();
        assert_eq!(child.process.wait().unwrap(), Exit::Code(0));
    });
}

#[test]
fn ids_and_groups_are_all_set_at_once() {
    in_child(|| {
        set_groups(&[Gid::from_raw(7), Gid::from_raw(9)]).unwrap();
        set_gid(Gid::from_raw(1234)).unwrap();
        set_uid(Uid::from_raw(4321)).unwrap();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        for line in ["Uid:\t4321\t4321\t4321\t4321", "Gid:\t1234\t1234\t1234\t1234", "Groups:\t7 9 "] {
            assert!(status.lines().any(|other| other == line), "{line:?} in {status}");
        }
        assert!(set_uid(Uid::ROOT).is_err());
    });
}

#[test]
fn a_child_dies_with_its_parent_and_the_orphan_goes_to_the_subreaper() {
    in_child(|| {
        become_child_subreaper().unwrap();
        let parent = Spawn::default()
            .run(|| {
                let (ready, tell) = io::pipe().unwrap();
                let orphan = Spawn::default().run(|| {
                    set_parent_death_signal(Some(Signal::KILL)).unwrap();
                    rustix::io::write(&tell, b"x").unwrap();
                    loop {
                        std::thread::park();
                    }
                });
                orphan.unwrap();
                rustix::io::read(&ready, &mut [0]).unwrap();
                0
            })
            .unwrap();
        assert_eq!(parent.process.wait().unwrap(), Exit::Code(0));
        loop {
            if let Some((pid, exit)) = reap_any().unwrap() {
                assert_ne!(pid, parent.pid);
                assert_eq!(exit, Exit::Signal(libc::SIGKILL));
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(reap_any().unwrap(), None);
    });
}

#[test]
fn a_process_that_is_not_dumpable_says_so_and_bears_its_name() {
    in_child(|| {
        set_dumpable(false).unwrap();
        set_name(c"a name that is cut").unwrap();
        set_no_new_privileges().unwrap();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(rustix::thread::name().unwrap().as_c_str(), c"a name that is ");
        assert!(rustix::thread::no_new_privs().unwrap());
    });
}

#[test]
fn a_resource_limit_is_the_kernels() {
    in_child(|| {
        set_rlimit(Resource::Nofile, Some(20), Some(30)).unwrap();
        let limit = rustix::process::getrlimit(Resource::Nofile);
        assert_eq!((limit.current, limit.maximum), (Some(20), Some(30)));
        assert!(set_rlimit(Resource::Nofile, Some(2), Some(1)).is_err());
    });
}
