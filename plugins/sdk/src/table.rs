//! The contract as native code sees it: the host's table of functions, in the shape of the bindings that
//! are generated for components, so that the rest of the SDK need not know which it speaks by. Authors
//! meet neither.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "in the shape of generated code, whose meaning stands in `wit/`"
)]

use std::any::Any;
use std::panic::catch_unwind;
use std::sync::OnceLock;

#[allow(dead_code, reason = "the header in Rust, of which each side uses a part")]
#[path = "../../../wit/rkt_plugin.rs"]
pub mod header;

use header::{Host, List, PLANNED, REFUSED, Stage1, Text};
use rkt::plugin::{plans, pods, problems};

/// What a plugin does.
pub trait Guest {
    fn plan(pod: &pods::Pod, plan: &plans::Plan) -> Result<(), problems::Problem>;
}

/// Exports the plugin's table and its permissions, as `rkt-plugin.h` says.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    ($flavor:ident, $permissions:expr) => {
        // SAFETY: the names are the contract's, and a library is one plugin.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static rkt_plugin_stage1: $crate::bindings::header::Stage1 = $crate::bindings::stage1::<$flavor>();

        const PERMISSIONS: &str = $permissions;

        // SAFETY: as above.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static rkt_plugin_permissions: [u8; PERMISSIONS.len()] = $crate::guest::bytes_of(PERMISSIONS);
    };
}

/// The table of a plugin.
pub const fn stage1<G: Guest>() -> Stage1 {
    Stage1 { size: size_of::<Stage1>(), contract: header::CONTRACT, plan: Some(plan::<G>) }
}

/// Given with the call, and for the whole life of the process.
static HOST: OnceLock<&'static Host> = OnceLock::new();

fn host() -> &'static Host {
    HOST.get().expect("handles are given out in the call, which brings the table")
}

/// The call. No panic leaves it: beyond is C.
extern "C" fn plan<G: Guest>(
    host: &'static Host,
    pod: *const header::Pod,
    plan: *mut header::Plan,
    problem: &mut header::Problem<'static>,
) -> i32 {
    let outcome = if host.size < size_of::<Host>() {
        Err(too_old())
    } else {
        HOST.get_or_init(|| host);
        catch_unwind(|| G::plan(&pods::Pod(pod), &plans::Plan(plan))).unwrap_or_else(|panic| Err(panicked(&*panic)))
    };
    let Err(problems::Problem { message, hint }) = outcome else { return PLANNED };
    // They stay until the process ends, which is soon.
    let hint = hint.map_or(Text::NONE, |hint| Text::new(hint.leak()));
    *problem = header::Problem { message: Text::new(message.leak()), hint };
    REFUSED
}

fn too_old() -> problems::Problem {
    let message = "the plugin was built for a newer rkt, which offers more than this one".to_owned();
    problems::Problem { message, hint: Some("a newer rkt, or the plugin built with an older SDK".to_owned()) }
}

fn panicked(panic: &(dyn Any + Send)) -> problems::Problem {
    let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    problems::Problem { message: format!("the plugin panicked: {}", said.unwrap_or("no message")), hint: None }
}

fn string(text: Text<'_>) -> String {
    optional(text).unwrap_or_default()
}

fn optional(text: Text<'_>) -> Option<String> {
    text.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn strings(texts: List<'_, Text<'_>>) -> Vec<String> {
    texts.items().iter().map(|text| string(*text)).collect()
}

fn texts(strings: &[String]) -> Vec<Text<'_>> {
    strings.iter().map(|string| Text::new(string)).collect()
}

pub mod rkt {
    pub mod plugin {
        pub mod problems {
            pub struct Problem {
                pub message: String,
                pub hint: Option<String>,
            }
        }

        pub mod facts {
            use super::super::super::{Text, host, optional};

            pub fn fact(name: &str) -> Option<String> {
                optional((host().facts_fact)(Text::new(name)))
            }
        }

