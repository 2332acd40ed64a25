//! Amounts of a resource: `500m`, `1.5`, `16Mi`, `1e3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::InvalidValue;

/// An amount of a resource, exact to a thousandth: cores of a CPU, bytes of memory.
///
/// Written as `[+-] number suffix`: a decimal number, then nothing, a power of 1000 (`m` for
/// thousandths, `k M G T P E`), a power of 1024 (`Ki Mi Gi Ti Pi Ei`) or of ten (`e3`). Amounts finer
/// than a thousandth are rounded away from zero, larger ones than 2^63 - 1 are cut to that. `Display`
/// gives one form to one amount: no fraction, the largest suffix that leaves none, and powers of the
/// kind that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    thousandths: i128,
    family: Family,
}

/// The kind of power that suffixes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Binary,
    Decimal,
    Exponent,
}

const MAX_UNITS: i128 = i64::MAX as i128;
const DECIMAL: [&str; 8] = ["m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// This many bytes, cores, or whatever is counted.
    pub fn from_units(units: i64) -> Self {
        Self::new(i128::from(units) * 1000, Family::Decimal)
    }

    /// The amount in whole bytes (or other units), a fraction rounded away from zero.
    pub fn bytes(self) -> i64 {
        let units = round_away_from_zero(self.thousandths, 1000);
        i64::try_from(units).expect("an amount is at most 2^63 - 1 units")
    }

    /// The amount in thousandths, such as millicores; cut to the range of the type.
    pub fn milli(self) -> i64 {
        let bound = |limit: i64| i128::from(limit);
        let cut = self.thousandths.clamp(bound(i64::MIN), bound(i64::MAX));
        i64::try_from(cut).expect("it was cut to the range")
    }

    /// Whether the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.thousandths < 0
    }

    /// The family is part of what is compared, so it is what parsing the canonical form would give.
    fn new(thousandths: i128, family: Family) -> Self {
        let limit = MAX_UNITS * 1000;
        let thousandths = thousandths.clamp(-limit, limit);
        let family = match family {
            Family::Binary if thousandths == 0 || thousandths % 1_024_000 != 0 => Family::Decimal,
            Family::Exponent if thousand_power(thousandths).1 == 0 => Family::Decimal,
            family => family,
        };
        Self { thousandths, family }
    }
}

impl FromStr for Quantity {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| {
            let rule = "it is a number with one of m k M G T P E Ki Mi Gi Ti Pi Ei, eN or nothing";
            InvalidValue::new("quantity", text, rule)
        })
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let suffix_at = unsigned.find(|c| !is_number(c)).unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(suffix_at);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let (family, power) = parse_suffix(suffix)?;
    let magnitude = scale(whole, fraction, power);
    let thousandths = if text.starts_with('-') { -magnitude } else { magnitude };
    Some(Quantity::new(thousandths, family))
}

/// What a suffix multiplies with.
#[derive(Clone, Copy)]
enum Power {
    Ten(i64),
    Two(u32),
}

