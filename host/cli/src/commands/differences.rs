//! Plugins and the differences between plans, as `plan` and `replay` tell them.

use rkt_plan::{Change, Difference};
use rkt_pod::PluginIdentity;

use super::pod_json;
use crate::arguments::OutputFormat;
use crate::escape::escaped;

/// All of them, for people under a line that says what is compared with what.
pub(super) fn shown(differences: &[Difference], name: &str, whose: &str, format: OutputFormat) -> String {
    if format != OutputFormat::Text {
        return pod_json::text(&differences, format);
    }
    let text = format!("{name} compared with {whose}\n{}", lines(differences, "the same"));
    escaped(&text).into_owned()
}

/// A plugin by all that tells it from others.
pub(super) fn name(plugin: &PluginIdentity) -> String {
    let image: Vec<String> = plugin.image.iter().map(|image| format!(", image {image}")).collect();
    format!("{} (trust={}, {}{})", plugin.name, plugin.trust, plugin.digest, image.concat())
}

/// A line a difference, or one that says that there is none.
pub(super) fn lines(differences: &[Difference], none: &str) -> String {
    let mut lines = Vec::new();
    if differences.is_empty() {
        lines.push(format!("  {none}\n"));
    }
    let mut last = "";
    for difference in differences {
        if difference.subject != last {
            lines.push(format!("{}\n", difference.subject));
            last = &difference.subject;
        }
        lines.push(line(difference) + "\n");
    }
    lines.concat()
}

fn line(difference: &Difference) -> String {
    let change = match &difference.change {
        Change::Added(new) => format!("+ {new}"),
        Change::Removed(old) => format!("- {old}"),
        Change::Changed { from, to } => format!("{from} -> {to}"),
    };
    format!("  {:<9} {:<14} {change}", difference.strictness.name(), difference.aspect)
}
