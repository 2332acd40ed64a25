//! The values of flags, from text.

use std::time::Duration;

use rkt_appc::isolator::{CapabilityName, CapabilitySet, SyscallSet};
use rkt_appc::{InvalidValue, Isolator, Mount, UnixId, Variable, Volume};
use serde_json::{Map, Value};

use crate::arguments::OutputFormat;

/// A value that is not one, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadValue(String);

type Parsed<T> = Result<T, BadValue>;

fn bad<T>(text: impl Into<String>) -> Parsed<T> {
    Err(BadValue(text.into()))
}

fn invalid(error: &InvalidValue) -> BadValue {
    BadValue(error.to_string())
}

/// Texts that mean yes and no, as scripts for rkt write them.
pub(crate) fn boolean(text: &str) -> Parsed<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => bad("it is true or false"),
    }
}

/// A directory, made absolute, with its links followed where it exists.
pub(crate) fn directory(text: &str) -> Parsed<std::path::PathBuf> {
    if text.is_empty() {
        return bad("it is the path of a directory");
    }
    let absolute = std::path::absolute(text).map_err(|error| BadValue(error.to_string()))?;
    Ok(absolute.canonicalize().unwrap_or(absolute))
}

/// A network that pods can have so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// `none` or `host`.
pub(crate) fn network(text: &str) -> Parsed<Network> {
    match text {
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => bad("networks are not supported by this rkt yet, only none and host"),
    }
}

/// `NAME=VALUE` for a flavor.
pub(crate) fn setting(text: &str) -> Parsed<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => bad("an option is specified as name=value"),
    }
}

/// `NAME=VALUE` for an environment.
pub(crate) fn variable(text: &str) -> Parsed<Variable> {
    let Some((name, value)) = text.split_once('=') else {
        return bad("environment variable must be specified as name=value");
    };
    Variable::new(name.to_owned(), value.to_owned()).map_err(|error| invalid(&error))
}

/// Several values in one; clap would take a `Vec` for a flag that is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// Numbers with commas between them.
pub(crate) fn groups(text: &str) -> Parsed<List<UnixId>> {
    let id = |text: &str| text.trim().parse::<i64>().ok().and_then(|id| UnixId::try_from(id).ok());
    let ids: Option<Vec<UnixId>> = text.split(',').map(id).collect();
    ids.map(List).ok_or_else(|| BadValue("--supplementary-gids must be integers".to_owned()))
}

/// A number that its type bounds.
pub(crate) fn number<T: TryFrom<i64, Error = InvalidValue>>(text: &str) -> Parsed<T> {
    let Ok(number) = text.parse::<i64>() else { return bad("it is a whole number") };
    T::try_from(number).map_err(|error| invalid(&error))
}

/// Names with commas between them.
pub(crate) fn capabilities(text: &str) -> Parsed<CapabilitySet> {
    let names: Result<Vec<CapabilityName>, _> = text.split(',').map(|name| name.trim().parse()).collect();
    names.and_then(CapabilitySet::new).map_err(|error| invalid(&error))
}

/// `mode=retain|remove[,errno=NAME],ITEM,…` in any order, exactly one mode.
pub(crate) fn seccomp(text: &str) -> Parsed<Isolator> {
    let (mut mode, mut errno, mut calls) = (None, None, Vec::new());
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let before = match item.split_once('=') {
            None => {
                calls.push(item.parse().map_err(|error| invalid(&error))?);
                continue;
            }
            Some(("mode", value)) => mode.replace(value),
            Some(("errno", value)) => errno.replace(value),
            Some((key, _)) => return bad(format!("unknown seccomp parameter {key:?}")),
        };
        if before.is_some() {
            return bad("mode and errno can be given once");
        }
    }
    let errno = errno.map(str::parse).transpose().map_err(|error| invalid(&error))?;
    let set = SyscallSet::new(calls, errno).map_err(|error| invalid(&error))?;
    match mode {
        Some("retain") => Ok(Isolator::SeccompRetain(set)),
        Some("remove") => Ok(Isolator::SeccompRemove(set)),
        _ => bad("mode=retain or mode=remove is needed"),
    }
}

/// `name=NAME,target=PATH` and all that a volume takes, in any order: a volume, and where it is.
pub(crate) fn mounted_volume(text: &str) -> Parsed<(Volume, Mount)> {
    let (mut name, mut target, mut rest) = (None, None, Vec::new());
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("name", value)) => name = Some(value),
            Some(("target", value)) => target = Some(value),
            _ => rest.push(part),
        }
    }
    let name = name.ok_or_else(|| BadValue("it needs a name=".to_owned()))?;
    let target = target.ok_or_else(|| BadValue("it needs a target=".to_owned()))?;
    let volume = volume(&[name, &rest.join(",")].join(","))?;
    Ok((volume, mount(&format!("volume={name},target={target}"))?))
}

