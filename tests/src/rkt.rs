//! The real program, with a data directory and configuration of its own for each test.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::aci::{AciBuilder, Compression};
use crate::output::{Output, lines_of};
use crate::wait::{wait_for, wait_until};
use crate::{images, process};

/// How a directory of a test's is called; the check for leftovers looks for it.
pub const PREFIX: &str = "rkt-test-";

/// The flavors that come with rkt, as flags: what has to hold for one has to hold for each.
pub const FLAVORS: [&str; 2] = ["--stage1=fly", "--stage1=container"];

/// The same with the one that needs a program of the host's, for tests that do not run in test machines.
pub const FLAVORS_AND_NSPAWN: [&str; 3] = ["--stage1=fly", "--stage1=container", "--stage1=nspawn"];

/// The program under test: `RKT_TEST_BIN`, or what `cargo xtask build` makes.
///
/// # Panics
/// There is none: nothing is skipped because something was not built.
pub fn binary() -> PathBuf {
    std::env::var_os("RKT_TEST_BIN").map_or_else(|| built("rkt/bin/rkt").into(), PathBuf::from)
}

/// Where the program under test has its other programs.
///
/// # Panics
/// It is not installed in a `bin` with a `libexec` beside it.
pub fn companions() -> PathBuf {
    let binary = binary();
    let prefix = binary.parent().and_then(Path::parent).expect("the program is in a directory `bin`");
    prefix.join("libexec/rkt")
}

/// The path of something that `cargo xtask build` or `cargo xtask test` makes, by its path in cargo's
/// target directory.
///
/// # Panics
/// It is not there.
pub fn built(file: &str) -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::workspace().join("target"), PathBuf::from);
    let path = target.join(file);
    assert!(path.is_file(), "{} is not there: run `cargo xtask build` first", path.display());
    path.into_os_string().into_string().expect("the workspace has a name that is text")
}

/// rkt, with directories that are this value's own and go with it.
#[derive(Debug)]
pub struct Rkt {
    home: TempDir,
    options: Vec<OsString>,
}

impl Default for Rkt {
    fn default() -> Self {
        Self::new()
    }
}

impl Rkt {
    /// With an empty data directory and no configuration but the built-in one. Unsigned images are
    /// accepted, since none here is signed.
    pub fn new() -> Self {
        let mut rkt = Self::strict_about_images();
        rkt.options.push("--insecure-options=image".into());
        rkt
    }

    /// Without any insecure option.
    pub fn strict_about_images() -> Self {
        let home = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a temporary directory can be made");
        let options =
            [("dir", "data"), ("system-config", "system"), ("local-config", "local"), ("user-config", "user")]
                .iter()
                .map(|(option, directory)| {
                    let path = home.path().join(directory);
                    fs::create_dir(&path).expect("it is new");
                    let mut option = OsString::from(format!("--{option}="));
                    option.push(path);
                    option
                })
                .collect();
        Self { home, options }
    }

    /// The directory that all else of this value is in, for files of the test itself.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Writes a policy file for a plugin into the user's configuration.
    pub fn grant(&self, plugin: &str, allow: &[String]) {
        let directory = self.home.path().join("user/plugins.d");
        fs::create_dir_all(&directory).expect("the directory is ours");
        let list: Vec<String> = allow.iter().map(|permission| format!("{permission:?}")).collect();
        let text = format!("plugin = {plugin:?}\nallow = [{}]\n", list.join(", "));
        fs::write(directory.join(format!("{plugin}.toml")), text).expect("the directory is ours");
    }

    /// Writes an image into the home directory; the path of its file.
    pub fn image(&self, name: &str, image: &AciBuilder) -> String {
        let path = self.home().join(format!("{name}.aci"));
        image.write(&path, Compression::None);
        path.to_str().expect("temporary directories have names of ASCII").to_owned()
    }

