//! The cage in which foreign code is run and compiled: a process that has given up everything it can.
//!
//! What is left is memory, the descriptors it was started with, and the few calls that a computation
//! needs. A program that breaks out of the engine inside finds no user, no group, no capability, no
//! file system, no network and no other process.

use std::error::Error;

use landlock::{ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope};
use rkt_sys::{capability, process};
use rustix::process::{Gid, Resource, Uid, geteuid, getpid};

mod calls;

/// The first of the users that cages run as; each adds its process id, which is below 2²². No
/// distribution gives out ids of this range: systemd's end at 1879048191, and 2147483647 is the last
/// that every program can print.
const FIRST_USER: u32 = 0x7fc0_0000;

/// The kernel's user for ids that have no meaning (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65534;

/// How large a cage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cage {
    /// Bytes of address space, all mappings together.
    pub address_space: u64,
    /// Seconds of processor time.
    pub processor_time: u64,
    /// Bytes up to which a file may grow that is one of its descriptors.
    pub output: u64,
}

impl Cage {
    /// The cage of a planner: room for the program itself, a plugin's memory, its code and the plan.
    pub const PLANNER: Self = Self { address_space: 512 << 20, processor_time: 20, output: 0 };

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
        renounce_files_and_network()?;
        // From here on no descriptor can be made; the rules above needed one.
        process::set_rlimit(Resource::Nofile, Some(0), Some(0)).map_err(failed("forgo descriptors"))?;
        calls::allow_computation()
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

/// Landlock with every right handled and none given, as far as the kernel knows it: older kernels are
/// left with what the filter of system calls forbids.
fn renounce_files_and_network() -> Result<(), CageError> {
    let abi = ABI::V7;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map(drop)
        .map_err(failed("forgo files and network"))
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
