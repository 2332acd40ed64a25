//! The plan as a plain value: one method a word, as in `wit/plans.wit`.

use crate::pod::{Access, App, Credentials, Limit, Pod, Request, SeccompFilter};
use crate::program::{Planned, Program, Role};

/// What the host is asked to do. Nothing happens while it is made; two plans can be compared, and
/// printed one word a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub(crate) words: Vec<Word>,
    pub(crate) apps: Vec<(String, Vec<JailWord>)>,
    pub(crate) programs: Vec<Planned>,
}

/// A word about the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Share(Namespace),
    Hostname(String),
    Claim { request: String, how: String },
    Waive { request: String, reason: String },
    Note(String),
}

/// A word about a jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JailWord {
    Root(Access),
    Bind { source: Place, target: String, access: Access, reach: Reach },
    Mount { kind: String, target: String, options: Vec<String> },
    Link { path: String, to: String },
    Device(String),
    Mask(String),
    ReadOnly(String),
    File { path: String, mode: u32, content: String },
    Directory { path: String, mode: u32 },
    Channel(String),
    OwnUser,
    User(Credentials),
    Capabilities(Vec<String>),
    NoNewPrivileges,
    Seccomp(SeccompFilter),
    Limit(Limit),
    OomScore(i32),
    Stdio(Stdio),
}

impl Plan {
    /// A plan that asks for nothing: every namespace is the pod's own, and no app is planned yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves the pod in this namespace of the host. Permission `share:NAMESPACE`.
    pub fn share(&mut self, namespace: Namespace) -> &mut Self {
        self.say(Word::Share(namespace))
    }

    /// Sets the pod's host name; it needs a uts namespace of its own. Permission `hostname`.
    pub fn hostname(&mut self, name: &str) -> &mut Self {
        self.say(Word::Hostname(name.to_owned()))
    }

    /// The plan of one app, to be added to. Each app of the pod needs one; asking twice gives the
    /// same.
    pub fn app(&mut self, name: &str) -> Jail<'_> {
        let index = self.apps.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.apps.push((name.to_owned(), Vec::new()));
            self.apps.len() - 1
        });
        Jail::new(&mut self.apps[index].1)
    }

    /// A program that starts what is inside the pod: rkt's init where it mentions a channel, else
    /// something opaque. Permission `program:host:PATH` or `program:payload`.
    pub fn program(&mut self, file: Place) -> Program<'_> {
        self.start(Role::Main, file)
    }

    /// A program that runs beside the pod; when it ends by itself, the pod ends. Permission as for
    /// [`Plan::program`].
    pub fn helper(&mut self, name: &str, file: Place) -> Program<'_> {
        self.start(Role::Helper(name.to_owned()), file)
    }

    /// How a command is run inside an opaque pod. Permission as for [`Plan::program`].
    pub fn enter(&mut self, file: Place) -> Program<'_> {
        self.start(Role::Enter, file)
    }

    /// How an opaque pod is asked to end; SIGTERM to its program without this word. Permission as for
    /// [`Plan::program`].
    pub fn stop(&mut self, file: Place) -> Program<'_> {
        self.start(Role::Stop, file)
    }

    fn start(&mut self, role: Role, file: Place) -> Program<'_> {
        self.programs.push(Planned { role, file, words: Vec::new(), jail: Vec::new() });
        Program::new(self.programs.last_mut().expect("one was just added"))
    }

    /// Says that a request is met where the host cannot see it, and how. Permission `claim`.
    pub fn claim(&mut self, request: &Request, how: impl Into<String>) -> &mut Self {
        self.say(Word::Claim { request: request.id().to_owned(), how: how.into() })
    }

    /// Says that a request is not met, and why, in the user's words.
    pub fn waive(&mut self, request: &Request, reason: impl Into<String>) -> &mut Self {
        self.say(Word::Waive { request: request.id().to_owned(), reason: reason.into() })
    }

    /// Waives every request of a kind that is not handled, so that a host that knows more kinds of
    /// requests than this plugin does gets an answer to each.
    pub fn waive_all_but(&mut self, pod: &Pod, handled: &[&str]) -> &mut Self {
        for request in pod.requests.iter().filter(|request| !handled.contains(&request.kind())) {
            self.waive(request, format!("this flavor knows no `{}`", request.kind()));
        }
        self
    }

    /// A remark for whoever reads the plan.
    pub fn note(&mut self, text: impl Into<String>) -> &mut Self {
        self.say(Word::Note(text.into()))
    }

    fn say(&mut self, word: Word) -> &mut Self {
        self.words.push(word);
        self
    }
}