        pub mod places {
            use super::super::super::{Text, header, host as table};

            pub struct Place(pub(super) *mut header::Place);

            pub fn volume(name: &str) -> Place {
                Place((table().places_volume)(Text::new(name)))
            }

            pub fn empty(name: &str) -> Place {
                Place((table().places_empty)(Text::new(name)))
            }

            pub fn payload(path: &str) -> Place {
                Place((table().places_payload)(Text::new(path)))
            }

            pub fn root_of(app: &str) -> Place {
                Place((table().places_root_of)(Text::new(app)))
            }

            pub fn artifact(kind: &str, of: &str) -> Place {
                Place((table().places_artifact)(Text::new(kind), Text::new(of)))
            }

            pub fn channel() -> Place {
                Place((table().places_channel)())
            }

            pub fn host(path: &str) -> Place {
                Place((table().places_host)(Text::new(path)))
            }
        }

        pub mod pods {
            use super::super::super::{header, host, optional, string, strings};

            pub struct Credentials {
                pub uid: u32,
                pub gid: u32,
                pub groups: Vec<u32>,
            }

            #[derive(Clone, Copy)]
            pub enum Access {
                ReadWrite,
                ReadOnly,
            }

            pub struct VolumeMount {
                pub volume: String,
                pub target: String,
                pub access: Access,
            }

            pub enum CapabilityChange {
                Retain(Vec<String>),
                Remove(Vec<String>),
            }

            #[derive(Clone, Copy)]
            pub enum SeccompMode {
                Retain,
                Remove,
            }

            pub struct SeccompFilter {
                pub mode: SeccompMode,
                pub calls: Vec<String>,
                pub errno: Option<String>,
            }

            pub struct Pod(pub(in super::super::super) *const header::Pod);

            pub struct App(*const header::App);

            impl Pod {
                pub fn uuid(&self) -> String {
                    string((host().pod_uuid)(self.0))
                }

                pub fn hostname(&self) -> String {
                    string((host().pod_hostname)(self.0))
                }

                pub fn apps(&self) -> Vec<App> {
                    (host().pod_apps)(self.0).items().iter().map(|app| App(*app)).collect()
                }

                pub fn requests(&self) -> Vec<String> {
                    strings((host().pod_requests)(self.0))
                }

                pub fn settings(&self) -> Vec<(String, String)> {
                    let settings = (host().pod_settings)(self.0).items().iter();
                    settings.map(|setting| (string(setting.name), string(setting.value))).collect()
                }
            }

            impl App {
                pub fn name(&self) -> String {
                    string((host().app_name)(self.0))
                }

                pub fn user(&self) -> Credentials {
                    let header::Credentials { uid, gid, groups } = (host().app_user)(self.0);
                    Credentials { uid, gid, groups: groups.items().to_vec() }
                }

                pub fn root_access(&self) -> Access {
                    access((host().app_root_access)(self.0))
                }

                pub fn volumes(&self) -> Vec<VolumeMount> {
                    let volumes = (host().app_volumes)(self.0).items().iter();
                    volumes
                        .map(|wanted| VolumeMount {
                            volume: string(wanted.volume),
                            target: string(wanted.target),
                            access: access(wanted.access),
                        })
                        .collect()
                }

                pub fn single_volumes(&self) -> Vec<String> {
                    strings((host().app_single_volumes)(self.0))
                }

                pub fn limits(&self) -> Vec<(String, u64)> {
                    let limits = (host().app_limits)(self.0).items().iter();
                    limits.map(|limit| (string(limit.what), limit.value)).collect()
                }

                pub fn capabilities(&self) -> Option<CapabilityChange> {
                    let change = (host().app_capabilities)(self.0)?;
                    let names = strings(change.names);
                    Some(match change.mode {
                        header::REMOVE => CapabilityChange::Remove(names),
                        _ => CapabilityChange::Retain(names),
                    })
                }

