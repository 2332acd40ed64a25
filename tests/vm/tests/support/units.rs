//! Units of systemd's: what they are like, and ones that run a pod.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rkt_tests::{Output, Rkt, wait_for, wait_until};

use crate::support::path_of;

/// Runs a program of the machine to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    Output::of(Command::new(program).args(arguments))
}

/// A property of a unit.
pub(crate) fn property(unit: &str, name: &str) -> String {
    run("systemctl", &["show", "--value", "--property", name, unit]).succeeds().stdout.trim().to_owned()
}

/// Whether systemd has a unit of this name.
pub(crate) fn is_loaded(unit: &str) -> bool {
    property(unit, "LoadState") == "loaded"
}

/// The scope of a pod is gone: neither a unit, not even a failed one, nor a directory.
pub(crate) fn assert_no_scope(uuid: &str) {
    let scope = format!("rkt-{uuid}.scope");
    assert!(!is_loaded(&scope), "{scope} is left: {}", property(&scope, "ActiveState"));
    assert!(!path_of(&format!("/system.slice/{scope}")).exists(), "the control group of {scope} is left");
}

/// A unit that runs rkt, made for a test and stopped with this value.
pub(crate) struct Unit<'r> {
    rkt: &'r Rkt,
    pub(crate) name: String,
}

impl<'r> Unit<'r> {
    /// Starts `rkt run` with these words as a unit with these properties, and waits until the pod is ready.
    pub(crate) fn start(rkt: &'r Rkt, properties: &[&str], words: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pod-{}-{}.service", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let unit = Self { rkt, name };
        let saved = format!("--uuid-file-save={}", unit.file().display());
        let words = ["run", &saved].into_iter().chain(words.iter().copied());
        systemd_run(rkt, &[&format!("--unit={}", unit.name), "--collect"], properties, words).succeeds();
        let ready = |uuid: &str| Some(rkt.pod(uuid)?.join("stage1/rootfs/rkt/supervisor-status"));
        wait_until("the pod to be ready", || {
            let uuid = unit.uuid();
            uuid.and_then(|uuid| ready(&uuid)).is_some_and(|status| status.is_symlink())
        });
        unit
    }

    fn file(&self) -> PathBuf {
        self.rkt.home().join(&self.name)
    }

    pub(crate) fn uuid(&self) -> Option<String> {
        fs::read_to_string(self.file()).ok().map(|uuid| uuid.trim_end().to_owned())
    }

    pub(crate) fn monitor(&self) -> u32 {
        property(&self.name, "MainPID").parse().unwrap()
    }

    pub(crate) fn init(&self) -> u32 {
        let pod = self.rkt.pod(&self.uuid().unwrap()).unwrap();
        wait_for("init", || fs::read_to_string(pod.join("pid")).ok()?.trim_end().parse().ok())
    }

    pub(crate) fn group(&self) -> String {
        format!("/system.slice/{}", self.name)
    }

    /// Stops it, and waits until it has stopped.
    pub(crate) fn stop(&self) {
        run("systemctl", &["stop", &self.name]).succeeds();
    }
}

impl Drop for Unit<'_> {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["--quiet", "stop", &self.name]).output();
    }
}

/// `systemd-run` of rkt with these words.
pub(crate) fn systemd_run<'a>(
    rkt: &Rkt,
    options: &[&str],
    properties: &[&str],
    words: impl IntoIterator<Item = &'a str>,
) -> Output {
    let mut command = Command::new("systemd-run");
    command.arg("--quiet").args(options);
    command.args(properties.iter().map(|property| format!("--property={property}")));
    Output::of(command.args(rkt.words(words)))
}
