//! Test machines: what the host of the tests cannot offer, in virtual machines made of Debian's packages.
//!
//! `runner` has control groups of version 2, all controllers, and no service manager: its first process
//! runs the tests. `systemd` has systemd as its first process, and the tests are a service. Each starts
//! once for all of its tests, in QEMU: by the host's processor where guests really run on it, else
//! emulated. A host without KVM, systemd or version 2 is no reason not to test.

mod image;
mod machine;
mod payload;
mod results;

use std::time::Duration;

use self::image::Image;
use self::machine::{Acceleration, Boot, Kernel};
use self::payload::Payload;
use self::results::Results;
use crate::shell::{Failure, say, step};
use crate::tree::Tree;

/// How long a machine may take from its start to its end, emulated on two busy processors.
const TIME_LIMIT: Duration = Duration::from_mins(10);

/// A kind of machine and the tests that run in it.
struct Machine {
    name: &'static str,
    /// Its first program; none: ours.
    init: Option<&'static str>,
    image: Image,
    jobs: &'static [Job],
}

/// A program of tests.
#[derive(Clone, Copy)]
struct Job {
    /// As cargo calls it, with the underscores of a crate's name.
    target: &'static str,
    /// Which of its tests do not run here, by parts of their names; beside each is why.
    skipped: &'static [&'static str],
}

impl Job {
    const fn all(target: &'static str) -> Self {
        Self { target, skipped: &[] }
    }
}

/// One of them reads rkt's own grants among the sources, which a machine does not have.
const E2E_NSPAWN: Job = Job { target: "e2e_nspawn", skipped: &["what_is_not_granted_is_named"] };

const MACHINES: [Machine; 2] = [
    Machine {
        name: "runner",
        init: None,
        image: Image { packages: &["busybox-static", "kmod", "mount", "systemd-container", "util-linux"], files: &[] },
        jobs: &[
            Job::all("cgroups"),
            Job::all("nspawn"),
            E2E_NSPAWN,
            Job::all("e2e_limits"),
            Job::all("e2e_inside"),
            // Emulated, so many plugins at once do not all plan in the time that one may take.
            Job { target: "e2e_life", skipped: &["sixty_four_pods_start_at_once"] },
        ],
    },
    Machine {
        name: "systemd",
        init: Some("/sbin/init"),
        image: Image {
            packages: &["busybox-static", "dbus", "kmod", "systemd-container", "systemd-sysv"],
            files: &[("etc/systemd/system/rkt-tests.service", SERVICE), ("etc/systemd/system/default.target", TARGET)],
        },
        jobs: &[Job::all("systemd"), Job::all("machined"), E2E_NSPAWN, Job::all("e2e_limits")],
    },
];

/// The tests, as a service. The machine ends with them.
const SERVICE: &str = "\
[Unit]
Description=The tests of rkt
Requires=dbus.socket
After=dbus.socket
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate

[Service]
ExecStart=/sbin/rkt-vm
";

/// What systemd starts: nothing beside the tests that would still begin while they look at what there is.
const TARGET: &str = "\
[Unit]
Description=A test machine of rkt
Requires=rkt-tests.service
";

/// Runs the tests of both machines, or those that are chosen: `[MACHINE [PROGRAM [FILTER…]]]`.
pub(crate) fn run(tree: &Tree, arguments: &[&str]) -> Result<(), Failure> {
    let (machine, chosen) = match arguments {
        [] => (None, None),
        [machine, rest @ ..] => (Some(*machine), rest.split_first()),
    };
    let machines: Vec<&Machine> =
        MACHINES.iter().filter(|known| machine.is_none_or(|name| name == known.name)).collect();
    if machines.is_empty() {
        let names = MACHINES.map(|known| known.name).join(" and ");
        return Err(Failure::new(format!("there is no such test machine; there are {names}")));
    }
    let kernel = step("the kernel of test machines", || Kernel::make(tree))?;
    let acceleration = step("whether guests run on this host's processor", || Ok(Acceleration::probe(tree, &kernel)))?;
    say(&format!("    {}", acceleration.name()));
    let programs = step("the tests for test machines, compiled", || payload::compile(tree))?;
    let runs = machines.into_iter().map(|machine| {
        let image =
            step(&format!("the image of `{}`", machine.name), || machine.image.make(tree, &kernel, machine.name))?;
        step(&format!("the tests in `{}`", machine.name), || {
            let payload = Payload::make(tree, machine, &programs, chosen)?;
            let mut results = Results::new(machine.name, payload.expected);
            let boot = Boot {
                name: machine.name,
                init: machine.init.unwrap_or(image::RUNNER),
                disks: &[&image, &payload.disk],
                limit: TIME_LIMIT,
            };
            let ended = boot.run(tree, &kernel, acceleration, &mut |line| {
                say(line);
                results.hear(line);
            });
            let passed = match (results.verdict(), ended) {
                (Err(verdict), Err(ended)) => return Err(Failure::new(format!("{verdict}\n{ended}"))),
                (verdict, ended) => ended.and(verdict)?,
            };
            say(&format!("    {passed} tests passed in `{}`", machine.name));
            Ok(())
        })
    });
    let failures: Vec<String> = runs.filter_map(Result::err).map(|failure| failure.to_string()).collect();
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\n"))) }
}
