//! The plan as a plain value: one method a word, as in `wit/plans.wit`.

use crate::pod::{Access, App, Credentials, Limit, Pod, Request, SeccompFilter};

/// What the host is asked to do. Nothing happens while it is made; two plans can be compared, and
/// printed one word a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub(crate) words: Vec<Word>,
    pub(crate) apps: Vec<(String, Vec<JailWord>)>,
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

/// A word about one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JailWord {
    Root(Access),
    Bind { source: Place, target: String, access: Access, reach: Reach },
    Mount { kind: String, target: String, options: Vec<String> },
    Link { path: String, to: String },
    Device(String),
    Mask(String),
    ReadOnly(String),
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
        Jail { words: &mut self.apps[index].1 }
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

/// The plan of one app: its view of files, and what its process may do.
#[derive(Debug)]
pub struct Jail<'plan> {
    words: &'plan mut Vec<JailWord>,
}

impl Jail<'_> {
    /// The app's image as its root. Each app needs exactly one. Permission `root`.
    pub fn root(&mut self, access: Access) -> &mut Self {
        self.say(JailWord::Root(access))
    }

    /// A place, seen at a path of the app. Permission `bind:volume`, `bind:empty`,
    /// `bind:host:ro:PATH` or `bind:host:rw:PATH`.
    pub fn bind(&mut self, source: Place, target: &str, access: Access, reach: Reach) -> &mut Self {
        self.say(JailWord::Bind { source, target: target.to_owned(), access, reach })
    }

    /// Every volume that the app asks for, with what is mounted below it. Permission `bind:volume`.
    pub fn volumes(&mut self, app: &App) -> &mut Self {
        for wanted in &app.volumes {
            self.bind(volume(&wanted.volume), &wanted.target, wanted.access, Reach::Recursive);
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
