//! What a pod has on the host beside its processes: its journal, and its control groups where it has
//! limits.

use std::os::fd::{AsFd, OwnedFd};

use rkt_plan::{CheckedPlan, Jail};
use rkt_sys::cgroup::Group;
use rustix::process::Pid;

use crate::failure::Failure;
use crate::groups::PodGroups;
use crate::journal::Journal;
use crate::words::limit;

/// A pod's hold on the host, while it is started, or while an app comes to it.
#[derive(Debug)]
pub struct Hold {
    pub(crate) journal: Journal,
    groups: Option<PodGroups>,
}

impl Hold {
    /// That of the pod in this directory. Where it has control groups, their place is made
    /// ready; that is written down first.
    ///
    /// # Errors
    /// The place cannot be made.
    pub fn take(pod: impl AsFd, uuid: &str, plan: &CheckedPlan) -> Result<Self, Failure> {
        let mut journal = Journal::open(pod)?;
        let groups = plan.has_groups().then(|| PodGroups::make(uuid, &mut journal)).transpose()?;
        Ok(Self { journal, groups })
    }

    /// That of the pod in this directory, which runs, and whose init this is, for an app that comes to it. Where
    /// the app is the first with limits, the place of control groups is made ready; that is written down first.
    ///
    /// # Errors
    /// The place cannot be found or made.
    pub fn of_running(pod: impl AsFd, uuid: &str, init: Pid, app: &Jail) -> Result<Self, Failure> {
        let mut journal = Journal::open(pod)?;
        let has_limits = !app.limits.is_empty();
        let groups = has_limits.then(|| PodGroups::of_running(uuid, init, &mut journal)).transpose()?;
        Ok(Self { journal, groups })
    }

    /// The control group that first processes are born into; none: their parent's.
    pub(crate) fn group_of_init(&self) -> Result<Option<OwnedFd>, Failure> {
        let group = self.groups.as_ref().and_then(PodGroups::of_init);
        let copy = group.map(|group| group.try_clone_to_owned());
        copy.transpose().map_err(Failure::of(|| "copy a descriptor"))
    }

    /// The group of an app or a program that has limits.
    pub(crate) fn limit(&mut self, jail: &Jail) -> Result<Option<limit::Place>, Failure> {
        match &self.groups {
            Some(groups) if !jail.limits.is_empty() => limit::Place::make(groups, jail, &mut self.journal).map(Some),
            _ => Ok(None),
        }
    }

    /// The group of a program outside of its jail, with its limits where it has any: for its first process, and to
    /// know what it starts.
    pub(crate) fn of_program(&mut self, number: usize, jail: &Jail) -> Result<(limit::Place, Group), Failure> {
        let groups = self.groups.as_ref().ok_or_else(|| Failure::new("the plan has no control groups"))?;
        limit::Place::of_program(groups, number, jail, &mut self.journal)
    }
}
