//! Dates and times between PostgreSQL's text (`DateStyle=ISO`, `TimeZone=UTC`), Debezium's numbers and strings, and
//! microseconds.
//!
//! Days and microseconds count from 1970-01-01 in the proleptic Gregorian calendar, which PostgreSQL, Java and Debezium
//! share.
//!
//! PostgreSQL counts from 2000, so its last 30 years (294247 to 294276) lie beyond the greatest 64-bit number of
//! microseconds since 1970. Such an instant is the number that remains after the overflow. This number is less than
//! PostgreSQL's first instant, so it is no other instant's; a few of these numbers are those of infinity, in January
//! 294247. Debezium writes one number for all the seconds of these years.

use super::ValueError;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// 4714-11-24 00:00:00 BC, PostgreSQL's first instant (`MIN_TIMESTAMP` in `src/include/datatype/timestamp.h`), since
/// 1970.
const FIRST_INSTANT: i128 = -210_866_803_200_000_000;

/// 294277-01-01 00:00:00, which is PostgreSQL's last instant and one microsecond (`END_TIMESTAMP`), since 1970.
const END_OF_INSTANTS: i128 = 9_224_318_016_000_000_000;

/// `infinity` as Debezium writes a timestamp without time zone, in microseconds: a constant of the JDBC driver. A type
/// with up to three digits has a thousandth of it.
pub const TIMESTAMP_INFINITY: i64 = 9_223_372_036_825_200_000;

/// `-infinity` as Debezium writes a timestamp without time zone, in microseconds.
pub const TIMESTAMP_NEGATIVE_INFINITY: i64 = -9_223_372_036_832_400_000;

/// `infinity` as Debezium's stream writes a date; no date of PostgreSQL has this number.
pub const DATE_INFINITY: i32 = -2_147_472_692;

/// `-infinity` as Debezium's stream writes a date.
pub const DATE_NEGATIVE_INFINITY: i32 = -2_147_472_691;

/// `infinity` and `-infinity` as Debezium's snapshot and its arrays write a date.
const DATE_INFINITIES_OF_SNAPSHOTS: [i32; 2] = [-622_191_234, -625_821_272];

/// An infinite date, whichever of Debezium's two ways it was written in: true for `infinity`, false for `-infinity`.
#[must_use]
pub fn infinite_date(days: i32) -> Option<bool> {
    let [infinity, negative_infinity] = DATE_INFINITIES_OF_SNAPSHOTS;
    match days {
        days if days == DATE_INFINITY || days == infinity => Some(true),
        days if days == DATE_NEGATIVE_INFINITY || days == negative_infinity => Some(false),
        _ => None,
    }
}

/// An instant as 64 bits; see the head of this file.
fn wrap(micros: i128) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "what is cut off comes back in `unwrap`")]
    (FIRST_INSTANT..END_OF_INSTANTS).contains(&micros).then_some(micros as i64)
}

/// The inverse of [`wrap`].
fn unwrap(micros: i64) -> i128 {
    let micros = i128::from(micros);
    if micros < FIRST_INSTANT { micros + (1 << 64) } else { micros }
}

/// Milliseconds of an instant, rounded down.
#[must_use]
pub fn millis(micros: i64) -> i64 {
    i64::try_from(unwrap(micros).div_euclid(1000)).unwrap_or(i64::MAX)
}

/// The instant of milliseconds since 1970; none outside of PostgreSQL's range.
#[must_use]
pub fn from_millis(millis: i64) -> Option<i64> {
    wrap(i128::from(millis) * 1000)
}

/// Days since 1970-01-01 of a civil date. Algorithm: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 9 {
        return None;
    }
    bytes.iter().try_fold(0i64, |value, &byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of `YYYY-MM-DD`; years have four digits or more, and count from 1 BC = 0 when `before_christ`.
fn parse_civil(text: &[u8], before_christ: bool) -> Option<i64> {
    let mut parts = text.split(|&b| b == b'-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
    let year = if before_christ { 1 - year } else { year };
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => return None,
    };
    (1..=last).contains(&day).then(|| days_from_civil(year, month, day))
}

/// Microseconds of `HH:MM:SS[.ffffff]`; 24:00:00 is midnight at the end of the day.
fn parse_clock(text: &[u8]) -> Option<i64> {
    if text.len() < 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hours, minutes, seconds) =
        (digits(&text[0..2])?, digits(&text[3..5])?, digits(&text[6..8])?);
    let fraction = match &text[8..] {
        [] => 0,
        [b'.', fraction @ ..] if fraction.len() <= 6 => {
            digits(fraction)? * 10i64.pow(6 - u32::try_from(fraction.len()).ok()?)
        }
        _ => return None,
    };
    let micros = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + fraction;
    (minutes < 60 && seconds <= 60 && micros <= MICROS_PER_DAY).then_some(micros)
}

