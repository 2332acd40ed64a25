//! A plugin that does what none should: `--stage1-option=do=DEED` says what. Without it a plain pod.
//!
//! For tests only. It asks for more than anyone would grant, so that refusals are those of policy and
//! of the check, not of its own modesty.

use rkt_sdk::{
    Access, App, Credentials, Facts, Jail, Limit, Namespace, Plan, Pod, Problem, Reach, Stdio, host, payload, volume,
};

rkt_sdk::stage1!(plan, asks: [
    "share:pid", "share:network", "share:ipc", "share:uts", "share:cgroup", "share:user", "hostname",
    "root", "user", "bind:volume", "bind:empty", "bind:host:rw:/", "bind:payload", "mount:proc", "mount:tmpfs", "link", "device:/",
    "mask", "read-only", "capability:all", "seccomp", "unfiltered", "limit", "oom-score", "stdio:raw",
]);

/// Plans a plain pod, and does the deed.
///
/// # Errors
/// The deed is to refuse, or there is none of this name.
pub fn plan(pod: &Pod, facts: &dyn Facts) -> Result<Plan, Problem> {
    let deed = pod.setting("do").unwrap_or("nothing");
    let mut plan = Plan::new();
    let turns = deed == "turn-namespace" && pod.apps.len() > 1;
    for namespace in Namespace::ALL.into_iter().filter(|namespace| !turns || *namespace != Namespace::Ipc) {
        plan.share(namespace);
    }
    plan.waive_all_but(pod, &["user"]);
    for app in &pod.apps {
        plain(&mut plan.app(&app.name), app, deed);
        smuggle(deed, &mut plan.app(&app.name));
    }
    lie(deed, &mut plan, pod);
    if pod.apps.len() > 1 {
        turn(deed, &mut plan, pod);
    }
    exhaust(deed, &mut plan, facts)?;
    Ok(plan)
}

fn plain(plan: &mut Jail, app: &App, deed: &str) {
    if deed != "no-root" {
        plan.root(Access::ReadWrite);
    }
    let credentials = if deed == "root-user" { Credentials::default() } else { app.user.clone() };
    plan.user(&credentials).stdio(Stdio::Raw);
}

/// Uses up time, memory, stack, words.
fn exhaust(deed: &str, plan: &mut Plan, facts: &dyn Facts) -> Result<(), Problem> {
    match deed {
        "loop" => loop {
            std::hint::black_box(());
        },
        "memory" => {
            let mut all = Vec::new();
            loop {
                // Asked for and not written to, which would use up instructions first.
                all.push(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
            }
        }
        "recursion" => plan.note(deep(1).to_string()),
        "words" => (0..10_000).fold(plan, |plan, _| plan.note("x")),
        "text" => plan.note("x".repeat(8 << 20)),
        "questions" => (0..1_000_000).fold(plan, |plan, number| {
            facts.fact(&number.to_string());
            plan
        }),
        "trap" => panic!("on purpose"),
        "refuse" => return Err(Problem::new("no \u{1b}[2J\u{7}reason\nforged: line").hint("a \u{1b}]0;hint\u{7}")),
        _ => plan,
    };
    Ok(())
}

fn deep(depth: u64) -> u64 {
    if std::hint::black_box(depth) == 0 {
        return 0;
    }
    std::hint::black_box(deep(depth + 1)) + depth
}

/// Says words about an app that are malformed, not granted, or lies.
fn smuggle(deed: &str, plan: &mut Jail) {
    let all = Reach::Recursive;
    match deed {
        "dots" => plan.bind(host("/granted/../etc"), "/x", Access::ReadWrite, all),
        "dots-in-target" => plan.bind(host("/granted"), "/x/../../etc", Access::ReadWrite, all),
        "nul" => plan.bind(host("/granted"), "/x\0/y", Access::ReadWrite, all),
        "relative" => plan.bind(host("/granted"), "x", Access::ReadWrite, all),
        "host" => plan.bind(host("/"), "/host", Access::ReadWrite, all),
        "neighbor" => plan.bind(host("/granted2"), "/x", Access::ReadWrite, all),
        "over-root" => plan.bind(host("/granted"), "/", Access::ReadWrite, all),
        "payload" => plan.bind(payload("/brought"), "/brought", Access::ReadOnly, all),
        "volume" => plan.bind(volume("of-others"), "/x", Access::ReadWrite, all),
        "twice" => plan.root(Access::ReadWrite),
        "device" => plan.device("/dev/mem"),
        "capability" => plan.capabilities(["CAP_SYS_ADMIN"]),
        "no-capability" => plan.capabilities(["CAP_EVERYTHING"]),
        "file-system" => plan.mount("ext4", "/x", &[]),
        "option" => plan.mount("tmpfs", "/x", &["size=1k,dev"]),
        "escape" => plan.mount("\u{1b}[2J", "/x", &[]),
        "limit" => plan.limit(&Limit { what: "memory".to_owned(), value: u64::MAX }),
        "no-limit" => plan.limit(&Limit { what: "disk".to_owned(), value: 1 }),
        "score" => plan.oom_score(i32::MIN),
        "undeclared" => plan.no_new_privileges(),
        _ => plan,
    };
}

/// The same about the pod.
fn lie(deed: &str, plan: &mut Plan, pod: &Pod) {
    match deed {
        "hostname" => plan.hostname("host;reboot"),
        "escape" => plan.note("\u{1b}[2Jcleared"),
        "claim" => pod.requests.iter().fold(plan, |plan, request| plan.claim(request, "trust me")),
        "waive-twice" => pod.requests.iter().fold(plan, |plan, request| plan.waive(request, "again")),
        "stranger" => {
            plan.app("stranger").root(Access::ReadWrite);
            plan
        }
        _ => plan,
    };
}

/// Plans a pod of several apps otherwise than one of the first app alone.
fn turn(deed: &str, plan: &mut Plan, pod: &Pod) {
    let first = &pod.apps[0].name;
    match deed {
        "turn-score" => {
            plan.app(first).oom_score(7);
        }
        "turn-bind" => {
            plan.app(first).bind(host("/granted"), "/granted", Access::ReadWrite, Reach::Single);
        }
        "turn-remark" => {
            plan.note("now there are several");
        }
        _ => {}
    }
}