                pub fn seccomp(&self) -> Option<SeccompFilter> {
                    let filter = (host().app_seccomp)(self.0)?;
                    let mode = match filter.mode {
                        header::REMOVE => SeccompMode::Remove,
                        _ => SeccompMode::Retain,
                    };
                    Some(SeccompFilter { mode, calls: strings(filter.calls), errno: optional(filter.errno_name) })
                }

                pub fn no_new_privileges(&self) -> bool {
                    (host().app_no_new_privileges)(self.0)
                }

                pub fn oom_score(&self) -> Option<i32> {
                    (host().app_oom_score)(self.0).copied()
                }
            }

            fn access(access: header::Access) -> Access {
                match access {
                    header::READ_WRITE => Access::ReadWrite,
                    _ => Access::ReadOnly,
                }
            }
        }

        pub mod arguments {
            use super::super::super::{Text, header, host};
            use super::places::Place;
            use super::pods::Access;

            pub struct Piece(pub(super) *mut header::Piece);

            pub fn text(text: &str) -> Piece {
                Piece((host().arguments_text)(Text::new(text)))
            }

            pub fn descriptor(of: &Place, access: Access) -> Piece {
                Piece((host().arguments_descriptor)(of.0, super::plans::said(access)))
            }

            pub fn tree() -> Piece {
                Piece((host().arguments_tree)())
            }

            pub fn command(app: &str) -> Piece {
                Piece((host().arguments_command)(Text::new(app)))
            }

            pub fn working_directory(app: &str) -> Piece {
                Piece((host().arguments_working_directory)(Text::new(app)))
            }

            pub fn words() -> Piece {
                Piece((host().arguments_words)())
            }
        }

        pub mod plans {
            use super::super::super::{List, Text, header, host, texts};
            use super::arguments::Piece;
            use super::places::Place;
            use super::pods::{Access, Credentials, SeccompFilter, SeccompMode};

            #[derive(Clone, Copy)]
            pub enum Reach {
                Single,
                Recursive,
            }

            pub struct Plan(pub(in super::super::super) *mut header::Plan);

            pub struct Program(*mut header::Program);

            pub struct Jail(*mut header::Jail);

            impl Plan {
                pub fn share(&self, namespace: &str) {
                    (host().plan_share)(self.0, Text::new(namespace));
                }

                pub fn hostname(&self, name: &str) {
                    (host().plan_hostname)(self.0, Text::new(name));
                }

                pub fn app(&self, name: &str) -> Jail {
                    Jail((host().plan_app)(self.0, Text::new(name)))
                }

                pub fn program(&self, file: &Place) -> Program {
                    Program((host().plan_program)(self.0, file.0))
                }

                pub fn helper(&self, name: &str, file: &Place) -> Program {
                    Program((host().plan_helper)(self.0, Text::new(name), file.0))
                }

                pub fn enter(&self, file: &Place) -> Program {
                    Program((host().plan_enter)(self.0, file.0))
                }

                pub fn stop(&self, file: &Place) -> Program {
                    Program((host().plan_stop)(self.0, file.0))
                }

                pub fn claim(&self, request: &str, how: &str) {
                    (host().plan_claim)(self.0, Text::new(request), Text::new(how));
                }

                pub fn waive(&self, request: &str, reason: &str) {
                    (host().plan_waive)(self.0, Text::new(request), Text::new(reason));
                }

                pub fn note(&self, text: &str) {
                    (host().plan_note)(self.0, Text::new(text));
                }
            }

            impl Program {
                pub fn argument(&self, pieces: &[&Piece]) {
                    let pieces: Vec<*const header::Piece> = pieces.iter().map(|piece| piece.0.cast_const()).collect();
                    (host().program_argument)(self.0, List::new(&pieces));
                }

                pub fn environment(&self, name: &str, value: &str) {
                    (host().program_environment)(self.0, Text::new(name), Text::new(value));
                }

