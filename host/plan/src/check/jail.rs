//! Words about the files and rights of an app or a program.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Check, below_root, is_file_name, path, set_once};
use crate::artifact::Artifact;
use crate::capability::CapabilitySet;
use crate::checked::{
    Directory, FileSystem, Jail, Link, Mount, MountOptions, NewFile, Reach, Root, Source, Stdio, User,
};
use crate::objection::Problem;
use crate::path::CleanPath;
use crate::permission::Permission;
use crate::pod::{Access, App, CapabilityChange, Credentials, LimitKind, Origin};
use crate::seccomp::SeccompPolicy;
use crate::word::{JailWord, Place, Role};

/// Whom a jail is for.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// An app of the pod, as it was asked for.
    App(&'a App),
    /// A program of the plan.
    Program(&'a Role),
}

impl Subject<'_> {
    /// For objections.
    pub(super) fn name(self) -> String {
        match self {
            Self::App(app) => format!("app {:?}", app.name),
            Self::Program(role) => role.to_string(),
        }
    }

    /// For processes and directories.
    fn plain_name(self) -> String {
        match self {
            Self::App(app) => app.name.clone(),
            Self::Program(Role::Helper(name)) => name.clone(),
            Self::Program(role) => role.to_string(),
        }
    }

    fn is_app(self, word: &JailWord) -> Result<(), Problem> {
        match self {
            Self::App(_) => Ok(()),
            Self::Program(_) => Err(Problem::OnlyApps { word: word.name() }),
        }
    }

    fn is_program(self, word: &JailWord) -> Result<(), Problem> {
        match self {
            Self::Program(_) => Ok(()),
            Self::App(_) => Err(Problem::OnlyPrograms { word: word.name() }),
        }
    }
}

/// A jail as far as its words have been accepted.
#[derive(Default)]
pub(super) struct JailDraft {
    root: Option<Access>,
    mounts: Vec<Mount>,
    devices: Vec<CleanPath>,
    links: Vec<Link>,
    directories: Vec<Directory>,
    files: Vec<NewFile>,
    pub(super) channel: Option<CleanPath>,
    read_only: Vec<CleanPath>,
    masked: Vec<CleanPath>,
    user: Option<User>,
    capabilities: Option<CapabilitySet>,
    no_new_privileges: Option<()>,
    seccomp: Option<SeccompPolicy>,
    limits: BTreeMap<LimitKind, u64>,
    oom_score: Option<i16>,
    stdio: Option<Stdio>,
}

impl JailDraft {
    /// What is mounted so far.
    pub(super) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }
}

