//! A value that the vault has stored, read from the text in which PostgreSQL prints it.
//!
//! In: a text and the column's type. Out: the [`Value`] that an event with this value would have had. The session
//! prints dates as ISO 8601 and bytes in hexadecimal digits.

use shared::debezium::types::{ValueError, array, geometry, temporal};

use super::value::{ArrayValue, Value, parse_uuid};
use crate::model::{ColumnType, ScalarType};

/// The value that PostgreSQL prints as `text`.
///
/// # Errors
/// When the column's type does not print this text.
pub fn from_stored(kind: ColumnType, text: &str) -> Result<Value<'static>, ValueError> {
    match kind {
        ColumnType::Scalar(kind) => scalar(kind, text),
        ColumnType::Array(kind) => printed_array(kind, array::tokens(text.as_bytes()), scalar),
    }
}

pub(super) fn scalar(kind: ScalarType, text: &str) -> Result<Value<'static>, ValueError> {
    let bytes = text.as_bytes();
    Ok(match kind {
        ScalarType::SmallInt | ScalarType::Integer | ScalarType::BigInt | ScalarType::Interval => {
            Value::Int(text.parse().map_err(|_| ValueError("stored integer"))?)
        }
        ScalarType::Numeric { .. } | ScalarType::NumericUnbounded => {
            Value::Numeric(text.to_owned())
        }
        ScalarType::Real => Value::Real(text.parse().map_err(|_| ValueError("stored real"))?),
        ScalarType::Double => Value::Double(text.parse().map_err(|_| ValueError("stored double"))?),
        // An array prints its elements so, a cast to text prints whole words.
        ScalarType::Boolean => Value::Bool(matches!(text, "t" | "true")),
        ScalarType::Text
        | ScalarType::Char
        | ScalarType::Bits { .. }
        | ScalarType::Json
        | ScalarType::SparseVector => Value::Text(text.to_owned().into()),
        ScalarType::Jsonb | ScalarType::Hstore => Value::Json(text.to_owned().into()),
        ScalarType::Date => Value::Date(match text {
            "infinity" => i32::MAX,
            "-infinity" => i32::MIN,
            _ => temporal::parse_date(bytes)?,
        }),
        ScalarType::Time { .. } => Value::Time(temporal::parse_time(bytes)?),
        ScalarType::TimeTz => Value::Time(temporal::parse_timetz(bytes)?),
        ScalarType::Timestamp { .. } | ScalarType::TimestampTz => Value::Timestamp(match text {
            "infinity" => i64::MAX,
            "-infinity" => i64::MIN,
            _ if kind == ScalarType::TimestampTz => temporal::parse_timestamptz(bytes)?,
            _ => temporal::parse_timestamp(bytes)?,
        }),
        ScalarType::Uuid => Value::Uuid(parse_uuid(text).ok_or(ValueError("stored uuid"))?),
        ScalarType::Bytea | ScalarType::Geometry => Value::Bytes(
            text.strip_prefix("\\x")
                .and_then(|digits| hex::decode(digits).ok())
                .ok_or(ValueError("stored bytea"))?,
        ),
        ScalarType::Point => {
            let (x, y) = geometry::parse_point(text)?;
            Value::Point(x, y)
        }
    })
}

/// The array whose printed text has these parts. `read` reads an element that is not NULL.
pub(super) fn printed_array(
    kind: ScalarType,
    tokens: array::Tokens<'_>,
    read: fn(ScalarType, &str) -> Result<Value<'static>, ValueError>,
) -> Result<Value<'static>, ValueError> {
    let bad = ValueError("array");
    let mut lengths: Vec<usize> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut elements = Vec::new();
    for token in tokens {
        let element = match token? {
            array::Token::Open => {
                open.push(0);
                continue;
            }
            array::Token::Close => {
                // The server prints every array of one level with the same length.
                let length = open.pop().ok_or(bad)?;
                lengths.resize(lengths.len().max(open.len() + 1), 0);
                lengths[open.len()] = length;
                if let Some(outer) = open.last_mut() {
                    *outer += 1;
                }
                continue;
            }
            array::Token::Null => Value::Null,
            array::Token::Element(text) => {
                read(kind, std::str::from_utf8(&text).map_err(|_| bad)?)?
            }
        };
        *open.last_mut().ok_or(bad)? += 1;
        elements.push(element);
    }
    if elements.is_empty() {
        lengths.clear();
    }
    Ok(Value::Array(Box::new(ArrayValue { dimensions: lengths, elements })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, text: &str, expected: Value<'static>) {
        let kind = ColumnType::parse(kind).unwrap();
        assert_eq!(from_stored(kind, text), Ok(expected), "{kind:?} {text}");
    }

    fn array(dimensions: &[usize], elements: Vec<Value<'static>>) -> Value<'static> {
        Value::Array(Box::new(ArrayValue { dimensions: dimensions.to_vec(), elements }))
    }

    #[test]
    fn stored_values_are_those_of_events() {
        check("numeric", "1.50", Value::Numeric("1.50".to_owned()));
        check("hstore", r#"{"a": null}"#, Value::Json(r#"{"a": null}"#.into()));
        check("bit(3)", "101", Value::Text("101".into()));
        check(
            "integer[]",
            "{{1,2},{3,NULL}}",
            array(&[2, 2], vec![Value::Int(1), Value::Int(2), Value::Int(3), Value::Null]),
        );
        check(
            "text[]",
            r#"{a,"b \"c\"",NULL}"#,
            array(&[3], vec![Value::Text("a".into()), Value::Text("b \"c\"".into()), Value::Null]),
        );
        check("text[]", "{}", array(&[], vec![]));
        check("boolean[]", "{t,f}", array(&[2], vec![Value::Bool(true), Value::Bool(false)]));
        check(
            "date[]",
            "{2026-01-02,infinity}",
            array(&[2], vec![Value::Date(20_455), Value::Date(i32::MAX)]),
        );
        check(
            "timestamptz[]",
            r#"{"1970-01-01 03:00:01+03"}"#,
            array(&[1], vec![Value::Timestamp(1_000_000)]),
        );
        check("bytea[]", r#"{"\\x00ff"}"#, array(&[1], vec![Value::Bytes(vec![0, 255])]));
    }

    #[test]
    fn a_text_that_the_type_does_not_print_is_refused() {
        for (kind, text) in [("integer[]", "{x}"), ("integer[]", "1"), ("date[]", "{today}")] {
            let kind = ColumnType::parse(kind).unwrap();
            assert!(from_stored(kind, text).is_err(), "{text}");
        }
    }
}
