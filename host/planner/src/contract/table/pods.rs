//! What native code is told about its pod: `pods` in the contract.

use rkt_plan as plan;

use super::header::{self, App, List, Text};
use super::{handle, index, one, with};
use crate::contract::words::never_given;

fn of_pod<T>(pod: *const header::Pod, answer: impl FnOnce(&plan::Pod) -> T) -> T {
    with(|session| one(pod).map(|()| answer(session.pod())))
}

fn of_app<T>(app: *const App, answer: impl FnOnce(&plan::App) -> T) -> T {
    with(|session| Ok(answer(session.pod().apps.get(index(app)?).ok_or_else(never_given)?)))
}

pub(super) extern "C" fn pod_uuid(pod: *const header::Pod) -> Text<'static> {
    of_pod(pod, |pod| lend_text(pod.uuid.as_str()))
}

pub(super) extern "C" fn pod_hostname(pod: *const header::Pod) -> Text<'static> {
    of_pod(pod, |pod| lend_text(pod.hostname()))
}

pub(super) extern "C" fn pod_apps(pod: *const header::Pod) -> List<'static, *const App> {
    of_pod(pod, |pod| lend_list((0..pod.apps.len()).map(|index| handle::<App>(index).cast_const())))
}

pub(super) extern "C" fn pod_requests(pod: *const header::Pod) -> List<'static, Text<'static>> {
    of_pod(pod, |pod| lend_texts(plan::requests(pod).into_iter().map(|request| request.id)))
}

pub(super) extern "C" fn pod_settings(pod: *const header::Pod) -> List<'static, header::Setting<'static>> {
    of_pod(pod, |pod| {
        let settings = pod.settings.iter();
        lend_list(
            settings.map(|(name, value)| header::Setting {
                name: lend_text(name.as_str()),
                value: lend_text(value.as_str()),
            }),
        )
    })
}

pub(super) extern "C" fn app_name(app: *const App) -> Text<'static> {
    of_app(app, |app| lend_text(app.name.as_str()))
}

pub(super) extern "C" fn app_user(app: *const App) -> header::Credentials<'static> {
    of_app(app, |app| {
        let plan::Credentials { uid, gid, groups } = &app.user.value;
        header::Credentials { uid: *uid, gid: *gid, groups: lend_list(groups.iter().copied()) }
    })
}

pub(super) extern "C" fn app_root_access(app: *const App) -> header::Access {
    of_app(app, |app| if app.read_only_root.is_some() { header::READ_ONLY } else { header::READ_WRITE })
}

pub(super) extern "C" fn app_volumes(app: *const App) -> List<'static, header::VolumeMount<'static>> {
    of_app(app, |app| {
        lend_list(app.volumes.iter().map(|asked| header::VolumeMount {
            volume: lend_text(asked.value.volume.as_str()),
            target: lend_text(asked.value.target.to_string()),
            access: lend_access(asked.value.access),
        }))
    })
}

pub(super) extern "C" fn app_single_volumes(app: *const App) -> List<'static, Text<'static>> {
    of_app(app, |app| lend_texts(app.single_volumes().map(|wanted| wanted.target.to_string())))
}

pub(super) extern "C" fn app_limits(app: *const App) -> List<'static, header::Limit<'static>> {
    of_app(app, |app| {
        let limits = app.limits.iter();
        lend_list(limits.map(|(kind, asked)| header::Limit { what: lend_text(kind.name()), value: asked.value }))
    })
}

pub(super) extern "C" fn app_capabilities(app: *const App) -> Option<&'static header::CapabilityChange<'static>> {
    of_app(app, |app| {
        let (mode, set) = match app.capabilities.as_ref()?.value {
            plan::CapabilityChange::Retain(set) => (header::RETAIN, set),
            plan::CapabilityChange::Remove(set) => (header::REMOVE, set),
        };
        Some(lend(header::CapabilityChange { mode, names: lend_texts(Vec::<String>::from(set)) }))
    })
}

pub(super) extern "C" fn app_seccomp(app: *const App) -> Option<&'static header::SeccompFilter<'static>> {
    of_app(app, |app| {
        let filter = &app.seccomp.as_ref()?.value;
        let mode = match filter.mode {
            plan::SeccompMode::Retain => header::RETAIN,
            plan::SeccompMode::Remove => header::REMOVE,
        };
        let errno_name = filter.errno.as_deref().map_or(Text::NONE, lend_text);
        Some(lend(header::SeccompFilter { mode, calls: lend_texts(filter.calls.clone()), errno_name }))
    })
}

pub(super) extern "C" fn app_no_new_privileges(app: *const App) -> bool {
    of_app(app, |app| app.no_new_privileges.is_some())
}

pub(super) extern "C" fn app_oom_score(app: *const App) -> Option<&'static i32> {
    of_app(app, |app| app.oom_score.as_ref().map(|asked| lend(asked.value.into())))
}

/// What the plugin is given stays for as long as its process, which ends with its reply.
fn lend<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

pub(super) fn lend_text(text: impl Into<String>) -> Text<'static> {
    Text::new(text.into().leak())
}

fn lend_list<T>(items: impl IntoIterator<Item = T>) -> List<'static, T> {
    List::new(Vec::from_iter(items).leak())
}

fn lend_texts<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> List<'static, Text<'static>> {
    lend_list(texts.into_iter().map(lend_text))
}

fn lend_access(access: plan::Access) -> header::Access {
    match access {
        plan::Access::ReadWrite => header::READ_WRITE,
        plan::Access::ReadOnly => header::READ_ONLY,
    }
}