impl Check<'_> {
    #[allow(clippy::too_many_lines, reason = "one arm a word, in one place")]
    pub(super) fn jail_word(&mut self, subject: Subject<'_>, word: &JailWord) -> Result<(), Problem> {
        if let Subject::App(app) = subject
            && !self.draft.apps.contains_key(&app.name)
        {
            self.draft.apps.insert(app.name.clone(), JailDraft::default());
        }
        match word {
            JailWord::Root { access } => {
                self.need(Permission::Root)?;
                subject.is_app(word)?;
                set_once(&mut self.draft(subject).root, *access)
            }
            JailWord::Bind { source, target, access, recursive } => {
                let source = self.source(subject, source, *access)?;
                let reach = if *recursive { Reach::Recursive } else { Reach::Single };
                self.check_reach(subject, &source, reach)?;
                self.mount(subject, Mount::Bind { source, target: path(target)?, access: *access, reach })
            }
            JailWord::Mount { kind, target, options } => {
                let kind = FileSystem::parse(kind).ok_or_else(|| Problem::FileSystem { kind: kind.clone() })?;
                self.need(Permission::Mount(kind))?;
                let options = MountOptions::parse(kind, options)
                    .map_err(|option| Problem::Option { kind: kind.name(), option })?;
                self.mount(subject, Mount::FileSystem { kind, target: path(target)?, options })
            }
            JailWord::Link { path: at, to } => {
                self.need(Permission::Link)?;
                if to.is_empty() || to.contains('\0') || to.len() > 4095 {
                    return Err(Problem::Text { text: to.clone() });
                }
                let link = Link { path: below_root(at)?, to: to.clone() };
                let links = &mut self.draft(subject).links;
                if links.iter().any(|other| other.path == link.path) {
                    return Err(Problem::Taken { path: link.path });
                }
                links.push(link);
                Ok(())
            }
            JailWord::Device { path: at } => {
                let at = below_root(at)?;
                self.need(Permission::Device(at.clone()))?;
                add_once(&mut self.draft(subject).devices, at)
            }
            JailWord::Mask { path: at } => {
                self.need(Permission::Mask)?;
                add_once(&mut self.draft(subject).masked, below_root(at)?)
            }
            JailWord::ReadOnly { path: at } => {
                self.need(Permission::ReadOnly)?;
                add_once(&mut self.draft(subject).read_only, below_root(at)?)
            }
            JailWord::File { path: at, mode, content } => {
                self.need(Permission::File)?;
                subject.is_program(word)?;
                if content.contains('\0') {
                    return Err(Problem::Text { text: content.clone() });
                }
                let file = NewFile { path: below_root(at)?, mode: permissions(*mode)?, content: content.clone() };
                let files = &mut self.draft(subject).files;
                if files.iter().any(|other| other.path == file.path) {
                    return Err(Problem::Taken { path: file.path });
                }
                files.push(file);
                Ok(())
            }
            JailWord::Directory { path: at, mode } => {
                self.need(Permission::File)?;
                subject.is_program(word)?;
                let directory = Directory { path: below_root(at)?, mode: permissions(*mode)? };
                let directories = &mut self.draft(subject).directories;
                if directories.iter().any(|other| other.path == directory.path) {
                    return Err(Problem::Taken { path: directory.path });
                }
                directories.push(directory);
                Ok(())
            }
            JailWord::Channel { path: at } => {
                self.need(Permission::Channel)?;
                subject.is_program(word)?;
                set_once(&mut self.draft(subject).channel, below_root(at)?)
            }
            JailWord::OwnUser => {
                subject.is_program(word)?;
                set_once(&mut self.draft(subject).user, User::Own)
            }
            JailWord::User { credentials } => {
                self.need(Permission::User)?;
                set_once(&mut self.draft(subject).user, User::Ids(credentials.clone()))
            }
            JailWord::Capabilities { names } => {
                let set = CapabilitySet::from_names(names.iter().map(String::as_str)).map_err(Problem::Capability)?;
                let beyond = set.minus(the_users_own(subject));
                if !beyond.is_empty() {
                    self.need_capabilities(beyond)?;
                }
                set_once(&mut self.draft(subject).capabilities, set)
            }
            JailWord::NoNewPrivileges => {
                self.need(Permission::NoNewPrivileges)?;
                set_once(&mut self.draft(subject).no_new_privileges, ())
            }
            JailWord::Seccomp { filter } => {
                self.need(Permission::Seccomp)?;
                let policy = SeccompPolicy::from_filter(filter).map_err(Problem::Seccomp)?;
                if policy.refuses_nothing() && !the_user_wants_no_filter(subject) {
                    self.need(Permission::Unfiltered)?;
                }
                set_once(&mut self.draft(subject).seccomp, policy)
            }
            JailWord::Limit { what, value } => {
                self.need(Permission::Limit)?;
                let kind = LimitKind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == what)
                    .ok_or_else(|| Problem::LimitKind { what: what.clone() })?;
                let range = kind.range();
                in_range(kind.name(), (*value).into(), &((*range.start()).into()..=(*range.end()).into()))?;
                match self.draft(subject).limits.insert(kind, *value) {
                    None => Ok(()),
                    Some(_) => Err(Problem::Twice),
                }
            }
            JailWord::OomScore { adjustment } => {
                self.need(Permission::OomScore)?;
                in_range("the adjustment", (*adjustment).into(), &(-1000..=1000))?;
                let adjustment = i16::try_from(*adjustment).expect("the range was just checked");
                set_once(&mut self.draft(subject).oom_score, adjustment)
            }
            JailWord::Stdio { mode } => {
                let mode = Stdio::parse(mode).ok_or_else(|| Problem::Stdio { mode: mode.clone() })?;
                self.need(Permission::Stdio(mode))?;
                subject.is_app(word)?;
                set_once(&mut self.draft(subject).stdio, mode)
            }
        }
    }

    /// As [`Self::need`], but names only those that are missing.
    fn need_capabilities(&self, set: CapabilitySet) -> Result<(), Problem> {
        let undeclared = set.minus(self.declared.capabilities());
        if !undeclared.is_empty() {
            return Err(Problem::NotDeclared { permission: Permission::Capabilities(undeclared) });
        }
        let ungranted = set.minus(self.granted.capabilities());
        if !ungranted.is_empty() {
            return Err(Problem::NotGranted { permission: Permission::Capabilities(ungranted) });
        }
        Ok(())
    }

    /// Where something comes from, if the plugin may have it.
    pub(super) fn source(&self, subject: Subject<'_>, place: &Place, access: Access) -> Result<Source, Problem> {
        match place {
            Place::Volume(name) => {
                self.need(Permission::BindVolume)?;
                self.volume(subject, name, access)
            }
            Place::Empty(name) => {
                self.need(Permission::BindEmpty)?;
                if is_file_name(name) {
                    Ok(Source::Empty(name.clone()))
                } else {
                    Err(Problem::Text { text: name.clone() })
                }
            }
            Place::Host(at) => {
                let at = path(at)?;
                self.need(Permission::BindHost(access, at.clone()))?;
                Ok(Source::Host(at))
            }
            Place::Payload(at) => {
                self.need(Permission::BindPayload)?;
                never_written(access)?;
                Ok(Source::Payload(path(at)?))
            }
            Place::RootOf(app) => {
                self.need(Permission::BindRoot)?;
                self.root_of(subject, app, access)
            }
            Place::Artifact { kind, of } => {
                let artifact = Artifact::parse(self.pod, kind, of)?;
                self.need(Permission::Artifact(artifact.kind()))?;
                never_written(access)?;
                Ok(Source::Artifact(artifact))
            }
            Place::Channel => Err(Problem::ChannelIsNoPlace),
        }
    }

    /// A volume as an app wants it; for a program, as any app does.
    fn volume(&self, subject: Subject<'_>, name: &str, access: Access) -> Result<Source, Problem> {
        let wanted = |app: &App| {
            let wanted = app.volumes.iter().filter(|wanted| wanted.value.volume == name);
            wanted.map(|wanted| wanted.value.access).max()
        };
        let most = match subject {
            Subject::App(app) => wanted(app),
            Subject::Program(_) => self.pod.apps.iter().filter_map(wanted).max(),
        };
        match (most, subject) {
            (None, _) => Err(Problem::UnknownVolume { name: name.to_owned() }),
            // Of an app's, it is the request that says how much is too much.
            (Some(most), Subject::Program(_)) if access > most => {
                Err(Problem::VolumeForReading { name: name.to_owned() })
            }
            _ => Ok(Source::Volume(name.to_owned())),
        }
    }

    /// Nor does a program get what is mounted below a volume that every app wants alone. Of an app's own bind the
    /// request says so.
    fn check_reach(&self, subject: Subject<'_>, source: &Source, reach: Reach) -> Result<(), Problem> {
        let (Subject::Program(_), Source::Volume(name), Reach::Recursive) = (subject, source, reach) else {
            return Ok(());
        };
        let mut wanted =
            self.pod.apps.iter().flat_map(|app| &app.volumes).filter(|wanted| wanted.value.volume == *name);
        if wanted.any(|wanted| wanted.value.reach == Reach::Recursive) {
            return Ok(());
        }
        Err(Problem::VolumeAlone { name: name.clone() })
    }

    fn root_of(&self, subject: Subject<'_>, name: &str, access: Access) -> Result<Source, Problem> {
        let app = self.pod.app(name).ok_or(Problem::UnknownApp)?;
        match subject {
            Subject::App(_) => Err(Problem::OnlyPrograms { word: "root-of" }),
            Subject::Program(_) if access == Access::ReadWrite && app.read_only_root.is_some() => {
                Err(Problem::NeverWritten)
            }
            Subject::Program(_) => Ok(Source::RootOf(name.to_owned())),
        }
    }

    fn mount(&mut self, subject: Subject<'_>, mount: Mount) -> Result<(), Problem> {
        let target = mount.target();
        if target.as_str() == "/" {
            return Err(Problem::AtRoot);
        }
        let mounts = &mut self.draft(subject).mounts;
        if mounts.iter().any(|other| other.target() == target) {
            return Err(Problem::Taken { path: target.clone() });
        }
        mounts.push(mount);
        Ok(())
    }

    fn draft(&mut self, subject: Subject<'_>) -> &mut JailDraft {
        match subject {
            Subject::App(app) => {
                self.draft.apps.get_mut(&app.name).expect("a draft is made before an app's first word")
            }
            Subject::Program(role) => {
                &mut self.draft.programs.get_mut(role).expect("a program's first word names its file").jail
            }
        }
    }

    /// The jail of an app, or of a program that is in it; none where it cannot be.
    pub(super) fn finish_jail(&mut self, subject: Subject<'_>, draft: JailDraft) -> Option<Jail> {
        if draft.seccomp.is_none()
            && !the_user_wants_no_filter(subject)
            && let Err(problem) = self.need(Permission::Unfiltered)
        {
            self.object(Some(subject.name()), problem);
        }
        let root = match subject {
            Subject::App(_) => Root::Image(self.required(subject, "root", draft.root)?),
            Subject::Program(_) => Root::Bare,
        };
        let user = self.required(subject, "user", draft.user.clone())?;
        Some(self.jail(subject, draft, root, user))
    }

    /// The files of a program that is outside of its jail. Its process is rkt's own kind.
    pub(super) fn finish_tree(&mut self, subject: Subject<'_>, draft: JailDraft) -> Jail {
        let of_the_process = [
            ("user", draft.user.is_some()),
            ("capabilities", draft.capabilities.is_some()),
            ("no-new-privileges", draft.no_new_privileges.is_some()),
            ("seccomp", draft.seccomp.is_some()),
        ];
        // A tree is files: what is the kernel's there, the program makes.
        let of_the_kernel = [
            ("mount", draft.mounts.iter().any(|mount| matches!(mount, Mount::FileSystem { .. }))),
            ("device", !draft.devices.is_empty()),
            ("mask", !draft.masked.is_empty()),
        ];
        for (word, _) in of_the_process.into_iter().chain(of_the_kernel).filter(|(_, said)| *said) {
            self.object(Some(subject.name()), Problem::OutsideOfTheJail { word });
        }
        let root = Credentials { uid: 0, gid: 0, groups: Vec::new() };
        let capabilities = Some(CapabilitySet::ALL);
        self.jail(subject, JailDraft { capabilities, ..draft }, Root::Bare, User::Ids(root))
    }

    fn jail(&mut self, subject: Subject<'_>, draft: JailDraft, root: Root, user: User) -> Jail {
        let mut mounts = draft.mounts;
        mounts.sort_by(|one, other| one.target().cmp(other.target()));
        for problem in below_kernel_files(&mounts, &draft.devices, &draft.links) {
            self.object(Some(subject.name()), problem);
        }
        Jail {
            name: subject.plain_name(),
            root,
            mounts,
            devices: draft.devices,
            links: draft.links,
            directories: draft.directories,
            files: draft.files,
            read_only: draft.read_only,
            masked: draft.masked,
            user,
            capabilities: draft.capabilities.unwrap_or_default(),
            no_new_privileges: draft.no_new_privileges.is_some(),
            seccomp: draft.seccomp,
            limits: draft.limits,
            oom_score: draft.oom_score,
            stdio: draft.stdio.unwrap_or_default(),
        }
    }

    fn required<T>(&mut self, subject: Subject<'_>, word: &'static str, said: Option<T>) -> Option<T> {
        if said.is_none() {
            self.object(Some(subject.name()), Problem::Missing { word });
        }
        said
    }
}

