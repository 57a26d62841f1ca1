//! Texts of pages: times and amounts as people read them.

use chrono::{DateTime, Utc};

use crate::reference::prices::roubles;

/// A time of an answer for people: `15 Jun 2026, 08:00`, in UTC.
pub(crate) fn moment(text: &str) -> String {
    let at = text.parse::<DateTime<Utc>>();
    at.map_or_else(|_| text.to_owned(), |at| at.format("%-d %b %Y, %H:%M").to_string())
}

/// The hour of a time: `08:00`.
pub(crate) fn hour(text: &str) -> String {
    let at = text.parse::<DateTime<Utc>>();
    at.map_or_else(|_| text.to_owned(), |at| at.format("%H:%M").to_string())
}

/// How long it is from one time to another: `2 h 05 min`.
pub(crate) fn between(from: &str, to: &str) -> String {
    let parse = |text: &str| text.parse::<DateTime<Utc>>().unwrap_or_default();
    let minutes = (parse(to) - parse(from)).num_minutes();
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

/// An amount with its thousands apart: `12 400.00`.
pub(crate) fn amount(text: &str) -> String {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if rest.is_empty() { out } else { format!("{out}.{rest}") }
}

/// An amount of an answer, several times.
pub(crate) fn times(text: &str, count: usize) -> i64 {
    let kopecks = text.replace('.', "").parse::<i64>().unwrap_or_default();
    kopecks.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Kopecks as an amount for people.
pub(crate) fn kopecks(kopecks: i64) -> String {
    amount(&roubles(kopecks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_amounts_are_for_people() {
        assert_eq!(moment("2026-06-05T08:00:00Z"), "5 Jun 2026, 08:00");
        assert_eq!(hour("2026-06-05T08:00:00Z"), "08:00");
        assert_eq!(between("2026-06-05T08:00:00Z", "2026-06-05T10:05:00Z"), "2 h 05 min");
        assert_eq!(amount("1234567.50"), "1\u{202f}234\u{202f}567.50");
        assert_eq!(amount("100.00"), "100.00");
        assert_eq!(kopecks(times("6200.00", 2)), "12\u{202f}400.00");
    }
}
