//! How an init comes by what was prepared for it where it was not born of the process that prepared it: by copies of
//! descriptors, before anything of the pod runs.
//!
//! Which there are, and in which order, follows from the plan, which both sides check, and from the one thing that
//! it does not say: in which hierarchies an app's control groups are.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rkt_plan::{CheckedPlan, Jail, Mount, Namespace, User};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::hold::Hold;
use crate::launch::Launch;
use crate::order::{Making, Prepared, PreparedApp, node_name};
use crate::scaffold::{self, Base};
use crate::words::{bind, device, limit, seccomp};

/// What is handed over, as far as the plan does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Of each app, in the order of the pod: whether it has a version 2 group, and how many of version 1; none: it
    /// has no groups.
    groups: Vec<Option<(bool, usize)>>,
}

impl Prepared {
    /// A pod's apps, for an init that a program starts in namespaces of its own. Takes from the host what the plan
    /// names; what outlives processes is written down first.
    ///
    /// # Errors
    /// As for [`Prepared::apps_of`].
    pub fn apps_for_another(launch: &Launch, plan: &CheckedPlan, hold: &mut Hold) -> Result<Self, Failure> {
        let (scaffold, nodes) = scaffold::prepare()?;
        let mut making = Making { launch, nodes: Some(&nodes), hold, own_cgroup_namespace: true };
        let apps = plan
            .apps
            .iter()
            .map(|app| making.app_without_filter(app).map_err(|cause| cause.within(format!("app {}", app.name))));
        Ok(Self::inside(plan, scaffold, apps.collect::<Result<_, _>>()?))
    }

    /// The namespaces are there already; whose users are, the program has not changed.
    fn inside(plan: &CheckedPlan, scaffold: OwnedFd, apps: Vec<PreparedApp>) -> Self {
        let own = Namespace::ALL.into_iter().filter(|namespace| *namespace != Namespace::User).collect();
        Self {
            own,
            network: None,
            hostname: plan.hostname.clone(),
            group: None,
            scaffold: Some(scaffold),
            apps,
            meeting: None,
        }
    }

    /// What is to be said of the descriptors.
    pub fn shape(&self) -> Shape {
        Shape { groups: self.apps.iter().map(|app| app.limits.as_ref().map(limit::Place::shape)).collect() }
    }

    /// The same from copies of what [`Prepared::descriptors`] gives. More of them may follow, which are left.
    ///
    /// # Errors
    /// The plan is refused, or there are not as many as it says.
    pub fn of_descriptors(
        launch: &Launch,
        shape: &Shape,
        from: &mut impl Iterator<Item = OwnedFd>,
    ) -> Result<Self, Failure> {
        let plan = launch.check().map_err(|refusal| Failure::new(refusal.to_string()))?;
        if shape.groups.len() != plan.apps.len() {
            return Err(missing());
        }
        let scaffold = from.next().ok_or_else(missing)?;
        let mut apps: Vec<PreparedApp> = Vec::with_capacity(plan.apps.len());
        for (app, groups) in plan.apps.iter().zip(&shape.groups) {
            let same = apps.iter().find(|other| other.plan.seccomp == app.seccomp);
            let filter = match same {
                Some(same) => same.filter.clone(),
                None => app.seccomp.as_ref().map(seccomp::compile).transpose()?,
            };
            let taken = take(app, *groups, launch, from).map_err(|cause| cause.within(format!("app {}", app.name)))?;
            apps.push(PreparedApp { filter, ..taken });
        }
        Ok(Self::inside(&plan, scaffold, apps))
    }
}

/// One app, without its filter.
fn take(
    app: &Jail,
    groups: Option<(bool, usize)>,
    launch: &Launch,
    from: &mut impl Iterator<Item = OwnedFd>,
) -> Result<PreparedApp, Failure> {
    let User::Ids(user) = app.user.clone() else { return Err(Failure::new("an app has no user of its own")) };
    let uncommanded = || Failure::new("the launch has no command for it");
    let command = launch.commands.get(&app.name).ok_or_else(uncommanded)?.clone();
    if groups.is_none() && !app.limits.is_empty() {
        return Err(Failure::new("it has limits, and no control group came for it"));
    }
    let mut next = || from.next().ok_or_else(missing);
    let root = next()?;
    let mut binds = Vec::with_capacity(app.mounts.len());
    for mount in &app.mounts {
        binds.push(match mount {
            Mount::Bind { .. } => Some(bind::Bind::of_handed(next()?)?),
            Mount::FileSystem { .. } => None,
        });
    }
    let devices = app.devices.iter().enumerate();
    let devices = devices.map(|(index, path)| device::Device::named(path, node_name(app, index))).collect();
    let limits = match groups {
        None => None,
        Some((has_unified, lists)) => {
            let unified = has_unified.then(&mut next).transpose()?;
            let lists = (0..lists).map(|_| next()).collect::<Result<_, _>>()?;
            Some(limit::Place::of_descriptors(unified, lists))
        }
    };
    Ok(PreparedApp {
        plan: app.clone(),
        user,
        command,
        limits,
        own_cgroup_namespace: true,
        root,
        binds,
        devices,
        filter: None,
        files: Vec::new(),
        handles: Vec::new(),
        base: Base::Init,
        outside: None,
    })
}

fn missing() -> Failure {
    Failure::new("what was handed over is not what the plan says")
}

impl Prepared {
    /// Every descriptor in it, in the order in which they are handed over; for a process that closes all others too.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let scaffold = self.scaffold.iter().map(OwnedFd::as_fd);
        scaffold.chain(self.apps.iter().flat_map(PreparedApp::descriptors)).collect()
    }
}