    /// Writes an image that runs the probe with these words; the path of its file.
    pub fn probe<'a>(&self, name: &str, words: impl IntoIterator<Item = &'a str>) -> String {
        self.image(name, &images::probe(name).exec(["/probe"].into_iter().chain(words)))
    }

    /// A command with the global options and these words, its environment as small as a program's can
    /// be, and nothing to read.
    pub fn command<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = Command::new(binary());
        command.args(&self.options).args(words).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(self.home());
        command
    }

    /// The program and its arguments for words, for tests that start it by way of another program.
    pub fn words<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Vec<OsString> {
        let command = self.command(words);
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_owned).collect()
    }

    /// Runs it to its end.
    pub fn run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Output {
        Output::of(&mut self.command(words))
    }

    /// Starts a pod with `rkt run` and these words, and waits until all of its apps are up.
    pub fn start<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Running<'_> {
        self.start_unready(words).ready()
    }

    /// Starts a prepared pod with `rkt run-prepared` and these words, and waits until all of its apps are up.
    pub fn start_prepared<W: AsRef<OsStr>>(&self, uuid: &str, words: impl IntoIterator<Item = W>) -> Running<'_> {
        let mut all = vec![OsString::from("run-prepared")];
        all.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        all.push(uuid.into());
        let saved = self.saved();
        let child = self.spawn(&saved, &all);
        Running { rkt: self, child, uuid: uuid.to_owned(), saved }.ready()
    }

    /// A new directory for what a pod writes.
    fn saved(&self) -> PathBuf {
        tempfile::Builder::new().prefix("uuid-").tempdir_in(self.home()).expect("home is ours").keep()
    }

    fn spawn(&self, saved: &Path, words: &[OsString]) -> Child {
        let mut command = self.command(words);
        command.stdout(File::create(saved.join("stdout")).expect("home is ours"));
        command.stderr(File::create(saved.join("stderr")).expect("home is ours"));
        command.spawn().expect("rkt can be executed")
    }

    /// Starts a pod with `rkt run` and these words, and waits for its UUID only.
    pub fn start_unready<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Running<'_> {
        let saved = self.saved();
        let mut option = OsString::from("--uuid-file-save=");
        option.push(saved.join("uuid"));
        let mut all = vec![OsString::from("run"), option];
        all.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        let child = self.spawn(&saved, &all);
        let mut running = Running { rkt: self, child, uuid: String::new(), saved };
        running.uuid = wait_for("a UUID", || {
            let uuid = fs::read_to_string(running.saved.join("uuid")).unwrap_or_default();
            assert!(running.is_up() || uuid.len() >= 36, "no UUID:\n{}", running.read());
            (uuid.len() >= 36).then(|| uuid.trim_end().to_owned())
        });
        running
    }

    /// A pod's directory, in whatever state it is.
    pub fn pod(&self, uuid: &str) -> Option<PathBuf> {
        ["embryo", "prepare", "prepared", "run", "exited-garbage", "garbage"]
            .iter()
            .map(|state| self.data().join("pods").join(state).join(uuid))
            .find(|path| path.is_dir())
    }

    /// The UUIDs of all pods, in whatever state.
    pub fn pods(&self) -> Vec<String> {
        let states = fs::read_dir(self.data().join("pods")).into_iter().flatten().flatten();
        states
            .flat_map(|state| fs::read_dir(state.path()).into_iter().flatten().flatten())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// The one pod as `rkt list --format=json` has it.
    ///
    /// # Panics
    /// There is not exactly one.
    pub fn the_pod(&self) -> serde_json::Value {
        let listed = self.run(["list", "--format=json"]).succeeds().json();
        let pods = listed.as_array().expect("a list");
        assert_eq!(pods.len(), 1, "{listed}");
        pods[0].clone()
    }

    /// Collects all garbage and asserts that nothing of any pod is left, anywhere.
    pub fn collect(&self) {
        self.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]).succeeds();
        self.assert_no_pods();
    }

    /// Asserts that there is no pod, no process and no control group of one.
    ///
    /// # Panics
    /// There is.
    pub fn assert_no_pods(&self) {
        assert_eq!(self.pods(), Vec::<String>::new(), "pods are left");
        self.assert_nothing_lives();
    }

    /// Asserts that no process has anything of this value's data open or mounted.
    ///
    /// # Panics
    /// One has.
    pub fn assert_nothing_lives(&self) {
        let left: Vec<String> =
            self.processes().into_iter().map(|pid| format!("{pid} {}", process::name(pid))).collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
    }

    /// Every process that has something of this value's data open or mounted.
    pub fn processes(&self) -> Vec<u32> {
        process::that_use(&self.data())
    }
}

