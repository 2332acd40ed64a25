//! `rkt doctor`

use std::process::ExitCode;

use super::{Context, Outcome, pod_json};
use crate::arguments::{Doctor, OutputFormat};
use crate::doctor::{Answer, Finding, examine};
use crate::escape::escaped;
use crate::report::print;

/// What it finds is no failure of rkt's: it ends well.
pub(super) fn doctor(context: &Context, doctor: &Doctor) -> Outcome {
    let findings = examine(&context.globals.dir);
    print(&match doctor.output.format {
        OutputFormat::Text => escaped(&findings.iter().map(line).collect::<String>()).into_owned(),
        format => pod_json::text(&findings, format),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn line(finding: &Finding) -> String {
    let (answer, detail) = match &finding.answer {
        Answer::Yes(detail) => ("yes", detail),
        Answer::No(detail) => ("no", detail),
        Answer::Unknown(detail) => ("unknown", detail),
    };
    let follows = finding.follows.map_or(String::new(), |follows| format!("{:29}so {follows}\n", ""));
    format!("{:<20} {answer:<7} {detail}\n{follows}", finding.name)
}
