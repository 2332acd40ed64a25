//! What a plugin is told about its pod: `pods` in the contract.

use rkt_plan as plan;
use wasmtime::component::Resource;

use super::Session;
use super::bindings::rkt::plugin::pods::{
    Access, CapabilityChange, Credentials, Host, HostApp, HostPod, SeccompFilter, SeccompMode, VolumeMount,
};
use super::handles::{App, Pod};

impl Host for Session {}

impl HostPod for Session {
    fn uuid(&mut self, _: Resource<Pod>) -> wasmtime::Result<String> {
        Ok(self.pod().uuid.clone())
    }

    fn hostname(&mut self, _: Resource<Pod>) -> wasmtime::Result<String> {
        Ok(self.pod().hostname())
    }

    fn apps(&mut self, _: Resource<Pod>) -> wasmtime::Result<Vec<Resource<App>>> {
        Ok((0u32..).zip(&self.pod().apps).map(|(index, _)| Resource::new_own(index)).collect())
    }

    fn requests(&mut self, _: Resource<Pod>) -> wasmtime::Result<Vec<String>> {
        Ok(plan::requests(self.pod()).into_iter().map(|request| request.id).collect())
    }

    fn settings(&mut self, _: Resource<Pod>) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.pod().settings.clone().into_iter().collect())
    }

    fn drop(&mut self, _: Resource<Pod>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostApp for Session {
    fn name(&mut self, app: Resource<App>) -> wasmtime::Result<String> {
        Ok(self.app(&app).name.clone())
    }

    fn user(&mut self, app: Resource<App>) -> wasmtime::Result<Credentials> {
        let plan::Credentials { uid, gid, groups } = self.app(&app).user.value.clone();
        Ok(Credentials { uid, gid, groups })
    }

    fn root_access(&mut self, app: Resource<App>) -> wasmtime::Result<Access> {
        Ok(if self.app(&app).read_only_root.is_some() { Access::ReadOnly } else { Access::ReadWrite })
    }

    fn volumes(&mut self, app: Resource<App>) -> wasmtime::Result<Vec<VolumeMount>> {
        Ok(self.app(&app).volumes.iter().map(|asked| volume(&asked.value)).collect())
    }

    fn single_volumes(&mut self, app: Resource<App>) -> wasmtime::Result<Vec<String>> {
        Ok(self.app(&app).single_volumes().map(|wanted| wanted.target.to_string()).collect())
    }

    fn limits(&mut self, app: Resource<App>) -> wasmtime::Result<Vec<(String, u64)>> {
        Ok(self.app(&app).limits.iter().map(|(kind, asked)| (kind.name().to_owned(), asked.value)).collect())
    }

    fn capabilities(&mut self, app: Resource<App>) -> wasmtime::Result<Option<CapabilityChange>> {
        Ok(self.app(&app).capabilities.as_ref().map(|asked| match asked.value {
            plan::CapabilityChange::Retain(set) => CapabilityChange::Retain(set.into()),
            plan::CapabilityChange::Remove(set) => CapabilityChange::Remove(set.into()),
        }))
    }

    fn seccomp(&mut self, app: Resource<App>) -> wasmtime::Result<Option<SeccompFilter>> {
        Ok(self.app(&app).seccomp.as_ref().map(|asked| filter(&asked.value)))
    }

    fn no_new_privileges(&mut self, app: Resource<App>) -> wasmtime::Result<bool> {
        Ok(self.app(&app).no_new_privileges.is_some())
    }

    fn oom_score(&mut self, app: Resource<App>) -> wasmtime::Result<Option<i32>> {
        Ok(self.app(&app).oom_score.as_ref().map(|asked| asked.value.into()))
    }

    fn drop(&mut self, _: Resource<App>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl Session {
    fn app(&self, handle: &Resource<App>) -> &plan::App {
        self.pod().apps.get(handle.rep() as usize).expect("handles of apps are given out by `apps` only")
    }
}

fn volume(mount: &plan::VolumeMount) -> VolumeMount {
    let access = match mount.access {
        plan::Access::ReadOnly => Access::ReadOnly,
        plan::Access::ReadWrite => Access::ReadWrite,
    };
    VolumeMount { volume: mount.volume.clone(), target: mount.target.to_string(), access }
}

fn filter(filter: &plan::SeccompFilter) -> SeccompFilter {
    let mode = match filter.mode {
        plan::SeccompMode::Retain => SeccompMode::Retain,
        plan::SeccompMode::Remove => SeccompMode::Remove,
    };
    SeccompFilter { mode, calls: filter.calls.clone(), errno: filter.errno.clone() }
}
