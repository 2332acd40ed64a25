//! Pods in containers of systemd-nspawn's.

use rkt_tests::{Rkt, Running, process};

/// The flavor, as a flag.
pub(crate) const NSPAWN: &str = "--stage1=nspawn";

/// A pod of these words in such a container, when its apps are up.
pub(crate) fn start<'r>(rkt: &'r Rkt, words: &[&str]) -> Running<'r> {
    rkt.start([NSPAWN].iter().chain(words))
}

/// The systemd-nspawn of a pod: what has made its init.
pub(crate) fn nspawn_of(pod: &Running<'_>) -> u32 {
    let program = process::parent(pod.init()).expect("init runs");
    assert_eq!(process::name(program), "systemd-nspawn");
    program
}
