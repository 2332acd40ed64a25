//! Processes of this host, as /proc shows them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// All processes that there are.
pub fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process is there and has not ended; one that nobody has waited for has.
pub fn lives(pid: u32) -> bool {
    // The state stands after the name, which is in parentheses and may hold some itself.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with(['Z', 'X'])))
        .unwrap_or(false)
}

/// The process that has made another, or to which that fell; none: it is not there.
pub fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

/// The name that the kernel shows for a process.
pub fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Every process that has something below a directory: open, mounted, as its working directory or as
/// its root. A pod's processes all have its directory open or mounted, whatever namespaces they are in.
///
/// Those that are this very program do not count: a thread that starts another program makes a process that has all
/// open that any thread has, until it is that program.
pub fn that_use(directory: &Path) -> Vec<u32> {
    let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = program("self");
    let others = all().into_iter().filter(|pid| program(&pid.to_string()) != ours);
    others.filter(|pid| uses(*pid, directory)).collect()
}

fn uses(pid: u32, directory: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let is_below = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(directory));
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let mounts = fs::read(process.join("mountinfo")).unwrap_or_default();
    let wanted = directory.as_os_str().as_bytes();
    is_below(&process.join("cwd"))
        || is_below(&process.join("root"))
        || descriptors.into_iter().any(|fd| is_below(&fd.path()))
        || mounts.windows(wanted.len()).any(|window| window == wanted)
}

/// Sends a signal; a process that has ended already is as good.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id is positive");
    let _ = kill_process(pid, signal);
}

/// The namespaces of a process, by kind, as `kind:[number]`.
pub fn namespaces(pid: u32) -> Vec<String> {
    let mut found: Vec<String> = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .iter()
        .filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?.to_str().map(str::to_owned))
        .collect();
    found.sort();
    found
}

/// Proportional set size of a process, in kibibytes: what of its memory is its own, with its share of
/// what it has in common with others.
///
/// # Panics
/// The process is gone.
pub fn proportional_size(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process lives");
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("the kernel tells it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
}
