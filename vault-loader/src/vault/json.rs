//! The canonical form of JSON text: members ordered by key, no blanks, one spelling for each number and string.
//!
//! In: valid JSON. Out: bytes that are equal exactly for equal documents. Numbers keep every digit: they become sign,
//! digits without outer zeros, `e`, exponent. A repeated member keeps its last value, as `jsonb` does.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A document that is nested more deeply is used as it is spelled, because the recursion needs a limit. `jsonb` always
/// spells a document in the same way.
const DEPTH_MAX: usize = 100;

/// Appends the canonical form. Text that is not JSON is appended as it is.
pub(super) fn canonical(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if write(text, out, 0).is_err() {
        out.truncate(start);
        out.extend_from_slice(text.as_bytes());
    }
}

fn write(text: &str, out: &mut Vec<u8>, depth: usize) -> Result<(), serde_json::Error> {
    let text = text.trim_ascii();
    if depth > DEPTH_MAX {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key)?;
                out.push(b':');
                write(value.get(), out, depth + 1)?;
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item.get(), out, depth + 1)?;
            }
            out.push(b']');
        }
        Some(b'"') => {
            let string: String = serde_json::from_str(text)?;
            serde_json::to_writer(&mut *out, &string)?;
        }
        Some(b'-' | b'0'..=b'9') => number(text, out),
        _ => out.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

fn number(text: &str, out: &mut Vec<u8>) {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    let shift = i64::try_from(dropped).ok().zip(i64::try_from(fraction.len()).ok());
    let exponent = exponent
        .parse::<i64>()
        .ok()
        .zip(shift)
        .and_then(|(exponent, (up, down))| exponent.checked_add(up)?.checked_sub(down));
    match exponent {
        _ if significant.is_empty() => out.push(b'0'),
        Some(exponent) => {
            let sign = if negative { "-" } else { "" };
            out.extend_from_slice(format!("{sign}{significant}e{exponent}").as_bytes());
        }
        None => out.extend_from_slice(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        canonical(text, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
    }

    #[test]
    fn equal_documents_have_one_form() {
        check(r#" {"b" : [ 1.0 , true ], "a": null} "#, r#"{"a":null,"b":[1e0,true]}"#);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2e0}"#);
        check(r#""\u0041\/""#, r#""A/""#);
    }

    #[test]
    fn numbers_keep_every_digit() {
        check("100", "1e2");
        check("-0.0010", "-1e-3");
        check("1e2", "1e2");
        check("0.0e5", "0");
        check("12345678901234567890.123", "12345678901234567890123e-3");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        check(&deep, &deep);
    }
}
