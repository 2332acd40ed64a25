//! The files that the monitor writes in the pod's directory, where rkt has always had them.

use std::os::fd::OwnedFd;
use std::path::Path;

use rkt_executor::Failure;
use rkt_executor::process::failed;
use rkt_monitor::message::{STAGED, STAGED_FILES};
use rkt_sys::root::Root;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

/// What the supervisor says of the pod; its apps' codes are in [`STATUS`].
const SUPERVISOR: &str = "stage1/rootfs/rkt";

/// A file for each app that has ended: its code as decimal text. `APP-started` is the moment at which
/// an app's program was run, by its time of change.
const STATUS: &str = "stage1/rootfs/rkt/status";

#[derive(Debug)]
pub(crate) struct Record {
    pod: OwnedFd,
    supervisor: OwnedFd,
    status: OwnedFd,
}

impl Record {
    /// Says who runs the pod: `pid` is init, `ppid` this process.
    pub(crate) fn begin(pod: &OwnedFd, init: Pid) -> Result<Self, Failure> {
        const WHAT: &str = "write into the pod's directory";
        let root = pod.try_clone().map_err(failed(WHAT))?;
        let root = Root::from_fd(root).map_err(failed(WHAT))?;
        let mode = Mode::from_raw_mode(0o750);
        let status = root.create_dir_all(Path::new(STATUS), mode).map_err(failed(WHAT))?;
        let supervisor = root.open_path(Path::new(SUPERVISOR)).map_err(failed(WHAT))?;
        write(pod, "ppid", &rustix::process::getpid().to_string()).map_err(failed(WHAT))?;
        write(pod, "pid", &init.to_string()).map_err(failed(WHAT))?;
        let pod = pod.try_clone().map_err(failed(WHAT))?;
        Ok(Self { pod, supervisor, status })
    }

    /// Init is another process than was known at first.
    pub(crate) fn init(&self, pid: Pid) -> Result<(), Failure> {
        const WHAT: &str = "write down who init is";
        write(&self.pod, "pid.new", &pid.to_string()).map_err(failed(WHAT))?;
        rustix::fs::renameat(&self.pod, "pid.new", &self.pod, "pid").map_err(failed(WHAT))
    }

    /// An app's program was run.
    pub(crate) fn app_started(&self, app: &str) -> Result<(), Failure> {
        write(&self.status, &format!("{app}-started"), "").map_err(failed("write down the start of an app"))
    }

    /// All apps were started. Whether that is news: it was not so before.
    pub(crate) fn ready(&self) -> Result<bool, Failure> {
        match rustix::fs::symlinkat("ready", &self.supervisor, "supervisor-status") {
            Err(Errno::EXIST) => Ok(false),
            other => other.map(|()| true).map_err(failed("write down that the pod is ready")),
        }
    }

    /// An app has ended.
    pub(crate) fn app_ended(&self, app: &str, code: i32) -> Result<(), Failure> {
        write(&self.status, app, &code.to_string()).map_err(failed("write down the end of an app"))
    }
}

impl Record {
    /// An app comes that may have the name of one that went: what was written down of that is not of this.
    pub(crate) fn forget_app(&self, app: &str) -> Result<(), Failure> {
        for name in [app.to_owned(), format!("{app}-started")] {
            match rustix::fs::unlinkat(&self.status, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(cause) => return Err(failed("forget an app of the same name")(cause)),
            }
        }
        Ok(())
    }

    /// What is staged of the pod as it is to be takes its place. Whoever reads meanwhile, and whatever ends this
    /// process between the two, finds a record that has every app of the manifest.
    pub(crate) fn commit(&self, grows: bool) -> Result<(), Failure> {
        let [record, manifest] = STAGED_FILES;
        for name in if grows { [record, manifest] } else { [manifest, record] } {
            rustix::fs::renameat(&self.pod, format!("{STAGED}/{name}"), &self.pod, name)
                .map_err(failed("write down what the pod has become"))?;
        }
        Ok(())
    }
}

/// Readers see no file or a whole one: one write of a few bytes makes it.
fn write(directory: &OwnedFd, name: &str, text: &str) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644))?;
    rustix::io::write(&file, text.as_bytes()).map(drop)
}
