//! A pod for a test: its directory, an image of nothing but busybox, and a plan to be filled in.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rkt_executor::trial::Trial;
use rkt_executor::{Changes, Launch, Places, Root};
use rkt_monitor::Control;
use rkt_plan::{
    Access, App, Asked, Credentials, JailWord, LimitKind, Origin, Permissions, Place, Plan, Pod, ProgramWord, Reach,
    Role, SeccompFilter, SeccompMode, SpokenPiece as Piece, VolumeMount, Word,
};
use rkt_sys::lock::Lock;

/// Everything that a plan of these tests says.
const ALLOWED: [&str; 38] = [
    "channel",
    "share:pid",
    "share:network",
    "share:ipc",
    "share:uts",
    "share:cgroup",
    "share:user",
    "hostname",
    "root",
    "link",
    "user",
    "bind:volume",
    "bind:empty",
    "bind:host:rw:/",
    "mount:proc",
    "mount:sysfs",
    "mount:tmpfs",
    "mount:devpts",
    "mount:mqueue",
    "mount:cgroup2",
    "device:/dev",
    "capability:all",
    "mask",
    "read-only",
    "no-new-privileges",
    "seccomp",
    "unfiltered",
    "limit",
    "oom-score",
    "stdio:log",
    "stdio:raw",
    "claim",
    "bind:host:ro:/",
    "device:/",
    "program:host:/bin/busybox",
    "program:payload",
    "bind:root",
    "file",
];

const NAMESPACES: [&str; 6] = ["pid", "network", "ipc", "uts", "cgroup", "user"];

/// What the tests' isolated plans leave an app.
pub(crate) const CAPABILITIES: [&str; 4] = ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"];

/// A pod that can be changed until it is started.
pub(crate) struct TestPod {
    directory: tempfile::TempDir,
    /// What is said about each app, beside the least.
    speak: fn(&mut Self, &str),
    pub(crate) launch: Launch,
}