impl Drop for Rkt {
    /// A test that failed must not leave its pods running.
    fn drop(&mut self) {
        if thread::panicking() {
            self.processes().into_iter().for_each(|pid| process::signal(pid, Signal::KILL));
            let _ = self.command(["gc", "--grace-period=0s", "--expire-prepared=0s"]).output();
        } else {
            self.assert_nothing_lives();
        }
    }
}

/// A pod that runs beside the test. It is killed when it is dropped.
#[derive(Debug)]
pub struct Running<'r> {
    rkt: &'r Rkt,
    child: Child,
    /// The pod's UUID.
    pub uuid: String,
    /// The directory with what it writes.
    saved: PathBuf,
}

impl Running<'_> {
    /// The same when all of its apps are up.
    fn ready(self) -> Self {
        wait_until("the pod to be ready", || {
            assert!(self.is_up(), "it ended before it was ready:\n{}", self.read());
            self.is_ready()
        });
        self
    }

    /// The process that `rkt run` is: from the command line to the end of the pod.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The pod's directory.
    ///
    /// # Panics
    /// There is none any more.
    pub fn directory(&self) -> PathBuf {
        self.rkt.pod(&self.uuid).expect("the pod has a directory")
    }

    /// The process of init, once it is known.
    pub fn init(&self) -> u32 {
        wait_for("the process id of init", || {
            fs::read_to_string(self.directory().join("pid")).ok()?.trim_end().parse().ok()
        })
    }

    /// Whether all of its apps have been started.
    pub fn is_ready(&self) -> bool {
        let status = self.rkt.pod(&self.uuid).map(|pod| pod.join("stage1/rootfs/rkt/supervisor-status"));
        status.and_then(|status| fs::read_link(status).ok()).is_some_and(|target| target == Path::new("ready"))
    }

    /// Whether the process is there and has not ended.
    pub fn is_up(&self) -> bool {
        process::lives(self.child.id())
    }

    /// What it wrote to both outputs until now.
    pub fn read(&self) -> String {
        let read = |name| fs::read(self.saved.join(name)).unwrap_or_default();
        let all = [read("stdout"), read("stderr")].concat();
        String::from_utf8_lossy(&all).into_owned()
    }

    /// What an app has written to standard output until now, as [`Output::lines_of`] has it.
    pub fn lines_of(&self, app: &str) -> Vec<String> {
        lines_of(&String::from_utf8_lossy(&fs::read(self.saved.join("stdout")).unwrap_or_default()), app)
    }

    /// Waits until it has written a text.
    pub fn says(&self, text: &str) {
        wait_until(&format!("the pod to say {text:?}"), || {
            let ended = !self.is_up();
            let said = self.read();
            assert!(said.contains(text) || !ended, "it ended without saying {text:?}:\n{said}");
            said.contains(text)
        });
    }

    /// Sends a signal to the process of `rkt run`.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.child.id(), signal);
    }

    /// Asks it to end, as a supervisor does, and waits for its end.
    pub fn end(self) -> Output {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Kills the monitor, and the init that is above the pod's program: nobody is left who would end what is below.
    ///
    /// # Panics
    /// There is no such init, or the program does not outlive it.
    pub fn abandon(self, program: u32) {
        let ours = [process::parent(program).expect("an init has started it"), self.pid()];
        // So that nobody else notices, and ends what is below.
        process::signal(self.init(), Signal::STOP);
        process::signal(self.pid(), Signal::STOP);
        for pid in ours {
            process::signal(pid, Signal::KILL);
        }
        self.wait();
        wait_until("both to be gone", || !ours.iter().any(|pid| process::lives(*pid)));
        assert!(process::lives(program));
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not come by the deadline.
    pub fn wait(mut self) -> Output {
        let child = &mut self.child;
        let status = wait_for("the pod to end", || child.try_wait().expect("it is our child"));
        let read = |name| String::from_utf8_lossy(&fs::read(self.saved.join(name)).unwrap_or_default()).into_owned();
        Output { status, stdout: read("stdout"), stderr: read("stderr") }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
