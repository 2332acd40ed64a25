//! Messages of the D-Bus Specification, as far as they are sent and heard here: a call is written, and of
//! what comes in the parts that tell what it is. No I/O.

use std::io::{self, ErrorKind};

/// The kinds of messages.
const CALL: u8 = 1;
pub(super) const RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// The largest part of a message that is read, in bytes; what is waited for has some hundred.
const MOST: usize = 1024 * 1024;

/// Codes of the fields of a message's head.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_TO: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

/// Whom a call is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

/// The length of the part of a message that says how long the rest is.
pub(super) const START: usize = 16;

/// A method's call, whole.
pub(super) fn call(object: Object, member: &str, arguments: &Values, serial: u32) -> Vec<u8> {
    let mut message = Values::new("");
    message.bytes.extend([b'l', CALL, 0, 1]);
    message.number(u32::try_from(arguments.bytes.len()).expect("arguments are short")).number(serial);
    message.list(8, |fields| {
        fields.structure().byte(field::PATH).variant("o").text(object.path);
        fields.structure().byte(field::INTERFACE).variant("s").text(object.interface);
        fields.structure().byte(field::MEMBER).variant("s").text(member);
        fields.structure().byte(field::DESTINATION).variant("s").text(object.name);
        if !arguments.signature.is_empty() {
            fields.structure().byte(field::SIGNATURE).variant("g").variant(arguments.signature);
        }
    });
    message.structure().bytes.extend(&arguments.bytes);
    message.bytes
}

/// Values one after the other, each at a multiple of its size, as messages have them.
#[derive(Debug)]
pub(super) struct Values {
    signature: &'static str,
    bytes: Vec<u8>,
}

impl Values {
    /// None yet, of these types.
    pub(super) fn new(signature: &'static str) -> Self {
        Self { signature, bytes: Vec::new() }
    }

    fn align(&mut self, to: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
        self
    }

    fn byte(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// `u`, `i` or `b`.
    pub(super) fn number(&mut self, value: u32) -> &mut Self {
        self.align(4).bytes.extend(value.to_le_bytes());
        self
    }

    /// `t`.
    pub(super) fn number64(&mut self, value: u64) -> &mut Self {
        self.align(8).bytes.extend(value.to_le_bytes());
        self
    }

    /// `s` or `o`.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.number(u32::try_from(text.len()).expect("texts are short")).bytes.extend(text.as_bytes());
        self.byte(0)
    }

    /// `g`, which is also how a value of any type, `v`, begins.
    pub(super) fn variant(&mut self, signature: &str) -> &mut Self {
        self.byte(u8::try_from(signature.len()).expect("signatures are short")).bytes.extend(signature.as_bytes());
        self.byte(0)
    }

    /// The beginning of a structure.
    pub(super) fn structure(&mut self) -> &mut Self {
        self.align(8)
    }

    /// `a`, of values that begin at multiples of `alignment`.
    pub(super) fn list(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.number(0).bytes.len();
        let start = self.align(alignment).bytes.len();
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).expect("lists are short");
        self.bytes[at - 4..at].copy_from_slice(&length.to_le_bytes());
        self
    }
}

/// How a message that comes in begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    kind: u8,
    fields: usize,
    body: usize,
}

impl Start {
    pub(super) fn read(bytes: [u8; START]) -> io::Result<Self> {
        let mut start = Reader::new(bytes.to_vec());
        let (order, kind) = (start.byte()?, start.byte()?);
        let (_flags, _version) = (start.byte()?, start.byte()?);
        let (body, _serial, fields) = (start.length()?, start.number()?, start.length()?);
        if order != b'l' || body > MOST || fields > MOST {
            return Err(strange("a message that is too long, or of another byte order"));
        }
        Ok(Self { kind, fields, body })
    }

    /// How many bytes are still to come.
    pub(super) fn rest(self) -> usize {
        self.fields.next_multiple_of(8) + self.body
    }
}

/// A message that came in, as far as anybody here looks.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The call's number; 0 where it answers none.
    pub(super) reply_to: u32,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) body: Reader,
}