/// Capabilities that the user asked to retain are the user's to give. An image's are not.
fn the_users_own(subject: Subject<'_>) -> CapabilitySet {
    let Subject::App(asked) = subject else { return CapabilitySet::EMPTY };
    match &asked.capabilities {
        Some(change) if change.by != Origin::Image => match change.value {
            CapabilityChange::Retain(set) => set,
            CapabilityChange::Remove(_) => CapabilitySet::EMPTY,
        },
        _ => CapabilitySet::EMPTY,
    }
}

/// So is the decision to have no filter.
fn the_user_wants_no_filter(subject: Subject<'_>) -> bool {
    let Subject::App(asked) = subject else { return false };
    asked.seccomp.as_ref().is_some_and(|asked| {
        asked.by != Origin::Image
            && SeccompPolicy::from_filter(&asked.value).is_ok_and(|policy| policy.refuses_nothing())
    })
}

/// Places, devices and links cannot lie among files that are the kernel's own; the kernel's can.
fn below_kernel_files(mounts: &[Mount], devices: &[CleanPath], links: &[Link]) -> Vec<Problem> {
    let kernels =
        mounts.iter().filter(|mount| matches!(mount, Mount::FileSystem { kind, .. } if kind.is_the_kernels()));
    let binds = mounts.iter().filter(|mount| matches!(mount, Mount::Bind { .. })).map(Mount::target);
    let ours: Vec<&CleanPath> = binds.chain(devices).chain(links.iter().map(|link| &link.path)).collect();
    kernels
        .flat_map(|kernel| ours.iter().map(move |target| (kernel.target(), *target)))
        .filter(|(kernel, target)| kernel != target && kernel.holds(target))
        .map(|(kernel, target)| Problem::BelowKernelFiles { target: target.clone(), below: kernel.clone() })
        .collect()
}

fn add_once(list: &mut Vec<CleanPath>, path: CleanPath) -> Result<(), Problem> {
    if list.contains(&path) {
        return Err(Problem::Taken { path });
    }
    list.push(path);
    Ok(())
}

/// What plans name in images and artifacts is other pods' too.
fn never_written(access: Access) -> Result<(), Problem> {
    match access {
        Access::ReadOnly => Ok(()),
        Access::ReadWrite => Err(Problem::NeverWritten),
    }
}

/// Permissions of a file, without set-user-id and its like.
fn permissions(mode: u32) -> Result<u16, Problem> {
    in_range("permissions", mode.into(), &(0..=0o777))?;
    Ok(u16::try_from(mode).expect("the range was just checked"))
}

/// As numbers that hold all that a plugin can say, so that none is mistaken for another.
pub(super) fn in_range(what: &'static str, value: i128, range: &RangeInclusive<i128>) -> Result<(), Problem> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Problem::Range { what, value, least: *range.start(), most: *range.end() })
}
