//! The contract as a table of functions, for native code: `wit/rkt-plugin.h` from the host's side. One
//! function a word.
//!
//! The planner's process runs one plugin for one pod, so there is one session, which every function
//! finds. Where a component would trap, the process ends with a reply that says why: nothing can be
//! unwound that is not ours.

use std::cell::RefCell;

use rkt_plan::Pod;

use super::words::never_given;
use super::{Ask, Session};
use crate::child;
use crate::failure::Failure;
use crate::limits::Limits;
use crate::message::LastReply;

mod pods;
mod words;

#[allow(dead_code, missing_docs, unreachable_pub, reason = "the header in Rust, of which each side uses a part")]
#[path = "../../../../wit/rkt_plugin.rs"]
mod header;

pub(crate) use header::Stage1;
use header::{Host, List, Text};

/// The name by which a native plugin exports its table.
pub const ENTRY: &str = "rkt_plugin_stage1";

/// Bytes that such a table has at least.
pub const ENTRY_SIZE: usize = size_of::<Stage1>();

/// The name by which it exports its permissions, one a line.
pub const PERMISSIONS: &str = "rkt_plugin_permissions";

thread_local! {
    /// None outside of the call, and in threads that a plugin cannot have made.
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// Calls a plugin.
pub(crate) fn plan(stage1: &'static Stage1, pod: Pod, limits: Limits, ask: Ask) -> Result<LastReply, Failure> {
    check_contract(stage1.contract)?;
    let plan = stage1.plan.ok_or_else(|| Failure::contract("its table has no function `plan`"))?;
    let mut session = Session::new(limits, ask);
    session.begin(pod);
    SESSION.set(Some(session));
    let mut problem = header::Problem { message: Text::NONE, hint: Text::NONE };
    let outcome = plan(&HOST, handle(THE_ONE), handle(THE_ONE), &mut problem);
    let mut session = SESSION.take().ok_or_else(never_given)?;
    match outcome {
        header::PLANNED => Ok(LastReply::Planned(session.take_plan())),
        header::REFUSED => {
            let reader = Reader::of(&session);
            let (message, hint) = (reader.text(problem.message)?, reader.option(problem.hint)?);
            session.refusal(message, hint)
        }
        other => Err(Failure::contract(format!("its function `plan` returned {other}"))),
    }
}

/// Plugins of this contract and of earlier ones of its track run.
fn check_contract(made_for: [u32; 3]) -> Result<(), Failure> {
    let [major, minor, patch] = made_for;
    let ours = header::CONTRACT;
    if [major, minor] == ours[..2] && patch <= ours[2] {
        return Ok(());
    }
    let why = format!("it says {major}.{minor}.{patch}, and this rkt has {}.{}.{}", ours[0], ours[1], ours[2]);
    Err(Failure::Link { why })
}

/// The index of what there is one of: the pod, and its plan.
const THE_ONE: usize = 0;

/// Handles are indexes that look like addresses, from one: nobody follows them.
fn handle<T>(index: usize) -> *mut T {
    std::ptr::without_provenance_mut(index + 1)
}

fn index<T>(handle: *const T) -> Result<usize, Failure> {
    handle.addr().checked_sub(1).ok_or_else(never_given)
}

/// Does something in the session. Where that fails this was the plugin's last act.
fn with<T>(act: impl FnOnce(&mut Session) -> Result<T, Failure>) -> T {
    let done = SESSION.with_borrow_mut(|session| act(session.as_mut().ok_or_else(never_given)?));
    done.unwrap_or_else(|failure| child::leave(LastReply::Failed(failure)))
}

fn one<T>(handle: *const T) -> Result<(), Failure> {
    if index(handle)? == THE_ONE { Ok(()) } else { Err(never_given()) }
}

/// Copies what a plugin says. Its size is looked at first; what a word may have is counted later.
struct Reader<'l> {
    limits: &'l Limits,
}

impl<'l> Reader<'l> {
    fn of(session: &'l Session) -> Self {
        Self { limits: &session.limits }
    }

