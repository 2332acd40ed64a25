//! What became of each request. rkt sees nothing of what bubblewrap does, so each is claimed, with what
//! is true inside, or waived.

use rkt_sdk::{App, CapabilityChange, Plan, Pod, Request};

/// The kinds of requests that are answered here; any other is waived as unknown.
const KNOWN: [&str; 9] = [
    "capabilities",
    "hostname",
    "limit",
    "no-new-privileges",
    "oom-score",
    "read-only-root",
    "seccomp",
    "user",
    "volume",
];

enum Answer {
    Claim(String),
    Waive(&'static str),
}

/// Answers all requests, and says what whoever runs this should know.
pub(crate) fn plan(plan: &mut Plan, pod: &Pod, app: &App) {
    for request in pod.requests.iter().filter(|request| KNOWN.contains(&request.kind())) {
        match answer(request, app) {
            Answer::Claim(how) => plan.claim(request, how),
            Answer::Waive(reason) => plan.waive(request, reason),
        };
    }
    plan.waive_all_but(pod, &KNOWN);
    plan.note("files of the image and of volumes that are not everybody's to write cannot be written: on the host the app is a user that owns none");
    plan.note("the app has the exit code of bubblewrap, which is 128 + N where signal N ended the app");
}

fn answer(request: &Request, app: &App) -> Answer {
    match request.kind() {
        "user" if app.user.groups.is_empty() => Answer::Claim(format!(
            "{}:{} in bubblewrap's user namespace, where no other user is; on the host a user of the pod's own",
            app.user.uid, app.user.gid
        )),
        "user" => Answer::Waive(
            "a user namespace that bubblewrap makes without privileges has one group, so there are no others",
        ),
        "volume" => Answer::Claim(
            "bubblewrap binds it there, from the jail, which has it with no more access or reach".to_owned(),
        ),
        "read-only-root" => Answer::Claim("the jail has it read-only, and bubblewrap binds it so".to_owned()),
        "limit" => Answer::Claim("set on bubblewrap and all that it starts".to_owned()),
        "oom-score" | "no-new-privileges" => Answer::Claim("set on bubblewrap, and inherited".to_owned()),
        "hostname" => Answer::Claim("bubblewrap sets it in its own uts namespace".to_owned()),
        "capabilities" => capabilities(app),
        _ => Answer::Waive("bubblewrap works under the same filter as the app, so the app has this flavor's"),
    }
}

/// The app has none at all, whatever it may keep.
fn capabilities(app: &App) -> Answer {
    match &app.capabilities {
        Some(CapabilityChange::Retain(wanted)) if !wanted.is_empty() => {
            Answer::Waive("bubblewrap gives the app no capability")
        }
        _ => Answer::Claim("bubblewrap leaves the app without any capability".to_owned()),
    }
}
