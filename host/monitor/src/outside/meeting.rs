//! An init that a program outside of its jail starts: a process of this kernel, met on a socket in the program's
//! tree, and given there what was prepared for it, before anything of the pod runs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rkt_executor::outside::{Meeting, Met};
use rkt_executor::process::failed;
use rkt_executor::{Failure, Hold, Launch, Prepared};
use rkt_plan::CheckedPlan;
use rkt_sys::pidfd::PidFd;
use rkt_sys::socket;
use rustix::io::Errno;
use rustix::process::Pid;

use super::output::Outputs;
use crate::inside;

/// One that is awaited.
#[derive(Debug)]
pub(super) struct Awaited {
    meeting: Meeting,
    /// Its end of the connection on which it will speak.
    link: OwnedFd,
    /// What it is to start, and what is prepared of that.
    launch: OwnedFd,
    prepared: Prepared,
    outputs: Vec<inside::Output>,
}

/// One that has come.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) pid: Pid,
    pub(super) process: PidFd,
}

impl Awaited {
    /// Prepares what it will be given; with the number of the first app's output.
    pub(super) fn prepare(
        meeting: Meeting,
        link: OwnedFd,
        (launch, source): (&Launch, &OwnedFd),
        plan: &CheckedPlan,
        hold: &mut Hold,
        outputs: &mut Outputs,
    ) -> Result<(Self, usize), Failure> {
        let prepared = Prepared::apps_for_another(launch, plan, hold)?;
        let (voices, outputs) = outputs.add(&prepared)?;
        let launch = source.try_clone().map_err(failed("hand on what is to be started"))?;
        Ok((Self { meeting, link, launch, prepared, outputs }, voices))
    }

    /// Gives it what is its own where it has come; none: it has not.
    pub(super) fn advance(&self) -> Result<Option<Init>, Failure> {
        let Some(met) = self.meeting.accept()? else { return Ok(None) };
        match met.give_resource_limits() {
            // It is heard of by the end of the program.
            Err(_) if met.has_ended()? => return Ok(None),
            given => given?,
        }
        Ok(self.hand_over(&met)?.then_some(Init { pid: met.pid, process: met.process }))
    }

    /// Whether it was there to take it.
    fn hand_over(&self, met: &Met) -> Result<bool, Failure> {
        const WHAT: &str = "hand over to the init that the program has started";
        let mut descriptors = vec![self.link.as_fd(), self.launch.as_fd()];
        descriptors.extend(self.prepared.descriptors());
        descriptors.extend(self.outputs.iter().flat_map(inside::Output::descriptors));
        let shape = serde_json::to_vec(&self.prepared.shape()).map_err(failed(WHAT))?;
        // It has not read anything yet, and is not waited for.
        met.stream.set_nonblocking(true).map_err(failed(WHAT))?;
        match socket::send_parcel(met.stream.as_fd(), &descriptors, &shape) {
            Err(error) if matches!(error.errno(), Some(Errno::PIPE | Errno::CONNRESET)) => Ok(false),
            sent => sent.map(|()| true).map_err(failed(WHAT)),
        }
    }
}

/// Readable when somebody has come.
impl AsFd for Awaited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.meeting.as_fd()
    }
}
