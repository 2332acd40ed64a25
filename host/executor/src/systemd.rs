//! What is asked of systemd, where it is the host's first process: a scope for a pod's processes, and
//! its end (org.freedesktop.systemd1(5)).
//!
//! Only pods with limits ask for anything, and only where their caller's unit is not theirs to divide.

use std::path::Path;

use rustix::process::{Pid, Signal};

use self::bus::{Bus, Trouble};
use self::message::{Object, Reader, Values};
use crate::failure::Failure;

mod bus;
mod message;

const MANAGER: Object = Object {
    name: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// What the bus is to hand on: the ends of the manager's jobs.
const ENDS_OF_JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// How long systemd waits for a scope's processes to end before it kills them, in microseconds: as long
/// as apps have to end when a pod is stopped.
const STOP_PATIENCE: u64 = 10_000_000;

/// Whether systemd is the first process (sd_booted(3)) and there is a bus to ask it by.
pub(crate) fn can_be_asked() -> bool {
    Path::new("/run/systemd/system").is_dir() && Path::new(bus::SOCKET).exists()
}

/// Makes a scope, whose control group is the caller's to divide, and moves a process there.
pub(crate) fn start_scope(scope: &str, process: Pid) -> Result<(), Failure> {
    let start = || {
        let mut bus = Bus::open(ENDS_OF_JOBS)?;
        let mut arguments = Values::new("ssa(sv)a(sa(sv))");
        arguments.text(scope).text("fail");
        arguments.list(8, |properties| {
            properties.structure().text("Description").variant("s").text("A pod of rkt");
            let pids = properties.structure().text("PIDs").variant("au");
            pids.list(4, |pids| {
                pids.number(process.as_raw_pid().cast_unsigned());
            });
            properties.structure().text("Delegate").variant("b").number(1);
            // An app that was killed is the pod's affair, and no reason for a unit to stay.
            properties.structure().text("CollectMode").variant("s").text("inactive-or-failed");
            properties.structure().text("TimeoutStopUSec").variant("t").number64(STOP_PATIENCE);
        });
        arguments.list(8, |_no_other_units| {});
        let job = bus.call(MANAGER, "StartTransientUnit", &arguments)?;
        wait(&mut bus, job)
    };
    start().map_err(Failure::of(|| format!("have systemd start {scope}")))
}

/// Ends all that runs in a scope, and the scope. One that is not there is no failure.
pub(crate) fn stop_scope(scope: &str) -> Result<(), Failure> {
    let stop = || {
        let mut bus = Bus::open(ENDS_OF_JOBS)?;
        let mut kill = Values::new("ssi");
        kill.text(scope).text("all").number(Signal::KILL.as_raw().cast_unsigned());
        match bus.call(MANAGER, "KillUnit", &kill) {
            // Refused where nothing runs there any more.
            Ok(_) | Err(Trouble::Refused { .. }) => {}
            Err(trouble) => return Err(trouble),
        }
        let mut stop = Values::new("ss");
        stop.text(scope).text("replace");
        match bus.call(MANAGER, "StopUnit", &stop) {
            Ok(job) => wait(&mut bus, job),
            Err(Trouble::Refused { name, .. }) if name == NO_SUCH_UNIT => Ok(()),
            Err(trouble) => Err(trouble),
        }
    };
    stop().map_err(Failure::of(|| format!("have systemd stop {scope}")))
}

/// Waits for the end of a job: until then nothing has happened but that it was noted.
fn wait(bus: &mut Bus, mut job: Reader) -> Result<(), Trouble> {
    let job = job.text()?;
    loop {
        let mut ended = bus.signal("JobRemoved")?;
        let (_number, path, _unit, result) = (ended.number()?, ended.text()?, ended.text()?, ended.text()?);
        if path == job {
            return match result.as_str() {
                "done" => Ok(()),
                _ => Err(Trouble::Refused { name: result, text: String::new() }),
            };
        }
    }
}