/// The jail of an app or a program: its view of files, and what its process may do.
#[derive(Debug)]
pub struct Jail<'plan> {
    words: &'plan mut Vec<JailWord>,
}

impl<'plan> Jail<'plan> {
    pub(crate) fn new(words: &'plan mut Vec<JailWord>) -> Self {
        Self { words }
    }

    /// The app's image as its root. Each app needs exactly one, a program has none. Permission `root`.
    pub fn root(&mut self, access: Access) -> &mut Self {
        self.say(JailWord::Root(access))
    }

    /// A place, seen at a path. Permission of the place: `bind:volume`, `bind:empty`, `bind:payload`,
    /// `bind:root`, `artifact:KIND`, `bind:host:ro:PATH` or `bind:host:rw:PATH`.
    pub fn bind(&mut self, source: Place, target: &str, access: Access, reach: Reach) -> &mut Self {
        self.say(JailWord::Bind { source, target: target.to_owned(), access, reach })
    }

    /// Every volume that the app asks for, with what is mounted below it where that is wanted too. Permission
    /// `bind:volume`.
    pub fn volumes(&mut self, app: &App) -> &mut Self {
        for wanted in &app.volumes {
            self.bind(volume(&wanted.volume), &wanted.target, wanted.access, wanted.reach);
        }
        self
    }

    /// A file system that the kernel makes: `proc`, `sysfs`, `tmpfs`, `devpts`, `mqueue`, `cgroup2`.
    /// Permission `mount:KIND`.
    pub fn mount(&mut self, kind: &str, target: &str, options: &[&str]) -> &mut Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        self.say(JailWord::Mount { kind: kind.to_owned(), target: target.to_owned(), options })
    }

    /// A symbolic link; what is at the path already is left alone. Permission `link`.
    pub fn link(&mut self, path: &str, to: &str) -> &mut Self {
        self.say(JailWord::Link { path: path.to_owned(), to: to.to_owned() })
    }

    /// A device node of the host under its own path. Permission `device:PATH`.
    pub fn device(&mut self, path: &str) -> &mut Self {
        self.say(JailWord::Device(path.to_owned()))
    }

    /// Makes what is at a path unreadable. Permission `mask`.
    pub fn mask(&mut self, path: &str) -> &mut Self {
        self.say(JailWord::Mask(path.to_owned()))
    }

    /// Makes what is at a path read-only, with all mounts below it. Permission `read-only`.
    pub fn read_only(&mut self, path: &str) -> &mut Self {
        self.say(JailWord::ReadOnly(path.to_owned()))
    }

    /// A new file with this text; the nine permissions are in `mode`. For programs only. Permission
    /// `file`.
    pub fn file(&mut self, path: &str, mode: u32, content: &str) -> &mut Self {
        self.say(JailWord::File { path: path.to_owned(), mode, content: content.to_owned() })
    }

    /// A new directory. For programs only. Permission `file`.
    pub fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.say(JailWord::Directory { path: path.to_owned(), mode })
    }

    /// A socket on which the init that a program outside of its jail starts is to connect. Permission
    /// `channel`.
    pub fn channel(&mut self, path: &str) -> &mut Self {
        self.say(JailWord::Channel(path.to_owned()))
    }

    /// A user and a group that no other process is. For programs only.
    pub fn own_user(&mut self) -> &mut Self {
        self.say(JailWord::OwnUser)
    }

    /// The user of the app's process. Each app needs exactly one. Permission `user`.
    pub fn user(&mut self, who: &Credentials) -> &mut Self {
        self.say(JailWord::User(who.clone()))
    }

    /// The capabilities that the app may have at most; without this word it has none. Permission
    /// `capability:NAME`; none for those that the user asked to retain.
    pub fn capabilities<I>(&mut self, names: I) -> &mut Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.say(JailWord::Capabilities(names.into_iter().map(Into::into).collect()))
    }

    /// No program gains privileges by being executed. Permission `no-new-privileges`.
    pub fn no_new_privileges(&mut self) -> &mut Self {
        self.say(JailWord::NoNewPrivileges)
    }

    /// The system calls of the app. Permission `seccomp`; leaving the word out needs `unfiltered`.
    pub fn seccomp(&mut self, filter: &SeccompFilter) -> &mut Self {
        self.say(JailWord::Seccomp(filter.clone()))
    }

    /// A limit on all processes of the app. Permission `limit`.
    pub fn limit(&mut self, limit: &Limit) -> &mut Self {
        self.say(JailWord::Limit(limit.clone()))
    }

    /// Every limit that the app asks for, and its adjustment of whom the kernel kills when memory
    /// ends. Permissions `limit` and `oom-score`.
    pub fn limits(&mut self, app: &App) -> &mut Self {
        for limit in &app.limits {
            self.limit(limit);
        }
        if let Some(adjustment) = app.oom_score {
            self.oom_score(adjustment);
        }
        self
    }

    /// The adjustment of whom the kernel kills when memory ends, -1000 to 1000. Permission
    /// `oom-score`.
    pub fn oom_score(&mut self, adjustment: i32) -> &mut Self {
        self.say(JailWord::OomScore(adjustment))
    }

    /// Where the app's output goes; without this word [`Stdio::Log`]. Permission `stdio:MODE`.
    pub fn stdio(&mut self, mode: Stdio) -> &mut Self {
        self.say(JailWord::Stdio(mode))
    }

    fn say(&mut self, word: JailWord) -> &mut Self {
        self.words.push(word);
        self
    }
}

