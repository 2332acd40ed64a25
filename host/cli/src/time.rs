//! Times, durations and sizes as rkt always wrote them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2016-03-05 14:01:07.25 +0100 CET`: milliseconds without trailing zeros, in the caller's time zone.
pub(crate) fn full(time: SystemTime) -> String {
    in_zone(time, TimeZone::system())
}

fn in_zone(time: SystemTime, zone: TimeZone) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    let zoned = timestamp.to_zoned(zone);
    let milliseconds = zoned.subsec_nanosecond() / 1_000_000;
    let fraction = match milliseconds {
        0 => String::new(),
        some => format!(".{some:03}").trim_end_matches('0').to_owned(),
    };
    format!("{}{fraction} {}", zoned.strftime("%Y-%m-%d %H:%M:%S"), zoned.strftime("%z %Z"))
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 12 * MONTH;

/// `now`, `2 minutes ago`.
pub(crate) fn relative(time: SystemTime, now: SystemTime) -> String {
    let (seconds, direction) = match now.duration_since(time) {
        Ok(past) => (past.as_secs(), "ago"),
        Err(future) => (future.duration().as_secs(), "from now"),
    };
    let several = |unit: u64, name: &str| format!("{} {name}s {direction}", seconds / unit);
    let one = |name: &str| format!("1 {name} {direction}");
    match seconds {
        0 => "now".to_owned(),
        1 => one("second"),
        2..MINUTE => several(1, "second"),
        MINUTE..120 => one("minute"),
        120..HOUR => several(MINUTE, "minute"),
        HOUR..7200 => one("hour"),
        7200..DAY => several(HOUR, "hour"),
        DAY..172_800 => one("day"),
        172_800..WEEK => several(DAY, "day"),
        WEEK..1_209_600 => one("week"),
        1_209_600..MONTH => several(WEEK, "week"),
        MONTH..5_184_000 => one("month"),
        5_184_000..YEAR => several(MONTH, "month"),
        YEAR..62_208_000 => one("year"),
        _ => several(YEAR, "year"),
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    since_1970(time).as_secs()
}

/// Nanoseconds since 1970.
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    u64::try_from(since_1970(time).as_nanos()).unwrap_or(u64::MAX)
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// `1h30m0s`, `30m0s`, `1.5s`: as Go writes durations.
pub(crate) fn go_duration(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole == 0 && duration.subsec_nanos() > 0 {
        let (value, unit) = match duration.subsec_nanos() {
            nanos @ 1_000_000.. => (f64::from(nanos) / 1e6, "ms"),
            nanos @ 1_000.. => (f64::from(nanos) / 1e3, "µs"),
            nanos => (f64::from(nanos), "ns"),
        };
        return format!("{value}{unit}");
    }
    let fraction = match duration.subsec_nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    let seconds = format!("{}{fraction}s", whole % MINUTE);
    match (whole / HOUR, whole % HOUR / MINUTE) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// `512B`, `1.5KiB`, `12MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exponent = (bytes.max(1).ilog2() / 10) as usize;
    if exponent == 0 {
        return format!("{bytes}B");
    }
    // Tenths, rounded: no floating point, so that no size is off by a digit.
    let unit = 1u128 << (10 * exponent);
    let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
    if tenths < 100 {
        format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[exponent])
    } else {
        format!("{}{}", (u128::from(bytes) + unit / 2) / unit, UNITS[exponent])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    #[test]
    fn full_times_drop_the_zeros_of_milliseconds() {
        let written = |milliseconds| in_zone(at(milliseconds), TimeZone::UTC);
        assert_eq!(written(1_457_186_467_250), "2016-03-05 14:01:07.25 +0000 UTC");
        assert_eq!(written(1_457_186_467_000), "2016-03-05 14:01:07 +0000 UTC");
        assert_eq!(written(1_457_186_467_005), "2016-03-05 14:01:07.005 +0000 UTC");
    }

    #[test]
    fn times_long_ago_are_told_roughly() {
        let now = at(10_000_000_000_000);
        for (seconds, text) in [
            (0, "now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (125, "2 minutes ago"),
            (HOUR, "1 hour ago"),
            (3 * HOUR, "3 hours ago"),
            (DAY, "1 day ago"),
            (8 * DAY, "1 week ago"),
            (45 * DAY, "1 month ago"),
            (3 * YEAR, "3 years ago"),
        ] {
            assert_eq!(relative(now - Duration::from_secs(seconds), now), text);
        }
        assert_eq!(relative(now + Duration::from_secs(90), now), "1 minute from now");
    }

    #[test]
    fn durations_are_gos() {
        for (milliseconds, text) in [
            (0, "0s"),
            (1_800_000, "30m0s"),
            (5_400_000, "1h30m0s"),
            (1_500, "1.5s"),
            (250, "250ms"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn sizes_have_two_digits_or_a_tenth() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            (12 << 20, "12MiB"),
            ((12 << 20) + (600 << 10), "13MiB"),
            (u64::MAX, "16EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
