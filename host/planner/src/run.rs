//! Running a plugin inside the engine, within limits.

use std::mem::ManuallyDrop;

use rkt_plan::Pod;
use wasmtime::component::{Component, InstancePre, Linker, Resource};
use wasmtime::{Engine, Error, ResourceLimiter, Store, Trap, WasmBacktrace};

use crate::contract::bindings::{Stage1, Stage1Pre};
use crate::contract::{self, Ask, Session};
use crate::engine;
use crate::failure::Failure;
use crate::limits::Limits;
use crate::load::{self, Code};
use crate::message::LastReply;

/// A plugin that is ready to be called: loaded, linked, its memory set up.
///
/// The process ends with the plugin's answer, for which rkt waits: nothing of all this is taken apart before.
pub(crate) struct Ready {
    store: ManuallyDrop<Store<State>>,
    plugin: Stage1,
    limits: Limits,
}

/// What a plugin's instance belongs to.
pub(crate) struct State {
    session: Session,
    guard: Guard,
}

impl Ready {
    /// Loads compiled code, links it with the contract, and makes an instance of it. Of the plugin
    /// itself only what it does on being set up has run.
    pub(crate) fn new(code: Code, limits: Limits, ask: Ask) -> Result<Self, Failure> {
        let unloadable = |cause: Error| Failure::Load { why: format!("{cause:#}") };
        let mut config = engine::config();
        load::code_is_mapped(&mut config);
        let engine = ManuallyDrop::new(Engine::new(&config).map_err(unloadable)?);
        let component = ManuallyDrop::new(code.load(&engine).map_err(unloadable)?);
        let linked = link(&engine, &component).map_err(|cause| Failure::Link { why: format!("{cause:#}") })?;
        let linked = ManuallyDrop::new(linked);
        let mut store = ManuallyDrop::new(store(&engine, &limits, ask).map_err(unloadable)?);
        let plugin = linked.instantiate(&mut *store).map_err(|error| failure(&error, &limits))?;
        Ok(Self { store, plugin, limits })
    }

    /// Calls the plugin.
    pub(crate) fn plan(mut self, pod: Pod) -> Result<LastReply, Failure> {
        self.store.data_mut().session.begin(pod);
        let outcome = self.plugin.call_plan(&mut *self.store, Resource::new_own(0), Resource::new_own(0));
        let outcome = outcome.map_err(|error| failure(&error, &self.limits))?;
        let session = &mut self.store.data_mut().session;
        match outcome {
            Ok(()) => Ok(LastReply::Planned(session.take_plan())),
            Err(problem) => session.refusal(problem.message, problem.hint),
        }
    }
}

fn store(engine: &Engine, limits: &Limits, ask: Ask) -> wasmtime::Result<Store<State>> {
    let state = State { session: Session::new(limits.clone(), ask), guard: Guard { limits: limits.clone() } };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.guard);
    store.set_hostcall_fuel(limits.texts);
    store.set_max_component_handles(4 * limits.words);
    store.set_fuel(limits.fuel)?;
    Ok(store)
}

fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Stage1Pre<State>> {
    let mut linker = ManuallyDrop::new(Linker::new(engine));
    contract::add_to_linker(&mut *linker, |state: &mut State| &mut state.session)?;
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

/// The innermost function that has a name, as its author wrote it.
fn function(error: &Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let name = backtrace.frames().iter().find_map(|frame| frame.func_name())?;
    Some(format!("{:#}", rustc_demangle::demangle(name)).chars().take(200).collect())
}