/// Where something comes from, by name; the host knows the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A volume of the pod.
    Volume(String),
    /// An empty directory of the pod's own; the same name is the same directory for all its apps.
    Empty(String),
    /// A path of the host.
    Host(String),
    /// A path in the image that the plugin came in.
    Payload(String),
    /// The root file system of an app, with the pod's own changes.
    RootOf(String),
    /// Something that the host makes or finds.
    Artifact {
        /// `init`, `root-image`, `kernel` or `initramfs`; later hosts may know more.
        kind: String,
        /// What it is made of.
        of: String,
    },
    /// The program's end of the connection to rkt's init inside.
    Channel,
}

/// A volume of the pod, by name.
pub fn volume(name: &str) -> Place {
    Place::Volume(name.to_owned())
}

/// A new empty directory that belongs to the pod alone and is gone with it.
pub fn empty(name: &str) -> Place {
    Place::Empty(name.to_owned())
}

/// A path of the host.
pub fn host(path: &str) -> Place {
    Place::Host(path.to_owned())
}

/// A path in the image that the plugin came in.
pub fn payload(path: &str) -> Place {
    Place::Payload(path.to_owned())
}

/// The root file system of an app, for a program that runs the app itself.
pub fn root_of(app: &str) -> Place {
    Place::RootOf(app.to_owned())
}

/// rkt's own init, a static program.
pub fn init() -> Place {
    Place::Artifact { kind: "init".to_owned(), of: String::new() }
}

/// The image of an app as an EROFS file system in a file.
pub fn root_image(app: &str) -> Place {
    Place::Artifact { kind: "root-image".to_owned(), of: app.to_owned() }
}

/// The kernel that the operator names, else the host's own.
pub fn kernel() -> Place {
    Place::Artifact { kind: "kernel".to_owned(), of: String::new() }
}

/// rkt's init as the first root file system of that kernel, with these modules and what they need.
pub fn initramfs(modules: &[&str]) -> Place {
    Place::Artifact { kind: "initramfs".to_owned(), of: modules.join(" ") }
}

/// The program's end of the connection to rkt's init inside, for a descriptor.
pub fn channel() -> Place {
    Place::Channel
}

/// Whether a bind takes what is mounted below its source along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The mount alone.
    Single,
    /// With all mounts below it.
    Recursive,
}

/// A namespace that a pod has for itself unless its plan shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Process ids.
    Pid,
    /// Network interfaces, routes, ports.
    Network,
    /// System V and POSIX message queues and shared memory.
    Ipc,
    /// The host name.
    Uts,
    /// The root of the control groups.
    Cgroup,
    /// User ids and the capabilities that go with them.
    User,
}

impl Namespace {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Pid, Self::Network, Self::Ipc, Self::Uts, Self::Cgroup, Self::User];

    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::User => "user",
        }
    }
}

/// Where an app's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Lines, each with the time, the app's name and its process id before it.
    Log,
    /// Bytes, as they come.
    Raw,
}

impl Stdio {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Raw => "raw",
        }
    }
}

/// Why a pod cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What cannot be done, in one line.
    pub message: String,
    /// What the user could do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same problem, with what the user could do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