impl Message {
    /// From its beginning and all the rest.
    pub(super) fn read(start: Start, mut rest: Vec<u8>) -> io::Result<Self> {
        let body = Reader::new(rest.split_off(start.fields.next_multiple_of(8).min(rest.len())));
        rest.truncate(start.fields);
        let mut head = Reader::new(rest);
        let (member, error) = (String::new(), String::new());
        let mut message = Self { kind: start.kind, reply_to: 0, member, error, body };
        while head.align(8) {
            let code = head.byte()?;
            match (code, head.signature()?.as_str()) {
                (field::REPLY_TO, "u") => message.reply_to = head.number()?,
                (field::MEMBER, "s") => message.member = head.text()?,
                (field::ERROR_NAME, "s") => message.error = head.text()?,
                (_, "s" | "o") => drop(head.text()?),
                (_, "g") => drop(head.signature()?),
                (_, "u") => drop(head.number()?),
                _ => return Err(strange("a message with a head of other types")),
            }
        }
        Ok(message)
    }
}

/// Reads values from a part of a message.
#[derive(Debug)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    /// Goes on to a multiple; whether anything is there.
    fn align(&mut self, to: usize) -> bool {
        self.at = self.at.next_multiple_of(to);
        self.at < self.bytes.len()
    }

    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| strange("a message that ends too early"))?;
        Ok(&self.bytes[std::mem::replace(&mut self.at, end)..end])
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> io::Result<u32> {
        self.align(4);
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn length(&mut self) -> io::Result<usize> {
        usize::try_from(self.number()?).map_err(|_| strange("a message that is too long"))
    }

    pub(super) fn text(&mut self) -> io::Result<String> {
        let length = self.length()?;
        self.text_of(length)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = self.byte()?;
        self.text_of(length.into())
    }

    fn text_of(&mut self, length: usize) -> io::Result<String> {
        let text = String::from_utf8(self.take(length)?.to_vec()).map_err(|_| strange("a text that is none"))?;
        self.byte()?;
        Ok(text)
    }
}

/// What does not follow the specification, or not the part of it that is read here.
pub(super) fn strange(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: Object = Object { name: "a.b", path: "/a", interface: "a.C" };

    fn read(bytes: &[u8]) -> io::Result<Message> {
        let (start, rest) = bytes.split_first_chunk().unwrap();
        let start = Start::read(*start)?;
        assert!(start.rest() <= 3 * MOST);
        Message::read(start, rest.to_vec())
    }

    #[test]
    fn values_are_where_the_specification_has_them() {
        let mut values = Values::new("yaut");
        let fill = |list: &mut Values| {
            list.number(1).number(2);
        };
        values.byte(7).list(4, fill).number64(3);
        let expected = [7, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(values.bytes, expected);
        // The space before the first structure is not counted.
        let mut values = Values::new("a(y)");
        values.list(8, |list| {
            list.structure().byte(9);
        });
        assert_eq!(values.bytes, [1, 0, 0, 0, 0, 0, 0, 0, 9]);
        let mut values = Values::new("vs");
        values.variant("s").text("x").text("");
        assert_eq!(values.bytes, [1, b's', 0, 0, 1, 0, 0, 0, b'x', 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_call_can_be_read_back() {
        let mut arguments = Values::new("su");
        arguments.text("hello").number(5);
        let bytes = call(OBJECT, "Do", &arguments, 42);
        assert_eq!((&bytes[..4], bytes[8]), (&[b'l', CALL, 0, 1][..], 42));
        let start = Start::read(*bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(start.rest(), bytes.len() - START);
        let mut message = read(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (CALL, "Do"));
        assert_eq!((message.body.text().unwrap(), message.body.number().unwrap()), ("hello".to_owned(), 5));
        assert!(message.body.number().is_err());
    }

    #[test]
    fn nothing_that_comes_in_makes_this_panic() {
        let mut arguments = Values::new("s");
        arguments.text("x");
        let bytes = call(OBJECT, "Do", &arguments, 1);
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = bytes.clone();
                broken[at] = value;
                let _ = read(&broken).map(|mut message| (message.body.text(), message.body.number()));
            }
            if at >= START {
                let _ = read(&bytes[..at]);
            }
        }
    }
}
