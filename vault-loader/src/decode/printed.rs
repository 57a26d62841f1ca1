//! A value of the source, read from the text in which the source prints it.
//!
//! In: a text and the type of the source's column. Out: the [`Value`] that an event with this value has. The session
//! has the settings of [`shared::postgres::SESSION_SETTINGS`], under which the reader's snapshots print too. Most types
//! are printed as the vault prints what it has stored. The others go the way of an event: written as the reader writes
//! them and read as the loader reads them.
//!
//! Hard cases: what has no form in an event is NULL there, also as an element of an array; `bit(1)` is a boolean; an
//! `interval` is a number of microseconds; vectors are arrays with other brackets; PostGIS's arrays have colons.

use shared::debezium::types::{ValueError, array, hstore, interval, temporal, vector};

use super::stored::{from_stored, printed_array, scalar};
use super::value::Value;
use crate::model::{ColumnType, ScalarType};

/// The value that the source prints as `text`.
///
/// # Errors
/// When the column's type does not print this text.
pub fn from_source(kind: ColumnType, text: &str) -> Result<Value<'static>, ValueError> {
    match kind {
        ColumnType::Scalar(kind) => element(kind, text),
        ColumnType::Array(kind) => match vector_elements(text) {
            Some(elements) => from_stored(ColumnType::Array(kind), &format!("{{{elements}}}")),
            None => {
                let delimiter = if kind == ScalarType::Geometry { b':' } else { b',' };
                printed_array(kind, array::tokens_between(delimiter, text.as_bytes()), element)
            }
        },
    }
}

/// What stands between the brackets of a vector. An array with lower bounds begins with a bracket too, and has an
/// equals sign behind its bounds.
fn vector_elements(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    (!inner.contains('=')).then_some(inner)
}

fn element(kind: ScalarType, text: &str) -> Result<Value<'static>, ValueError> {
    match kind {
        ScalarType::Numeric { .. } | ScalarType::NumericUnbounded
            if matches!(text, "NaN" | "Infinity" | "-Infinity") =>
        {
            Ok(Value::Null)
        }
        ScalarType::Boolean if matches!(text, "0" | "1") => Ok(Value::Bool(text == "1")),
        ScalarType::Char => Ok(Value::Text(text.trim_end_matches(' ').to_owned().into())),
        ScalarType::Interval => interval::parse_micros(text).map(Value::Int),
        ScalarType::TimeTz => {
            let mut zoned = Vec::new();
            temporal::write_zoned_time(&mut zoned, temporal::parse_timetz(text.as_bytes())?);
            let zoned =
                std::str::from_utf8(&zoned).map_err(|_| ValueError("time with time zone"))?;
            temporal::parse_zoned_time(zoned).map(Value::Time)
        }
        ScalarType::Hstore => Ok(Value::Json(hstore::json(text)?.into())),
        ScalarType::Geometry => {
            hex::decode(text).map(Value::Bytes).map_err(|_| ValueError("geometry"))
        }
        ScalarType::SparseVector if vector::has_too_many_dimensions(text.as_bytes()) => {
            Ok(Value::Null)
        }
        ScalarType::SparseVector => {
            let (dimensions, elements) = vector::parse_sparse(text)?;
            Ok(Value::Text(vector::sparse_text(dimensions, elements).into()))
        }
        kind => scalar(kind, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, text: &str, expected: Value<'static>) {
        let kind = ColumnType::parse(kind).unwrap();
        assert_eq!(from_source(kind, text), Ok(expected), "{kind:?} {text}");
    }

    #[test]
    fn what_the_vault_prints_otherwise_is_read_as_an_event_has_it() {
        check("numeric", "NaN", Value::Null);
        check("numeric(5,2)", "1.50", Value::Numeric("1.50".to_owned()));
        check("bit(1)", "1", Value::Bool(true));
        check("boolean", "f", Value::Bool(false));
        check("char(5)", "a    ", Value::Text("a".into()));
        check("varchar(5)", "a ", Value::Text("a ".into()));
        check("interval", "1 day 00:00:00.5", Value::Int(86_400_500_000));
        check("timetz", "10:11:12.5+03", Value::Time(25_872_500_000));
        check("hstore", r#""a"=>NULL"#, Value::Json(r#"{"a":null}"#.into()));
        check("geometry", "0101", Value::Bytes(vec![1, 1]));
        check("sparsevec", "{4:-2,1:1.5}/9", Value::Text("{1:1.5,4:-2}/9".into()));
        check("sparsevec", "{}/40000", Value::Null);
    }

    #[test]
    fn arrays_and_vectors_are_told_apart() {
        let ints = |elements: Vec<i64>| {
            let elements: Vec<_> = elements.into_iter().map(Value::Int).collect();
            Value::Array(Box::new(super::super::ArrayValue {
                dimensions: vec![elements.len()],
                elements,
            }))
        };
        check("integer[]", "[5:6]={7,8}", ints(vec![7, 8]));
        let doubles = vec![Value::Double(1.0), Value::Double(-2.5)];
        let vector = super::super::ArrayValue { dimensions: vec![2], elements: doubles };
        check("vector(2)", "[1,-2.5]", Value::Array(Box::new(vector)));
        let numbers = vec![Value::Null, Value::Numeric("1".to_owned())];
        let numerics = super::super::ArrayValue { dimensions: vec![2], elements: numbers };
        check("numeric[]", "{NaN,1}", Value::Array(Box::new(numerics)));
        let shapes = vec![Value::Bytes(vec![1]), Value::Null];
        let geometries = super::super::ArrayValue { dimensions: vec![2], elements: shapes };
        check("geometry[]", "{01:NULL}", Value::Array(Box::new(geometries)));
    }
}