                pub fn environment_of(&self, app: &str) {
                    (host().program_environment_of)(self.0, Text::new(app));
                }

                pub fn jail(&self) -> Jail {
                    Jail((host().program_jail)(self.0))
                }

                pub fn unconfined(&self) {
                    (host().program_unconfined)(self.0);
                }

                pub fn own_directory(&self, path: &str) {
                    (host().program_own_directory)(self.0, Text::new(path));
                }

                pub fn speaks_within(&self, seconds: u32, hint: Option<&str>) {
                    (host().program_speaks_within)(self.0, seconds, Text::from(hint));
                }

                pub fn ready_when(&self, path: &str) {
                    (host().program_ready_when)(self.0, Text::new(path));
                }
            }

            impl Jail {
                pub fn root(&self, access: Access) {
                    (host().jail_root)(self.0, said(access));
                }

                pub fn bind(&self, source: &Place, target: &str, access: Access, reach: Reach) {
                    let reach = match reach {
                        Reach::Single => header::SINGLE,
                        Reach::Recursive => header::RECURSIVE,
                    };
                    (host().jail_bind)(self.0, source.0, Text::new(target), said(access), reach);
                }

                pub fn mount(&self, kind: &str, target: &str, options: &[String]) {
                    (host().jail_mount)(self.0, Text::new(kind), Text::new(target), List::new(&texts(options)));
                }

                pub fn link(&self, path: &str, to: &str) {
                    (host().jail_link)(self.0, Text::new(path), Text::new(to));
                }

                pub fn device(&self, path: &str) {
                    (host().jail_device)(self.0, Text::new(path));
                }

                pub fn mask(&self, path: &str) {
                    (host().jail_mask)(self.0, Text::new(path));
                }

                pub fn read_only(&self, path: &str) {
                    (host().jail_read_only)(self.0, Text::new(path));
                }

                pub fn file(&self, path: &str, mode: u32, content: &str) {
                    (host().jail_file)(self.0, Text::new(path), mode, Text::new(content));
                }

                pub fn directory(&self, path: &str, mode: u32) {
                    (host().jail_directory)(self.0, Text::new(path), mode);
                }

                pub fn channel(&self, path: &str) {
                    (host().jail_channel)(self.0, Text::new(path));
                }

                pub fn own_user(&self) {
                    (host().jail_own_user)(self.0);
                }

                pub fn user(&self, who: &Credentials) {
                    let who = header::Credentials { uid: who.uid, gid: who.gid, groups: List::new(&who.groups) };
                    (host().jail_user)(self.0, Some(&who));
                }

                pub fn capabilities(&self, names: &[String]) {
                    (host().jail_capabilities)(self.0, List::new(&texts(names)));
                }

                pub fn no_new_privileges(&self) {
                    (host().jail_no_new_privileges)(self.0);
                }

                pub fn seccomp(&self, filter: &SeccompFilter) {
                    let mode = match filter.mode {
                        SeccompMode::Retain => header::RETAIN,
                        SeccompMode::Remove => header::REMOVE,
                    };
                    let calls = texts(&filter.calls);
                    let errno_name = Text::from(filter.errno.as_deref());
                    let filter = header::SeccompFilter { mode, calls: List::new(&calls), errno_name };
                    (host().jail_seccomp)(self.0, Some(&filter));
                }

                pub fn limit(&self, what: &str, value: u64) {
                    (host().jail_limit)(self.0, Text::new(what), value);
                }

                pub fn oom_score(&self, adjustment: i32) {
                    (host().jail_oom_score)(self.0, adjustment);
                }

                pub fn stdio(&self, mode: &str) {
                    (host().jail_stdio)(self.0, Text::new(mode));
                }
            }

            pub(super) fn said(access: Access) -> header::Access {
                match access {
                    Access::ReadWrite => header::READ_WRITE,
                    Access::ReadOnly => header::READ_ONLY,
                }
            }
        }
    }
}