/// A pod that runs.
pub(crate) struct Running {
    /// The monitor.
    pub(crate) monitor: Option<Child>,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl TestPod {
    /// A pod that shares every namespace, with these commands, one an app, named `a`, `b`, ….
    pub(crate) fn shared(scripts: &[&str]) -> Self {
        let mut pod = Self::new(scripts);
        for name in NAMESPACES {
            pod.say(Word::Share { namespace: name.to_owned() });
        }
        pod.speak_to_all(Self::share)
    }

    /// A pod that shares nothing but the user namespace.
    pub(crate) fn isolated(scripts: &[&str]) -> Self {
        let mut pod = Self::new(scripts);
        pod.say(Word::Share { namespace: "user".to_owned() });
        pod.say(Word::Hostname { name: "test-pod".to_owned() });
        pod.speak_to_all(Self::isolate)
    }

    fn speak_to_all(mut self, speak: fn(&mut Self, &str)) -> Self {
        self.speak = speak;
        for app in self.names() {
            speak(&mut self, &app);
        }
        self
    }

    fn share(&mut self, app: &str) {
        for path in ["/dev", "/proc", "/sys"] {
            let (source, target) = (Place::Host(path.to_owned()), path.to_owned());
            self.app(app, JailWord::Bind { source, target, access: Access::ReadWrite, recursive: true });
        }
        self.app(app, JailWord::Stdio { mode: "raw".to_owned() });
        self.app(app, JailWord::Capabilities { names: vec!["CAP_CHOWN".to_owned()] });
    }

    fn isolate(&mut self, app: &str) {
        for (kind, target, options) in [
            ("proc", "/proc", &["noexec"][..]),
            ("sysfs", "/sys", &["ro", "noexec"]),
            ("tmpfs", "/dev", &["mode=0755", "noexec"]),
            ("devpts", "/dev/pts", &["ptmxmode=0666", "mode=0620", "gid=5"]),
            ("mqueue", "/dev/mqueue", &[]),
            ("tmpfs", "/dev/shm", &["mode=1777"]),
        ] {
            let options = options.iter().map(|&option| option.to_owned()).collect();
            self.app(app, JailWord::Mount { kind: kind.to_owned(), target: target.to_owned(), options });
        }
        for path in ["/dev/null", "/dev/zero"] {
            self.app(app, JailWord::Device { path: path.to_owned() });
        }
        self.app(app, JailWord::Link { path: "/dev/fd".to_owned(), to: "/proc/self/fd".to_owned() });
        for path in ["/proc/cpuinfo", "/proc/kcore", "/sys/module", "/proc/no-such-file"] {
            self.app(app, JailWord::Mask { path: path.to_owned() });
        }
        self.app(app, JailWord::ReadOnly { path: "/proc/sys".to_owned() });
        let names = CAPABILITIES.map(str::to_owned).into();
        self.app(app, JailWord::Capabilities { names });
        self.app(app, JailWord::NoNewPrivileges);
        let filter = SeccompFilter { mode: SeccompMode::Retain, calls: vec!["@default".to_owned()], errno: None };
        self.app(app, JailWord::Seccomp { filter });
    }

    /// The launch of this pod with one app more, of the same kind, as `say` has it: with places and command of
    /// that app only.
    pub(crate) fn with_app(&mut self, name: &str, script: &str, say: impl FnOnce(&mut Self)) -> Launch {
        let before = self.launch.clone();
        self.add_app(name, script);
        (self.speak)(self, name);
        say(self);
        let mut wanted = std::mem::replace(&mut self.launch, before);
        wanted.places.roots.retain(|app, _| app == name);
        wanted.commands.retain(|app, _| app == name);
        wanted
    }

    /// A pod whose only app `a` is what a program runs: busybox in a jail with nothing but itself, the
    /// kernel's files and a place `run`.
    pub(crate) fn opaque(script: &str) -> Self {
        let mut pod = Self::empty();
        pod.launch.pod.apps.push(app("a"));
        pod.start_program(&Role::Main, &["sh", "-c", script]);
        pod.say(Word::Waive { request: "app/a/user".to_owned(), reason: "it is opaque".to_owned() });
        pod
    }

    /// A pod whose app `a` is to be run by an init of which there is nothing but this script: it has the way to
    /// the monitor as 3, and a file of these bytes. It has so many seconds to speak.
    pub(crate) fn guest(script: &str, bytes: &[u8], seconds: u32) -> Self {
        let mut pod = Self::new(&["exit 0"]);
        fs::write(pod.path().join("image/bin/bytes"), bytes).unwrap();
        pod.start_program(&Role::Main, &["sh", "-c", script]);
        let pieces = vec![Piece::Descriptor { place: Place::Channel, access: Access::ReadWrite }];
        pod.program(&Role::Main, ProgramWord::Argument { pieces });
        pod.program(&Role::Main, ProgramWord::SpeaksWithin { seconds, hint: Some("ask another".to_owned()) });
        pod
    }

    /// A pod whose only app `a` is what a program outside of its jail runs: the host's shell with this script, which
    /// finds the path of its tree as `$0`.
    pub(crate) fn outside(script: &str) -> Self {
        let mut pod = Self::empty();
        pod.launch.pod.apps.push(app("a"));
        pod.leave_jail(&Role::Main, script);
        pod.say(Word::Waive { request: "app/a/user".to_owned(), reason: "it is opaque".to_owned() });
        pod
    }

    /// The same of an app that an init is to run, which the program starts and which comes to `/way/channel` of the
    /// tree. It has so many seconds to speak.
    pub(crate) fn meeting(script: &str, seconds: u32) -> Self {
        let mut pod = Self::new(&["exit 0"]);
        pod.leave_jail(&Role::Main, script);
        let word = JailWord::Channel { path: "/way/channel".to_owned() };
        pod.program(&Role::Main, ProgramWord::Jail { word });
        pod.program(&Role::Main, ProgramWord::SpeaksWithin { seconds, hint: Some("ask another".to_owned()) });
        pod
    }

    /// Adds a program outside of its jail, which is granted what it is told.
    pub(crate) fn leave_jail(&mut self, role: &Role, script: &str) {
        self.allow("unconfined:/bin/busybox");
        self.allow("environment:PATH={path}");
        for word in ["sh", "-c", script, "{tree}"] {
            let shape = if word == "{tree}" { word.to_owned() } else { word.replace('{', "{{").replace('}', "}}") };
            self.allow(&format!("argument:{shape}"));
        }
        self.program(role, ProgramWord::File { file: Place::Host("/bin/busybox".to_owned()) });
        self.program(role, ProgramWord::Unconfined);
        self.add_arguments(role, &["sh", "-c", script]);
        self.program(role, ProgramWord::Argument { pieces: vec![Piece::Tree] });
        self.program(role, ProgramWord::Environment { name: "PATH".to_owned(), value: "/usr/bin".to_owned() });
    }

    /// Gives it one permission more.
    pub(crate) fn allow(&mut self, permission: &str) {
        let new = permission.parse().unwrap();
        self.launch.granted = self.launch.granted.iter().cloned().chain([new]).collect();
        self.launch.declared = self.launch.granted.clone();
    }

    /// Adds a program with its jail.
    pub(crate) fn start_program(&mut self, role: &Role, arguments: &[&str]) {
        let file = Place::Host("/bin/busybox".to_owned());
        self.program(role, ProgramWord::File { file });
        self.add_arguments(role, arguments);
        self.program(role, ProgramWord::Environment { name: "PATH".to_owned(), value: "/bin".to_owned() });
        let bind = |source, target: &str, access| JailWord::Bind {
            source,
            target: target.to_owned(),
            access,
            recursive: false,
        };
        let image = Place::Host(self.path().join("image/bin").to_str().unwrap().to_owned());
        for word in [
            JailWord::OwnUser,
            bind(image, "/bin", Access::ReadOnly),
            bind(Place::Empty("run".to_owned()), "/run", Access::ReadWrite),
            JailWord::Mount { kind: "proc".to_owned(), target: "/proc".to_owned(), options: vec![] },
        ] {
            self.program(role, ProgramWord::Jail { word });
        }
    }

    /// How a command enters the program's jail, or how it is asked to end.
    pub(crate) fn template(&mut self, role: &Role, arguments: &[&str]) {
        let file = Place::Host("/bin/busybox".to_owned());
        self.program(role, ProgramWord::File { file });
        self.add_arguments(role, arguments);
    }

    fn add_arguments(&mut self, role: &Role, arguments: &[&str]) {
        for argument in arguments {
            let pieces = vec![Piece::Text((*argument).to_owned())];
            self.program(role, ProgramWord::Argument { pieces });
        }
    }

    /// Adds a word about a program.
    pub(crate) fn program(&mut self, role: &Role, word: ProgramWord) {
        self.say(Word::Program { role: role.clone(), word });
    }

    /// The least: roots, commands and users, and not one other word.
    fn new(scripts: &[&str]) -> Self {
        let mut pod = Self::empty();
        for (name, script) in ('a'..='z').zip(scripts) {
            pod.add_app(&name.to_string(), script);
        }
        pod
    }

    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for name in ["pod", "empty", "image/bin", "image/tmp", "image/etc"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", path.join("image/bin/busybox")).unwrap();
        for applet in [
            "sh", "cat", "ls", "sleep", "id", "grep", "mount", "tty", "stty", "hostname", "wc", "head", "readlink",
            "pwd", "mknod", "chmod", "chown",
        ] {
            symlink("busybox", path.join("image/bin").join(applet)).unwrap();
        }
        Self { launch: launch(path), directory, speak: |_, _| {} }
    }

    fn add_app(&mut self, name: &str, script: &str) {
        let path = self.directory.path();
        let [upper, work] = ["upper", "work"].map(|kind| path.join(format!("{kind}-{name}")));
        for directory in [&upper, &work] {
            fs::create_dir(directory).unwrap();
        }
        let root = Root { lower: vec![path.join("image")], changes: Changes::Layer { upper, work } };
        self.launch.places.roots.insert(name.to_owned(), root);
        let command = rkt_executor::Command {
            file: None,
            arguments: ["sh", "-c", script].map(str::to_owned).into(),
            environment: vec![("PATH".to_owned(), "/bin".to_owned()), ("SECRET".to_owned(), "s3cret".to_owned())],
            working_directory: "/".to_owned(),
        };
        self.launch.commands.insert(name.to_owned(), command);
        self.launch.pod.apps.push(app(name));
        self.app(name, JailWord::Root { access: Access::ReadWrite });
        let credentials = root_user();
        self.app(name, JailWord::User { credentials });
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.launch.pod.apps.iter().map(|app| app.name.clone()).collect()
    }

    /// The test's directory; the image is in `image`, the pod in `pod`.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds a word.
    pub(crate) fn say(&mut self, word: Word) {
        self.launch.plan.words.push(word);
    }

    /// Adds a word about an app.
    pub(crate) fn app(&mut self, app: &str, word: JailWord) {
        self.say(Word::App { app: app.to_owned(), word });
    }

    /// Takes all of a word's uses back.
    pub(crate) fn forget(&mut self, name: &str) {
        self.launch.plan.words.retain(|word| word.name() != name);
    }

    /// Makes an app's user another one.
    pub(crate) fn set_user(&mut self, app: &str, credentials: Credentials) {
        self.forget_user(app);
        for asked in self.launch.pod.apps.iter_mut().filter(|asked| asked.name == app) {
            asked.user.value = credentials.clone();
        }
        self.app(app, JailWord::User { credentials });
    }

    fn forget_user(&mut self, name: &str) {
        self.launch
            .plan
            .words
            .retain(|word| !matches!(word, Word::App { app, word: JailWord::User { .. } } if app == name));
    }

    /// Makes an app run another command than its script.
    pub(crate) fn set_command(&mut self, app: &str, arguments: &[&str]) {
        let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        self.launch.commands.get_mut(app).unwrap().arguments = arguments;
    }

    /// Gives an app a volume of the host's, and asks for it, as the plan has to show it.
    pub(crate) fn add_volume(&mut self, app: &str, name: &str, path: PathBuf, target: &str) {
        self.launch.places.volumes.insert(name.to_owned(), path);
        let wanted = VolumeMount {
            volume: name.to_owned(),
            target: target.parse().unwrap(),
            access: Access::ReadWrite,
            reach: Reach::Recursive,
        };
        for asked in self.launch.pod.apps.iter_mut().filter(|asked| asked.name == app) {
            asked.volumes.push(Asked { value: wanted.clone(), by: Origin::CommandLine });
        }
        let (source, target) = (Place::Volume(name.to_owned()), target.to_owned());
        self.app(app, JailWord::Bind { source, target, access: Access::ReadWrite, recursive: true });
    }

    pub(crate) fn limit(&mut self, app: &str, kind: LimitKind, value: u64) {
        self.app(app, JailWord::Limit { what: kind.name().to_owned(), value });
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let launcher = Command::new(launcher());
        self.start_by(launcher)
    }

    /// Runs it to its end, on a host that a command has made another one.
    pub(crate) fn run_after(self, preparation: &str) -> Finished {
        let mut host = Command::new("unshare");
        let script = format!("{preparation} && exec \"$@\"");
        host.args(["--mount", "sh", "-c", &script, "sh"]).arg(launcher());
        self.start_by(host).finish()
    }

    fn start_by(self, mut launcher: Command) -> Running {
        let path = self.directory.path().join("pod");
        launcher.args([monitor_program(), path.clone()]);
        let mut child = launcher.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&serde_json::to_vec(&self.launch).unwrap()).unwrap();
        Running { monitor: Some(child), path, _directory: self.directory }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Finished {
        self.start().finish()
    }
}

/// A pod that has ended.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
    running: Running,
}

