//! The contract for native plugins as Rust sees it: `rkt-plugin.h`, value by value and function by
//! function, for both sides of the table. A test holds the two and the WIT together.
//!
//! Values cross as pointers with lengths. Whoever makes one here makes it of a slice, and the
//! lifetime says how long it is good; whoever receives one from the other side has the header's
//! promise for it. That is why reading one is safe to call, as it is for a reference in an
//! `extern "C"` function. A native plugin can break every such promise, and harms nobody but the
//! process that it was caged in.
#![allow(unsafe_code, reason = "reading what came over a table of C")]

use std::marker::PhantomData;
use std::slice;

/// A text, or none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text<'a> {
    data: *const u8,
    length: usize,
    of: PhantomData<&'a [u8]>,
}

impl<'a> Text<'a> {
    /// No text.
    pub const NONE: Self = Self { data: std::ptr::null(), length: 0, of: PhantomData };

    /// This text.
    pub const fn new(text: &'a str) -> Self {
        Self { data: text.as_ptr(), length: text.len(), of: PhantomData }
    }

    /// The bytes, which may be no text where they came from a plugin; none where there is no text.
    pub fn bytes(self) -> Option<&'a [u8]> {
        // SAFETY: not null, and as many bytes as it says, by the module's rule.
        (!self.data.is_null()).then(|| unsafe { slice::from_raw_parts(self.data, self.length) })
    }

    /// Bytes.
    pub fn length(self) -> usize {
        self.length
    }
}

impl<'a> From<Option<&'a str>> for Text<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::NONE, Self::new)
    }
}

/// Any number of values.
#[repr(C)]
pub struct List<'a, T> {
    items: *const T,
    count: usize,
    of: PhantomData<&'a [T]>,
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<'a, T> List<'a, T> {
    /// These values.
    pub const fn new(items: &'a [T]) -> Self {
        Self { items: items.as_ptr(), count: items.len(), of: PhantomData }
    }

    /// The values.
    pub fn items(self) -> &'a [T] {
        if self.count == 0 || self.items.is_null() {
            return &[];
        }
        // SAFETY: not null, and as many values as it says, by the module's rule.
        unsafe { slice::from_raw_parts(self.items, self.count) }
    }

    /// How many.
    pub fn count(self) -> usize {
        self.count
    }
}

/// `pods.access`
pub type Access = u32;
/// `pods.access.read-write`
pub const READ_WRITE: Access = 0;
/// `pods.access.read-only`
pub const READ_ONLY: Access = 1;

/// `plans.reach`
pub type Reach = u32;
/// `plans.reach.single`
pub const SINGLE: Reach = 0;
/// `plans.reach.recursive`
pub const RECURSIVE: Reach = 1;

/// What a list of names is for.
pub type Mode = u32;
/// These and no others.
pub const RETAIN: Mode = 0;
/// All but these.
pub const REMOVE: Mode = 1;

/// `pods.credentials`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub uid: u32,
    pub gid: u32,
    pub groups: List<'a, u32>,
}

/// `pods.volume-mount`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct VolumeMount<'a> {
    pub volume: Text<'a>,
    pub target: Text<'a>,
    pub access: Access,
}

/// A value of `--stage1-option=NAME=VALUE`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub name: Text<'a>,
    pub value: Text<'a>,
}

/// A limit.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limit<'a> {
    pub what: Text<'a>,
    pub value: u64,
}

/// `pods.capability-change`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CapabilityChange<'a> {
    pub mode: Mode,
    pub names: List<'a, Text<'a>>,
}

/// `pods.seccomp-filter`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SeccompFilter<'a> {
    pub mode: Mode,
    pub calls: List<'a, Text<'a>>,
    pub errno_name: Text<'a>,
}

/// `problems.problem`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    pub message: Text<'a>,
    pub hint: Text<'a>,
}