    fn option(&self, text: Text<'_>) -> Result<Option<String>, Failure> {
        self.fits(text.length())?;
        let text = text.bytes().map(|bytes| String::from_utf8(bytes.to_vec()));
        text.transpose().map_err(|cause| Failure::contract(format!("a text is not UTF-8: {cause}")))
    }

    fn text(&self, text: Text<'_>) -> Result<String, Failure> {
        self.option(text)?.ok_or_else(|| Failure::contract("a text is missing"))
    }

    fn texts(&self, texts: List<'_, Text<'_>>) -> Result<Vec<String>, Failure> {
        self.fits(texts.count())?;
        self.fits(texts.items().iter().fold(0, |sum, text| text.length().saturating_add(sum)))?;
        texts.items().iter().map(|text| self.text(*text)).collect()
    }

    fn numbers(&self, numbers: List<'_, u32>) -> Result<Vec<u32>, Failure> {
        self.fits(numbers.count())?;
        Ok(numbers.items().to_vec())
    }

    /// Neither has a text more bytes nor a list more items than all texts of a plan have bytes.
    fn fits(&self, length: usize) -> Result<(), Failure> {
        let limit = self.limits.texts;
        if length <= limit { Ok(()) } else { Err(Failure::Texts { limit }) }
    }
}

static HOST: Host = Host {
    size: size_of::<Host>(),
    facts_fact: words::facts_fact,
    places_volume: words::places_volume,
    places_empty: words::places_empty,
    places_payload: words::places_payload,
    places_root_of: words::places_root_of,
    places_artifact: words::places_artifact,
    places_channel: words::places_channel,
    places_host: words::places_host,
    arguments_text: words::arguments_text,
    arguments_descriptor: words::arguments_descriptor,
    arguments_tree: words::arguments_tree,
    arguments_command: words::arguments_command,
    arguments_working_directory: words::arguments_working_directory,
    arguments_words: words::arguments_words,
    pod_uuid: pods::pod_uuid,
    pod_hostname: pods::pod_hostname,
    pod_apps: pods::pod_apps,
    pod_requests: pods::pod_requests,
    pod_settings: pods::pod_settings,
    app_name: pods::app_name,
    app_user: pods::app_user,
    app_root_access: pods::app_root_access,
    app_volumes: pods::app_volumes,
    app_limits: pods::app_limits,
    app_capabilities: pods::app_capabilities,
    app_seccomp: pods::app_seccomp,
    app_no_new_privileges: pods::app_no_new_privileges,
    app_oom_score: pods::app_oom_score,
    plan_share: words::plan_share,
    plan_hostname: words::plan_hostname,
    plan_app: words::plan_app,
    plan_program: words::plan_program,
    plan_helper: words::plan_helper,
    plan_enter: words::plan_enter,
    plan_stop: words::plan_stop,
    plan_claim: words::plan_claim,
    plan_waive: words::plan_waive,
    plan_note: words::plan_note,
    program_argument: words::program_argument,
    program_environment: words::program_environment,
    program_environment_of: words::program_environment_of,
    program_jail: words::program_jail,
    program_unconfined: words::program_unconfined,
    program_speaks_within: words::program_speaks_within,
    program_ready_when: words::program_ready_when,
    jail_root: words::jail_root,
    jail_bind: words::jail_bind,
    jail_mount: words::jail_mount,
    jail_link: words::jail_link,
    jail_device: words::jail_device,
    jail_mask: words::jail_mask,
    jail_read_only: words::jail_read_only,
    jail_file: words::jail_file,
    jail_directory: words::jail_directory,
    jail_channel: words::jail_channel,
    jail_own_user: words::jail_own_user,
    jail_user: words::jail_user,
    jail_capabilities: words::jail_capabilities,
    jail_no_new_privileges: words::jail_no_new_privileges,
    jail_seccomp: words::jail_seccomp,
    jail_limit: words::jail_limit,
    jail_oom_score: words::jail_oom_score,
    jail_stdio: words::jail_stdio,
    app_single_volumes: pods::app_single_volumes,
    program_own_directory: words::program_own_directory,
};
