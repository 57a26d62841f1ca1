//! Pages of a list, by the key of their last row.
//!
//! In: a limit and a cursor. Out: rows after the cursor, and the cursor of the next page, if there is one. A cursor is
//! opaque to clients. Rows that are added or removed meanwhile move no other row to another page, so a walk over all
//! pages sees every row that was there all the time exactly once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::field::number;

/// Rows of a page at most. An answer with so many flights has some 60 KB.
pub(crate) const LIMIT_MAX: i64 = 100;
/// Rows of a page unless the client says otherwise.
pub(crate) const LIMIT_DEFAULT: i64 = 20;

/// Reads the parameter `limit`.
pub(crate) fn limit(text: Option<&str>) -> Result<i64, String> {
    text.map_or(Ok(LIMIT_DEFAULT), |text| number(text, 1, LIMIT_MAX))
}

/// Reads the parameter `cursor`.
pub(crate) fn cursor<K: DeserializeOwned>(text: Option<&str>) -> Result<Option<K>, String> {
    let Some(text) = text else { return Ok(None) };
    let key = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    key.map(Some).ok_or_else(|| "must be the next_cursor of an earlier answer".to_owned())
}

/// A time of a cursor, within what the database holds.
pub(crate) fn moment(micros: i64) -> Result<DateTime<Utc>, String> {
    let at =
        DateTime::from_timestamp_micros(micros).filter(|at| (1970..=9999).contains(&at.year()));
    at.ok_or_else(|| "must be the next_cursor of an earlier answer".to_owned())
}

/// Takes the row that was read beyond the page away, and makes a cursor of the last row that is left.
pub(crate) fn cut<T, K: Serialize>(
    rows: &mut Vec<T>,
    limit: i64,
    key: impl Fn(&T) -> K,
) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return None;
    }
    rows.truncate(limit);
    let last = key(rows.last()?);
    serde_json::to_vec(&last).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_the_row_after_it() {
        let mut rows = vec![1, 2, 3];
        let next = cut(&mut rows, 2, |row| *row).unwrap();
        assert_eq!(rows, [1, 2]);
        assert_eq!(cursor::<i32>(Some(&next)), Ok(Some(2)));
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let mut rows = vec![1, 2];
        assert_eq!(cut(&mut rows, 2, |row| *row), None);
        assert_eq!(rows, [1, 2]);
    }

    #[test]
    fn what_no_answer_gave_is_refused() {
        for text in ["", "x", "!!!", "bnVsbA"] {
            assert!(cursor::<i32>(Some(text)).is_err(), "{text}");
        }
        assert!(
            limit(Some("0")).is_err() && limit(Some("101")).is_err() && limit(Some("x")).is_err()
        );
        assert_eq!(limit(None), Ok(LIMIT_DEFAULT));
    }
}