/// What a handle points to: nothing that anyone reads.
#[repr(C)]
pub struct Pod([u8; 0]);
/// As [`Pod`].
#[repr(C)]
pub struct App([u8; 0]);
/// As [`Pod`].
#[repr(C)]
pub struct Place([u8; 0]);
/// As [`Pod`].
#[repr(C)]
pub struct Piece([u8; 0]);
/// As [`Pod`].
#[repr(C)]
pub struct Plan([u8; 0]);
/// As [`Pod`].
#[repr(C)]
pub struct Program([u8; 0]);
/// As [`Pod`].
#[repr(C)]
pub struct Jail([u8; 0]);

/// What the host gives. What it returns is good until `plan` returns, and so for whoever copies it at
/// once for ever.
#[repr(C)]
#[rustfmt::skip]
#[allow(clippy::struct_field_names, reason = "a function has the name that the contract gives it, with its interface's")]
pub struct Host {
    pub size: usize,
    pub facts_fact: extern "C" fn(name: Text<'_>) -> Text<'static>,
    pub places_volume: extern "C" fn(name: Text<'_>) -> *mut Place,
    pub places_empty: extern "C" fn(name: Text<'_>) -> *mut Place,
    pub places_payload: extern "C" fn(path: Text<'_>) -> *mut Place,
    pub places_root_of: extern "C" fn(app: Text<'_>) -> *mut Place,
    pub places_artifact: extern "C" fn(kind: Text<'_>, of: Text<'_>) -> *mut Place,
    pub places_channel: extern "C" fn() -> *mut Place,
    pub places_host: extern "C" fn(path: Text<'_>) -> *mut Place,
    pub arguments_text: extern "C" fn(text: Text<'_>) -> *mut Piece,
    pub arguments_descriptor: extern "C" fn(of: *const Place, access: Access) -> *mut Piece,
    pub arguments_tree: extern "C" fn() -> *mut Piece,
    pub arguments_command: extern "C" fn(app: Text<'_>) -> *mut Piece,
    pub arguments_working_directory: extern "C" fn(app: Text<'_>) -> *mut Piece,
    pub arguments_words: extern "C" fn() -> *mut Piece,
    pub pod_uuid: extern "C" fn(pod: *const Pod) -> Text<'static>,
    pub pod_hostname: extern "C" fn(pod: *const Pod) -> Text<'static>,
    pub pod_apps: extern "C" fn(pod: *const Pod) -> List<'static, *const App>,
    pub pod_requests: extern "C" fn(pod: *const Pod) -> List<'static, Text<'static>>,
    pub pod_settings: extern "C" fn(pod: *const Pod) -> List<'static, Setting<'static>>,
    pub app_name: extern "C" fn(app: *const App) -> Text<'static>,
    pub app_user: extern "C" fn(app: *const App) -> Credentials<'static>,
    pub app_root_access: extern "C" fn(app: *const App) -> Access,
    pub app_volumes: extern "C" fn(app: *const App) -> List<'static, VolumeMount<'static>>,
    pub app_limits: extern "C" fn(app: *const App) -> List<'static, Limit<'static>>,
    pub app_capabilities: extern "C" fn(app: *const App) -> Option<&'static CapabilityChange<'static>>,
    pub app_seccomp: extern "C" fn(app: *const App) -> Option<&'static SeccompFilter<'static>>,
    pub app_no_new_privileges: extern "C" fn(app: *const App) -> bool,
    pub app_oom_score: extern "C" fn(app: *const App) -> Option<&'static i32>,
    pub plan_share: extern "C" fn(plan: *mut Plan, namespace: Text<'_>),
    pub plan_hostname: extern "C" fn(plan: *mut Plan, name: Text<'_>),
    pub plan_app: extern "C" fn(plan: *mut Plan, name: Text<'_>) -> *mut Jail,
    pub plan_program: extern "C" fn(plan: *mut Plan, file: *const Place) -> *mut Program,
    pub plan_helper: extern "C" fn(plan: *mut Plan, name: Text<'_>, file: *const Place) -> *mut Program,
    pub plan_enter: extern "C" fn(plan: *mut Plan, file: *const Place) -> *mut Program,
    pub plan_stop: extern "C" fn(plan: *mut Plan, file: *const Place) -> *mut Program,
    pub plan_claim: extern "C" fn(plan: *mut Plan, request: Text<'_>, how: Text<'_>),
    pub plan_waive: extern "C" fn(plan: *mut Plan, request: Text<'_>, reason: Text<'_>),
    pub plan_note: extern "C" fn(plan: *mut Plan, text: Text<'_>),
    pub program_argument: extern "C" fn(program: *mut Program, pieces: List<'_, *const Piece>),
    pub program_environment: extern "C" fn(program: *mut Program, name: Text<'_>, value: Text<'_>),
    pub program_environment_of: extern "C" fn(program: *mut Program, app: Text<'_>),
    pub program_jail: extern "C" fn(program: *mut Program) -> *mut Jail,
    pub program_unconfined: extern "C" fn(program: *mut Program),
    pub program_speaks_within: extern "C" fn(program: *mut Program, seconds: u32, hint: Text<'_>),
    pub program_ready_when: extern "C" fn(program: *mut Program, path: Text<'_>),
    pub jail_root: extern "C" fn(jail: *mut Jail, access: Access),
    pub jail_bind: extern "C" fn(jail: *mut Jail, source: *const Place, target: Text<'_>, access: Access, reach: Reach),
    pub jail_mount: extern "C" fn(jail: *mut Jail, kind: Text<'_>, target: Text<'_>, options: List<'_, Text<'_>>),
    pub jail_link: extern "C" fn(jail: *mut Jail, path: Text<'_>, to: Text<'_>),
    pub jail_device: extern "C" fn(jail: *mut Jail, path: Text<'_>),
    pub jail_mask: extern "C" fn(jail: *mut Jail, path: Text<'_>),
    pub jail_read_only: extern "C" fn(jail: *mut Jail, path: Text<'_>),
    pub jail_file: extern "C" fn(jail: *mut Jail, path: Text<'_>, mode: u32, content: Text<'_>),
    pub jail_directory: extern "C" fn(jail: *mut Jail, path: Text<'_>, mode: u32),
    pub jail_channel: extern "C" fn(jail: *mut Jail, path: Text<'_>),
    pub jail_own_user: extern "C" fn(jail: *mut Jail),
    pub jail_user: extern "C" fn(jail: *mut Jail, who: Option<&Credentials<'_>>),
    pub jail_capabilities: extern "C" fn(jail: *mut Jail, names: List<'_, Text<'_>>),
    pub jail_no_new_privileges: extern "C" fn(jail: *mut Jail),
    pub jail_seccomp: extern "C" fn(jail: *mut Jail, filter: Option<&SeccompFilter<'_>>),
    pub jail_limit: extern "C" fn(jail: *mut Jail, what: Text<'_>, value: u64),
    pub jail_oom_score: extern "C" fn(jail: *mut Jail, adjustment: i32),
    pub jail_stdio: extern "C" fn(jail: *mut Jail, mode: Text<'_>),
    pub app_single_volumes: extern "C" fn(app: *const App) -> List<'static, Text<'static>>,
    pub program_own_directory: extern "C" fn(program: *mut Program, path: Text<'_>),
}

/// The pod was planned.
pub const PLANNED: i32 = 0;
/// The pod cannot be run, and the problem says why.
pub const REFUSED: i32 = 1;

/// The version of the contract: major, minor, patch.
pub const CONTRACT: [u32; 3] = [0, 1, 0];

/// The function that plans.
pub type PlanFunction =
    extern "C" fn(host: &'static Host, pod: *const Pod, plan: *mut Plan, problem: &mut Problem<'static>) -> i32;

/// What the plugin gives, by the name `rkt_plugin_stage1`.
#[repr(C)]
pub struct Stage1 {
    pub size: usize,
    pub contract: [u32; 3],
    pub plan: Option<PlanFunction>,
}