/// Splits an era suffix off.
fn strip_bc(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |rest| (rest, true))
}

/// Days since 1970-01-01 of PostgreSQL's `date` text.
///
/// # Errors
/// When the text is no finite date.
pub fn parse_date(text: &[u8]) -> Result<i32, ValueError> {
    let (date, bc) = strip_bc(text);
    parse_civil(date, bc).and_then(|days| i32::try_from(days).ok()).ok_or(ValueError("date"))
}

/// Microseconds since midnight of PostgreSQL's `time` text.
///
/// # Errors
/// When the text is no time of day.
pub fn parse_time(text: &[u8]) -> Result<i64, ValueError> {
    parse_clock(text).ok_or(ValueError("time"))
}

/// Microseconds since 1970-01-01 00:00 of PostgreSQL's `timestamp` text, read as if it were UTC.
///
/// # Errors
/// When the text is no finite timestamp.
pub fn parse_timestamp(text: &[u8]) -> Result<i64, ValueError> {
    let (body, bc) = strip_bc(text);
    timestamp_parts(body, bc).and_then(wrap).ok_or(ValueError("timestamp"))
}

fn timestamp_parts(text: &[u8], bc: bool) -> Option<i128> {
    let split = text.iter().position(|&b| b == b' ')?;
    let days = parse_civil(&text[..split], bc)?;
    Some(micros(days, parse_clock(&text[split + 1..])?))
}

fn micros(days: i64, clock: i64) -> i128 {
    i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(clock)
}

/// Microseconds since the epoch of PostgreSQL's `timestamptz` text (`2026-01-02 03:04:05.6+00`, any offset).
///
/// # Errors
/// When the text is no finite timestamp with an offset.
pub fn parse_timestamptz(text: &[u8]) -> Result<i64, ValueError> {
    let (body, bc) = strip_bc(text);
    split_offset(body)
        .and_then(|(local, offset)| wrap(timestamp_parts(local, bc)? - i128::from(offset)))
        .ok_or(ValueError("timestamp with time zone"))
}

/// Microseconds since midnight in UTC of PostgreSQL's `timetz` text (`10:11:12.5+03`). 24:00:00 in UTC stays the end of
/// the day.
///
/// # Errors
/// When the text is no time of day with an offset.
pub fn parse_timetz(text: &[u8]) -> Result<i64, ValueError> {
    let parsed = text.iter().position(|&b| b == b'+' || b == b'-').and_then(|sign_at| {
        let offset = offset_micros(&text[sign_at..])?;
        Some((parse_clock(&text[..sign_at])?, offset))
    });
    match parsed {
        Some((MICROS_PER_DAY, 0)) => Ok(MICROS_PER_DAY),
        Some((micros, offset)) => Ok((micros - offset).rem_euclid(MICROS_PER_DAY)),
        None => Err(ValueError("time with time zone")),
    }
}

/// Splits `…+HH[:MM[:SS]]` into the local part and the offset in microseconds.
fn split_offset(text: &[u8]) -> Option<(&[u8], i64)> {
    // The date's own hyphens stand before the clock.
    let clock_at = text.iter().position(|&b| b == b' ' || b == b'T')?;
    let sign_at = clock_at + text[clock_at..].iter().position(|&b| b == b'+' || b == b'-')?;
    Some((&text[..sign_at], offset_micros(&text[sign_at..])?))
}

/// Microseconds of `+HH[:MM[:SS]]`.
fn offset_micros(text: &[u8]) -> Option<i64> {
    let (sign, rest) = text.split_first()?;
    let mut seconds = 0;
    for (index, part) in rest.split(|&b| b == b':').enumerate() {
        let unit = *[3600, 60, 1].get(index)?;
        seconds += (part.len() == 2).then(|| digits(part)).flatten()? * unit;
    }
    let offset = seconds * MICROS_PER_SECOND;
    Some(if *sign == b'-' { -offset } else { offset })
}

