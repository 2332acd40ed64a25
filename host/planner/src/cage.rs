//! The cage in which foreign code is run and compiled: a process that has given up everything it can.
//!
//! What is left is memory, the descriptors it was started with, and the few calls that a computation
//! needs. A program that breaks out of the engine inside finds no user, no group, no capability, no
//! file system, no network and no other process.

use std::error::Error;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rkt_sys::{capability, process};
use rustix::process::{Gid, Resource, Uid, geteuid, getpid};

mod calls;

/// The first of the users that cages run as; each adds its process id, which is below 2²². No
/// distribution gives out ids of this range: systemd's end at 1879048191, and 2147483647 is the last
/// that every program can print.
const FIRST_USER: u32 = 0x7fc0_0000;

/// The kernel's user for ids that have no meaning (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65534;

/// Where the loader of native code finds libraries (ld.so(8)), and its list of them.
const LIBRARIES: [&str; 6] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"];

/// Descriptors that the loader may have open, those of the start included.
const LOADERS_DESCRIPTORS: u64 = 16;

/// What code may be loaded in a cage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loading {
    /// None: nothing is opened, and no memory becomes executable.
    Nothing,
    /// Libraries: files in the system's directories of them can be read, and mapped as code.
    Libraries,
}

/// How large a cage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cage {
    /// Bytes of address space, all mappings together.
    pub address_space: u64,
    /// Seconds of processor time.
    pub processor_time: u64,
    /// Bytes up to which a file may grow that is one of its descriptors.
    pub output: u64,
    /// What code comes from outside.
    pub loading: Loading,
}

impl Cage {
    /// The cage of a planner: room for the program itself, a plugin's memory, its code and the plan.
    pub const PLANNER: Self =
        Self { address_space: 512 << 20, processor_time: 20, output: 0, loading: Loading::Nothing };

    /// The cage of a planner of native code: as small, but that the loader works in it.
    pub const NATIVE_PLANNER: Self = Self { loading: Loading::Libraries, ..Self::PLANNER };

    /// Locks this process in, for good. It must be single-threaded, and keeps descriptors 0 to 2.
    ///
    /// # Errors
    /// What could not be given up. The process must then end without touching foreign code.
    pub fn enter(self) -> Result<(), CageError> {
        process::close_all_but(&[]).map_err(failed("close descriptors"))?;
        self.limit_resources()?;
        drop_identity()?;
        process::set_dumpable(false).map_err(failed("hide from other processes"))?;
        process::set_no_new_privileges().map_err(failed("forgo privileges of programs"))?;
        let descriptors = match self.loading {
            Loading::Nothing => renounce_files_and_network().map(|()| 0),
            Loading::Libraries => renounce_all_but_libraries().map(|()| LOADERS_DESCRIPTORS),
        }?;
        // Only now: the rules above needed descriptors.
        process::set_rlimit(Resource::Nofile, Some(descriptors), Some(descriptors))
            .map_err(failed("forgo descriptors"))?;
        calls::allow(self.loading)
    }

    fn limit_resources(self) -> Result<(), CageError> {
        for (resource, limit) in [
            (Resource::As, self.address_space),
            (Resource::Cpu, self.processor_time),
            (Resource::Nproc, 0),
            (Resource::Fsize, self.output),
            (Resource::Core, 0),
            (Resource::Memlock, 0),
            (Resource::Msgqueue, 0),
        ] {
            process::set_rlimit(resource, Some(limit), Some(limit)).map_err(failed("limit resources"))?;
        }
        Ok(())
    }
}

/// Where we are root: becomes a user that nobody is, with no group but its own. The capabilities go in
/// any case.
fn drop_identity() -> Result<(), CageError> {
    if geteuid().is_root() {
        let own = FIRST_USER + getpid().as_raw_nonzero().get().unsigned_abs();
        process::set_groups(&[]).map_err(failed("leave groups"))?;
        become_user(own)
            .or_else(|error| {
                // In a user namespace most ids do not exist.
                if error.errno() == Some(rustix::io::Errno::INVAL) { become_user(NOBODY) } else { Err(error) }
            })
            .map_err(failed("become a user without rights"))?;
    }
    let none = capability::Capabilities::empty();
    capability::clear_ambient().map_err(failed("drop capabilities"))?;
    capability::set(none, none, none).map_err(failed("drop capabilities"))
}

fn become_user(id: u32) -> rkt_sys::Result<()> {
    process::set_gid(Gid::from_raw(id))?;
    process::set_uid(Uid::from_raw(id))
}

/// Older kernels are left with what the filter of system calls forbids.
fn renounce_files_and_network() -> Result<(), CageError> {
    no_rights(CompatLevel::BestEffort)
        .and_then(RulesetCreated::restrict_self)
        .map(drop)
        .map_err(failed("forgo files and network"))
}

/// The filter of system calls lets the loader open files, so Landlock has to say which.
fn renounce_all_but_libraries() -> Result<(), CageError> {
    no_rights(CompatLevel::HardRequirement)
        .and_then(|rules| rules.add_rules(path_beneath_rules(LIBRARIES, AccessFs::ReadFile)))
        .and_then(RulesetCreated::restrict_self)
        .map(drop)
        .map_err(failed("forgo all files but libraries, for which the kernel needs Landlock"))
}

/// Landlock with every right handled and none given, as far as the kernel knows it; what it always knew
/// of files may be required.
fn no_rights(files: CompatLevel) -> Result<RulesetCreated, RulesetError> {
    let abi = ABI::V7;
    Ruleset::default()
        .set_compatibility(files)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()
}

/// What a process could not give up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub struct CageError {
    step: &'static str,
    #[source]
    cause: Box<dyn Error + Send + Sync>,
}

impl CageError {
    /// The step and its cause in one line, for a process that cannot pass the error on as a value.
    pub fn in_one_line(&self) -> String {
        let mut line = self.to_string();
        let mut cause: Option<&dyn Error> = Some(self.cause.as_ref());
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

fn failed<E: Error + Send + Sync + 'static>(step: &'static str) -> impl FnOnce(E) -> CageError {
    move |cause| CageError { step, cause: Box::new(cause) }
}
