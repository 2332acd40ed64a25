//! What native code can do that has taken a planner over: nothing (P3), and no lie of its process is
//! believed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rkt_plan::Pod;
use rkt_planner::artifact::{Artifact, Header, digest};
use rkt_planner::{End, Error, Facts, Limits, Planner, Plugin, engine};
use support::{Answers, evil, pod};

/// What a cage allows, by number: reading and writing what is open, memory, the clock, the end.
const ALLOWED: [libc::c_long; 23] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The process itself as the target, and no other.
    libc::SYS_tgkill,
];

/// uretprobe(2) and uprobe(2) of x86-64: the kernel lets no filter see them, and ends whoever calls them
/// from anywhere but its own page.
const PROBES: [libc::c_long; 2] = [335, 336];

/// The calls of x32, which share the table of x86-64.
const X32: libc::c_long = 0x4000_0000;

/// What the taken over process is to do travels as its code.
fn plan(what: &str, limits: Limits, facts: &dyn Facts) -> Result<rkt_planner::Planned, Error> {
    plan_pod(what, &pod(&["a"]), limits, facts)
}

fn plan_pod(what: &str, pod: &Pod, limits: Limits, facts: &dyn Facts) -> Result<rkt_planner::Planned, Error> {
    let header = Header {
        component: digest(b""),
        trust: rkt_plan::Trust::Wasm,
        contract: "0.1.0".to_owned(),
        permissions: Vec::new(),
        engine: engine::id(),
        code: digest(what.as_bytes()),
    };
    let artifact = Artifact { header, code: what.as_bytes() }.to_bytes();
    let plugin = Plugin::embedded("evil", artifact.leak()).unwrap();
    Planner::start(&evil(), &plugin, limits).unwrap().plan(pod, facts)
}

fn end_of(what: &str, limits: Limits) -> End {
    match plan(what, limits, &Answers::default()) {
        Err(Error::Ended { plugin, end }) => {
            assert_eq!(plugin, "evil");
            end
        }
        other => panic!("{what}: {other:?}"),
    }
}

fn quick() -> Limits {
    Limits { time: Duration::from_millis(300), ..Limits::default() }
}

#[test]
fn p3_every_system_call_that_a_computation_does_not_need_ends_the_process() {
    let forbidden = (0..=480).filter(|call| !ALLOWED.contains(call) && !PROBES.contains(call));
    for call in forbidden.chain([X32 | libc::SYS_read, X32 | libc::SYS_openat]) {
        assert_eq!(end_of(&format!("call {call}"), Limits::default()), End::Signal(libc::SIGSYS), "call {call}");
    }
}

#[test]
fn p3_another_process_cannot_be_signalled() {
    // tgkill(0, ...) is not the process itself.
    assert_eq!(end_of(&format!("call {}", libc::SYS_tgkill), Limits::default()), End::Signal(libc::SIGSYS));
}

#[test]
fn p3_no_memory_becomes_executable() {
    assert_eq!(end_of("execute", Limits::default()), End::Signal(libc::SIGSYS));
}

#[test]
fn p3_memory_ends_at_the_limit() {
    assert_eq!(end_of("eat", Limits::default()), End::Signal(libc::SIGABRT));
}

/// Looks at the process that asks, whose question is its process id.
#[derive(Default)]
struct Onlooker {
    status: Mutex<String>,
    limits: Mutex<String>,
    descriptors: Mutex<Vec<String>>,
    environment: Mutex<Vec<u8>>,
}

impl Facts for Onlooker {
    fn fact(&self, pid: &str) -> Option<String> {
        let proc = format!("/proc/{pid}");
        *self.status.lock().unwrap() = fs::read_to_string(format!("{proc}/status")).unwrap();
        *self.limits.lock().unwrap() = fs::read_to_string(format!("{proc}/limits")).unwrap();
        *self.environment.lock().unwrap() = fs::read(format!("{proc}/environ")).unwrap();
        let mut descriptors: Vec<_> = fs::read_dir(format!("{proc}/fd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        descriptors.sort();
        *self.descriptors.lock().unwrap() = descriptors;
        None
    }
}

#[test]
fn p3_a_caged_process_has_no_rights_at_all() {
    let onlooker = Onlooker::default();
    assert!(plan("pid", quick(), &onlooker).is_err());
    let status = onlooker.status.lock().unwrap().clone();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
    assert_eq!((line("NoNewPrivs:"), line("Seccomp:"), line("Groups:")), ("1".into(), "2".into(), String::new()));
    let ids = line("Uid:");
    let user: u32 = ids.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(ids, [user.to_string(), user.to_string(), user.to_string(), user.to_string()].join(" "));
    assert_eq!(line("Gid:"), ids);
    if rustix::process::getuid().is_root() {
        assert!((0x7fc0_0000..0x8000_0000).contains(&user), "{user}");
    }
    assert_eq!(*onlooker.descriptors.lock().unwrap(), ["0", "1", "2"]);
    assert_eq!(*onlooker.environment.lock().unwrap(), b"");
    let limits = onlooker.limits.lock().unwrap().clone();
    for (name, limit) in [("Max open files", "0"), ("Max processes", "0"), ("Max core file size", "0")] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line[name.len()..].split_whitespace().next().unwrap(), limit, "{line}");
    }
}

#[test]
fn a_process_that_hangs_is_killed_in_time() {
    for what in ["spin", r#"say-and-wait {"last":{"planned":{"words":[]}}}"#] {
        let start = Instant::now();
        assert_eq!(end_of(what, quick()), End::Hang { limit: quick().time }, "{what}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_process_that_does_not_listen_holds_nobody_up() {
    let mut pod = pod(&["a"]);
    // More than a socket holds.
    pod.settings.insert("much".to_owned(), "x".repeat(4 << 20));
    let start = Instant::now();
    match plan_pod("deaf", &pod, quick(), &Answers::default()) {
        Err(Error::Ended { end: End::Hang { .. }, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_reply_counts_only_when_its_process_ended_well() {
    let reply = r#"{"last":{"planned":{"words":[]}}}"#;
    assert!(plan(&format!("say {reply}"), Limits::default(), &Answers::default()).is_ok());
    assert_eq!(end_of(&format!("say-and-fail {reply}"), Limits::default()), End::Code(1));
    assert_eq!(end_of(&format!("say-and-crash {reply}"), Limits::default()), End::Signal(libc::SIGABRT));
}

#[test]
fn what_is_no_reply_is_refused() {
    let words = r#"{"note":{"text":"x"}},"#.repeat(5000);
    let many = format!(r#"say {{"last":{{"planned":{{"words":[{}]}}}}}}"#, words.trim_end_matches(','));
    for what in
        ["say", "say {}", "say null", "say {\"last\":{\"planned\":{}}}", "bytes \u{7f}\u{7f}\u{7f}\u{7f}", &many]
    {
        let refused = plan(what, Limits::default(), &Answers::default());
        assert!(matches!(refused, Err(Error::Malformed { .. })), "{what:.40}: {refused:?}");
    }
    assert_eq!(end_of("bytes \u{1}", Limits::default()), End::Code(0), "the beginning of a frame, then the end");
}

#[test]
fn after_all_of_this_no_process_is_left() {
    for what in ["spin", "eat", "execute", "say {}"] {
        assert!(plan(what, quick(), &Answers::default()).is_err());
    }
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", rustix::thread::gettid())).unwrap();
    assert_eq!(children, "");
}