impl Finished {
    /// The code that is recorded of an app.
    pub(crate) fn status(&self, app: &str) -> Option<String> {
        self.running.status(app)
    }

    /// A file of the pod's directory.
    pub(crate) fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.running.path.join(name)).ok()
    }

    /// A file of the test's directory.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.running.path.parent()?.join(name)).ok()
    }
}

impl Running {
    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let Output { status, stdout, stderr } = self.monitor.take().unwrap().wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Finished { code: status.code(), output: text(stdout), error: text(stderr), running: self }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.monitor.as_ref().unwrap().id().cast_signed()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn status(&self, app: &str) -> Option<String> {
        fs::read_to_string(self.path.join("stage1/rootfs/rkt/status").join(app)).ok()
    }

    pub(crate) fn control(&self) -> Control {
        Control::connect(std::os::fd::AsFd::as_fd(&fs::File::open(&self.path).unwrap())).unwrap()
    }

    /// Waits until all apps run.
    pub(crate) fn wait_until_ready(&self) {
        let ready = self.path.join("stage1/rootfs/rkt/supervisor-status");
        wait_for(|| fs::read_link(&ready).is_ok());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut monitor) = self.monitor.take() {
            let _ = monitor.kill();
            let _ = monitor.wait();
            // As whoever meets the pod next does.
            let lock = Lock::exclusive(fs::File::open(&self.path).unwrap().into()).unwrap();
            rkt_executor::undo(&lock).unwrap();
        }
    }
}