/// Appends `HH:MM:SS[.f…]Z`, Debezium's `io.debezium.time.ZonedTime`, without quotes. The fraction has no zeros at
/// its end.
pub fn write_zoned_time(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / MICROS_PER_SECOND;
    for (index, value) in [seconds / 3600, seconds / 60 % 60, seconds % 60].into_iter().enumerate()
    {
        if index > 0 {
            out.push(b':');
        }
        push_padded(out, value, 2);
    }
    let fraction = micros % MICROS_PER_SECOND;
    if fraction > 0 {
        out.push(b'.');
        push_padded(out, fraction, 6);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// Appends `YYYY-MM-DDTHH:MM:SS.ffffffZ`, Debezium's `io.debezium.time.ZonedTimestamp`, without quotes. The fraction
/// has as many digits as the column's type says, six at most. A fraction of no digits has no point.
///
/// Years beyond 9999 have a plus sign, years before 1 BC a minus sign, as `java.time` writes them.
pub fn write_zoned(out: &mut Vec<u8>, micros: i64, fraction_digits: usize) {
    let day_length = i128::from(MICROS_PER_DAY);
    let narrow = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
    let (year, month, day) = civil_from_days(narrow(unwrap(micros).div_euclid(day_length)));
    let clock = narrow(unwrap(micros).rem_euclid(day_length));
    let seconds = clock / MICROS_PER_SECOND;
    match year {
        0..=9999 => push_padded(out, year, 4),
        10_000.. => {
            out.push(b'+');
            push_padded(out, year, 5);
        }
        _ => {
            out.push(b'-');
            push_padded(out, -year, 4);
        }
    }
    for (separator, value, width) in [
        (b'-', month, 2),
        (b'-', day, 2),
        (b'T', seconds / 3600, 2),
        (b':', seconds / 60 % 60, 2),
        (b':', seconds % 60, 2),
        (b'.', clock % MICROS_PER_SECOND, 6),
    ] {
        out.push(separator);
        push_padded(out, value, width);
    }
    let left_out = match fraction_digits {
        0 => 7,
        digits => 6usize.saturating_sub(digits),
    };
    out.truncate(out.len() - left_out);
    out.push(b'Z');
}

/// Microseconds since midnight of a `ZonedTime` in UTC, the form in which Debezium writes it.
///
/// # Errors
/// When the text is none.
pub fn parse_zoned_time(text: &str) -> Result<i64, ValueError> {
    text.strip_suffix('Z')
        .and_then(|clock| parse_clock(clock.as_bytes()))
        .ok_or(ValueError("ISO time with time zone"))
}

fn push_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.resize(out.len() + width.saturating_sub(text.len()), b'0');
    out.extend_from_slice(text.as_bytes());
}

/// Microseconds since the epoch of a `ZonedTimestamp` (ISO 8601 with `Z` or an offset).
///
/// # Errors
/// When the text is none.
pub fn parse_zoned(text: &str) -> Result<i64, ValueError> {
    let bytes = text.as_bytes();
    let (sign, rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let parsed = match rest.strip_suffix(b"Z") {
        Some(local) => iso_micros(local, sign),
        None => split_offset(rest)
            .and_then(|(local, offset)| Some(iso_micros(local, sign)? - i128::from(offset))),
    };
    parsed.and_then(wrap).ok_or(ValueError("ISO timestamp with time zone"))
}

fn iso_micros(text: &[u8], negative_year: bool) -> Option<i128> {
    let split = text.iter().position(|&b| b == b'T')?;
    let clock = &text[split + 1..];
    // ISO allows minutes alone and nanoseconds; PostgreSQL keeps microseconds.
    let clock = if clock.len() > 15 { &clock[..15] } else { clock };
    let padded;
    let clock = if clock.len() == 5 {
        padded = [clock, b":00"].concat();
        &padded
    } else {
        clock
    };
    let mut days = parse_civil(&text[..split], false)?;
    if negative_year {
        let (year, month, day) = civil_from_days(days);
        days = days_from_civil(-year, month, day);
    }
    Some(micros(days, parse_clock(clock)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zoned(micros: i64) -> String {
        zoned_with(micros, 6)
    }

    fn zoned_with(micros: i64, fraction_digits: usize) -> String {
        let mut out = Vec::new();
        write_zoned(&mut out, micros, fraction_digits);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_debeziums() {
        assert_eq!(parse_date(b"2026-01-02"), Ok(20_455));
        assert_eq!(parse_time(b"10:11:12.345"), Ok(36_672_345_000));
        assert_eq!(parse_timestamp(b"2026-01-02 03:04:05.123456"), Ok(1_767_323_045_123_456));
        let tz = parse_timestamptz(b"2026-01-02 03:04:05.1+03").unwrap();
        assert_eq!(zoned(tz), "2026-01-02T00:04:05.100000Z");
        assert_eq!(zoned(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(zoned_with(1_500_000, 3), "1970-01-01T00:00:01.500Z");
        assert_eq!(zoned_with(1_000_000, 0), "1970-01-01T00:00:01Z");
        assert_eq!(parse_zoned("1970-01-01T00:00:01Z"), Ok(1_000_000));
        assert_eq!(zoned(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn eras_and_far_years_are_javas() {
        assert_eq!(parse_date(b"0001-12-31 BC"), parse_date(b"0001-01-01").map(|d| d - 1));
        let bc = parse_timestamptz(b"0044-03-15 12:00:00+00 BC").unwrap();
        assert_eq!(zoned(bc), "-0043-03-15T12:00:00.000000Z");
        let far = parse_timestamptz(b"12026-01-02 00:00:00+00").unwrap();
        assert_eq!(zoned(far), "+12026-01-02T00:00:00.000000Z");
    }

    #[test]
    fn the_last_years_keep_their_microseconds() {
        let last = parse_timestamp(b"294276-12-31 23:59:59.999999").unwrap();
        assert_eq!(last, -9_222_426_057_709_551_617);
        assert_eq!(zoned(last), "+294276-12-31T23:59:59.999999Z");
        assert_eq!(millis(last), 9_224_318_015_999_999);
        assert_eq!(from_millis(millis(last)), Some(last - 999));
        assert_eq!(millis(-1), -1);
        assert!(parse_timestamp(b"294277-01-01 00:00:00").is_err());
        assert!(parse_timestamp(b"4714-11-23 23:59:59 BC").is_err());
        assert_eq!(from_millis(i64::MAX), None);
    }

    #[test]
    fn infinite_dates_are_read_in_both_of_debeziums_ways() {
        for (days, expected) in [
            (DATE_INFINITY, Some(true)),
            (DATE_NEGATIVE_INFINITY, Some(false)),
            (-622_191_234, Some(true)),
            (-625_821_272, Some(false)),
            (0, None),
        ] {
            assert_eq!(infinite_date(days), expected);
        }
    }

    #[test]
    fn offsets_with_minutes_and_seconds_are_read() {
        let utc = parse_timestamptz(b"2026-01-02 00:00:00+00").unwrap();
        assert_eq!(parse_timestamptz(b"2026-01-02 05:30:00+05:30"), Ok(utc));
        assert_eq!(parse_timestamptz(b"2026-01-01 23:29:40-00:30:20"), Ok(utc));
        assert_eq!(parse_zoned("2026-01-02T05:30+05:30"), Ok(utc));
        assert_eq!(parse_zoned("2026-01-02T00:00:00.000000001Z"), Ok(utc));
    }

    #[test]
    fn times_with_an_offset_are_utc() {
        for (text, expected) in [
            ("10:11:12.5+03", "07:11:12.5Z"),
            ("00:30:00+05:30", "19:00:00Z"),
            ("23:59:59.999999-00:00:01", "00:00:00.999999Z"),
            ("24:00:00+00", "24:00:00Z"),
            ("24:00:00+01", "23:00:00Z"),
        ] {
            let mut out = Vec::new();
            write_zoned_time(&mut out, parse_timetz(text.as_bytes()).unwrap());
            let written = String::from_utf8(out).unwrap();
            assert_eq!(written, expected, "{text}");
            assert_eq!(parse_zoned_time(&written), parse_timetz(text.as_bytes()), "{text}");
        }
        for text in ["", "10:11:12", "+03", "10:11:12+3", "25:00:00+00"] {
            assert!(parse_timetz(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "infinity", "2026-13-01", "2026-02-30", "26-01-01", "2026-01-01x", "2026-1-1"]
        {
            assert!(parse_date(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["", "25:00:00", "10:60:00", "10:11", "10:11:12.1234567", "10-11-12"] {
            assert!(parse_time(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["2026-01-02 00:00:00", "2026-01-02", "-infinity", "2026-01-02 00:00:00+0"] {
            assert!(parse_timestamptz(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_instant_of_postgresql_comes_back(instant in FIRST_INSTANT..END_OF_INSTANTS) {
            let micros = wrap(instant).unwrap();
            prop_assert_eq!(unwrap(micros), instant);
            prop_assert_eq!(parse_zoned(&zoned(micros)), Ok(micros));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = (parse_date(&bytes), parse_time(&bytes), parse_timestamp(&bytes), parse_timestamptz(&bytes));
            let _ = parse_zoned(&String::from_utf8_lossy(&bytes));
        }
    }
}
