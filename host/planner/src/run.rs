//! Running a plugin inside the engine, within limits.

use rkt_plan::Plan;
use wasmtime::component::{Component, InstancePre, Linker, Resource};
use wasmtime::{Engine, Error, ResourceLimiter, Store, Trap, WasmBacktrace};

use crate::contract::bindings::Stage1Pre;
use crate::contract::bindings::rkt::plugin::problems::Problem;
use crate::contract::{self, Session};
use crate::engine;
use crate::failure::Failure;
use crate::limits::Limits;
use crate::load;

/// A plugin, loaded and linked; nothing of it has run.
pub(crate) struct Loaded {
    engine: Engine,
    pre: Stage1Pre<State>,
}

/// What a plugin's instance belongs to.
pub(crate) struct State {
    session: Session,
    guard: Guard,
}

impl Loaded {
    /// Loads compiled code and links it with the contract.
    pub(crate) fn new(code: &[u8]) -> Result<Self, Failure> {
        let unloadable = |cause: &Error| Failure::Load { why: format!("{cause:#}") };
        let engine = Engine::new(&engine::config()).map_err(|cause| unloadable(&cause))?;
        let component = load::component(&engine, code).map_err(|cause| unloadable(&cause))?;
        let pre = link(&engine, &component).map_err(|cause| Failure::Link { why: format!("{cause:#}") })?;
        Ok(Self { engine, pre })
    }

    /// Runs the plugin for the session's pod.
    pub(crate) fn plan(&self, session: Session) -> Result<Result<Plan, Problem>, Failure> {
        let limits = session.limits.clone();
        let mut store = Store::new(&self.engine, State { session, guard: Guard { limits: limits.clone() } });
        store.limiter(|state| &mut state.guard);
        store.set_hostcall_fuel(limits.texts);
        store.set_max_component_handles(4 * limits.words);
        let outcome = self.call(&mut store, limits.fuel).map_err(|error| failure(&error, &limits))?;
        Ok(outcome.map(|()| store.into_data().session.into_plan()))
    }

    fn call(&self, store: &mut Store<State>, fuel: u64) -> wasmtime::Result<Result<(), Problem>> {
        store.set_fuel(fuel)?;
        let plugin = self.pre.instantiate(&mut *store)?;
        plugin.call_plan(store, Resource::new_own(0), Resource::new_own(0))
    }
}

fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Stage1Pre<State>> {
    let mut linker = Linker::new(engine);
    contract::add_to_linker(&mut linker, |state: &mut State| &mut state.session)?;
    let pre: InstancePre<State> = linker.instantiate_pre(component)?;
    Stage1Pre::new(pre)
}

/// What the engine asks before anything grows.
struct Guard {
    limits: Limits,
}

impl ResourceLimiter for Guard {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired as u64 > self.limits.memory {
            return Err(Failure::Memory { limit: self.limits.memory }.into());
        }
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.limits.table_entries {
            return Err(Failure::Tables { limit: self.limits.table_entries }.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        8
    }

    fn memories(&self) -> usize {
        1
    }
}

/// Which limit an error of the engine is about.
fn failure(error: &Error, limits: &Limits) -> Failure {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.clone();
    }
    let function = function(error);
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Failure::Fuel { limit: limits.fuel, function },
        Some(Trap::StackOverflow) => Failure::Stack { limit: engine::STACK, function },
        Some(trap) => Failure::Trap { what: trap.to_string(), function },
        None => Failure::Contract { why: error.root_cause().to_string(), function },
    }
}

/// The innermost function that has a name.
fn function(error: &Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let name = backtrace.frames().iter().find_map(|frame| frame.func_name())?;
    Some(name.chars().take(200).collect())
}
