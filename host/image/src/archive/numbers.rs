//! Numbers of tar headers. Stricter than other readers where those differ from each other: a number
//! that two of them read differently is refused.

/// The number in a field of a header: octal digits, or binary where its first bit is set (GNU).
///
/// `None` where it is neither, or more than 64 bits.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => binary(rest),
        // Negative, or wider than any number that is meant.
        [first, ..] if first & 0x80 != 0 => None,
        field => octal(field),
    }
}

/// Like [`unsigned`], but times may lie before 1970, which only the binary form can say.
pub(super) fn signed(field: &[u8]) -> Option<i64> {
    match field {
        [0xff, rest @ ..] => {
            let (high, low) = rest.split_at(rest.len().checked_sub(8)?);
            let value = i64::from_be_bytes(low.try_into().ok()?);
            (high.iter().all(|byte| *byte == 0xff) && value < 0).then_some(value)
        }
        field => i64::try_from(unsigned(field)?).ok(),
    }
}

fn binary(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, byte| value.checked_mul(256).map(|value| value | u64::from(*byte)))
}

/// Spaces, then octal digits, then only spaces and NULs; no digit at all is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let field = &field[start..];
    let end = field.iter().position(is_blank).unwrap_or(field.len());
    let (digits, rest) = field.split_at(end);
    if !rest.iter().all(is_blank) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8).map(|value| value | u64::from(digit - b'0')),
        _ => None,
    })
}

/// A decimal number, as extended headers have it: digits only.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// A time of an extended header: seconds since 1970 with a sign and a decimal fraction, as seconds
/// and nanoseconds, what is finer cut off.
pub(super) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    match (is_negative, nanoseconds) {
        (false, _) => Some((seconds, nanoseconds)),
        (true, 0) => Some((-seconds, 0)),
        // The fraction of a timespec counts forward, also before 1970.
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_headers_are_octal_or_binary() {
        let table: [(&[u8], Option<u64>); 16] = [
            (b"0000644\0", Some(0o644)),
            (b"    644 ", Some(0o644)),
            (b"644\0\0\0\0\0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"0000648\0", None),
            (b"644\x001234", None),
            (b"-000644\0", None),
            (b"0x644\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", Some(u64::MAX)),
            (b"\x80\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
            (b"\x81\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ];
        for (field, value) in table {
            assert_eq!(unsigned(field), value, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn times_can_lie_before_1970() {
        assert_eq!(signed(b"00000000001\0"), Some(1));
        assert_eq!(signed(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        assert_eq!(signed(b"\xff\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(signed(b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x01"), None);
        let table = [
            (&b"1"[..], Some((1, 0))),
            (b"1.5", Some((1, 500_000_000))),
            (b"1.", Some((1, 0))),
            (b"-1", Some((-1, 0))),
            (b"-1.25", Some((-2, 750_000_000))),
            (b"1.0000000009", Some((1, 0))),
            (b"", None),
            (b"-", None),
            (b".5", None),
            (b"1.x", None),
            (b"1e3", None),
            (b"99999999999999999999", None),
        ];
        for (text, value) in table {
            assert_eq!(time(text), value, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn decimals_are_digits() {
        assert_eq!(decimal(b"0123"), Some(123));
        for text in [&b""[..], b"+1", b"-1", b" 1", b"1 ", b"1_0", b"18446744073709551616"] {
            assert_eq!(decimal(text), None, "{}", text.escape_ascii());
        }
    }
}
