//! Intervals as `io.debezium.time.MicroDuration`: microseconds, where a month is a twelfth of 365.25 days.
//!
//! This form is Debezium's default. It loses information: a month and 30.4375 days are the same number.

use super::ValueError;

const BAD: ValueError = ValueError("interval");
const DAYS_A_MONTH: f64 = 365.25 / 12.0;

/// Parts of PostgreSQL's text in `IntervalStyle = postgres`.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Parts {
    months: f64,
    days: f64,
    hours: f64,
    minutes: f64,
    seconds: f64,
}

/// Microseconds of `1 year 2 mons -3 days +04:05:06.789`, by the steps that Debezium takes, in doubles and cut at the
/// end.
///
/// # Errors
/// When the text is no finite interval.
#[allow(
    clippy::cast_possible_truncation,
    reason = "Java's cast of a double to a long cuts and saturates, as this one does"
)]
pub fn parse_micros(text: &str) -> Result<i64, ValueError> {
    let parts = parts(text).ok_or(BAD)?;
    let days = parts.months * DAYS_A_MONTH + parts.days;
    let seconds = ((days * 24.0 + parts.hours) * 60.0 + parts.minutes) * 60.0 + parts.seconds;
    Ok((seconds * 1e6) as i64)
}

fn parts(text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut words = text.split_ascii_whitespace();
    let mut is_empty = true;
    while let Some(word) = words.next() {
        is_empty = false;
        if word.contains(':') {
            clock(word, &mut parts)?;
            continue;
        }
        let number = f64::from(word.parse::<i32>().ok()?);
        match words.next()? {
            "year" | "years" => parts.months += 12.0 * number,
            "mon" | "mons" => parts.months += number,
            "day" | "days" => parts.days += number,
            _ => return None,
        }
    }
    (!is_empty).then_some(parts)
}

/// `[+-]HH:MM:SS[.ffffff]`; the sign applies to the whole text, and the hours may have more than two digits.
fn clock(word: &str, parts: &mut Parts) -> Option<()> {
    let (sign, rest) = match word.as_bytes() {
        [b'-', ..] => (-1.0, &word[1..]),
        [b'+', ..] => (1.0, &word[1..]),
        _ => (1.0, word),
    };
    let (hours, rest) = rest.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    parts.hours = sign * f64::from(hours.parse::<i32>().ok()?);
    parts.minutes = sign * f64::from(minutes.parse::<u8>().ok()?);
    if !seconds.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    parts.seconds = sign * seconds.parse::<f64>().ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_debeziums() {
        for (text, micros) in [
            ("00:00:00", 0),
            ("04:05:06.789", 14_706_789_000),
            ("-00:00:00.000001", -1),
            ("3 days", 259_200_000_000),
            ("1 mon", 2_629_800_000_000),
            ("1 year 2 mons 3 days 04:05:06", 37_091_106_000_000),
            ("-1 years -2 mons +3 days -04:05:06", -36_572_706_000_000),
            ("120:00:00", 432_000_000_000),
        ] {
            assert_eq!(parse_micros(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for text in ["", "infinity", "P1Y", "1 week", "1", "x days", "01:02", "01:02:1e3", "1:2:-3"]
        {
            assert_eq!(parse_micros(text), Err(BAD), "{text}");
        }
    }
}