/// `NAME,kind=host,source=PATH,…` or `NAME,kind=empty,…`.
pub(crate) fn volume(text: &str) -> Parsed<Volume> {
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    let mut fields = Map::new();
    fields.insert("name".to_owned(), name.into());
    for (key, value) in pairs(rest)? {
        let value = match key {
            "kind" | "source" | "mode" => Value::from(value),
            "readOnly" | "recursive" => Value::from(boolean(value)?),
            "uid" | "gid" => Value::from(value.parse::<i64>().or_else(|_| bad(format!("{key} must be an integer")))?),
            _ => return bad(format!("unknown volume parameter {key:?}")),
        };
        if fields.insert(key.to_owned(), value).is_some() {
            return bad(format!("parameter {key} is given twice"));
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| BadValue(error.to_string()))
}

/// `volume=NAME,target=PATH`.
pub(crate) fn mount(text: &str) -> Parsed<Mount> {
    let (mut volume, mut target) = (None, None);
    for (key, value) in pairs(text)? {
        let slot = match key {
            "volume" => &mut volume,
            "target" => &mut target,
            _ => return bad(format!("unknown mount parameter {key:?}")),
        };
        if let Some(before) = slot.replace(value) {
            return bad(format!("label {key} with multiple values [{before} {value}]"));
        }
    }
    let (Some(volume), Some(target)) = (volume, target) else {
        return bad("a mount needs volume=NAME and target=PATH");
    };
    Ok(Mount {
        volume: volume.parse().map_err(|error| invalid(&error))?,
        path: target.parse().map_err(|error| invalid(&error))?,
        app_volume: None,
    })
}

fn pairs(text: &str) -> Parsed<Vec<(&str, &str)>> {
    let pair = |item: &'_ str| item.split_once('=').is_some();
    match text.split(',').find(|item| !item.is_empty() && !pair(item)) {
        Some(item) => bad(format!("{item:?} is not in key=value form")),
        None => Ok(text.split(',').filter_map(|item| item.split_once('=')).collect()),
    }
}

/// A duration as Go writes it: `1h30m`, `0s`; a bare `0` too.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    let malformed = || BadValue("it is a duration such as 30m, 1h30m or 0s".to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(malformed()),
        };
        total += number.parse::<f64>().map_err(|_| malformed())? * seconds;
        rest = after;
    }
    if text.is_empty() {
        return Err(malformed());
    }
    Duration::try_from_secs_f64(total).map_err(|_| malformed())
}

/// Whether something is waited for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It is not.
    No,
    /// As long as it takes.
    ForEver,
    /// No longer than this.
    AtMost(Duration),
}

/// Yes, no, or a duration: none is no, and a negative one is for ever.
pub(crate) fn wait(text: &str) -> Parsed<Wait> {
    match (boolean(text), text.strip_prefix('-')) {
        (Ok(false), _) => Ok(Wait::No),
        (Ok(true), _) => Ok(Wait::ForEver),
        (Err(_), Some(positive)) => duration(positive).map(|_| Wait::ForEver),
        (Err(_), None) => duration(text).map(|time| if time.is_zero() { Wait::No } else { Wait::AtMost(time) }),
    }
}

/// The empty text, `json` or `json-pretty`.
pub(crate) fn format(text: &str) -> Parsed<OutputFormat> {
    match text {
        "" => Ok(OutputFormat::Text),
        "json" => Ok(OutputFormat::Json),
        "json-pretty" => Ok(OutputFormat::JsonPretty),
        other => bad(format!("Invalid format option: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, seconds) in
            [("0", 0.0), ("0s", 0.0), ("30m", 1800.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25)]
        {
            assert_eq!(duration(text).unwrap(), Duration::from_secs_f64(seconds), "{text}");
        }
        for text in ["", "5", "m", "-1s", "1x", "1..5s", "s5"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_waited_for_is_yes_no_or_a_duration() {
        let table = [
            ("true", Wait::ForEver),
            ("false", Wait::No),
            ("0", Wait::No),
            ("0s", Wait::No),
            ("-1s", Wait::ForEver),
            ("1", Wait::ForEver),
            ("5s", Wait::AtMost(Duration::from_secs(5))),
        ];
        for (text, expected) in table {
            assert_eq!(wait(text), Ok(expected), "{text}");
        }
        for text in ["", "soon", "-soon", "5"] {
            assert!(wait(text).is_err(), "{text}");
        }
    }

    #[test]
    fn volumes_and_mounts_are_read_and_mistakes_named() {
        let text = |json: &Volume| serde_json::to_string(json).unwrap();
        let host = volume("a,kind=host,source=/srv,readOnly=true,recursive=false").unwrap();
        assert_eq!(text(&host), r#"{"name":"a","kind":"host","source":"/srv","readOnly":true,"recursive":false}"#);
        let empty = volume("a,kind=empty,mode=1777,uid=5").unwrap();
        assert_eq!(text(&empty), r#"{"name":"a","kind":"empty","mode":"1777","uid":5,"gid":0}"#);
        for (bad, why) in [
            ("a,kind=host,source=srv", "absolute"),
            ("a,kind=host,source=/a,color=red", "unknown volume parameter \"color\""),
            ("a,kind=empty,kind=empty", "given twice"),
            ("a,kind", "\"kind\" is not in key=value form"),
            ("A,kind=empty", "AC Name"),
        ] {
            let error = volume(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert_eq!(mount("target=/b,volume=a").unwrap().path.as_str(), "/b");
        assert_eq!(mount("volume=a,color=b").unwrap_err().to_string(), "unknown mount parameter \"color\"");
        let twice = mount("volume=a,volume=b,target=/c").unwrap_err().to_string();
        assert_eq!(twice, "label volume with multiple values [a b]");
    }

    #[test]
    fn a_filter_has_one_mode_and_something_to_filter() {
        assert!(matches!(seccomp("mode=retain,errno=EPERM,read,@x/y"), Ok(Isolator::SeccompRetain(_))));
        assert!(matches!(seccomp("read,mode=remove"), Ok(Isolator::SeccompRemove(_))));
        for text in
            ["read", "mode=keep,read", "mode=retain", "mode=retain,mode=remove,read", "mode=retain,errno=1,read"]
        {
            assert!(seccomp(text).is_err(), "{text}");
        }
    }
}