/// Looks again and again until something is so, at most for as long as no machine needs.
pub(crate) fn wait_for(mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}

pub(crate) fn root_user() -> Credentials {
    Credentials { uid: 0, gid: 0, groups: vec![] }
}

fn app(name: &str) -> App {
    App {
        name: name.to_owned(),
        user: Asked { value: root_user(), by: Origin::Image },
        read_only_root: None,
        volumes: vec![],
        limits: BTreeMap::new(),
        capabilities: None,
        seccomp: None,
        no_new_privileges: None,
        oom_score: None,
    }
}

fn launch(path: &Path) -> Launch {
    let uuid = format!("test-{}", path.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_lowercase());
    let allowed: Permissions = ALLOWED.iter().map(|text| text.parse().unwrap()).collect();
    Launch {
        pod: Pod { uuid, hostname: None, apps: vec![], limits: BTreeMap::new(), settings: BTreeMap::new() },
        plan: Plan::default(),
        declared: allowed.clone(),
        granted: allowed,
        plugin: "test".to_owned(),
        places: Places {
            roots: BTreeMap::new(),
            volumes: BTreeMap::new(),
            empty: path.join("empty"),
            payload: None,
            artifacts: Vec::new(),
        },
        commands: BTreeMap::new(),
        trial: Trial::default(),
    }
}

/// The static program where one was built, else this build's.
fn monitor_program() -> PathBuf {
    std::env::var_os("RKT_MONITOR").map_or_else(|| env!("CARGO_BIN_EXE_rkt-monitor").into(), PathBuf::from)
}

/// `examples/launch.rs`, which Cargo builds beside the tests.
fn launcher() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/launch")
}