fn parse_suffix(suffix: &str) -> Option<(Family, Power)> {
    if let Some(index) = DECIMAL.iter().position(|known| *known == suffix) {
        let exponent = i64::try_from(index).ok()? * 3 - 3;
        return Some((Family::Decimal, Power::Ten(exponent)));
    }
    if let Some(index) = BINARY.iter().position(|known| *known == suffix) {
        let exponent = u32::try_from(index).ok()? * 10;
        return Some((Family::Binary, Power::Two(exponent)));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Any exponent with more digits than fit is far beyond what an amount can be.
    let huge = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    let exponent = exponent.parse().unwrap_or(huge);
    Some((Family::Exponent, Power::Ten(exponent)))
}

/// `whole.fraction` times the power, in thousandths, rounded up; cut where it exceeds any amount.
fn scale(whole: &str, fraction: &str, power: Power) -> i128 {
    match power {
        Power::Ten(exponent) => shift(whole, fraction, exponent.saturating_add(3)),
        Power::Two(exponent) => {
            // 2^-n = 5^n / 10^n, so a fraction of n digits is exact after n of them; more than 38
            // digits do not fit, and no suffix makes them reach a thousandth.
            let kept = fraction.get(..18).unwrap_or(fraction);
            let rest = fraction.len() > kept.len() && fraction[kept.len()..].bytes().any(|digit| digit != b'0');
            let digits = i64::try_from(kept.len()).expect("at most 18");
            let mantissa = shift(whole, kept, digits);
            let divisor = 10_i128.pow(u32::try_from(digits).expect("at most 18"));
            let multiplied = mantissa.checked_mul(1000).and_then(|amount| amount.checked_mul(1 << exponent));
            let exact = multiplied.map(|amount| round_away_from_zero(amount, divisor));
            exact.map_or(CUT, |amount| amount + i128::from(rest))
        }
    }
}

/// More than any amount in thousandths, and far from overflow.
const CUT: i128 = i128::MAX / 4;

/// The digits `whole.fraction` with the point moved right by `places`, rounded up to a whole number.
fn shift(whole: &str, fraction: &str, places: i64) -> i128 {
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(places);
    let digits = whole.bytes().chain(fraction.bytes());
    let mut amount = 0_i128;
    let mut position = 0_i64;
    let mut rounds_up = false;
    for digit in digits {
        if position < point {
            amount = amount.saturating_mul(10).saturating_add(i128::from(digit - b'0')).min(CUT);
        } else {
            rounds_up |= digit != b'0';
        }
        position += 1;
    }
    while amount != 0 && amount < CUT && position < point {
        amount = (amount * 10).min(CUT);
        position += 1;
    }
    amount + i128::from(rounds_up)
}

fn round_away_from_zero(amount: i128, divisor: i128) -> i128 {
    let quotient = amount / divisor;
    if amount % divisor == 0 { quotient } else { quotient + amount.signum() }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::Binary => {
                let (mantissa, power) = divide_out(self.thousandths / 1000, 1024, BINARY.len() - 1);
                write!(f, "{mantissa}{}", BINARY[power])
            }
            Family::Decimal => {
                let (mantissa, power) = divide_out(self.thousandths, 1000, DECIMAL.len() - 1);
                // Zero can be divided for ever, and is written without a suffix.
                let suffix = if mantissa == 0 { "" } else { DECIMAL[power] };
                write!(f, "{mantissa}{suffix}")
            }
            Family::Exponent => {
                let (mantissa, power) = thousand_power(self.thousandths);
                write!(f, "{mantissa}e{power}")
            }
        }
    }
}

/// The amount as a mantissa and the power of ten, a multiple of three, that it is to be multiplied
/// with.
fn thousand_power(thousandths: i128) -> (i128, i64) {
    if thousandths == 0 {
        return (0, 0);
    }
    let (mantissa, power) = divide_out(thousandths, 1000, DECIMAL.len() - 1);
    (mantissa, i64::try_from(power).expect("at most 7") * 3 - 3)
}

fn divide_out(mut amount: i128, factor: i128, at_most: usize) -> (i128, usize) {
    let mut power = 0;
    while power < at_most && amount % factor == 0 {
        amount /= factor;
        power += 1;
    }
    (amount, power)
}

