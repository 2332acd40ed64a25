//! Volumes of a pod.

use serde::{Deserialize, Serialize};

use crate::{AcName, InvalidValue, UnixId};

/// A directory or file that apps of a pod can share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawVolume", into = "RawVolume")]
pub struct Volume {
    /// What mounts call it.
    pub name: AcName,
    /// Whether apps can write to it; where nothing is said, the image's mount point says it.
    pub read_only: Option<bool>,
    /// Where it comes from.
    pub kind: VolumeKind,
}

/// Where a volume comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeKind {
    /// From the host.
    Host {
        /// An absolute path on the host.
        source: String,
        /// Whether mounts below it come along; where nothing is said, the flavor decides.
        recursive: Option<bool>,
    },
    /// An empty directory, made with the pod and removed with it.
    Empty {
        /// Its permissions, at most `0o7777`.
        mode: u16,
        /// Whom it belongs to.
        uid: UnixId,
        /// Which group it belongs to.
        gid: UnixId,
    },
}

impl VolumeKind {
    /// An empty directory of root that others can read (specification, "Pod Manifest Schema").
    pub const EMPTY: Self = Self::Empty { mode: 0o755, uid: UnixId::ROOT, gid: UnixId::ROOT };
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVolume {
    name: AcName,
    kind: RawKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recursive: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<UnixId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<UnixId>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum RawKind {
    Host,
    Empty,
}

impl TryFrom<RawVolume> for Volume {
    type Error = InvalidValue;

    fn try_from(raw: RawVolume) -> Result<Self, Self::Error> {
        let name = raw.name.clone();
        let read_only = raw.read_only;
        let kind = match raw.kind {
            RawKind::Host => host(raw)?,
            RawKind::Empty => empty(raw)?,
        };
        Ok(Self { name, read_only, kind })
    }
}

fn host(raw: RawVolume) -> Result<VolumeKind, InvalidValue> {
    if raw.mode.is_some() || raw.uid.is_some() || raw.gid.is_some() {
        let rule = "mode, uid and gid are for empty volumes";
        return Err(InvalidValue::new("host volume", raw.name, rule));
    }
    match raw.source {
        Some(source) if source.starts_with('/') && !source.contains('\0') => {
            Ok(VolumeKind::Host { source, recursive: raw.recursive })
        }
        _ => {
            let rule = "its source is an absolute path";
            Err(InvalidValue::new("host volume", raw.name, rule))
        }
    }
}

fn empty(raw: RawVolume) -> Result<VolumeKind, InvalidValue> {
    if raw.source.as_ref().is_some_and(|source| !source.is_empty()) {
        return Err(InvalidValue::new("empty volume", raw.name, "it has no source"));
    }
    let mode = match raw.mode {
        Some(text) => parse_mode(&text)?,
        None => 0o755,
    };
    Ok(VolumeKind::Empty { mode, uid: raw.uid.unwrap_or_default(), gid: raw.gid.unwrap_or_default() })
}

fn parse_mode(text: &str) -> Result<u16, InvalidValue> {
    let is_octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u16::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode <= 0o7777 => Ok(mode),
        _ => Err(InvalidValue::new("mode", text, "it is octal and at most 7777")),
    }
}

impl From<Volume> for RawVolume {
    fn from(volume: Volume) -> Self {
        let raw = Self {
            name: volume.name,
            kind: RawKind::Empty,
            source: None,
            read_only: volume.read_only,
            recursive: None,
            mode: None,
            uid: None,
            gid: None,
        };
        match volume.kind {
            VolumeKind::Host { source, recursive } => {
                Self { kind: RawKind::Host, source: Some(source), recursive, ..raw }
            }
            VolumeKind::Empty { mode, uid, gid } => {
                Self { mode: Some(format!("{mode:04o}")), uid: Some(uid), gid: Some(gid), ..raw }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_read_as_written_and_empty_ones_have_defaults() {
        let host = r#"{"name":"db","kind":"host","source":"/srv/db","readOnly":true}"#;
        let empty = r#"{"name":"out","kind":"empty","mode":"1777","uid":5,"gid":6}"#;
        for json in [host, empty] {
            let volume: Volume = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&volume).unwrap(), json);
        }
        let bare: Volume = serde_json::from_str(r#"{"name":"a","kind":"empty"}"#).unwrap();
        assert_eq!(bare.kind, VolumeKind::EMPTY);
    }

    #[test]
    fn fields_of_the_other_kind_are_refused() {
        for json in [
            r#"{"name":"a","kind":"host"}"#,
            r#"{"name":"a","kind":"host","source":"relative"}"#,
            r#"{"name":"a","kind":"host","source":"/a\u0000b"}"#,
            r#"{"name":"a","kind":"host","source":"/a","mode":"0755"}"#,
            r#"{"name":"a","kind":"host","source":"/a","uid":0}"#,
            r#"{"name":"a","kind":"empty","source":"/a"}"#,
            r#"{"name":"a","kind":"empty","mode":"0999"}"#,
            r#"{"name":"a","kind":"empty","mode":"+755"}"#,
            r#"{"name":"a","kind":"empty","mode":"17777"}"#,
            r#"{"name":"a","kind":"empty","mode":""}"#,
            r#"{"name":"a","kind":"empty","uid":-1}"#,
            r#"{"name":"a","kind":"other"}"#,
            r#"{"kind":"empty"}"#,
        ] {
            assert!(serde_json::from_str::<Volume>(json).is_err(), "{json}");
        }
    }
}
