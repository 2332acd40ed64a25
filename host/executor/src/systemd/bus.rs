//! The system's message bus, as far as asking systemd needs it: calls with their replies, and signals,
//! one after the other on one connection (the D-Bus Specification).
//!
//! Own code, since the libraries there are do not fit a small process of one thread that makes
//! processes: one has threads of its own, the other needs a C library, the third stands on what is no
//! longer kept.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::message::{ERROR, Message, Object, RETURN, Reader, SIGNAL, START, Start, Values, call, strange};

/// Where the bus listens.
pub(super) const SOCKET: &str = "/run/dbus/system_bus_socket";

/// How long an answer may take: as long as systemd's own programs wait.
const PATIENCE: Duration = Duration::from_secs(25);

/// The longest line before messages begin, in bytes.
const LONGEST_LINE: u64 = 4096;

/// The bus itself.
const BUS: Object =
    Object { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The bus cannot be reached, or not be understood.
    Bus(io::Error),
    /// Whoever was called refused.
    Refused { name: String, text: String },
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

impl Bus {
    /// Connects as the user of this process, and has the bus hand on the signals that match a rule.
    pub(super) fn open(signals: &str) -> Result<Self, Trouble> {
        let stream = UnixStream::connect(SOCKET)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut bus = Self { stream: BufReader::new(stream), serial: 0 };
        bus.authenticate()?;
        bus.call(BUS, "Hello", &Values::new(""))?;
        bus.call(BUS, "AddMatch", Values::new("s").text(signals))?;
        Ok(bus)
    }

    /// Says who this is, in text, before messages begin.
    fn authenticate(&mut self) -> Result<(), Trouble> {
        // Its digits as bytes, each of which is `3` and that digit again in hexadecimal.
        let user: String = rustix::process::geteuid().to_string().chars().flat_map(|digit| ['3', digit]).collect();
        self.send(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        let mut line = Vec::new();
        self.stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if !line.starts_with(b"OK ") {
            return Err(strange("the bus does not take this process for its user").into());
        }
        self.send(b"BEGIN\r\n")
    }

    /// Calls a method and waits for what it returns.
    pub(super) fn call(&mut self, object: Object, member: &str, arguments: &Values) -> Result<Reader, Trouble> {
        self.serial += 1;
        self.send(&call(object, member, arguments, self.serial))?;
        loop {
            let mut message = self.receive()?;
            if message.reply_to == self.serial {
                match message.kind {
                    RETURN => return Ok(message.body),
                    ERROR => {
                        // Most errors carry a text; one without says enough by its name.
                        let text = message.body.text().unwrap_or_default();
                        return Err(Trouble::Refused { name: message.error, text });
                    }
                    _ => {}
                }
            }
        }
    }

    /// Waits for a signal of this name; what it carries.
    pub(super) fn signal(&mut self, member: &str) -> Result<Reader, Trouble> {
        loop {
            let message = self.receive()?;
            if message.kind == SIGNAL && message.member == member {
                return Ok(message.body);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    fn receive(&mut self) -> Result<Message, Trouble> {
        let mut start = [0; START];
        self.stream.read_exact(&mut start)?;
        let start = Start::read(start)?;
        let mut rest = vec![0; start.rest()];
        self.stream.read_exact(&mut rest)?;
        Ok(Message::read(start, rest)?)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Bus(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(_) => write!(f, "talk to systemd on {SOCKET}"),
            Self::Refused { name, text } if text.is_empty() => write!(f, "it refused: {name}"),
            Self::Refused { text, .. } => write!(f, "it refused: {text}"),
        }
    }
}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bus(error) => Some(error),
            Self::Refused { .. } => None,
        }
    }
}
