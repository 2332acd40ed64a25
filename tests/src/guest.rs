//! rkt with a kernel for guests, which are emulated: what can be said of a guest is to be said anywhere.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Rkt;

/// The flags that choose a virtual machine, whatever this host's processor can do.
pub const EMULATED: [&str; 2] = ["--stage1=kvm", "--stage1-option=accel=tcg"];

/// The kernel that `cargo xtask test` unpacks.
///
/// # Panics
/// There is none.
pub fn kernel() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::workspace().join("target"), PathBuf::from);
    let folder = target.join("guest/kernel/boot");
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}: `cargo xtask test` unpacks a kernel", folder.display()));
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_kernel = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"));
    files.find(is_kernel).unwrap_or_else(|| panic!("there is no kernel in {}", folder.display()))
}

/// rkt with that kernel.
///
/// # Panics
/// Its configuration cannot be written.
pub fn rkt() -> Rkt {
    let rkt = Rkt::new();
    let kernel = kernel().into_os_string().into_string().expect("the workspace has a name that is text");
    fs::write(rkt.home().join("user/stage1.toml"), format!("kernel = {kernel:?}\n")).expect("the directory is ours");
    rkt
}

/// Guests start one after the other, so that none is given up on because others have the processors.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // Whatever another test made of its turn.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
