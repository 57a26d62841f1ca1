//! A column's value, an array or not, in a row or in a header.
//!
//! In goes a JSON token and a [`ColumnType`], out comes a [`Value`].

use serde::de::{DeserializeSeed, Deserializer};

use super::array::ArraySeed;
use super::value::{NUMERIC_DIGITS_MAX, Reads, ScalarSeed, Value};
use crate::model::{ColumnType, ScalarType};

/// Reads one value of a known type.
pub(super) struct ValueSeed(pub(super) ColumnType, pub(super) Reads);

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        match self.0 {
            ColumnType::Scalar(kind) => ScalarSeed(kind, self.1).deserialize(deserializer),
            ColumnType::Array(kind) => ArraySeed(kind, self.1).deserialize(deserializer),
        }
    }
}

/// Reads a value of a key from a header, where Debezium writes a decimal as a JSON number. NULL is not a key.
pub(super) fn header_value(kind: ColumnType, json: &str) -> Option<Value<'_>> {
    let is_numeric = matches!(
        kind,
        ColumnType::Scalar(ScalarType::Numeric { .. } | ScalarType::NumericUnbounded)
    );
    if is_numeric && json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return plain_number(json).map(Value::Numeric);
    }
    let seed = ValueSeed(kind, Reads::DataOrPlaceholder);
    let value = seed.deserialize(&mut serde_json::Deserializer::from_str(json)).ok()?;
    (value != Value::Null).then_some(value)
}

/// The digits of a JSON number written out, none lost; `None` where PostgreSQL has no such number.
fn plain_number(json: &str) -> Option<String> {
    let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let before = usize::try_from(point.max(0)).ok()?;
    let leading = usize::try_from(point.min(0).checked_neg()?).ok()?;
    if before > NUMERIC_DIGITS_MAX || leading + digits.len() > NUMERIC_DIGITS_MAX {
        return None;
    }
    let padded = format!(
        "{}{digits}{}",
        "0".repeat(leading),
        "0".repeat(before.saturating_sub(digits.len()))
    );
    let (whole, fraction) = padded.split_at(before);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_in_a_header_is_a_number_and_keeps_every_digit() {
        let numeric = ColumnType::parse("numeric(38,10)").unwrap();
        for (json, expected) in [
            ("2", "2"),
            ("-12.50", "-12.50"),
            ("1E-7", "0.0000001"),
            ("-1.25E-7", "-0.000000125"),
            ("1.5E+3", "1500"),
            ("0E-10", "0.0000000000"),
            (
                "12345678901234567890123456789.0123456789",
                "12345678901234567890123456789.0123456789",
            ),
        ] {
            let value = header_value(numeric, json);
            assert_eq!(value, Some(Value::Numeric(expected.to_owned())), "{json}");
        }
        assert_eq!(header_value(numeric, "1E2147483647"), None);
        assert_eq!(header_value(numeric, "1E-2147483647"), None);
        assert_eq!(header_value(numeric, "null"), None);
        let unbounded = ColumnType::parse("numeric").unwrap();
        let struct_form = r#"{"scale":1,"value":"AQ=="}"#;
        assert_eq!(header_value(unbounded, struct_form), Some(Value::Numeric("0.1".to_owned())));
        let text = ColumnType::parse("text").unwrap();
        assert_eq!(header_value(text, "7"), None);
    }
}
