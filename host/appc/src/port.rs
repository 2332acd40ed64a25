//! Ports that an app offers and those of the host that lead to them.

use std::net::IpAddr;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::{AcName, InvalidValue};

/// A range of ports that an app listens on, by name. Not above 65535 as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPort", into = "RawPort")]
pub struct Port {
    /// What `--port` and the pod manifest call it.
    pub name: AcName,
    /// Free text; `tcp` and `udp` mean something to the host.
    pub protocol: String,
    /// Whether the app expects the socket to be opened for it.
    pub socket_activated: bool,
    first: u16,
    count: u16,
}

impl Port {
    /// Ports `first` to `first + count - 1`.
    ///
    /// # Errors
    /// Where the range is empty, or not within 1 to 65535.
    pub fn new(name: AcName, protocol: String, first: u16, count: u16) -> Result<Self, InvalidValue> {
        let last = u32::from(first) + u32::from(count);
        if first == 0 || count == 0 || last > 65536 {
            let range = format!("{first} (count {count})");
            return Err(InvalidValue::new("port range", range, "it lies within 1 to 65535"));
        }
        Ok(Self { name, protocol, socket_activated: false, first, count })
    }

    /// The first port of the range.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// How many ports there are, at least 1.
    pub fn count(&self) -> u16 {
        self.count
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: AcName,
    protocol: String,
    port: u16,
    #[serde(default)]
    count: u16,
    #[serde(default)]
    socket_activated: bool,
}

impl TryFrom<RawPort> for Port {
    type Error = InvalidValue;

    fn try_from(raw: RawPort) -> Result<Self, Self::Error> {
        // No count and a count of 0 both say 1.
        let port = Self::new(raw.name, raw.protocol, raw.port, raw.count.max(1))?;
        Ok(Self { socket_activated: raw.socket_activated, ..port })
    }
}

impl From<Port> for RawPort {
    fn from(port: Port) -> Self {
        Self {
            name: port.name,
            protocol: port.protocol,
            port: port.first,
            count: port.count,
            socket_activated: port.socket_activated,
        }
    }
}

/// A port of the host that leads to one of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExposedPort {
    /// Of an app's port, unless `pod_port` says which.
    pub name: AcName,
    /// On the host.
    pub host_port: NonZeroU16,
    /// The address on the host; all of them where none is given.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// In the pod; where it is missing, the app's port of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_port: Option<Port>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_ends_at_the_last_port() {
        let name: AcName = "health".parse().unwrap();
        let port = |first, count| Port::new(name.clone(), "tcp".into(), first, count);
        for (first, count) in [(1, 1), (65535, 1), (1, 65535), (65000, 536)] {
            assert!(port(first, count).is_ok(), "{first} {count}");
        }
        for (first, count) in [(0, 1), (1, 0), (65535, 2), (65000, 537), (65535, 65535)] {
            assert!(port(first, count).is_err(), "{first} {count}");
        }
    }

    #[test]
    fn a_missing_count_is_one() {
        for count in ["", r#","count":0"#, r#","count":1"#] {
            let json = format!(r#"{{"name":"a","protocol":"tcp","port":80{count}}}"#);
            assert_eq!(serde_json::from_str::<Port>(&json).unwrap().count(), 1);
        }
        for json in [
            r#"{"name":"a","protocol":"tcp","port":65536}"#,
            r#"{"name":"a","protocol":"tcp","port":-1}"#,
            r#"{"name":"a","protocol":"tcp"}"#,
        ] {
            assert!(serde_json::from_str::<Port>(json).is_err(), "{json}");
        }
    }
    #[test]
    fn a_port_of_the_host_is_one() {
        let port = |number: &str| {
            let json = format!(r#"{{"name":"http","hostPort":{number},"hostIP":"127.0.0.1"}}"#);
            serde_json::from_str::<ExposedPort>(&json)
        };
        assert_eq!(port("8080").unwrap().host_port.get(), 8080);
        for number in ["0", "65536", "-1", "\"80\""] {
            assert!(port(number).is_err(), "{number}");
        }
    }
}