impl Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// From text, or from a bare number, which the validator of the specification also reads.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as \"500m\" or \"16Mi\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, canonical form, bytes, thousandths.
    const TABLE: [(&str, &str, i64, i64); 52] = [
        ("0", "0", 0, 0),
        ("0m", "0", 0, 0),
        ("0Ki", "0", 0, 0),
        ("-0", "0", 0, 0),
        ("0e5", "0", 0, 0),
        ("1", "1", 1, 1000),
        ("+1", "1", 1, 1000),
        ("-1", "-1", -1, -1000),
        ("1.", "1", 1, 1000),
        (".5", "500m", 1, 500),
        ("1.5", "1500m", 2, 1500),
        ("-1.5", "-1500m", -2, -1500),
        ("500m", "500m", 1, 500),
        ("1000m", "1", 1, 1000),
        ("0.1m", "1m", 1, 1),
        ("0.0001", "1m", 1, 1),
        ("-0.0001", "-1m", -1, -1),
        ("1.0001", "1001m", 2, 1001),
        ("1.0000", "1", 1, 1000),
        ("1000", "1k", 1000, 1_000_000),
        ("1024", "1024", 1024, 1_024_000),
        ("1500000", "1500k", 1_500_000, 1_500_000_000),
        ("1.5M", "1500k", 1_500_000, 1_500_000_000),
        ("1E", "1E", 1_000_000_000_000_000_000, i64::MAX),
        ("1Ki", "1Ki", 1024, 1_024_000),
        ("1024Ki", "1Mi", 1 << 20, 1_048_576_000),
        ("1.5Gi", "1536Mi", 1_610_612_736, 1_610_612_736_000),
        ("0.5Ki", "512", 512, 512_000),
        ("-0.5Ki", "-512", -512, -512_000),
        ("-2Ki", "-2Ki", -2048, -2_048_000),
        ("0.1Ki", "102400m", 103, 102_400),
        ("1.0001Ki", "1024103m", 1025, 1_024_103),
        ("0.0000000000000000001Ki", "1m", 1, 1),
        ("1.00000000000000000001Ki", "1024001m", 1025, 1_024_001),
        ("100Ki", "100Ki", 102_400, 102_400_000),
        ("7Ei", "7Ei", 7 << 60, i64::MAX),
        ("8Ei", "9223372036854775807", i64::MAX, i64::MAX),
        ("10E", "9223372036854775807", i64::MAX, i64::MAX),
        ("-10E", "-9223372036854775807", -i64::MAX, i64::MIN),
        ("9223372036854775807", "9223372036854775807", i64::MAX, i64::MAX),
        ("9223372036854775808", "9223372036854775807", i64::MAX, i64::MAX),
        ("1e3", "1e3", 1000, 1_000_000),
        ("1E3", "1e3", 1000, 1_000_000),
        ("1e+3", "1e3", 1000, 1_000_000),
        ("1e2", "100", 100, 100_000),
        ("5e0", "5", 5, 5000),
        ("1e-3", "1e-3", 1, 1),
        ("15e-1", "1500e-3", 2, 1500),
        ("1e-9", "1e-3", 1, 1),
        ("1e-99999999999999999999", "1e-3", 1, 1),
        ("1e99999999999999999999", "9223372036854775807", i64::MAX, i64::MAX),
        ("0e99999999999999999999", "0", 0, 0),
    ];

    #[test]
    fn quantities_are_read_rounded_cut_and_written_in_one_form() {
        for (text, canonical, bytes, milli) in TABLE {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.to_string(), canonical, "{text}");
            assert_eq!(quantity.bytes(), bytes, "{text}");
            assert_eq!(quantity.milli(), milli, "{text}");
            assert_eq!(canonical.parse::<Quantity>().unwrap(), quantity, "{text}");
        }
    }

    #[test]
    fn what_the_grammar_lacks_is_refused() {
        for text in [
            "", "+", "-", ".", "m", "Ki", "e3", "1x", "1 ", " 1", "1K", "1mi", "1KI", "1ki", "1e", "1E+", "1e3k",
            "1e1.5", "1..2", "1.2.3", "--1", "1-", "0x10", "1_000", "1,5", "inf", "NaN", "١", "1Ki\n",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_of_json_are_read_too() {
        for (json, canonical) in [("\"1G\"", "1G"), ("1024", "1024"), ("-1", "-1"), ("1.5", "1500m")] {
            let quantity: Quantity = serde_json::from_str(json).unwrap();
            assert_eq!(quantity.to_string(), canonical);
        }
        for json in ["null", "true", "\"\"", "[]", "{}"] {
            assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
        }
    }
}
